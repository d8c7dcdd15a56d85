/* SPDX-License-Identifier: MIT
 * See call.h. */
#include "call.h"

#include "../base/sized.h"
#include "../model/config.h"

static const int64_t most_tokens = (int64_t)1 << 48;

rnncore_status rc_check_lengths(int64_t steps, int64_t batch, const int64_t *lengths, int64_t *valid)
{
    if (steps < 0 || batch < 0) return RNNCORE_ERROR_SHAPE;
    if (steps > most_tokens || batch > RC_MOST_ROWS || __builtin_mul_overflow(steps, batch, valid) ||
        *valid > most_tokens)
        return RNNCORE_ERROR_OVERFLOW;
    if (!lengths) return RNNCORE_OK;
    *valid = 0;
    for (int64_t i = 0; i < batch; i++) {
        if (!rc_in_range(lengths[i], 0, steps)) return RNNCORE_ERROR_LENGTHS;
        *valid += lengths[i];
    }
    return RNNCORE_OK;
}

static int is_aligned(const void *p, int64_t unit) { return (uintptr_t)p % (uintptr_t)unit == 0; }

static rnncore_status check_array(const rnncore_plan *plan, const rnncore_array *a)
{
    const int64_t real = plan->elem / plan->kernels->models;
    if (!is_aligned(a->data, real)) return RNNCORE_ERROR_ARGUMENT;
    for (int i = 0; i < 3; i++)
        if (a->stride[i] % real) return RNNCORE_ERROR_ARGUMENT;
    return RNNCORE_OK;
}

static rnncore_status check_backend(const rnncore_plan *plan, rnncore_backend backend)
{
    if (backend == RNNCORE_BLAS) return plan->config.blas ? RNNCORE_OK : RNNCORE_ERROR_UNSUPPORTED;
    return backend == RNNCORE_FUSED ? RNNCORE_OK : RNNCORE_ERROR_ARGUMENT;
}

static rnncore_status check_threads(int threads) { return threads >= 1 ? RNNCORE_OK : RNNCORE_ERROR_ARGUMENT; }

rnncore_status rc_check_segments(int64_t steps, int64_t segments)
{
    return rc_in_range(segments, 0, steps > 1 ? steps : 1) ? RNNCORE_OK : RNNCORE_ERROR_SHAPE;
}

static rnncore_status check_forward(const rnncore_plan *plan, const rnncore_forward_args *a, int64_t *valid)
{
    if (!plan || !a->x.data || !a->y.data || !is_aligned(a->tape, 64)) return RNNCORE_ERROR_ARGUMENT;
    if ((a->c0 || a->c_n) && !plan->cell->has_c) return RNNCORE_ERROR_ARGUMENT;
    rnncore_status status = rc_check_lengths(a->steps, a->batch, a->lengths, valid);
    if (!status) status = check_array(plan, &a->x);
    if (!status) status = check_array(plan, &a->y);
    if (!status) status = check_threads(a->threads);
    if (!status) status = check_backend(plan, a->backend);
    if (!status && a->tape) status = rc_check_segments(a->steps, a->segments);
    if (!status && a->tape && !rc_is_probability(a->recurrent_dropout)) status = RNNCORE_ERROR_ARGUMENT;
    return status;
}

static rnncore_status check_backward(const rnncore_plan *plan, const void *weights, const rnncore_backward_args *a,
                                     int64_t *valid)
{
    if (!plan || !weights || !a->tape || !a->grads || !is_aligned(a->tape, 64)) return RNNCORE_ERROR_ARGUMENT;
    rnncore_status status = check_backend(plan, a->backend);
    if (status) return status;
    const int needed = RNNCORE_PACK_BACKWARD | (a->backend == RNNCORE_BLAS ? RNNCORE_PACK_BLAS : 0);
    if ((rc_weights_uses(weights) & needed) != needed) return RNNCORE_ERROR_ARGUMENT;
    if ((a->dc_n || a->dc0) && !plan->cell->has_c) return RNNCORE_ERROR_ARGUMENT;
    status = rc_check_lengths(a->steps, a->batch, a->lengths, valid);
    if (!status && a->dy.data) status = check_array(plan, &a->dy);
    if (!status && a->dx.data) status = check_array(plan, &a->dx);
    if (!status) status = check_threads(a->threads);
    if (!status && !rc_is_probability(a->recurrent_dropout)) status = RNNCORE_ERROR_ARGUMENT;
    if (!status && !rc_check_params(plan, (const void *const *)a->grads)) status = RNNCORE_ERROR_ARGUMENT;
    return status;
}

rnncore_status rc_take_forward(const rnncore_plan *plan, const rnncore_forward_args *given, rnncore_forward_args *args,
                               int64_t *valid)
{
    const rnncore_status status = RC_TAKE(args, given, team);
    return status ? status : check_forward(plan, args, valid);
}

rnncore_status rc_take_backward(const rnncore_plan *plan, const void *weights, const rnncore_backward_args *given,
                                rnncore_backward_args *args, int64_t *valid)
{
    const rnncore_status status = RC_TAKE(args, given, team);
    return status ? status : check_backward(plan, weights, args, valid);
}
