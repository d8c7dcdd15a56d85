/* SPDX-License-Identifier: MIT
 *
 * log(x) in float64 by IEEE operations alone: what a C library gives differs from one to the next. */
#ifndef RC_LOG_H
#define RC_LOG_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Error at most 2 ULP for normal numbers; log(0) = -inf (subnormal numbers are zeros here), below it NaN.
 * x = 2^e f, f in [sqrt(1/2), sqrt(2)): log f = 2 atanh(u) = 2u + 2u w p(w), u = (f - 1) / (f + 1), w = u^2 <= 0.0295. */
static inline double rc_log(double x)
{
    static const double p[] = {0x1.5555555555535p-2, 0x1.99999999a0875p-3, 0x1.2492492083b9cp-3, 0x1.c71c74206f1b1p-4,
                               0x1.745cb37ad8824p-4, 0x1.3b1de5f53ecb2p-4, 0x1.1067424d17769p-4, 0x1.efdff4e0f2730p-5,
                               0x1.55914f97f9881p-5, 0x1.5c94d2667cc59p-4};     /* those of v_softplus, for w <= 1/9 */
    const double ln2_hi = 0x1.62e42fefa3800p-1, ln2_lo = 0x1.ef35793c76730p-45; /* e * ln2_hi is exact */
    uint64_t bits;
    if (!(x >= 0x1p-1022)) return x >= 0 ? -INFINITY : (double)NAN;
    if (x > 0x1.fffffffffffffp+1023) return x;
    memcpy(&bits, &x, sizeof bits);
    const uint64_t sqrt_half = 0x3fe6a09e667f3bcdu, moved = bits - sqrt_half;
    const int64_t e = (int64_t)moved >> 52;
    bits = (moved & 0x000fffffffffffffu) + sqrt_half;
    memcpy(&x, &bits, sizeof x);
    const double d = x - 1, u = d / (x + 1), w = u * u;
    double sum = p[9];
    for (int i = 8; i >= 0; i--) sum = sum * w + p[i];
    /* 2u = d - u d, and u d is small: the error of u is not that of the result. */
    return (double)e * ln2_hi + (d - (u * (d - 2 * w * sum) - (double)e * ln2_lo));
}

#endif
