/* SPDX-License-Identifier: MIT
 * The door of a call: every size, pointer and length that comes from outside is checked here, once, before anything is written. */
#ifndef RC_CALL_H
#define RC_CALL_H

#include "../model/weights.h"

enum { RC_MOST_ROWS = 1 << 30 }; /* kernels count the rows of a step in int */

rnncore_status rc_check_lengths(int64_t steps, int64_t batch, const int64_t *lengths, int64_t *valid);
/* 0, or 1 ... T segments of a tape. */
rnncore_status rc_check_segments(int64_t steps, int64_t segments);

/* *args from what the caller gave, checked. */
rnncore_status rc_take_forward(const rnncore_plan *plan, const rnncore_forward_args *given, rnncore_forward_args *args,
                               int64_t *valid);
rnncore_status rc_take_backward(const rnncore_plan *plan, const void *weights, const rnncore_backward_args *given,
                                rnncore_backward_args *args, int64_t *valid);

#endif
