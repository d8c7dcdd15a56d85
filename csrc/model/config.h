/* SPDX-License-Identifier: MIT
 * What a config may say, checked once. */
#ifndef RC_CONFIG_H
#define RC_CONFIG_H

#include "../simd/kernels.h"

static inline int rc_in_range(int64_t value, int64_t low, int64_t high) { return low <= value && value <= high; }
static inline int rc_is_probability(double p) { return p >= 0 && p < 1; }

rnncore_status rc_check_config(const rnncore_config *config);
rnncore_status rc_check_uses(const rnncore_config *config, int uses);

#endif
