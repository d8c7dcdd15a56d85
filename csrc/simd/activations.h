/* SPDX-License-Identifier: MIT
 *
 * Activations chosen at run time, for cells with options: one function per value and per slope, so that a cell is compiled
 * once for all of them. The jump is the same for all units of a gate and predicted. NaN flows through all values. */
#ifndef RC_ACTIVATIONS_H
#define RC_ACTIVATIONS_H

#include "kernels.h"

static vec v_bound(vec x, real low, real high) /* x as second operand: NaN passes */
{
    return v_max(v_set1(low), v_min(v_set1(high), x));
}

/* Beyond it x / (1 + |x|) is 1, and infinity / infinity is not. */
static const real softsign_limit = sizeof(real) == 4 ? 0x1p+30f : 0x1p+60;

static __attribute__((noinline)) vec activate(const rnncore_activation *f, vec x)
{
    const vec alpha = v_set1((real)f->alpha), beta = v_set1((real)f->beta), one = v_set1(1);
    switch (f->function) {
    case RNNCORE_USUAL: break; /* resolved by the plan */
    case RNNCORE_SIGMOID: return v_sigmoid(x);
    case RNNCORE_TANH: return v_tanh(x);
    case RNNCORE_RELU: return v_max(v_zero(), x);
    case RNNCORE_AFFINE: return v_fma(alpha, x, beta);
    case RNNCORE_LEAKY_RELU: return v_if_le(x, v_zero(), v_mul(alpha, x), x);
    case RNNCORE_THRESHOLDED_RELU: return v_if_le(x, alpha, v_zero(), x);
    case RNNCORE_SCALED_TANH: return v_mul(alpha, v_tanh(v_mul(beta, x)));
    case RNNCORE_HARD_SIGMOID: return v_bound(v_fma(alpha, x, beta), 0, 1);
    case RNNCORE_ELU: return v_if_le(x, v_zero(), v_mul(alpha, v_expm1_below(x)), x);
    case RNNCORE_SOFTSIGN: x = v_bound(x, -softsign_limit, softsign_limit); return v_div(x, v_add(one, v_abs(x)));
    case RNNCORE_SOFTPLUS: return v_softplus(x);
    }
    return x;
}

/* d activate / dx. At a kink, and of hard sigmoid at both, the slope of the lower side. */
static __attribute__((noinline)) vec activation_slope(const rnncore_activation *f, vec x)
{
    const vec alpha = v_set1((real)f->alpha), beta = v_set1((real)f->beta), one = v_set1(1);
    switch (f->function) {
    case RNNCORE_USUAL: break;
    case RNNCORE_SIGMOID:
    case RNNCORE_SOFTPLUS: {
        const vec y = v_sigmoid(x);
        return f->function == RNNCORE_SIGMOID ? v_dsigmoid(y) : y;
    }
    case RNNCORE_TANH: return v_dtanh(v_tanh(x));
    case RNNCORE_RELU: return v_where_positive(x, one);
    case RNNCORE_AFFINE: return alpha;
    case RNNCORE_LEAKY_RELU: return v_if_le(x, v_zero(), alpha, one);
    case RNNCORE_THRESHOLDED_RELU: return v_if_le(x, alpha, v_zero(), one);
    case RNNCORE_SCALED_TANH: return v_mul(v_mul(alpha, beta), v_dtanh(v_tanh(v_mul(beta, x))));
    case RNNCORE_HARD_SIGMOID: {
        const vec y = v_fma(alpha, x, beta);
        return v_where_positive(y, v_where_positive(v_sub(one, y), alpha));
    }
    case RNNCORE_ELU: return v_if_le(x, v_zero(), v_mul(alpha, v_add(v_expm1_below(x), one)), one);
    case RNNCORE_SOFTSIGN: {
        const vec d = v_div(one, v_add(one, v_abs(x)));
        return v_mul(d, d);
    }
    }
    return one;
}

/* A gate's value from its pre-activation, and the slope there: 0 beyond the clip. */
static vec gate_value(const rc_options *o, int place, vec a)
{
    return activate(&o->activations[place], v_bound(a, -(real)o->clip, (real)o->clip));
}

static vec gate_slope(const rc_options *o, int place, vec a)
{
    const vec slope = activation_slope(&o->activations[place], v_bound(a, -(real)o->clip, (real)o->clip));
    return v_if_le(v_abs(a), v_set1((real)o->clip), slope, v_zero());
}

#endif
