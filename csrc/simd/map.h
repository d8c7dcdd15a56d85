/* SPDX-License-Identifier: MIT
 *
 * Rows of modules around layers: sums in the RC_NORM_LANES chains of norm.h, softmax, and functions element by element. */
#ifndef RC_MAP_H
#define RC_MAP_H

#include "kernels.h"

static void rc_dot_row(void *out, const void *a, const void *b, int64_t n)
{
    const real *x = a, *y = b;
    norm_sums s = norm_zero();
    for (int64_t u = 0; u < n; u += RC_NORM_LANES) {
#pragma GCC unroll 16
        for (int i = 0; i < RC_NORM_VECTORS; i++) {
            const int64_t at = u + i * RC_LANES, left = n - at;
            if (left <= 0) continue;
            const vec other = y ? v_load_first(y + at, left) : v_set1(1);
            s.lane[i] = v_fma(v_load_first(x + at, left), other, s.lane[i]);
        }
    }
    *(real *)out = norm_total(&s);
}

/* exp(a - less) */
static void exponentials(real *out, const real *a, int64_t n, real less)
{
    for (int64_t i = 0; i < n; i += RC_LANES)
        v_store_first(out + i, v_exp(v_sub(v_load_first(a + i, n - i), v_set1(less))), n - i);
}

/* The largest value; which of two zeros, and what a NaN among them gives, makes no difference to softmax. */
static real largest(const real *x, int64_t n)
{
    real most = x[0];
    int64_t i = 0;
    if (n >= RC_LANES) {
        real lanes[RC_LANES];
        vec v = v_set1(most);
        for (; i <= n - RC_LANES; i += RC_LANES) v = v_max(v_load(x + i), v);
        v_store(lanes, v);
        for (int k = 0; k < RC_LANES; k++) most = lanes[k] > most ? lanes[k] : most;
    }
    for (; i < n; i++) most = x[i] > most ? x[i] : most;
    return most;
}

static double rc_softmax(void *out, const void *a, int64_t n, double *top)
{
    const real most = largest(a, n);
    real *y = out, total;
    exponentials(y, a, n, most);
    rc_dot_row(&total, y, NULL, n);
    for (int64_t i = 0; i < n; i += RC_LANES)
        v_store_first(y + i, v_div(v_load_first(y + i, n - i), v_set1(total)), n - i);
    *top = (double)most;
    return (double)total;
}

static void rc_map(void *out, const void *a, int64_t n, const rnncore_activation *f, int slope)
{
    const real *x = a;
    real *y = out;
    if (!f) {
        exponentials(y, x, n, 0);
        return;
    }
    for (int64_t i = 0; i < n; i += RC_LANES) {
        const vec v = v_load_first(x + i, n - i);
        v_store_first(y + i, slope ? activation_slope(f, v) : activate(f, v), n - i);
    }
}

#endif
