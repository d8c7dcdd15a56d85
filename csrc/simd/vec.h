/* SPDX-License-Identifier: MIT
 *
 * Vector operations of one width. A translation unit is one instruction set (RC_ISA_AVX512, RC_ISA_AVX2, RC_ISA_NEON or
 * RC_ISA_SCALAR) and one element type (RC_F32 or RC_F64); everything above this file is written once, in `vec` and
 * `real`. Each operation rounds once, in IEEE round-to-nearest, so all widths give the same bits.
 *
 * A section also says how many vector registers there are (RC_REGISTERS: 8, 16 or 32).
 *
 * v_max(a, b) is a > b ? a : b and v_min(a, b) is a < b ? a : b: when either is NaN, or both are zeros, the result is b. */
#ifndef RC_VEC_H
#define RC_VEC_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define RC_INLINE static inline __attribute__((always_inline, unused))
/* Before a loop whose arrays are the same or apart: vectors need no look at their addresses. */
#if defined(__clang__) /* whose pragma warns where there are no vectors */
#define RC_INDEPENDENT
#else
#define RC_INDEPENDENT _Pragma("GCC ivdep")
#endif

#if RC_F32
typedef float real;
typedef uint32_t real_bits;
enum { RC_EXPONENT_SHIFT = 23 };
#define RC_ONE_BITS 0x3F800000u
#define REAL_SQRT sqrtf
#elif RC_F64
typedef double real;
typedef uint64_t real_bits;
enum { RC_EXPONENT_SHIFT = 52 };
#define RC_ONE_BITS 0x3FF0000000000000u
#define REAL_SQRT sqrt
#else
#error "define RC_F32 or RC_F64"
#endif

/* -- x86: one body, _mm512_ or _mm256_ and ps or pd pasted in ------------------------------------------------------ */
#if RC_ISA_AVX512 || RC_ISA_AVX2
#include <immintrin.h>

#define RC_PASTE3(a, b, c) a##b##c
#define RC_PASTE(a, b, c) RC_PASTE3(a, b, c)
#if RC_ISA_AVX512
#define RC_MM _mm512_
enum { RC_VECTOR_BYTES = 64 };
#define RC_REGISTERS 32
typedef __m512i vec_bits;
#else
#define RC_MM _mm256_
enum { RC_VECTOR_BYTES = 32 };
#define RC_REGISTERS 16
typedef __m256i vec_bits;
#endif
#if RC_F32
#define RC_OP(name) RC_PASTE(RC_MM, name, _ps)
#define RC_BITS_OP(name) RC_PASTE(RC_MM, name, _epi32)
#define RC_SET1_BITS(x) RC_PASTE(RC_MM, set1, _epi32)((int32_t)(x))
#else
#define RC_OP(name) RC_PASTE(RC_MM, name, _pd)
#define RC_BITS_OP(name) RC_PASTE(RC_MM, name, _epi64)
#if RC_ISA_AVX512
#define RC_SET1_BITS(x) _mm512_set1_epi64((int64_t)(x))
#else
#define RC_SET1_BITS(x) _mm256_set1_epi64x((int64_t)(x))
#endif
#endif
#if RC_ISA_AVX512 && RC_F32
typedef __m512 vec;
#define RC_TO_BITS _mm512_castps_si512
#define RC_FROM_BITS _mm512_castsi512_ps
#elif RC_ISA_AVX512
typedef __m512d vec;
#define RC_TO_BITS _mm512_castpd_si512
#define RC_FROM_BITS _mm512_castsi512_pd
#elif RC_F32
typedef __m256 vec;
#define RC_TO_BITS _mm256_castps_si256
#define RC_FROM_BITS _mm256_castsi256_ps
#else
typedef __m256d vec;
#define RC_TO_BITS _mm256_castpd_si256
#define RC_FROM_BITS _mm256_castsi256_pd
#endif

RC_INLINE vec v_zero(void) { return RC_OP(setzero)(); }
RC_INLINE vec v_set1(real a) { return RC_OP(set1)(a); }
RC_INLINE vec v_load(const real *p) { return RC_OP(loadu)(p); }
RC_INLINE void v_store(real *p, vec a) { RC_OP(storeu)(p, a); }
RC_INLINE vec v_add(vec a, vec b) { return RC_OP(add)(a, b); }
RC_INLINE vec v_sub(vec a, vec b) { return RC_OP(sub)(a, b); }
RC_INLINE vec v_mul(vec a, vec b) { return RC_OP(mul)(a, b); }
RC_INLINE vec v_div(vec a, vec b) { return RC_OP(div)(a, b); }
RC_INLINE vec v_fma(vec a, vec b, vec c) { return RC_OP(fmadd)(a, b, c); }   /* a * b + c */
RC_INLINE vec v_fnma(vec a, vec b, vec c) { return RC_OP(fnmadd)(a, b, c); } /* c - a * b */
RC_INLINE vec v_max(vec a, vec b) { return RC_OP(max)(a, b); }
RC_INLINE vec v_min(vec a, vec b) { return RC_OP(min)(a, b); }
RC_INLINE vec v_abs(vec a) { return RC_OP(andnot)(v_set1((real)-0.0), a); }
RC_INLINE vec v_copysign(vec mag, vec sgn) { return RC_OP(or)(v_abs(mag), RC_OP(and)(v_set1((real)-0.0), sgn)); }
RC_INLINE vec v_where_positive(vec a, vec b) /* a > 0 ? b : 0 */
{
#if RC_ISA_AVX512 && RC_F32
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, v_zero(), _CMP_GT_OQ), b);
#elif RC_ISA_AVX512
    return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(a, v_zero(), _CMP_GT_OQ), b);
#else
    return RC_OP(and)(RC_OP(cmp)(a, v_zero(), _CMP_GT_OQ), b);
#endif
}
RC_INLINE vec v_if_le(vec a, vec b, vec x, vec y) /* a <= b ? x : y */
{
#if RC_ISA_AVX512 && RC_F32
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LE_OQ), y, x);
#elif RC_ISA_AVX512
    return _mm512_mask_blend_pd(_mm512_cmp_pd_mask(a, b, _CMP_LE_OQ), y, x);
#else
    return RC_OP(blendv)(y, x, RC_OP(cmp)(a, b, _CMP_LE_OQ));
#endif
}
#if RC_F32                                        /* fleets of doubles have no lanes of models */
RC_INLINE vec v_zip(vec a, vec b, const int high) /* a0 b0 a1 b1 ... of the lower halves, or of the higher ones */
{
#if RC_ISA_AVX512
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    return _mm512_permutex2var_ps(a, high ? _mm512_add_epi32(low, _mm512_set1_epi32(8)) : low, b);
#else
    const vec lo = _mm256_unpacklo_ps(a, b), hi = _mm256_unpackhi_ps(a, b);
    return high ? _mm256_permute2f128_ps(lo, hi, 0x31) : _mm256_permute2f128_ps(lo, hi, 0x20);
#endif
}
#endif
RC_INLINE vec v_exp2i(vec t) /* 2^n from t = n + 1.5 * 2^23 (f32) or n + 1.5 * 2^52 (f64) */
{
    vec_bits n = RC_BITS_OP(slli)(RC_TO_BITS(t), RC_EXPONENT_SHIFT);
    return RC_FROM_BITS(RC_BITS_OP(add)(n, RC_SET1_BITS(RC_ONE_BITS)));
}

#if RC_F32
RC_INLINE vec v_flip(vec a, vec b) { return RC_OP(xor)(a, b); } /* the bits of a that b has */
/* Floats whose upper 16 bits lie in the upper, or the lower, half of each lane; and IEEE halves, one a lane */
RC_INLINE vec v_upper_halves(const void *p) { return RC_OP(and)(v_load(p), RC_FROM_BITS(RC_SET1_BITS(0xFFFF0000))); }
RC_INLINE vec v_lower_halves(const void *p) { return RC_FROM_BITS(RC_BITS_OP(slli)(RC_TO_BITS(v_load(p)), 16)); }
#if RC_ISA_AVX512
RC_INLINE vec v_load_float16(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256(p)); }
#else
RC_INLINE vec v_load_float16(const void *p) { return _mm256_cvtph_ps(_mm_loadu_si128(p)); }
#endif
#endif

/* -- AArch64 ------------------------------------------------------------------------------------------------------- */
#elif RC_ISA_NEON
#include <arm_neon.h>

enum { RC_VECTOR_BYTES = 16 };
#define RC_REGISTERS 32
#if RC_F32
typedef float32x4_t vec;
typedef uint32x4_t vec_bits;
#define RC_OP(name) name##_f32
#define RC_BITS_OP(name) name##_u32
#define RC_TO_BITS vreinterpretq_u32_f32
#define RC_FROM_BITS vreinterpretq_f32_u32
#else
typedef float64x2_t vec;
typedef uint64x2_t vec_bits;
#define RC_OP(name) name##_f64
#define RC_BITS_OP(name) name##_u64
#define RC_TO_BITS vreinterpretq_u64_f64
#define RC_FROM_BITS vreinterpretq_f64_u64
#endif

RC_INLINE vec v_set1(real a) { return RC_OP(vdupq_n)(a); }
RC_INLINE vec v_zero(void) { return v_set1(0); }
RC_INLINE vec v_load(const real *p) { return RC_OP(vld1q)(p); }
RC_INLINE void v_store(real *p, vec a) { RC_OP(vst1q)(p, a); }
RC_INLINE vec v_add(vec a, vec b) { return RC_OP(vaddq)(a, b); }
RC_INLINE vec v_sub(vec a, vec b) { return RC_OP(vsubq)(a, b); }
RC_INLINE vec v_mul(vec a, vec b) { return RC_OP(vmulq)(a, b); }
RC_INLINE vec v_div(vec a, vec b) { return RC_OP(vdivq)(a, b); }
RC_INLINE vec v_fma(vec a, vec b, vec c) { return RC_OP(vfmaq)(c, a, b); }
RC_INLINE vec v_fnma(vec a, vec b, vec c) { return RC_OP(vfmsq)(c, a, b); }
RC_INLINE vec v_max(vec a, vec b) { return RC_OP(vbslq)(RC_OP(vcgtq)(a, b), a, b); }
RC_INLINE vec v_min(vec a, vec b) { return RC_OP(vbslq)(RC_OP(vcltq)(a, b), a, b); }
RC_INLINE vec v_abs(vec a) { return RC_OP(vabsq)(a); }
RC_INLINE vec v_copysign(vec mag, vec sgn) { return RC_OP(vbslq)(RC_TO_BITS(v_set1((real)-0.0)), sgn, mag); }
RC_INLINE vec v_where_positive(vec a, vec b) { return RC_OP(vbslq)(RC_OP(vcgtq)(a, v_zero()), b, v_zero()); }
RC_INLINE vec v_if_le(vec a, vec b, vec x, vec y) { return RC_OP(vbslq)(RC_OP(vcleq)(a, b), x, y); }
RC_INLINE vec v_exp2i(vec t)
{
    vec_bits n = RC_BITS_OP(vshlq_n)(RC_TO_BITS(t), RC_EXPONENT_SHIFT);
    return RC_FROM_BITS(RC_BITS_OP(vaddq)(n, RC_BITS_OP(vdupq_n)(RC_ONE_BITS)));
}

#if RC_F32
RC_INLINE vec v_zip(vec a, vec b, const int high) { return high ? vzip2q_f32(a, b) : vzip1q_f32(a, b); }
RC_INLINE vec v_flip(vec a, vec b) { return RC_FROM_BITS(veorq_u32(RC_TO_BITS(a), RC_TO_BITS(b))); }
RC_INLINE vec v_upper_halves(const void *p)
{
    return RC_FROM_BITS(vandq_u32(RC_TO_BITS(v_load(p)), vdupq_n_u32(0xFFFF0000)));
}
RC_INLINE vec v_lower_halves(const void *p) { return RC_FROM_BITS(vshlq_n_u32(RC_TO_BITS(v_load(p)), 16)); }
RC_INLINE vec v_load_float16(const void *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
#endif

/* -- Scalar: plain C11 ---------------------------------------------------------------------------------------------- */
#elif RC_ISA_SCALAR
#include "../base/fma.h"
#include "../base/half.h"

typedef real vec;
enum { RC_VECTOR_BYTES = sizeof(real) };
#if defined(__x86_64__) || defined(__aarch64__)
#define RC_REGISTERS 8 /* a stand-in for vectors, which calls fma(): more tiles would be size without speed */
#else
#define RC_REGISTERS 16
#endif
#if RC_F32
#define RC_OP(name) name##f
#else
#define RC_OP(name) name
#endif

RC_INLINE vec v_zero(void) { return 0; }
RC_INLINE vec v_set1(real a) { return a; }
RC_INLINE vec v_load(const real *p) { return *p; }
RC_INLINE void v_store(real *p, vec a) { *p = a; }
RC_INLINE vec v_add(vec a, vec b) { return a + b; }
RC_INLINE vec v_sub(vec a, vec b) { return a - b; }
RC_INLINE vec v_mul(vec a, vec b) { return a * b; }
RC_INLINE vec v_div(vec a, vec b) { return a / b; }
RC_INLINE vec v_fma(vec a, vec b, vec c) { return RC_OP(rc_fma)(a, b, c); }
RC_INLINE vec v_fnma(vec a, vec b, vec c) { return RC_OP(rc_fma)(-a, b, c); }
RC_INLINE vec v_max(vec a, vec b) { return a > b ? a : b; }
RC_INLINE vec v_min(vec a, vec b) { return a < b ? a : b; }
RC_INLINE vec v_abs(vec a) { return RC_OP(fabs)(a); }
RC_INLINE vec v_copysign(vec mag, vec sgn) { return RC_OP(copysign)(mag, sgn); }
RC_INLINE vec v_where_positive(vec a, vec b) { return a > 0 ? b : 0; }
RC_INLINE vec v_if_le(vec a, vec b, vec x, vec y) { return a <= b ? x : y; }
RC_INLINE vec v_exp2i(vec t)
{
    real_bits n;
    memcpy(&n, &t, sizeof n);
    n = (n << RC_EXPONENT_SHIFT) + RC_ONE_BITS;
    memcpy(&t, &n, sizeof t);
    return t;
}
#if RC_F32
RC_INLINE vec v_flip(vec a, vec b) { return rc_bits_float(rc_float_bits(a) ^ rc_float_bits(b)); }
RC_INLINE vec v_upper_halves(const void *p) { return rc_from_bfloat16(((const uint16_t *)p)[1]); }
RC_INLINE vec v_lower_halves(const void *p) { return rc_from_bfloat16(((const uint16_t *)p)[0]); }
RC_INLINE vec v_load_float16(const void *p) { return rc_from_float16(*(const uint16_t *)p); }
#endif
#else
#error "define the instruction set"
#endif

enum { RC_CACHE_LINE = 64 };
enum { RC_LANES = RC_VECTOR_BYTES / sizeof(real) };

/* The first n lanes, at most all, from p on and zeros in the others; and those of a to p on. Nothing else is read or written. */
#if RC_ISA_AVX512 && RC_F32
RC_INLINE __mmask16 v_mask(int64_t n) { return (__mmask16)(n < RC_LANES ? (1u << n) - 1 : 0xFFFFu); }
RC_INLINE vec v_load_first(const real *p, int64_t n) { return _mm512_maskz_loadu_ps(v_mask(n), p); }
RC_INLINE void v_store_first(real *p, vec a, int64_t n) { _mm512_mask_storeu_ps(p, v_mask(n), a); }
#elif RC_ISA_AVX512
RC_INLINE __mmask8 v_mask(int64_t n) { return (__mmask8)(n < RC_LANES ? (1u << n) - 1 : 0xFFu); }
RC_INLINE vec v_load_first(const real *p, int64_t n) { return _mm512_maskz_loadu_pd(v_mask(n), p); }
RC_INLINE void v_store_first(real *p, vec a, int64_t n) { _mm512_mask_storeu_pd(p, v_mask(n), a); }
#else
RC_INLINE vec v_load_first(const real *p, int64_t n)
{
    if (n >= RC_LANES) return v_load(p);
    real lanes[RC_LANES] = {0};
    for (int64_t i = 0; i < n; i++) lanes[i] = p[i];
    return v_load(lanes);
}
RC_INLINE void v_store_first(real *p, vec a, int64_t n)
{
    real lanes[RC_LANES];
    v_store(lanes, a);
    for (int64_t i = 0; i < n && i < RC_LANES; i++) p[i] = lanes[i];
}
#endif

/* The first `count` lanes of v, zeros after them. */
RC_INLINE vec v_first(vec v, int64_t count)
{
#define ONES_8 1, 1, 1, 1, 1, 1, 1, 1
    static const real ones[2 * 16] = {ONES_8, ONES_8};
#undef ONES_8
    return count >= RC_LANES ? v : v_where_positive(v_load(ones + 16 - count), v);
}

#endif
