/* SPDX-License-Identifier: MIT
 *
 * Rows of modules around layers: sums in the RC_NORM_LANES chains of norm.h, softmax, and functions element by element. What
 * fills no whole vector goes through a copy that does. */
#ifndef RC_MAP_H
#define RC_MAP_H

#include "kernels.h"

enum { RC_ROW_TAIL = RC_LANES - 1 }; /* of a size, as a mask */

static void rc_dot_row(void *out, const void *a, const void *b, int64_t n)
{
    real chain[RC_NORM_LANES] = {0}, parts[2][RC_LANES] = {{0}};
    const int64_t whole = n & ~(int64_t)RC_ROW_TAIL;
    const real *x = a, *y = b;
    for (int64_t i = 0; i < n; i += RC_LANES) {
        real *own = chain + i % RC_NORM_LANES;
        if (i == whole) {
            memcpy(parts[0], x + i, (size_t)(n - i) * sizeof(real));
            if (y) memcpy(parts[1], y + i, (size_t)(n - i) * sizeof(real));
            x = parts[0] - i;
            if (y) y = parts[1] - i;
        }
        v_store(own, v_fma(v_load(x + i), y ? v_load(y + i) : v_set1(1), v_load(own)));
    }
    norm_sums s;
    for (int i = 0; i < RC_NORM_VECTORS; i++) s.lane[i] = v_load(chain + i * RC_LANES);
    *(real *)out = norm_total(&s);
}

/* exp(a - less) */
static void exponentials(real *out, const real *a, int64_t n, real less)
{
    const int64_t whole = n & ~(int64_t)RC_ROW_TAIL;
    for (int64_t i = 0; i < whole; i += RC_LANES) v_store(out + i, v_exp(v_sub(v_load(a + i), v_set1(less))));
    if (whole == n) return;
    real part[RC_LANES] = {0};
    memcpy(part, a + whole, (size_t)(n - whole) * sizeof(real));
    exponentials(part, part, RC_LANES, less);
    memcpy(out + whole, part, (size_t)(n - whole) * sizeof(real));
}

/* The largest value; which of two zeros, and what a NaN among them gives, makes no difference to softmax. */
static real largest(const real *x, int64_t n)
{
    real lanes[RC_LANES], most = x[0];
    const int64_t whole = n & ~(int64_t)RC_ROW_TAIL;
    vec v = v_set1(most);
    for (int64_t i = 0; i < whole; i += RC_LANES) v = v_max(v_load(x + i), v);
    v_store(lanes, v);
    for (int i = 0; i < RC_LANES; i++) most = lanes[i] > most ? lanes[i] : most;
    for (int64_t i = whole; i < n; i++) most = x[i] > most ? x[i] : most;
    return most;
}

static double rc_softmax(void *out, const void *a, int64_t n, double *top)
{
    const real most = largest(a, n);
    real *y = out, total;
    exponentials(y, a, n, most);
    rc_dot_row(&total, y, NULL, n);
    for (int64_t i = 0; i < n; i++) y[i] /= total;
    *top = (double)most;
    return (double)total;
}

static void rc_map(void *out, const void *a, int64_t n, const rnncore_activation *f, int slope)
{
    const real *x = a;
    real *y = out;
    const int64_t whole = n & ~(int64_t)RC_ROW_TAIL;
    if (!f) {
        exponentials(y, x, n, 0);
        return;
    }
    for (int64_t i = 0; i < whole; i += RC_LANES)
        v_store(y + i, slope ? activation_slope(f, v_load(x + i)) : activate(f, v_load(x + i)));
    if (whole == n) return;
    real part[RC_LANES] = {0};
    memcpy(part, x + whole, (size_t)(n - whole) * sizeof(real));
    rc_map(part, part, RC_LANES, f, slope);
    memcpy(y + whole, part, (size_t)(n - whole) * sizeof(real));
}

#endif
