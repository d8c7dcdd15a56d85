/* SPDX-License-Identifier: MIT
 *
 * fma() that rounds once and flushes as base/fpenv.h says: the processor's, or else in integers and in double. C libraries have
 * others: those of Windows round twice (a fifth of random arguments give another last bit), and in software they compute with
 * subnormal numbers. */
#ifndef RC_FMA_H
#define RC_FMA_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__SIZEOF_INT128__)
__extension__ typedef unsigned __int128 rc_uint128;

/* |x| = mantissa * 2^exponent, the top bit of the mantissa being bit 125: sums of two stay below 2^127. */
typedef struct rc_wide {
    rc_uint128 mantissa;
    int exponent;
} rc_wide;

static inline int rc_wide_top(rc_uint128 m) /* index of the top bit */
{
    const uint64_t high = (uint64_t)(m >> 64);
    return high ? 127 - __builtin_clzll(high) : 63 - __builtin_clzll((uint64_t)m);
}

static inline rc_wide rc_wide_normal(rc_uint128 mantissa, int exponent)
{
    const int shift = 125 - rc_wide_top(mantissa);
    return (rc_wide){mantissa << shift, exponent - shift};
}

/* The mantissa of a finite double that is not zero, and its exponent. */
static inline uint64_t rc_parts_of(double x, int *exponent)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int field = (int)(bits >> 52) & 2047;
    *exponent = (field ? field : 1) - 1075;
    return (bits & (((uint64_t)1 << 52) - 1)) | (field ? (uint64_t)1 << 52 : 0);
}

/* m / 2^shift with bits that fall off kept as the lowest one, which is enough to round by. */
static inline rc_uint128 rc_shift_sticky(rc_uint128 m, int shift)
{
    if (shift > 127) return m != 0;
    return m >> shift | ((m >> shift) << shift != m);
}

/* The nearest double to m * 2^exponent, ties to even; m below 2^127. */
static inline double rc_round_wide(rc_uint128 m, int exponent)
{
    int last = exponent + rc_wide_top(m) - 52; /* exponent of the result's last bit */
    if (last < -1074) last = -1074;
    if (last <= exponent) return ldexp((double)(uint64_t)m, exponent);
    const rc_uint128 tail = rc_shift_sticky(m << 1, last - exponent - 1); /* two bits more than stay */
    const uint64_t kept = (uint64_t)(tail >> 2), rest = (uint64_t)tail & 3;
    return ldexp((double)(kept + (rest == 3 || (rest == 2 && (kept & 1)))), last);
}

/* a * b + c, rounded once. */
static inline double rc_exact_fma(double a, double b, double c)
{
    if (!isfinite(a) || !isfinite(b) || a == 0 || b == 0) return a * b + c;
    if (!isfinite(c)) return c;
    if (c == 0) return a * b;
    int ea, eb, ec;
    const uint64_t ma = rc_parts_of(a, &ea), mb = rc_parts_of(b, &eb), mc = rc_parts_of(c, &ec);
    rc_wide big = rc_wide_normal((rc_uint128)ma * mb, ea + eb), small = rc_wide_normal(mc, ec);
    int negative = !signbit(a) != !signbit(b), other = !!signbit(c);
    if (small.exponent > big.exponent || (small.exponent == big.exponent && small.mantissa > big.mantissa)) {
        const rc_wide w = big;
        big = small;
        small = w;
        const int n = negative;
        negative = other;
        other = n;
    }
    /* One bit is lost by cancellation only where nothing falls off, for neither number has more than 106 bits. */
    const rc_uint128 aligned = rc_shift_sticky(small.mantissa, big.exponent - small.exponent);
    const rc_uint128 sum = negative == other ? big.mantissa + aligned : big.mantissa - aligned;
    if (sum == 0) return 0;
    const double size = rc_round_wide(sum, big.exponent);
    return negative ? -size : size;
}

/* The same in the environment of base/fpenv.h as x86 has it: comparisons take subnormal operands for zeros, and a result is zero
 * when it is below the smallest normal number after rounding to 53 bits, which a scaled sum tells. */
static inline double rc_flushing_fma(double a, double b, double c)
{
    const double result = rc_exact_fma(a, b, c), scale = 0x1p100;
    if (!(fabs(result) <= DBL_MIN)) return result;
    const int scales_a = fabs(a) < fabs(b); /* the smaller one, and c beside so small a sum, are far from overflow */
    const double scaled = rc_exact_fma(scales_a ? a * scale : a, scales_a ? b : b * scale, c * scale);
    return fabs(scaled) < DBL_MIN * scale ? copysign(0, result) : result;
}
#endif

/* The product of two floats is exact in double; the sum is rounded to odd, so that the rounding to float is the only one. */
static inline float rc_exact_fmaf(float a, float b, float c)
{
    const double p = (double)a * b;
    double sum = p + c;
    const double part = sum - p, error = (p - (sum - part)) + (c - part);
    if (isfinite(sum) && error != 0) {
        int64_t bits;
        memcpy(&bits, &sum, sizeof bits);
        if (!(bits & 1)) bits += (error > 0) == (sum > 0) ? 1 : -1;
        memcpy(&sum, &bits, sizeof sum);
    }
    return (float)sum;
}

/* An x86-64 C library may compute it in software that knows nothing of flushing, or rounds twice. Calls, as the C library's would
 * be: the software for old processors is large. */
#if defined(__x86_64__) && !defined(__FMA__)
__attribute__((target("fma"))) static inline double rc_fma_instruction(double a, double b, double c)
{
    return __builtin_fma(a, b, c);
}
__attribute__((target("fma"))) static inline float rc_fmaf_instruction(float a, float b, float c)
{
    return __builtin_fmaf(a, b, c);
}
__attribute__((noinline, unused)) static double rc_fma(double a, double b, double c)
{
    return __builtin_cpu_supports("fma") ? rc_fma_instruction(a, b, c) : rc_flushing_fma(a, b, c);
}
__attribute__((noinline, unused)) static float rc_fmaf(float a, float b, float c)
{
    return __builtin_cpu_supports("fma") ? rc_fmaf_instruction(a, b, c) : rc_exact_fmaf(a, b, c);
}
#else
static inline double rc_fma(double a, double b, double c) { return fma(a, b, c); }
static inline float rc_fmaf(float a, float b, float c) { return fmaf(a, b, c); }
#endif

#endif
