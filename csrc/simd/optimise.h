/* SPDX-License-Identifier: MIT
 *
 * One step of an optimiser over plain arrays. Elementwise loops without fused operations: all widths give the same bits. */
#ifndef RC_OPTIMISE_H
#define RC_OPTIMISE_H

#include "kernels.h"

/* Sum of products in double, over DOT_LANES partial sums whatever the width of the vectors; b NULL: of a alone. */
enum { DOT_LANES = 16 };

static double rc_dot(const void *a, const void *b, int64_t n)
{
    static const real ones[DOT_LANES] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const real *x = a, *y = b ? b : ones;
    const int64_t step = b ? DOT_LANES : 0;
    double lane[DOT_LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + DOT_LANES <= n; i += DOT_LANES, y += step)
        for (int j = 0; j < DOT_LANES; j++) lane[j] += (double)x[i + j] * (double)y[j];
    for (int j = 0; i < n; i++, j++) lane[j] += (double)x[i] * (double)y[j];
    for (int j = 0; j < DOT_LANES; j++) sum += lane[j];
    return sum;
}

/* m = b1 m + (1 - b1) g    v = b2 v + (1 - b2) g^2    w = decay w - rate m / (sqrt(v) root + eps) */
static void rc_adam(const rc_update *u, int64_t n)
{
    real *restrict w = u->values, *restrict m = u->moment1, *restrict v = u->moment2;
    const real *restrict grads = u->grads;
    const real scale = (real)u->scale, l2 = (real)u->l2, decay = (real)u->decay, rate = (real)u->rate;
    const real b1 = (real)u->beta1, b2 = (real)u->beta2, root = (real)u->root, eps = (real)u->eps;
    const real new1 = (real)(1 - u->beta1), new2 = (real)(1 - u->beta2);
    for (int64_t i = 0; i < n; i++) {
        const real g = scale * grads[i] + l2 * w[i];
        m[i] = b1 * m[i] + new1 * g;
        v[i] = b2 * v[i] + new2 * (g * g);
        w[i] = decay * w[i] - rate * (m[i] / (REAL_SQRT(v[i]) * root + eps));
    }
}

/* m = b1 m + g    w = decay w - rate m, with Nesterov rate (g + b1 m); moment1 NULL: m = g */
static void rc_sgd(const rc_update *u, int64_t n)
{
    real *restrict w = u->values, *restrict m = u->moment1;
    const real *restrict grads = u->grads;
    const real scale = (real)u->scale, l2 = (real)u->l2, decay = (real)u->decay, rate = (real)u->rate;
    const real b1 = (real)u->beta1, ahead = u->nesterov ? b1 : 1, now = u->nesterov ? 1 : 0;
    if (!m) {
        for (int64_t i = 0; i < n; i++) w[i] = decay * w[i] - rate * (scale * grads[i] + l2 * w[i]);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const real g = scale * grads[i] + l2 * w[i];
        m[i] = b1 * m[i] + g;
        w[i] = decay * w[i] - rate * (now * g + ahead * m[i]);
    }
}

#endif
