/* SPDX-License-Identifier: MIT
 * The compiled kernel sets, and those that this machine runs. */
#ifndef RC_FIND_H
#define RC_FIND_H

#include "../simd/kernels.h"

#define X(isa, supported) extern const rc_kernels rc_kernels_##isa##_f32, rc_kernels_##isa##_f64;
#include "isas.def"
#undef X

/* The kernels of an instruction set, NULL: of the best one; NULL when there is none of this name. */
const rc_kernels *rc_find_kernels(const char *isa, rnncore_dtype dtype);

#endif
