/* SPDX-License-Identifier: MIT
 *
 * Vectors of 32-bit integers, and what the products of integer stores need: the second file with intrinsics. `ints` has as many
 * lanes as a vector of floats; a lane of weights is four codes, and so is an operand, which all lanes share. Sums are exact, so
 * all forms of i_dot give the same.
 *
 * RC_DOT_FAST is one instruction that some CPUs of an instruction set have, RC_DOT_THERE whether this one does, RC_DOT_TARGET what
 * the compiler is told, RC_DOT_MOST whether most do. With RC_DOT_OFFSET it takes operands + 128, which what sums start from
 * makes up for (rc_mat.offset). */
#ifndef RC_DOT_H
#define RC_DOT_H

#include "../base/cpu.h"
#include "vec.h"

#if RC_ISA_AVX512
typedef __m512i ints;
RC_INLINE ints i_zero(void) { return _mm512_setzero_si512(); }
RC_INLINE ints i_load(const void *p) { return _mm512_loadu_si512(p); }
RC_INLINE ints i_set1(int32_t a) { return _mm512_set1_epi32(a); }
RC_INLINE ints i_max(ints a, ints b) { return _mm512_max_epi32(a, b); }
RC_INLINE int32_t i_largest(ints a) { return _mm512_reduce_max_epi32(a); }
RC_INLINE ints i_bits(vec a) { return _mm512_castps_si512(a); }
RC_INLINE vec i_to_real(ints a) { return _mm512_cvtepi32_ps(a); }
RC_INLINE ints i_dot(ints sum, ints operand, ints weights)
{
    const __mmask64 negative = _mm512_movepi8_mask(operand);
    const ints signed_weights = _mm512_mask_sub_epi8(weights, negative, i_zero(), weights);
    const ints pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(operand), signed_weights);
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}
#define RC_DOT_FAST _mm512_dpbusd_epi32
#define RC_DOT_THERE __builtin_cpu_supports("avx512vnni")
#define RC_DOT_TARGET RC_TARGET ",avx512vnni"
#define RC_DOT_MOST 1
#define RC_DOT_OFFSET 1
RC_INLINE void v_store_codes(int8_t *p, vec a) { _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(RC_TO_BITS(a))); }

#elif RC_ISA_AVX2
typedef __m256i ints;
RC_INLINE ints i_zero(void) { return _mm256_setzero_si256(); }
RC_INLINE ints i_load(const void *p) { return _mm256_loadu_si256(p); }
RC_INLINE ints i_set1(int32_t a) { return _mm256_set1_epi32(a); }
RC_INLINE ints i_max(ints a, ints b) { return _mm256_max_epi32(a, b); }
RC_INLINE int32_t i_largest(ints a)
{
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4E));
    return _mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 0xB1)));
}
RC_INLINE ints i_bits(vec a) { return _mm256_castps_si256(a); }
RC_INLINE vec i_to_real(ints a) { return _mm256_cvtepi32_ps(a); }
RC_INLINE ints i_dot(ints sum, ints operand, ints weights) /* pairs of products fit 16 bits, as weights are not -128 */
{
    const ints pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(operand), _mm256_sign_epi8(weights, operand));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#if defined(RC_DOT_EVEX) /* as CPUs with AVX-512 encode it, so that one of them may test what is below */
#define RC_DOT_FAST _mm256_dpbusd_epi32
#define RC_DOT_THERE (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl"))
#define RC_DOT_TARGET RC_TARGET ",avx512vnni,avx512vl"
#elif !defined(__clang__) && __GNUC__ >= 11 /* AVX-VNNI; others do not know how to ask for it */
#define RC_DOT_FAST _mm256_dpbusd_avx_epi32
#define RC_DOT_THERE __builtin_cpu_supports("avxvnni")
#define RC_DOT_TARGET RC_TARGET ",avxvnni"
#endif
#define RC_DOT_MOST 0
#define RC_DOT_OFFSET 1
RC_INLINE void v_store_codes(int8_t *p, vec a)
{
    const ints bytes = _mm256_and_si256(RC_TO_BITS(a), i_set1(0xFF));
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
    _mm_storel_epi64((__m128i *)p, _mm_packus_epi16(words, words));
}

#elif RC_ISA_NEON
typedef int32x4_t ints;
RC_INLINE ints i_zero(void) { return vdupq_n_s32(0); }
RC_INLINE ints i_load(const void *p) { return vreinterpretq_s32_s8(vld1q_s8(p)); }
RC_INLINE ints i_set1(int32_t a) { return vdupq_n_s32(a); }
RC_INLINE ints i_max(ints a, ints b) { return vmaxq_s32(a, b); }
RC_INLINE int32_t i_largest(ints a) { return vmaxvq_s32(a); }
RC_INLINE ints i_bits(vec a) { return vreinterpretq_s32_f32(a); }
RC_INLINE vec i_to_real(ints a) { return vcvtq_f32_s32(a); }
#define RC_SDOT(sum, operand, weights) vdotq_s32(sum, vreinterpretq_s8_s32(operand), vreinterpretq_s8_s32(weights))
#if defined(__ARM_FEATURE_DOTPROD) /* in every CPU that this is compiled for, Apple's for example */
RC_INLINE ints i_dot(ints sum, ints operand, ints weights) { return RC_SDOT(sum, operand, weights); }
#else
RC_INLINE ints i_dot(ints sum, ints operand, ints weights)
{
    const int8x16_t a = vreinterpretq_s8_s32(operand), w = vreinterpretq_s8_s32(weights);
    const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(w)));
    return vaddq_s32(sum, vpaddq_s32(low, vpaddlq_s16(vmull_high_s8(a, w))));
}
#if !defined(__clang__)
#define RC_DOT_TARGET "arch=armv8.2-a+dotprod"
#elif __clang_major__ >= 16 /* older ones hide the intrinsic */
#define RC_DOT_TARGET "dotprod"
#endif
#ifdef RC_DOT_TARGET
#define RC_DOT_FAST RC_SDOT
#define RC_DOT_THERE rc_cpu_has_dot()
#define RC_DOT_MOST 0
#define RC_DOT_OFFSET 0
#endif
#endif
RC_INLINE void v_store_codes(int8_t *p, vec a)
{
    const uint16x4_t words = vmovn_u32(RC_TO_BITS(a));
    const uint32_t bytes = vget_lane_u32(vreinterpret_u32_u8(vmovn_u16(vcombine_u16(words, words))), 0);
    memcpy(p, &bytes, sizeof bytes);
}

#else
typedef int32_t ints;
RC_INLINE ints i_zero(void) { return 0; }
RC_INLINE ints i_load(const void *p)
{
    int32_t a;
    memcpy(&a, p, sizeof a);
    return a;
}
RC_INLINE ints i_set1(int32_t a) { return a; }
RC_INLINE ints i_max(ints a, ints b) { return a > b ? a : b; }
RC_INLINE int32_t i_largest(ints a) { return a; }
RC_INLINE ints i_bits(vec a)
{
    ints bits;
    memcpy(&bits, &a, sizeof bits);
    return bits;
}
RC_INLINE vec i_to_real(ints a) { return (real)a; }
RC_INLINE ints i_dot(ints sum, ints operand, ints weights)
{
    int8_t a[4], w[4];
    memcpy(a, &operand, sizeof a);
    memcpy(w, &weights, sizeof w);
    for (int i = 0; i < 4; i++) sum += a[i] * w[i];
    return sum;
}
RC_INLINE void v_store_codes(int8_t *p, vec a)
{
    real_bits bits;
    memcpy(&bits, &a, sizeof bits);
    *p = (int8_t)(uint8_t)bits;
}
#endif

#endif
