/* SPDX-License-Identifier: MIT
 *
 * Products of matrices for the modules around layers, by the kernels of layers: rows times a packed matrix, as the input half
 * of a cell without a cell, or a sum over tokens, as the gradient of a weight. Every value is one chain, so neither pieces nor
 * threads change a bit. */
#include <string.h>

#include "../base/arena.h"
#include "../base/fpenv.h"
#include "../base/sized.h"
#include "../base/team.h"
#include "../base/tuning.h"
#include "../isa/find.h"

typedef struct multiply_call {
    const rnncore_multiply_args *args;
    const rc_kernels *kernels;
    int64_t elem, ld;      /* n in whole vectors */
    int64_t pieces, piece; /* of the rows of each product, and their size */
    char *start;           /* [ld]: what the chains of a row start from */
    char *packed, *own;    /* b, where there is one product; else and beside it [threads][own_bytes] */
    int64_t packed_bytes, own_bytes;
    int threads;
    rc_items items;
} multiply_call;

static int sums_tokens(const rnncore_multiply_args *a) { return a->form == RNNCORE_COLUMNS_BY_COLUMNS; }

static char *at(const void *array, int64_t i, int64_t elem) { return (char *)(uintptr_t)array + i * elem; }

/* -- Rows times a packed matrix --------------------------------------------------------------------------------------- */

/* What a thread needs for itself. */
typedef struct scratch {
    char *packed, *start, *result; /* of b, [ld] where products have biases of their own, [RC_INPUT_TOKENS][lanes] */
    const void **rows, **others;
    char *panel;
} scratch;

static scratch lay_out_own(const multiply_call *call, rc_arena *arena)
{
    const rnncore_multiply_args *a = call->args;
    if (sums_tokens(a))
        return (scratch){
            .rows = rc_arena_take(arena, RC_OUTER_TOKENS, sizeof(void *)),
            .others = rc_arena_take(arena, RC_OUTER_TOKENS, sizeof(void *)),
            .panel = rc_arena_take(arena, RC_OUTER_TOKENS, RC_PANEL_BYTES),
        };
    return (scratch){
        .packed = a->count > 1 ? rc_arena_take(arena, 1, call->packed_bytes) : call->packed,
        .start = a->biases > 1 ? rc_arena_take(arena, call->ld, call->elem) : call->start,
        .result = rc_arena_take(arena, RC_INPUT_TOKENS, call->kernels->lanes * call->elem),
        .rows = rc_arena_take(arena, RC_INPUT_TOKENS, sizeof(void *)),
    };
}

static scratch scratch_of(const multiply_call *call, int seat)
{
    rc_arena arena = rc_arena_over(call->own + seat * call->own_bytes, SIZE_MAX);
    return lay_out_own(call, &arena);
}

/* One of the sizes that vectors have. */
static inline void copy_vector(char *to, const char *from, int64_t bytes)
{
    switch (bytes) {
    case 64: memcpy(to, from, 64); return;
    case 32: memcpy(to, from, 32); return;
    default: memcpy(to, from, (size_t)bytes); return;
    }
}

/* b of product i as the kernels take it, [block of columns of out][k][lane]. */
static void pack(const multiply_call *call, int64_t i, char *to)
{
    static const int8_t only[] = {0};
    const rnncore_multiply_args *a = call->args;
    const int64_t lanes = call->kernels->lanes, elem = call->elem;
    const char *b = at(a->b, i * a->b_next, elem);
    if (a->form == RNNCORE_ROWS_BY_ROWS) {
        const rc_mat mat = {.w = to, .k = a->k, .units = call->ld, .planes = 1, .store = RNNCORE_STORE_REAL};
        call->kernels->pack(&mat, &(rc_matrix){b, a->n, a->k, 1, only, RNNCORE_STORE_REAL, a->b_row});
        return;
    }
    for (int64_t first = 0; first < a->n; first += lanes) {
        const int64_t left = a->n - first, size = left < lanes ? left : lanes;
        const char *from = b + first * elem;
        for (int64_t k = 0; k < a->k; k++, to += lanes * elem, from += a->b_row * elem)
            if (size == lanes) copy_vector(to, from, lanes * elem);
            else memcpy(memset(to, 0, (size_t)(lanes * elem)), from, (size_t)(size * elem));
    }
}

/* What the chains of a row start from. */
static void fill_start(const multiply_call *call, const void *bias, char *start)
{
    memset(start, 0, (size_t)(call->ld * call->elem));
    if (bias) memcpy(start, bias, (size_t)(call->args->n * call->elem));
}

/* Blocks [first, end) of the columns of some rows; those of `out` are out_row elements apart. */
static void blocks_piece(const multiply_call *call, const scratch *own, int64_t rows, int64_t first, int64_t end,
                         char *out, int64_t out_row)
{
    const int64_t block = call->kernels->lanes * call->elem, k = call->args->k,
                  units = (end - first) * call->kernels->lanes;
    const char *w = own->packed + first * block * k;
    const rc_mat mat = {.w = w, .k = k, .units = units, .planes = 1, .store = RNNCORE_STORE_REAL};
    call->kernels->product[RNNCORE_STORE_REAL](&(rc_product){
        .mat = &mat,
        .rows = rows,
        .block_end = end - first,
        .in = own->rows,
        .init = own->start + first * block,
        .out = out,
        .out_row = out_row,
    });
}

static void rows_piece(const multiply_call *call, int64_t product, int64_t first, int64_t rows, const scratch *own)
{
    const rnncore_multiply_args *a = call->args;
    const int64_t elem = call->elem, lanes = call->kernels->lanes, whole = a->n / lanes, rest = a->n % lanes;
    char *out = at(a->out, (product * a->m + first) * a->n, elem);
    if (a->count > 1) pack(call, product, own->packed);
    if (a->biases > 1) fill_start(call, at(a->bias, product * a->n, elem), own->start);
    for (int64_t i = 0; i < rows; i++) own->rows[i] = at(a->a, product * a->a_next + (first + i) * a->a_row, elem);
    if (whole) blocks_piece(call, own, rows, 0, whole, out, a->n);
    if (!rest) return;
    /* Of the last block, which is not full, the columns that there are go to the results. */
    blocks_piece(call, own, rows, whole, whole + 1, own->result, lanes);
    out += whole * lanes * elem;
    for (int64_t i = 0; i < rows; i++)
        memcpy(out + i * a->n * elem, own->result + i * lanes * elem, (size_t)(rest * elem));
}

/* -- Sums over tokens -------------------------------------------------------------------------------------------------- */

static void tokens_piece(const multiply_call *call, int64_t product, int64_t first, int64_t units, const scratch *own)
{
    const rnncore_multiply_args *a = call->args;
    const int64_t elem = call->elem;
    char *out = at(a->out, (product * a->m + first) * a->n, elem);
    if (!a->k) memset(out, 0, (size_t)(units * a->n * elem));
    for (int64_t done = 0; done < a->k; done += RC_OUTER_TOKENS) {
        const int64_t tokens = a->k - done < RC_OUTER_TOKENS ? a->k - done : RC_OUTER_TOKENS;
        for (int64_t i = 0; i < tokens; i++) {
            own->rows[i] = at(a->a, product * a->a_next + (done + i) * a->a_row, elem);
            own->others[i] = at(a->b, product * a->b_next + (done + i) * a->b_row, elem);
        }
        call->kernels->outer(&(rc_outer){
            .tokens = tokens,
            .columns = a->n,
            .add = done > 0,
            .planes = 1,
            .plane = {{first, units, out}},
            .gates = own->rows,
            .in = own->others,
            .panel = own->panel,
            .out_row = a->n,
        });
    }
}

/* -- The call ---------------------------------------------------------------------------------------------------------- */

static void piece_item(void *context, int64_t i, const rc_worker *worker)
{
    const multiply_call *call = context;
    const scratch own = scratch_of(call, worker->seat);
    const int64_t first = i % call->pieces * call->piece, left = call->args->m - first;
    const int64_t rows = left < call->piece ? left : call->piece;
    if (sums_tokens(call->args)) tokens_piece(call, i / call->pieces, first, rows, &own);
    else rows_piece(call, i / call->pieces, first, rows, &own);
}

static void multiply_work(void *context, const rc_worker *worker)
{
    multiply_call *call = context;
    rc_items_run(&call->items, call->args->count * call->pieces, piece_item, call, worker);
}

static void lay_out(multiply_call *call, rc_arena *arena)
{
    rc_arena one = rc_arena_counting();
    call->start = rc_arena_take(arena, call->ld, call->elem);
    if (!sums_tokens(call->args) && call->args->count == 1) call->packed = rc_arena_take(arena, 1, call->packed_bytes);
    lay_out_own(call, &one);
    call->own_bytes = (int64_t)rc_arena_bytes(&one);
    call->own = rc_arena_take(arena, call->threads, call->own_bytes);
}

/* Whether a * b * c elements have a size in bytes. */
static int fits(int64_t a, int64_t b, int64_t c)
{
    int64_t all;
    return !__builtin_mul_overflow(a, b, &all) && !__builtin_mul_overflow(all, c, &all) && all <= INT64_MAX / 64;
}

static rnncore_status check(const rnncore_multiply_args *a)
{
    if (a->form < RNNCORE_ROWS_BY_ROWS || a->form > RNNCORE_COLUMNS_BY_COLUMNS || a->threads < 1)
        return RNNCORE_ERROR_ARGUMENT;
    if (a->dtype != RNNCORE_FLOAT32 && a->dtype != RNNCORE_FLOAT64) return RNNCORE_ERROR_ARGUMENT;
    if (a->count < 0 || a->m < 0 || a->n < 0 || a->k < 0) return RNNCORE_ERROR_SHAPE;
    if (a->a_row < 0 || a->a_next < 0 || a->b_row < 0 || a->b_next < 0) return RNNCORE_ERROR_SHAPE;
    if (a->biases < 0 || (a->biases > 1 && (a->biases != a->count || !a->bias))) return RNNCORE_ERROR_SHAPE;
    if (a->n > INT32_MAX || !fits(a->count, a->m, a->n) || !fits(a->count, a->m, a->k) || !fits(a->count, a->n, a->k))
        return RNNCORE_ERROR_OVERFLOW;
    const int some = a->count && a->m && a->n;
    if ((some && !a->out) || (some && a->k && (!a->a || !a->b)) || (a->bias && sums_tokens(a)))
        return RNNCORE_ERROR_ARGUMENT;
    return RNNCORE_OK;
}

/* Distances that the caller left out are those of dense arrays; whether each matrix of a, and of b, has an end. */
static int spread(rnncore_multiply_args *a)
{
    const int64_t a_rows = sums_tokens(a) ? a->k : a->m, b_rows = a->form == RNNCORE_ROWS_BY_ROWS ? a->n : a->k;
    if (!a->a_row) a->a_row = sums_tokens(a) ? a->m : a->k;
    if (!a->b_row) a->b_row = a->form == RNNCORE_ROWS_BY_ROWS ? a->k : a->n;
    if (!fits(a_rows, a->a_row, 1) || !fits(b_rows, a->b_row, 1)) return 0;
    if (!a->a_next) a->a_next = a_rows * a->a_row;
    if (!a->b_next) a->b_next = b_rows * a->b_row;
    return fits(a->count, a->a_next, 1) && fits(a->count, a->b_next, 1);
}

/* Rows of a piece: as many as a packed matrix is worth, or of units whose results a cache holds and all threads have some. */
static int64_t piece_of(const multiply_call *call)
{
    const rnncore_multiply_args *a = call->args;
    int64_t piece = RC_INPUT_TOKENS;
    if (sums_tokens(a)) piece = RC_OUTER_BYTES / (a->n * call->elem);
    const int64_t shared = a->count >= call->threads ? a->m : (a->m + call->threads - 1) / call->threads;
    if (piece > shared) piece = shared;
    return piece > 1 ? piece : 1;
}

static rnncore_status run_multiply(const rnncore_multiply_args *given)
{
    rnncore_multiply_args own;
    const rnncore_multiply_args *a = &own;
    multiply_call call = {.args = a};
    rnncore_status status = RC_TAKE(&own, given, team);
    if (!status) status = check(a);
    if (status) return status;
    call.kernels = rc_find_kernels(a->isa, a->dtype);
    if (!call.kernels) return RNNCORE_ERROR_UNSUPPORTED;
    if (!a->count || !a->m || !a->n) return RNNCORE_OK;
    if (!spread(&own)) return RNNCORE_ERROR_OVERFLOW;
    call.elem = a->dtype == RNNCORE_FLOAT32 ? sizeof(float) : sizeof(double);
    call.ld = (a->n + call.kernels->lanes - 1) / call.kernels->lanes * call.kernels->lanes;
    call.packed_bytes = call.ld * a->k * call.elem;
    const double worth = 2.0 * (double)a->count * (double)a->m * (double)a->n * (double)a->k / RC_MIN_FLOPS_PER_THREAD;
    call.threads = worth < 1 ? 1 : worth < a->threads ? (int)worth : a->threads;
    call.piece = piece_of(&call);
    call.pieces = (a->m + call.piece - 1) / call.piece;

    rc_arena counting = rc_arena_counting();
    lay_out(&call, &counting);
    const size_t bytes = rc_arena_bytes(&counting);
    if (!bytes) return RNNCORE_ERROR_OVERFLOW;
    void *memory = rnncore_alloc(bytes);
    if (!memory) return RNNCORE_ERROR_MEMORY;
    rc_arena arena = rc_arena_over(memory, bytes);
    lay_out(&call, &arena);
    fill_start(&call, a->biases > 1 ? NULL : a->bias, call.start);
    if (call.packed) pack(&call, 0, call.packed);
    rc_team_run(a->team, call.threads, multiply_work, &call, NULL);
    rnncore_free(memory);
    return RNNCORE_OK;
}

rnncore_status rnncore_multiply(const rnncore_multiply_args *args)
{
    const rc_fpenv outside = rc_fpenv_enter();
    const rnncore_status status = run_multiply(args);
    rc_fpenv_leave(outside);
    return status;
}
