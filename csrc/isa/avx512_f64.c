/* SPDX-License-Identifier: MIT
 * Kernels for AVX-512 (F, BW, DQ, VL), double. */
#if defined(__x86_64__)
#define RC_ISA_AVX512 1
#define RC_F64 1
#define RC_ISA_NAME "avx512"
#define RC_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"
#define RC_KERNELS rc_kernels_avx512_f64
#include "kernels.inc"
#else
typedef int rc_empty_avx512_f64;
#endif
