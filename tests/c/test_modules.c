/* SPDX-License-Identifier: MIT
 *
 * rnncore_multiply and rnncore_rows from C: products against plain loops, and what both refuse. */
#include <math.h>
#include <string.h>

#include "rnncore.h"

#include "check.h"

enum { M = 5, N = 3, K = 7, MOST = 64 };

static double a[MOST], b[MOST], bias[N] = {1, -2, 0.5}, out[MOST];

static void fill(void)
{
    for (int i = 0; i < MOST; i++) {
        a[i] = (i * 7 % 13 - 6) / 4.0;
        b[i] = (i * 5 % 11 - 5) / 8.0;
        out[i] = 99;
    }
}

static rnncore_multiply_args product(rnncore_form form)
{
    return (rnncore_multiply_args){.struct_size = sizeof(rnncore_multiply_args),
                                   .dtype = RNNCORE_FLOAT64,
                                   .form = form,
                                   .count = 1,
                                   .m = M,
                                   .n = N,
                                   .k = K,
                                   .a = a,
                                   .b = b,
                                   .out = out,
                                   .threads = 1};
}

/* Element (i, j) by a plain loop; the values are such that no sum rounds. */
static double expected(rnncore_form form, int i, int j)
{
    double sum = 0;
    for (int k = 0; k < K; k++) {
        const double left = form == RNNCORE_COLUMNS_BY_COLUMNS ? a[k * M + i] : a[i * K + k];
        sum += left * (form == RNNCORE_ROWS_BY_ROWS ? b[j * K + k] : b[k * N + j]);
    }
    return sum;
}

static void test_products(void)
{
    for (int isa = 0; rnncore_isa_name(isa); isa++)
        for (rnncore_form form = RNNCORE_ROWS_BY_ROWS; form <= RNNCORE_COLUMNS_BY_COLUMNS; form++) {
            const int biased = form != RNNCORE_COLUMNS_BY_COLUMNS;
            rnncore_multiply_args args = product(form);
            check_subject = rnncore_isa_name(isa);
            args.isa = rnncore_isa_name(isa);
            args.bias = biased ? bias : NULL;
            fill();
            CHECK_STATUS(rnncore_multiply(&args), RNNCORE_OK);
            for (int i = 0; i < M * N; i++) CHECK(out[i] == expected(form, i / N, i % N) + (biased ? bias[i % N] : 0));
            CHECK(out[M * N] == 99);
        }
}

/* Rows that are ROW apart, and matrices that begin A_NEXT and B_NEXT after the one before. */
enum { ROW = 9, A_NEXT = 1, B_NEXT = 2 };

static double expected_apart(rnncore_form form, int which, int i, int j)
{
    double sum = 0;
    for (int k = 0; k < K; k++) {
        const double left = a[which * A_NEXT + (form == RNNCORE_COLUMNS_BY_COLUMNS ? k * ROW + i : i * ROW + k)];
        sum += left * b[which * B_NEXT + (form == RNNCORE_ROWS_BY_ROWS ? j * ROW + k : k * ROW + j)];
    }
    return sum;
}

static void test_rows_apart(void)
{
    for (int isa = 0; rnncore_isa_name(isa); isa++)
        for (rnncore_form form = RNNCORE_ROWS_BY_ROWS; form <= RNNCORE_COLUMNS_BY_COLUMNS; form++) {
            rnncore_multiply_args args = product(form);
            check_subject = rnncore_isa_name(isa);
            args.isa = rnncore_isa_name(isa);
            args.count = 2;
            args.a_row = args.b_row = ROW;
            args.a_next = A_NEXT;
            args.b_next = B_NEXT;
            fill();
            CHECK_STATUS(rnncore_multiply(&args), RNNCORE_OK);
            for (int i = 0; i < 2 * M * N; i++) CHECK(out[i] == expected_apart(form, i / (M * N), i / N % M, i % N));
            CHECK(out[2 * M * N] == 99);
        }
}

static void test_product_errors(void)
{
    rnncore_multiply_args wrong[] = {product(0), product(0), product(0), product(0),
                                     product(0), product(0), product(0), product(RNNCORE_COLUMNS_BY_COLUMNS),
                                     product(0), product(0)};
    const rnncore_status status[] = {RNNCORE_ERROR_ARGUMENT,    RNNCORE_ERROR_ARGUMENT, RNNCORE_ERROR_SHAPE,
                                     RNNCORE_ERROR_OVERFLOW,    RNNCORE_ERROR_ARGUMENT, RNNCORE_ERROR_ARGUMENT,
                                     RNNCORE_ERROR_UNSUPPORTED, RNNCORE_ERROR_ARGUMENT, RNNCORE_ERROR_SHAPE,
                                     RNNCORE_ERROR_OVERFLOW};
    wrong[0].form = (rnncore_form)7;
    wrong[1].dtype = (rnncore_dtype)7;
    wrong[2].k = -1;
    wrong[3].m = INT64_MAX / 4;
    wrong[4].b = NULL;
    wrong[5].threads = 0;
    wrong[6].isa = "abacus";
    wrong[7].bias = bias;
    wrong[8].a_row = -1;
    wrong[9].b_next = INT64_MAX / 4;
    fill();
    check_subject = "wrong products";
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) CHECK_STATUS(rnncore_multiply(&wrong[i]), status[i]);
    CHECK_STATUS(rnncore_multiply(NULL), RNNCORE_ERROR_ARGUMENT);
    CHECK(out[0] == 99);
    rnncore_multiply_args none = product(RNNCORE_ROWS_BY_ROWS);
    none.m = 0;
    none.out = NULL;
    CHECK_STATUS(rnncore_multiply(&none), RNNCORE_OK);
}

static rnncore_rows_args rows(rnncore_row_operation operation)
{
    return (rnncore_rows_args){.struct_size = sizeof(rnncore_rows_args),
                               .dtype = RNNCORE_FLOAT64,
                               .operation = operation,
                               .rows = M,
                               .n = K,
                               .a = a,
                               .b = b,
                               .out_rows = 2,
                               .out = out};
}

static void test_rows(void)
{
    static const int64_t index[M] = {0, 1, 1, 0, 1}, lengths[M] = {7, 0, 1, 3, 7};
    double sums[2 * M], total = 0;
    check_subject = "rows";
    fill();
    rnncore_rows_args args = rows(RNNCORE_ROWS_SUM);
    args.sums = sums;
    CHECK_STATUS(rnncore_rows(&args), RNNCORE_OK);
    for (int i = 0; i < K; i++) total += a[i] * b[i];
    CHECK(sums[0] == total);
    memset(out, 0, sizeof out);
    args = rows(RNNCORE_ROWS_ADD);
    args.index = index;
    CHECK_STATUS(rnncore_rows(&args), RNNCORE_OK);
    CHECK(out[0] == a[0] + a[3 * K] && out[K] == a[K] + a[2 * K] + a[4 * K] && out[2 * K] == 0);
    args = rows(RNNCORE_ROWS_SOFTMAX);
    args.index = lengths;
    args.sums = sums;
    CHECK_STATUS(rnncore_rows(&args), RNNCORE_OK);
    CHECK(out[K] == 0 && out[2 * K - 1] == 0);                          /* none takes part */
    CHECK(out[2 * K] == 1 && out[2 * K + 1] == 0);                      /* one */
    CHECK(sums[4] == a[2 * K] && sums[5] == 0 && sums[2] == -INFINITY); /* largest, logarithm */
    args = rows(RNNCORE_ROWS_VALUE);
    args.function.function = RNNCORE_RELU;
    CHECK_STATUS(rnncore_rows(&args), RNNCORE_OK);
    CHECK(out[0] == (a[0] > 0 ? a[0] : 0));
}

static void test_row_errors(void)
{
    static const int64_t outside[M] = {0, 1, 2, 0, 1}, long_row[M] = {7, 8, 0, 0, 0};
    rnncore_rows_args wrong[] = {rows((rnncore_row_operation)9), rows(RNNCORE_ROWS_SUM),   rows(RNNCORE_ROWS_ADD),
                                 rows(RNNCORE_ROWS_SOFTMAX),     rows(RNNCORE_ROWS_VALUE), rows(RNNCORE_ROWS_EXP),
                                 rows(RNNCORE_ROWS_EXP),         rows(RNNCORE_ROWS_EXP)};
    const rnncore_status status[] = {RNNCORE_ERROR_ARGUMENT, RNNCORE_ERROR_ARGUMENT,   RNNCORE_ERROR_LENGTHS,
                                     RNNCORE_ERROR_LENGTHS,  RNNCORE_ERROR_ARGUMENT,   RNNCORE_ERROR_SHAPE,
                                     RNNCORE_ERROR_ARGUMENT, RNNCORE_ERROR_UNSUPPORTED};
    wrong[2].index = outside;
    wrong[3].index = long_row;
    wrong[5].rows = -1;
    wrong[6].out = NULL;
    wrong[7].isa = "abacus";
    fill();
    check_subject = "wrong rows";
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) CHECK_STATUS(rnncore_rows(&wrong[i]), status[i]);
    CHECK_STATUS(rnncore_rows(NULL), RNNCORE_ERROR_ARGUMENT);
    CHECK(out[0] == 99);
}

/* Stacks of products and sums over many tokens, on one thread and on two: the same bits. */
static void test_threads(void)
{
    enum { COUNT = 3, ROWS = 70, COLUMNS = 33, DEPTH = 130 };
    static float x[COUNT * ROWS * DEPTH], y[COUNT * COLUMNS * DEPTH], first[COUNT * ROWS * COLUMNS],
        other[COUNT * ROWS * COLUMNS];
    rnncore_team *team = NULL;
    CHECK_STATUS(rnncore_team_create(2, &team), RNNCORE_OK);
    for (int i = 0; i < COUNT * ROWS * DEPTH; i++) x[i] = (float)(i * 7 % 101 - 50) / 30;
    for (int i = 0; i < COUNT * COLUMNS * DEPTH; i++) y[i] = (float)(i * 11 % 97 - 48) / 30;
    for (int count = 1; count <= COUNT; count += COUNT - 1)
        for (rnncore_form form = RNNCORE_ROWS_BY_ROWS; form <= RNNCORE_COLUMNS_BY_COLUMNS; form++) {
            rnncore_multiply_args args = product(form);
            args.dtype = RNNCORE_FLOAT32;
            args.count = count;
            args.m = ROWS, args.n = COLUMNS, args.k = DEPTH;
            args.a = x, args.b = y, args.out = first;
            args.team = team;
            CHECK_STATUS(rnncore_multiply(&args), RNNCORE_OK);
            args.threads = 2;
            args.out = other;
            CHECK_STATUS(rnncore_multiply(&args), RNNCORE_OK);
            CHECK(memcmp(first, other, (size_t)(count * ROWS * COLUMNS) * sizeof *first) == 0);
            args.k = 0;
            CHECK_STATUS(rnncore_multiply(&args), RNNCORE_OK);
            CHECK(other[0] == 0 && other[ROWS * COLUMNS - 1] == 0);
        }
    rnncore_team_destroy(team);
}

/* Functions of every element in both types, sizes that fill vectors and that do not. */
static void test_functions(void)
{
    static float in[40], got[40];
    rnncore_rows_args args = rows(RNNCORE_ROWS_LOG);
    for (int i = 0; i < 40; i++) in[i] = (float)(i + 1);
    args.dtype = RNNCORE_FLOAT32;
    args.rows = 1;
    args.a = in, args.out = got;
    for (args.n = 32; args.n <= 40; args.n += 8) {
        args.operation = RNNCORE_ROWS_LOG;
        args.a = in;
        CHECK_STATUS(rnncore_rows(&args), RNNCORE_OK);
        CHECK(got[0] == 0 && fabsf(got[2] - 1.0986123F) < 1e-6F);
        args.operation = RNNCORE_ROWS_EXP;
        args.a = got;
        CHECK_STATUS(rnncore_rows(&args), RNNCORE_OK);
        CHECK(fabsf(got[args.n - 1] - (float)args.n) < 1e-4F);
        args.operation = RNNCORE_ROWS_SLOPE;
        args.function = (rnncore_activation){RNNCORE_AFFINE, 3, 1};
        CHECK_STATUS(rnncore_rows(&args), RNNCORE_OK);
        CHECK(got[0] == 3 && got[args.n - 1] == 3);
        args.operation = RNNCORE_ROWS_DOT;
        args.b = NULL;
        args.a = in;
        CHECK_STATUS(rnncore_rows(&args), RNNCORE_OK);
        CHECK(got[0] == (float)(args.n * (args.n + 1) / 2));
        args.b = in;
        CHECK_STATUS(rnncore_rows(&args), RNNCORE_OK);
        CHECK(got[0] == (float)(args.n * (args.n + 1) * (2 * args.n + 1) / 6));
        args.operation = RNNCORE_ROWS_SOFTMAX;
        CHECK_STATUS(rnncore_rows(&args), RNNCORE_OK);
        CHECK(got[args.n - 1] > 0.6F && got[0] > 0);
        args.operation = RNNCORE_ROWS_ADD;
        memset(got, 0, sizeof got);
        CHECK_STATUS(rnncore_rows(&args), RNNCORE_OK);
        CHECK(got[4] == 5);
    }
    double special[] = {0, -1, INFINITY, 0.75}, logs[4], sums[1];
    args = rows(RNNCORE_ROWS_LOG);
    args.rows = 1, args.n = 4, args.a = special, args.out = logs;
    CHECK_STATUS(rnncore_rows(&args), RNNCORE_OK);
    CHECK(logs[0] == -INFINITY && isnan(logs[1]) && logs[2] == INFINITY && fabs(logs[3] + 0.28768207245178) < 1e-13);
    args.operation = RNNCORE_ROWS_SUM;
    args.b = NULL;
    args.a = a;
    args.n = 40;
    args.sums = sums;
    double total = 0;
    for (int i = 0; i < 40; i++) total += a[i];
    CHECK_STATUS(rnncore_rows(&args), RNNCORE_OK);
    CHECK(sums[0] == total);
}

/* What each single field may not be, and what products of nothing give. */
static void test_fields(void)
{
    enum { FIELDS = 13 };
    rnncore_multiply_args p[FIELDS];
    for (int i = 0; i < FIELDS; i++) p[i] = product(RNNCORE_ROWS_BY_ROWS);
    p[0].form = (rnncore_form)-1;
    p[1].m = p[2].n = p[3].count = -1;
    p[4].out = NULL;
    p[5].a = NULL;
    p[6].n = INT64_MAX / 8;
    p[7].k = p[8].k = INT64_MAX / 8;
    p[8].m = 1;
    p[9].count = INT64_MAX / 2;
    p[10].n = 0, p[11].count = 0, p[12].m = 0;
    check_subject = "fields of products";
    for (int i = 0; i < FIELDS; i++) CHECK((rnncore_multiply(&p[i]) == RNNCORE_OK) == (i >= 10));
    enum { ROW_FIELDS = 9 };
    static const int64_t below[M] = {0, -1, 0, 0, 0};
    rnncore_rows_args r[ROW_FIELDS];
    for (int i = 0; i < ROW_FIELDS; i++) r[i] = rows(RNNCORE_ROWS_EXP);
    r[0].operation = (rnncore_row_operation)-1;
    r[1].dtype = (rnncore_dtype)7;
    r[2].n = -1;
    r[3].rows = INT64_MAX / 2;
    r[4].a = NULL;
    r[5].operation = RNNCORE_ROWS_ADD;
    r[5].index = below;
    r[6].operation = RNNCORE_ROWS_SLOPE;
    r[6].function.function = (rnncore_function)99;
    r[7].operation = RNNCORE_ROWS_VALUE;
    r[7].function.function = RNNCORE_USUAL;
    r[8].rows = INT64_MAX / 64, r[8].n = 2;
    check_subject = "fields of rows";
    for (int i = 0; i < ROW_FIELDS; i++) CHECK(rnncore_rows(&r[i]) != RNNCORE_OK);
    rnncore_rows_args none = rows(RNNCORE_ROWS_EXP);
    none.rows = 0;
    none.a = NULL, none.out = NULL;
    CHECK_STATUS(rnncore_rows(&none), RNNCORE_OK);
}

/* As many columns as vectors hold: results go where they belong at once. And softmax without its sums. */
static void test_whole_vectors(void)
{
    static double in[16 * 4], left[2 * 4], result[2 * 16];
    rnncore_multiply_args args = product(RNNCORE_ROWS_BY_COLUMNS);
    for (int i = 0; i < 64; i++) in[i] = i;
    for (int i = 0; i < 8; i++) left[i] = i == 1 || i == 6;
    args.m = 2, args.n = 16, args.k = 4;
    args.a = left, args.b = in, args.out = result;
    CHECK_STATUS(rnncore_multiply(&args), RNNCORE_OK);
    CHECK(result[3] == 19 && result[16 + 3] == 35);
    rnncore_rows_args soft = rows(RNNCORE_ROWS_SOFTMAX);
    soft.rows = 2, soft.n = 16;
    soft.a = in, soft.out = result;
    CHECK_STATUS(rnncore_rows(&soft), RNNCORE_OK);
    CHECK(result[15] > result[14] && result[15] < 1);
}

int main(void)
{
    fill();
    test_products();
    test_rows_apart();
    test_product_errors();
    test_rows();
    test_row_errors();
    test_threads();
    test_functions();
    test_fields();
    test_whole_vectors();
    return check_result("test_modules");
}
