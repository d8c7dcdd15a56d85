/* SPDX-License-Identifier: MIT
 * The door: see check.h. */
#include "check.h"

#include <math.h>

/* Sizes up to here leave room for every product of two of them times a small factor in 63 bits. */
static const int64_t largest_size = (int64_t)1 << 28;
static const int64_t most_layers = 65536;
static const int64_t most_rows = (int64_t)1 << 30; /* kernels count the rows of a step in int */
static const int64_t most_tokens = (int64_t)1 << 48;

static int in_range(int64_t value, int64_t low, int64_t high) { return low <= value && value <= high; }

static int is_probability(double p) { return p >= 0 && p < 1; }

/* Whether the activations of a direction are functions that exist, at places that the cell has. */
static int are_functions(const rnncore_config *c, int direction)
{
    static const int places[RC_CELLS] = {1, 1, 5, 3, 3};
    for (int i = 0; i < RNNCORE_PLACES; i++) {
        const rnncore_activation *a = &c->activations[direction][i];
        const int absent = i >= places[c->cell] || (c->coupled && i == 1) || direction > c->bidirectional;
        if (!in_range(a->function, RNNCORE_USUAL, absent ? RNNCORE_USUAL : RNNCORE_SOFTPLUS)) return 0;
        if (!isfinite(a->alpha) || !isfinite(a->beta)) return 0;
    }
    return 1;
}

static int are_options(const rnncore_config *c)
{
    const int most = c->cell == RNNCORE_LSTM; /* who may have peepholes, coupled gates and c */
    return in_range(c->peepholes, 0, most) && in_range(c->coupled, 0, most) && c->clip >= 0 && isfinite(c->clip) &&
           is_probability(c->zoneout) && is_probability(c->zoneout_c) && (most || c->zoneout_c == 0) &&
           are_functions(c, 0) && are_functions(c, 1);
}

rnncore_status rc_check_config(const rnncore_config *c)
{
    if (!in_range(c->cell, 0, RC_CELLS - 1) || !in_range(c->dtype, RNNCORE_FLOAT32, RNNCORE_FLOAT64) ||
        !in_range(c->bidirectional, 0, 1) || !is_probability(c->dropout) || !are_options(c))
        return RNNCORE_ERROR_ARGUMENT;
    if (c->input_size < 1 || c->hidden_size < 1 || c->num_layers < 1) return RNNCORE_ERROR_SHAPE;
    if (c->input_size > largest_size || c->hidden_size > largest_size || c->num_layers > most_layers)
        return RNNCORE_ERROR_OVERFLOW;
    if (c->proj_size && c->cell != RNNCORE_LSTM) return RNNCORE_ERROR_ARGUMENT;
    if (!in_range(c->proj_size, 0, c->hidden_size - 1)) return RNNCORE_ERROR_SHAPE;
    return RNNCORE_OK;
}

int rc_check_uses(int uses)
{
    const int known = RNNCORE_PACK_FORWARD | RNNCORE_PACK_BACKWARD | RNNCORE_PACK_BLAS;
    return uses != 0 && (uses & ~known) == 0;
}

rnncore_status rc_check_lengths(int64_t steps, int64_t batch, const int64_t *lengths, int64_t *valid)
{
    if (steps < 0 || batch < 0) return RNNCORE_ERROR_SHAPE;
    if (steps > most_tokens || batch > most_rows || __builtin_mul_overflow(steps, batch, valid) || *valid > most_tokens)
        return RNNCORE_ERROR_OVERFLOW;
    if (!lengths) return RNNCORE_OK;
    *valid = 0;
    for (int64_t i = 0; i < batch; i++) {
        if (!in_range(lengths[i], 0, steps)) return RNNCORE_ERROR_LENGTHS;
        *valid += lengths[i];
    }
    return RNNCORE_OK;
}

int rc_check_params(const rnncore_plan *plan, const rnncore_params *params)
{
    for (int64_t i = 0; i < plan->config.num_layers * plan->directions; i++)
        if (!params[i].weight_ih || !params[i].weight_hh || !params[i].weight_hr != !plan->config.proj_size ||
            !params[i].weight_peephole != !plan->config.peepholes)
            return 0;
    return 1;
}

static int is_aligned(const void *p, int64_t unit) { return (uintptr_t)p % (uintptr_t)unit == 0; }

static rnncore_status check_array(const rnncore_plan *plan, const rnncore_array *a)
{
    if (!is_aligned(a->data, plan->elem)) return RNNCORE_ERROR_ARGUMENT;
    for (int i = 0; i < 3; i++)
        if (a->stride[i] % plan->elem) return RNNCORE_ERROR_ARGUMENT;
    return RNNCORE_OK;
}

static rnncore_status check_threads(int threads) { return threads >= 1 ? RNNCORE_OK : RNNCORE_ERROR_ARGUMENT; }

rnncore_status rc_check_segments(int64_t steps, int64_t segments)
{
    return in_range(segments, 0, steps > 1 ? steps : 1) ? RNNCORE_OK : RNNCORE_ERROR_SHAPE;
}

rnncore_status rc_check_forward(const rnncore_plan *plan, const rnncore_forward_args *a, int64_t *valid)
{
    if (!plan || !a || !a->x.data || !a->y.data || !is_aligned(a->tape, 64)) return RNNCORE_ERROR_ARGUMENT;
    if ((a->c0 || a->c_n) && !plan->cell->has_c) return RNNCORE_ERROR_ARGUMENT;
    rnncore_status status = rc_check_lengths(a->steps, a->batch, a->lengths, valid);
    if (!status) status = check_array(plan, &a->x);
    if (!status) status = check_array(plan, &a->y);
    if (!status) status = check_threads(a->threads);
    if (!status && a->backend != RNNCORE_FUSED && a->backend != RNNCORE_BLAS) status = RNNCORE_ERROR_ARGUMENT;
    if (!status && a->tape) status = rc_check_segments(a->steps, a->segments);
    if (!status && a->tape && !is_probability(a->recurrent_dropout)) status = RNNCORE_ERROR_ARGUMENT;
    return status;
}

rnncore_status rc_check_backward(const rnncore_plan *plan, const void *weights, const rnncore_backward_args *a,
                                 int64_t *valid)
{
    if (!plan || !weights || !a || !a->tape || !a->grads || !is_aligned(a->tape, 64)) return RNNCORE_ERROR_ARGUMENT;
    const int needed = RNNCORE_PACK_BACKWARD | (a->backend == RNNCORE_BLAS ? RNNCORE_PACK_BLAS : 0);
    if ((rc_weights_uses(weights) & needed) != needed) return RNNCORE_ERROR_ARGUMENT;
    if (a->backend != RNNCORE_FUSED && a->backend != RNNCORE_BLAS) return RNNCORE_ERROR_ARGUMENT;
    if ((a->dc_n || a->dc0) && !plan->cell->has_c) return RNNCORE_ERROR_ARGUMENT;
    rnncore_status status = rc_check_lengths(a->steps, a->batch, a->lengths, valid);
    if (!status && a->dy.data) status = check_array(plan, &a->dy);
    if (!status && a->dx.data) status = check_array(plan, &a->dx);
    if (!status) status = check_threads(a->threads);
    if (!status && !is_probability(a->recurrent_dropout)) status = RNNCORE_ERROR_ARGUMENT;
    for (int64_t i = 0; !status && i < plan->config.num_layers * plan->directions; i++) {
        const rnncore_grads *g = &a->grads[i];
        if (!g->weight_ih || !g->weight_hh || !g->bias_ih != !g->bias_hh || !g->weight_hr != !plan->config.proj_size ||
            !g->weight_peephole != !plan->config.peepholes)
            status = RNNCORE_ERROR_ARGUMENT;
    }
    return status;
}
