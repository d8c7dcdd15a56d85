/* SPDX-License-Identifier: MIT
 * The big products of backward, over all tokens at once: gradients of parameters and of inputs from gate gradients. */
#ifndef RC_GRADIENTS_H
#define RC_GRADIENTS_H

#include "sequence.h"
#include "tuning.h"

/* The gradients that one plane of gate gradients gives: rows [first_unit, first_unit + units) of its gate's block in
 * weight_ih, weight_hh and the biases, as far as the plane belongs to them. Compact buffers of the whole call. */
typedef struct rc_gradient_task {
    const rnncore_plan *plan;
    const rc_batch *batch;
    int64_t parts;
    int direction, slot;
    int64_t first_unit, units;
    int64_t in_size;
    const char *x, *y, *h0, *gates, *mid;
    const rnncore_grads *grads;
    char *scratch;               /* [RC_GRADIENT_ROWS][widest operand] */
} rc_gradient_task;

void rc_plane_gradients(const rc_gradient_task *task);

/* dW_hr (P, H) = dh_out^T . mid */
void rc_projection_gradient(const rnncore_plan *plan, int64_t valid, const char *dh_out, const char *mid, void *grad);

/* dx of a part's tokens in time order: direction 0 writes, direction 1 adds. `scratch` as in rc_gradient_task. */
void rc_input_gradient(const rnncore_plan *plan, const rc_batch *batch, const rc_weights *weights, int direction,
                       int64_t size, const char *gates, char *dx, char *scratch);

#endif
