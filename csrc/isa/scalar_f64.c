/* SPDX-License-Identifier: MIT
 * Kernels for plain C, double. */
#define RC_ISA_SCALAR 1
#define RC_F64 1
#define RC_ISA_NAME "scalar"
#define RC_KERNELS rc_kernels_scalar_f64
#include "kernels.inc"
