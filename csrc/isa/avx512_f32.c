/* SPDX-License-Identifier: MIT
 * Kernels for AVX-512 (F, BW, DQ, VL), float. */
#if defined(__x86_64__)
#define RC_ISA_AVX512 1
#define RC_F32 1
#define RC_ISA_NAME "avx512"
#define RC_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"
#define RC_KERNELS rc_kernels_avx512_f32
#include "kernels.inc"
#else
typedef int rc_empty_avx512_f32;
#endif
