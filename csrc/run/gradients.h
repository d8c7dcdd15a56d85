/* SPDX-License-Identifier: MIT
 * The big products of backward, over all tokens at once: gradients of parameters and of inputs from gate gradients. */
#ifndef RC_GRADIENTS_H
#define RC_GRADIENTS_H

#include "sequence.h"
#include "../base/tuning.h"

/* The steps [first, last) of a layer's direction, all of them or a segment, as the products see them. x, y and dh_out hold
 * the whole call; the record holds those steps: token i of part p is row rc_held_row(...) + i. */
typedef struct rc_gradient_source {
    const rnncore_plan *plan;
    const rc_batch *batch; /* [parts] */
    int64_t parts, first, last;
    int64_t held; /* steps that the record has room for; 0: it holds the whole call */
    int64_t layer;
    int direction;
    const char *x, *y, *h0, *dh_out;
    rc_record record;
    const char *c_first;           /* (N, H): c before the first step, or NULL: the record has it */
    const rc_workspace *workspace; /* [parts * directions]: with recurrent dropout, whose masks they hold; or NULL */
    void *const *grads;
    rnncore_backend backend;
    rc_watch watch; /* over blocks of RC_OUTER_TOKENS */
} rc_gradient_source;

static inline int64_t rc_held_row(const rc_batch *batch, int64_t part, int64_t first, int64_t held)
{
    const rc_batch *b = &batch[part];
    if (!held) return b->first_token;
    const int64_t rows_before = b->row ? b->row - batch[0].row : b->first_row;
    return rows_before * held - (first < b->steps ? rc_batch_offset(b, first) : b->tokens);
}

/* How many products over tokens the gradients of one layer and direction take: of the plan's terms, then of the cell's vectors
 * where the plan has them. */
int rc_gradient_count(const rnncore_plan *plan);

/* Bytes of scratch memory of one thread; `gathers`: with BLAS or recurrent dropout, whose operands are copied. */
int64_t rc_gradient_scratch_bytes(const rnncore_plan *plan, int gathers);

/* Range `range` of `ranges` of the units whose rows of the gradient product `index` gives, over the source's tokens; `add`: to
 * what the steps after them have left. Every value is one chain over the call's tokens, from the last step to the first
 * and in a step in the order of the rows: however units, steps and rows are shared out, the bits are the same. */
void rc_weight_gradient(const rc_gradient_source *source, int index, int64_t range, int64_t ranges, int add,
                        char *scratch);

/* Gradients of the inputs of some tokens from one direction. With two directions, each row gets the sum of both products;
 * the one that comes second adds, and drops what dropout dropped. */
typedef struct rc_input_task {
    const rnncore_plan *plan;
    const rc_batch *batch;
    const void *weights;
    int64_t layer;
    int direction;
    int64_t first, tokens; /* of the part in the direction's own order, at most RC_INPUT_TOKENS */
    int64_t segment_steps; /* segments come from the last to the first, in each direction 0 first */
    const char *gates;     /* of the first of the tokens */
    rc_rows dx;
    rc_keys keys; /* of the call's dropout */
    rnncore_backend backend;
} rc_input_task;

void rc_input_gradient(const rc_input_task *task, char *scratch);

#endif
