/* SPDX-License-Identifier: MIT
 *
 * Activations: those chosen at run time, for cells with options, one function per value and per slope, so that a cell is
 * compiled once for all of them (the jump is the same for all units of a gate and predicted); and how the bodies of cells take
 * them and the usual ones alike. NaN flows through all values. */
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
    case RNNCORE_USUAL:
    case RNNCORE_FUNCTION_COUNT: break; /* the former is resolved by the plan, the latter refused */
    case RNNCORE_SIGMOID:
    case RNNCORE_LOG_SPACE: {
        const vec y = v_sigmoid(x);
        return f->function == RNNCORE_SIGMOID ? y : v_if_le(x, v_zero(), y, v_add(x, v_set1((real)0.5)));
    }
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
    case RNNCORE_USUAL:
    case RNNCORE_FUNCTION_COUNT: break;
    case RNNCORE_SIGMOID:
    case RNNCORE_SOFTPLUS:
    case RNNCORE_LOG_SPACE: {
        const vec y = v_sigmoid(x), slope = v_dsigmoid(y);
        if (f->function == RNNCORE_SOFTPLUS) return y;
        return f->function == RNNCORE_SIGMOID ? slope : v_if_le(x, v_zero(), slope, one);
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

/* -- Gates as cells take them. `usual` is a constant where this is inlined: a function that the body is compiled for, whose slope
 * follows from its value, which is what is saved; or RNNCORE_USUAL, that of the options at `place`, where the pre-activation is
 * saved. ---------------------------------------------------------------------------------------------------------------- */

/* Within the clip, which is infinite where there is none. */
static vec v_clip(const rc_options *o, vec a) { return v_bound(a, -(real)o->clip, (real)o->clip); }

/* What a function without clip gives. */
RC_INLINE vec free_value(const rc_options *o, const rnncore_function usual, int place, vec a)
{
    if (usual == RNNCORE_SIGMOID) return v_sigmoid(a);
    if (usual == RNNCORE_TANH) return v_tanh(a);
    if (usual == RNNCORE_RELU) return v_max(v_zero(), a); /* NaN and -0, as second operand, flow */
    return activate(&o->activations[place], a);
}

/* Its slope at a, where its value is y. */
RC_INLINE vec free_slope(const rc_options *o, const rnncore_function usual, int place, vec a, vec y)
{
    if (usual == RNNCORE_TANH) return v_dtanh(y);
    return activation_slope(&o->activations[place], a);
}

/* A gate's value from its pre-activation. */
RC_INLINE vec gate_value(const rc_options *o, const rnncore_function usual, int place, vec a)
{
    return free_value(o, usual, place, usual ? a : v_clip(o, a));
}

/* What is saved of it; its value from that; and the gradient of its pre-activation from that of its value. */
RC_INLINE vec gate_saved(const rnncore_function usual, vec a, vec value) { return usual ? value : a; }

RC_INLINE vec gate_again(const rc_options *o, const rnncore_function usual, int place, vec saved)
{
    return usual ? saved : gate_value(o, usual, place, saved);
}

static vec gate_slope(const rc_options *o, int place, vec a) /* 0 beyond the clip */
{
    const vec slope = activation_slope(&o->activations[place], v_clip(o, a));
    return v_if_le(v_abs(a), v_set1((real)o->clip), slope, v_zero());
}

RC_INLINE vec gate_back(const rc_options *o, const rnncore_function usual, int place, vec saved, vec d)
{
    if (usual == RNNCORE_SIGMOID) return v_mul(d, v_dsigmoid(saved));
    if (usual == RNNCORE_TANH) return v_mul(d, v_dtanh(saved));
    if (usual == RNNCORE_RELU) return v_where_positive(saved, d);
    return v_mul(d, gate_slope(o, place, saved));
}

#endif
