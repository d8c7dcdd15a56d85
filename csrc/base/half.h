/* SPDX-License-Identifier: MIT
 *
 * Floats of 16 bits and back, in integers: the same on every machine and in every floating-point environment. Rounding is to
 * nearest, ties to even; NaN stays NaN. bfloat16 is the upper half of a float, float16 is IEEE 754's binary16. And the scale of
 * a row of codes. */
#ifndef RC_HALF_H
#define RC_HALF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { RC_MOST_CODE = 127 };

/* Ranges below it count as it: its inverse is a number. */
#define RC_LEAST_RANGE 0x1p-96f

static inline uint32_t rc_float_bits(float a)
{
    uint32_t bits;
    memcpy(&bits, &a, sizeof bits);
    return bits;
}

static inline float rc_bits_float(uint32_t bits)
{
    float a;
    memcpy(&a, &bits, sizeof a);
    return a;
}

/* m / 2^shift, rounded; shift >= 1. */
static inline uint32_t rc_shift_round(uint32_t m, int shift)
{
    return (m + (((uint32_t)1 << (shift - 1)) - 1) + (m >> shift & 1)) >> shift;
}

static inline uint16_t rc_to_bfloat16(float a)
{
    const uint32_t bits = rc_float_bits(a);
    if ((bits & 0x7FFFFFFF) > 0x7F800000)
        return (uint16_t)(bits >> 16 | 0x40); /* rounding could carry a NaN to infinity */
    return (uint16_t)rc_shift_round(bits, 16);
}

static inline float rc_from_bfloat16(uint16_t a) { return rc_bits_float((uint32_t)a << 16); }

static inline uint16_t rc_to_float16(float a)
{
    enum { SMALLEST_NORMAL = 113 << 23, INFINITE = 143 << 23 }; /* 2^-14 and 2^16 */
    const uint32_t bits = rc_float_bits(a), size = bits & 0x7FFFFFFF;
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    if (size > 0x7F800000) return (uint16_t)(sign | 0x7E00);
    if (size >= INFINITE) return (uint16_t)(sign | 0x7C00);
    if (size >= SMALLEST_NORMAL) /* a carry goes on into the exponent, and from the largest number to infinity */
        return (uint16_t)(sign | rc_shift_round(size - (112 << 23), 13));
    const int shift = 126 - (int)(size >> 23); /* of the mantissa to units of 2^-24 */
    if (shift > 24) return sign;
    return (uint16_t)(sign | rc_shift_round((size & 0x7FFFFF) | 0x800000, shift));
}

static inline float rc_from_float16(uint16_t a)
{
    const uint32_t sign = (uint32_t)(a & 0x8000) << 16, size = a & 0x7FFF;
    if (size >= 0x7C00) return rc_bits_float(sign | 0x7F800000 | (size & 0x3FF) << 13);
    if (size >= 0x400) return rc_bits_float(sign | ((size << 13) + (112 << 23)));
    return rc_bits_float(sign | rc_float_bits((float)(int32_t)size * 0x1p-24f));
}

/* The scale of a row of weights whose largest magnitude this is, cut to 17 bits. */
static inline float rc_scale_of(float largest)
{
    const float range = largest / (float)RC_MOST_CODE;
    return rc_bits_float(rc_float_bits(range > RC_LEAST_RANGE || isnan(range) ? range : RC_LEAST_RANGE) & ~0x7Fu);
}

#endif
