/* SPDX-License-Identifier: MIT
 * Kernels for plain C, float. */
#define RC_ISA_SCALAR 1
#define RC_F32 1
#define RC_ISA_NAME "scalar"
#define RC_KERNELS rc_kernels_scalar_f32
#include "kernels.inc"
