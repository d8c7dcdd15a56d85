/* SPDX-License-Identifier: MIT
 *
 * Layer normalisation (Ba, Kiros and Hinton 2016): u = (v - mean(v)) / sqrt(var(v) + eps), over all units of some planes.
 *
 * A sum over units cannot be one chain without costing more than the products, so it is RC_NORM_LANES chains: unit k of a plane
 * goes to chain k mod RC_NORM_LANES, in order, plane after plane; then the chains are added in one binary tree. That is the
 * same for every vector width. */
#ifndef RC_NORM_H
#define RC_NORM_H

#include "kernels.h"

enum { RC_NORM_LANES = 32, RC_NORM_VECTORS = RC_NORM_LANES / RC_LANES };

static const real norm_eps = (real)1e-5; /* PyTorch's */

typedef struct norm_sums {
    vec lane[RC_NORM_VECTORS];
} norm_sums;

static inline norm_sums norm_zero(void)
{
    norm_sums s;
    for (int i = 0; i < RC_NORM_VECTORS; i++) s.lane[i] = v_zero();
    return s;
}

/* All chains in one, by halves. */
__attribute__((noinline)) static real norm_total(const norm_sums *s)
{
    real lanes[RC_NORM_LANES];
    for (int i = 0; i < RC_NORM_VECTORS; i++) v_store(lanes + i * RC_LANES, s->lane[i]);
    for (int n = RC_NORM_LANES / 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++) lanes[i] += lanes[i + n];
    return lanes[0];
}

/* `count` values from x on, zeros after them; rows are whole vectors. */
RC_INLINE vec norm_load(const real *x, int64_t count) { return v_first(v_load(x), count); }

RC_INLINE void add_values(norm_sums *s, const real *v, int64_t units)
{
    for (int64_t u = 0; u < units; u += RC_NORM_LANES) {
#pragma GCC unroll 16
        for (int i = 0; i < RC_NORM_VECTORS; i++) {
            const int64_t at = u + i * RC_LANES;
            if (at < units) s->lane[i] = v_add(s->lane[i], norm_load(v + at, units - at));
        }
    }
}

RC_INLINE void add_squares(norm_sums *s, const real *v, int64_t units, vec mean)
{
    for (int64_t u = 0; u < units; u += RC_NORM_LANES) {
#pragma GCC unroll 16
        for (int i = 0; i < RC_NORM_VECTORS; i++) {
            const int64_t at = u + i * RC_LANES;
            if (at >= units) continue;
            const vec d = v_first(v_sub(v_load(v + at), mean), units - at);
            s->lane[i] = v_fma(d, d, s->lane[i]);
        }
    }
}

static void rc_norm_stats(void *stats, const void *values, int planes, int64_t plane, int64_t units)
{
    const real *v = values, count = (real)(planes * units);
    real *out = stats;
    norm_sums sum = norm_zero(), squares = norm_zero();
    for (int p = 0; p < planes; p++) add_values(&sum, v + p * plane, units);
    out[0] = norm_total(&sum) / count;
    for (int p = 0; p < planes; p++) add_squares(&squares, v + p * plane, units, v_set1(out[0]));
    out[1] = 1 / REAL_SQRT(norm_total(&squares) / count + norm_eps);
}

RC_INLINE void add_gradients(norm_sums *of_du, norm_sums *of_duu, const real *d, const real *u, const real *gain,
                             int64_t units)
{
    for (int64_t k = 0; k < units; k += RC_NORM_LANES) {
#pragma GCC unroll 16
        for (int i = 0; i < RC_NORM_VECTORS; i++) {
            const int64_t at = k + i * RC_LANES, left = units - at;
            if (left <= 0) continue;
            const vec du = v_mul(norm_load(d + at, left), norm_load(gain + at, left));
            of_du->lane[i] = v_add(of_du->lane[i], du);
            of_duu->lane[i] = v_fma(du, norm_load(u + at, left), of_duu->lane[i]);
        }
    }
}

static void rc_norm_back(void *sums, const void *d, const void *u, const void *gain, const int8_t *gate, int planes,
                         int64_t plane, int64_t units)
{
    const real count = (real)(planes * units);
    real *out = sums;
    norm_sums of_du = norm_zero(), of_duu = norm_zero();
    for (int p = 0; p < planes; p++)
        add_gradients(&of_du, &of_duu, (const real *)d + p * plane, (const real *)u + p * plane,
                      (const real *)gain + gate[p] * plane, units);
    out[0] = norm_total(&of_du) / count;
    out[1] = norm_total(&of_duu) / count;
}

/* -- As gate math takes them: stats are {mean, 1 / deviation}, sums {mean of du, mean of du * u}. ------------------------- */

RC_INLINE vec norm_value(const real *stats, vec v) { return v_mul(v_sub(v, v_set1(stats[0])), v_set1(stats[1])); }

/* The gradient of v from du, that of u. */
RC_INLINE vec norm_gradient(const real *stats, const real *sums, vec du, vec u)
{
    return v_mul(v_fnma(u, v_set1(sums[1]), v_sub(du, v_set1(sums[0]))), v_set1(stats[1]));
}

#endif
