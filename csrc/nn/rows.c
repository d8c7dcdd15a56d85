/* SPDX-License-Identifier: MIT
 *
 * Sums, softmax and functions over rows for the modules around layers. Each value depends on its row alone, in an order that
 * its length defines. */
#include <math.h>
#include <string.h>

#include "../base/fpenv.h"
#include "../base/sized.h"
#include "../isa/find.h"
#include "log.h"

static char *at(const void *array, int64_t i, int64_t elem)
{
    return array ? (char *)(uintptr_t)array + i * elem : NULL;
}

/* out[index[r]] += a[r], row after row; index NULL: all to the first. */
static void add_rows(const rnncore_rows_args *a, const rc_kernels *kernels, int64_t elem)
{
    for (int64_t r = 0; r < a->rows; r++)
        kernels->add(at(a->out, (a->index ? a->index[r] : 0) * a->n, elem), at(a->a, r * a->n, elem), a->n);
}

static void softmax(const rnncore_rows_args *a, const rc_kernels *kernels, int64_t elem)
{
    for (int64_t r = 0; r < a->rows; r++) {
        const int64_t n = a->index ? a->index[r] : a->n;
        char *out = at(a->out, r * a->n, elem);
        double total = 0, top = -INFINITY;
        memset(out + n * elem, 0, (size_t)((a->n - n) * elem));
        if (n) total = kernels->softmax(out, at(a->a, r * a->n, elem), n, &top);
        if (a->sums) a->sums[2 * r] = top, a->sums[2 * r + 1] = rc_log(total);
    }
}

static void logarithms(const rnncore_rows_args *a)
{
    for (int64_t i = 0; i < a->rows * a->n; i++)
        if (a->dtype == RNNCORE_FLOAT32) ((float *)a->out)[i] = (float)rc_log((double)((const float *)a->a)[i]);
        else ((double *)a->out)[i] = rc_log(((const double *)a->a)[i]);
}

static void run(const rnncore_rows_args *a, const rc_kernels *kernels, int64_t elem)
{
    const int64_t row = a->n * elem;
    switch (a->operation) {
    case RNNCORE_ROWS_SUM:
        for (int64_t r = 0; r < a->rows; r++) a->sums[r] = kernels->dot(at(a->a, r, row), at(a->b, r, row), a->n);
        return;
    case RNNCORE_ROWS_DOT:
        for (int64_t r = 0; r < a->rows; r++)
            kernels->dot_row(at(a->out, r, elem), at(a->a, r, row), at(a->b, r, row), a->n);
        return;
    case RNNCORE_ROWS_ADD: add_rows(a, kernels, elem); return;
    case RNNCORE_ROWS_SOFTMAX: softmax(a, kernels, elem); return;
    case RNNCORE_ROWS_LOG: logarithms(a); return;
    case RNNCORE_ROWS_EXP: kernels->map(a->out, a->a, a->rows * a->n, NULL, 0); return;
    case RNNCORE_ROWS_VALUE:
    case RNNCORE_ROWS_SLOPE:
        kernels->map(a->out, a->a, a->rows * a->n, &a->function, a->operation == RNNCORE_ROWS_SLOPE);
        return;
    }
}

static rnncore_status check(const rnncore_rows_args *a)
{
    int64_t size;
    const rnncore_row_operation o = a->operation;
    const int summed = o == RNNCORE_ROWS_SUM, mapped = o == RNNCORE_ROWS_VALUE || o == RNNCORE_ROWS_SLOPE;
    if (o < RNNCORE_ROWS_SUM || o > RNNCORE_ROWS_SLOPE) return RNNCORE_ERROR_ARGUMENT;
    if (a->dtype != RNNCORE_FLOAT32 && a->dtype != RNNCORE_FLOAT64) return RNNCORE_ERROR_ARGUMENT;
    if (a->rows < 0 || a->n < 0) return RNNCORE_ERROR_SHAPE;
    if (__builtin_mul_overflow(a->rows, a->n, &size) || size > INT64_MAX / 64) return RNNCORE_ERROR_OVERFLOW;
    if (size && (!a->a || (summed ? !a->sums : !a->out))) return RNNCORE_ERROR_ARGUMENT;
    if (mapped && (a->function.function <= RNNCORE_USUAL || a->function.function >= RNNCORE_FUNCTION_COUNT))
        return RNNCORE_ERROR_ARGUMENT;
    const int64_t most = o == RNNCORE_ROWS_ADD ? a->out_rows - 1 : a->n;
    for (int64_t r = 0; a->index && r < a->rows; r++)
        if (a->index[r] < 0 || a->index[r] > most) return RNNCORE_ERROR_LENGTHS;
    return RNNCORE_OK;
}

static rnncore_status run_rows(const rnncore_rows_args *given)
{
    rnncore_rows_args own;
    rnncore_status status = RC_TAKE(&own, given, isa);
    if (!status) status = check(&own);
    if (status) return status;
    const rc_kernels *kernels = rc_find_kernels(own.isa, own.dtype);
    if (!kernels) return RNNCORE_ERROR_UNSUPPORTED;
    run(&own, kernels, own.dtype == RNNCORE_FLOAT32 ? sizeof(float) : sizeof(double));
    return RNNCORE_OK;
}

rnncore_status rnncore_rows(const rnncore_rows_args *args)
{
    const rc_fpenv outside = rc_fpenv_enter();
    const rnncore_status status = run_rows(args);
    rc_fpenv_leave(outside);
    return status;
}
