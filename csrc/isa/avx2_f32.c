/* SPDX-License-Identifier: MIT
 * Kernels for AVX2, FMA and F16C, float. */
#if defined(__x86_64__)
#define RC_ISA_AVX2 1
#define RC_F32 1
#define RC_ISA_NAME "avx2"
#define RC_TARGET "avx2,fma,f16c"
#define RC_KERNELS rc_kernels_avx2_f32
#include "kernels.inc"
#else
typedef int rc_empty_avx2_f32;
#endif
