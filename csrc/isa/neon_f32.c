/* SPDX-License-Identifier: MIT
 * Kernels for AArch64 NEON, float. */
#if defined(__aarch64__)
#define RC_ISA_NEON 1
#define RC_F32 1
#define RC_ISA_NAME "neon"
#define RC_KERNELS rc_kernels_neon_f32
#include "kernels.inc"
#else
typedef int rc_empty_neon_f32;
#endif
