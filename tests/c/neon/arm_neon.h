/* SPDX-License-Identifier: MIT
 *
 * The intrinsics of AArch64 that the kernels use, in plain C on vectors of GCC and Clang: with it the kernels for NEON compile for any
 * processor (support/c_library.py), so that a whole training run can go through them. Each rounds as the instruction does. A
 * translation unit is of RC_F32 or of RC_F64, and has the intrinsics of that. */
#ifndef RC_TEST_ARM_NEON_H
#define RC_TEST_ARM_NEON_H

#include <stdint.h>
#include <string.h>

#include "../../../csrc/base/fma.h"
#include "../../../csrc/base/half.h"

#define EMULATED static inline __attribute__((always_inline, unused))

typedef float float32x4_t __attribute__((vector_size(16)));
typedef double float64x2_t __attribute__((vector_size(16)));
typedef uint32_t uint32x4_t __attribute__((vector_size(16)));
typedef uint64_t uint64x2_t __attribute__((vector_size(16)));

#if RC_F32
typedef float neon_real;
typedef uint32_t neon_word;
typedef float32x4_t neon_vector;
typedef uint32x4_t neon_bits;
#define NEON_FMA rc_fmaf
#define NEON_REAL(name) name##_f32
#define NEON_BITS(name) name##_u32
#define NEON_TO_BITS vreinterpretq_u32_f32
#define NEON_FROM_BITS vreinterpretq_f32_u32
#else
typedef double neon_real;
typedef uint64_t neon_word;
typedef float64x2_t neon_vector;
typedef uint64x2_t neon_bits;
#define NEON_FMA rc_fma
#define NEON_REAL(name) name##_f64
#define NEON_BITS(name) name##_u64
#define NEON_TO_BITS vreinterpretq_u64_f64
#define NEON_FROM_BITS vreinterpretq_f64_u64
#endif
enum { NEON_LANES = sizeof(neon_vector) / sizeof(neon_real) };

EMULATED neon_bits NEON_TO_BITS(neon_vector a) { return (neon_bits)a; }
EMULATED neon_vector NEON_FROM_BITS(neon_bits a) { return (neon_vector)a; }
EMULATED neon_vector NEON_REAL(vdupq_n)(neon_real a) { return (neon_vector){0} + a; }
EMULATED neon_bits NEON_BITS(vdupq_n)(neon_word a) { return (neon_bits){0} + a; }
EMULATED neon_vector NEON_REAL(vld1q)(const neon_real *p)
{
    neon_vector a;
    memcpy(&a, p, sizeof a);
    return a;
}
EMULATED void NEON_REAL(vst1q)(neon_real *p, neon_vector a) { memcpy(p, &a, sizeof a); }
EMULATED neon_vector NEON_REAL(vaddq)(neon_vector a, neon_vector b) { return a + b; }
EMULATED neon_vector NEON_REAL(vsubq)(neon_vector a, neon_vector b) { return a - b; }
EMULATED neon_vector NEON_REAL(vmulq)(neon_vector a, neon_vector b) { return a * b; }
EMULATED neon_vector NEON_REAL(vdivq)(neon_vector a, neon_vector b) { return a / b; }
EMULATED neon_vector NEON_REAL(vfmaq)(neon_vector c, neon_vector a, neon_vector b) /* c + a * b */
{
    for (int i = 0; i < NEON_LANES; i++) c[i] = NEON_FMA(a[i], b[i], c[i]);
    return c;
}
EMULATED neon_vector NEON_REAL(vfmsq)(neon_vector c, neon_vector a, neon_vector b) /* c - a * b */
{
    return NEON_REAL(vfmaq)(c, -a, b);
}
EMULATED neon_bits NEON_REAL(vcgtq)(neon_vector a, neon_vector b) { return (neon_bits)(a > b); }
EMULATED neon_bits NEON_REAL(vcltq)(neon_vector a, neon_vector b) { return (neon_bits)(a < b); }
EMULATED neon_bits NEON_REAL(vcleq)(neon_vector a, neon_vector b) { return (neon_bits)(a <= b); }
EMULATED neon_vector NEON_REAL(vbslq)(neon_bits which, neon_vector a, neon_vector b)
{
    return NEON_FROM_BITS((which & NEON_TO_BITS(a)) | (~which & NEON_TO_BITS(b)));
}
EMULATED neon_vector NEON_REAL(vabsq)(neon_vector a) { return NEON_FROM_BITS(NEON_TO_BITS(a) & (~(neon_word)0 >> 1)); }
EMULATED neon_bits NEON_BITS(vshlq_n)(neon_bits a, const int n) { return a << n; }
EMULATED neon_bits NEON_BITS(vaddq)(neon_bits a, neon_bits b) { return a + b; }

#if RC_F32
EMULATED float32x4_t vzip1q_f32(float32x4_t a, float32x4_t b) { return (float32x4_t){a[0], b[0], a[1], b[1]}; }
EMULATED float32x4_t vzip2q_f32(float32x4_t a, float32x4_t b) { return (float32x4_t){a[2], b[2], a[3], b[3]}; }
EMULATED uint32x4_t veorq_u32(uint32x4_t a, uint32x4_t b) { return a ^ b; }
EMULATED uint32x4_t vandq_u32(uint32x4_t a, uint32x4_t b) { return a & b; }

/* -- Small stores of weights ------------------------------------------------------------------------------------------- */

#define __ARM_FEATURE_DOTPROD 1 /* the instruction is there, so there is one form of integer products */

typedef int32_t int32x4_t __attribute__((vector_size(16)));
typedef int8_t int8x16_t __attribute__((vector_size(16)));
typedef uint16_t uint16x8_t __attribute__((vector_size(16)));
typedef uint16_t uint16x4_t __attribute__((vector_size(8)));
typedef uint16x4_t float16x4_t; /* the bits */
typedef uint8_t uint8x8_t __attribute__((vector_size(8)));
typedef uint32_t uint32x2_t __attribute__((vector_size(8)));

EMULATED uint16x4_t vld1_u16(const uint16_t *p)
{
    uint16x4_t a;
    memcpy(&a, p, sizeof a);
    return a;
}
EMULATED float16x4_t vreinterpret_f16_u16(uint16x4_t a) { return a; }
EMULATED float32x4_t vcvt_f32_f16(float16x4_t a)
{
    float32x4_t out = {0};
    for (int i = 0; i < 4; i++) out[i] = rc_from_float16(a[i]);
    return out;
}

EMULATED int8x16_t vld1q_s8(const int8_t *p)
{
    int8x16_t a;
    memcpy(&a, p, sizeof a);
    return a;
}
EMULATED int32x4_t vreinterpretq_s32_s8(int8x16_t a) { return (int32x4_t)a; }
EMULATED int8x16_t vreinterpretq_s8_s32(int32x4_t a) { return (int8x16_t)a; }
EMULATED int32x4_t vreinterpretq_s32_f32(float32x4_t a) { return (int32x4_t)a; }
EMULATED int32x4_t vdupq_n_s32(int32_t a) { return (int32x4_t){0} + a; }
EMULATED int32x4_t vmaxq_s32(int32x4_t a, int32x4_t b)
{
    for (int i = 0; i < 4; i++) a[i] = a[i] > b[i] ? a[i] : b[i];
    return a;
}
EMULATED int32_t vmaxvq_s32(int32x4_t a)
{
    int32_t most = a[0];
    for (int i = 1; i < 4; i++) most = a[i] > most ? a[i] : most;
    return most;
}
EMULATED float32x4_t vcvtq_f32_s32(int32x4_t a)
{
    float32x4_t out = {0};
    for (int i = 0; i < 4; i++) out[i] = (float)a[i];
    return out;
}
EMULATED int32x4_t vdotq_s32(int32x4_t sum, int8x16_t a, int8x16_t b)
{
    for (int i = 0; i < 16; i++) sum[i / 4] += a[i] * b[i];
    return sum;
}

EMULATED uint16x4_t vmovn_u32(uint32x4_t a)
{
    uint16x4_t out = {0};
    for (int i = 0; i < 4; i++) out[i] = (uint16_t)a[i];
    return out;
}
EMULATED uint16x8_t vcombine_u16(uint16x4_t a, uint16x4_t b)
{
    uint16x8_t out = {0};
    for (int i = 0; i < 4; i++) out[i] = a[i];
    for (int i = 0; i < 4; i++) out[4 + i] = b[i];
    return out;
}
EMULATED uint8x8_t vmovn_u16(uint16x8_t a)
{
    uint8x8_t out = {0};
    for (int i = 0; i < 8; i++) out[i] = (uint8_t)a[i];
    return out;
}
EMULATED uint32x2_t vreinterpret_u32_u8(uint8x8_t a) { return (uint32x2_t)a; }
EMULATED uint32_t vget_lane_u32(uint32x2_t a, const int i) { return a[i]; }
#endif

#endif
