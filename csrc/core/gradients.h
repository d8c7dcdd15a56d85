/* SPDX-License-Identifier: MIT
 * The big products of backward, over all tokens at once: gradients of parameters and of inputs from gate gradients. */
#ifndef RC_GRADIENTS_H
#define RC_GRADIENTS_H

#include "sequence.h"
#include "tuning.h"

/* A layer's direction as the products see it: compact buffers of the whole call. */
typedef struct rc_gradient_source {
    const rnncore_plan *plan;
    const rc_batch *batch;       /* [parts] */
    int64_t parts;
    int direction;
    int64_t in_size;
    const char *x, *y, *h0, *gates, *mid, *dh_out;
    const rnncore_grads *grads;
    rnncore_backend backend;
} rc_gradient_source;

/* What gate gradients are multiplied with, and so which parameters get a gradient: the inputs (weight_ih, bias_ih), the
 * operand of a phase (weight_hh, bias_hh), or, of the outputs' gradients, o * tanh(c) (weight_hr). */
typedef enum rc_operand { RC_OPERAND_X, RC_OPERAND_PHASE_0, RC_OPERAND_PHASE_1, RC_OPERAND_MID } rc_operand;

int rc_has_operand(const rnncore_plan *plan, rc_operand operand);

/* Bytes of scratch memory of one thread. */
int64_t rc_gradient_scratch_bytes(const rnncore_plan *plan, rnncore_backend backend);

/* Range `range` of `ranges` of the units whose rows of the gradient come from `operand`, over all tokens: every value is
 * one chain, whatever the ranges. */
void rc_weight_gradient(const rc_gradient_source *source, rc_operand operand, int64_t range, int64_t ranges,
                        char *scratch);

/* Gradients of the inputs of some tokens, from all directions. */
typedef struct rc_input_task {
    const rnncore_plan *plan;
    const rc_batch *batch;
    const void *weights;
    int64_t layer, first, tokens;            /* tokens of the part in time order, at most RC_INPUT_TOKENS */
    const char *gates[2];                    /* from the part's first token on */
    rc_rows dx;
    int64_t total_batch;                     /* rows and key of the call's dropout */
    uint64_t dropout_key;
    rnncore_backend backend;
} rc_input_task;

void rc_input_gradient(const rc_input_task *task, char *scratch);

#endif
