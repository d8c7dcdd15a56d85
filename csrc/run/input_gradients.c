/* SPDX-License-Identifier: MIT
 * Gradients of inputs, see gradients.h: RC_INPUT_TOKENS tokens at a time. */
#include "gradient_scratch.h"

#include <string.h>

#include "../base/blas.h"

/* Where a walk over the tokens of a part stands. */
typedef struct cursor {
    int64_t step, slot;
} cursor;

static void advance(const rc_batch *batch, cursor *at)
{
    if (++at->slot >= rc_batch_active(batch, at->step)) {
        at->slot = 0;
        at->step++;
    }
}

/* The cursor at a token: the last step that does not begin after it. */
static cursor find(const rc_batch *batch, int64_t token)
{
    int64_t low = 0, high = batch->steps;
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        if (rc_batch_offset(batch, middle) <= token) low = middle;
        else high = middle;
    }
    return (cursor){low, token - rc_batch_offset(batch, low)};
}

/* result = gate gradients . W_ih */
static void multiply(const rc_input_task *t, int64_t size, int64_t ld, const rc_scratch *own)
{
    const rnncore_plan *plan = t->plan;
    const rc_weights weights = rc_weights_of(plan, t->weights, t->layer, t->direction);
    const rc_packed *x = &weights.term[RC_TERM_X];
    const int64_t row = plan->record_ld * plan->elem;
    if (t->backend == RNNCORE_BLAS) {
        rc_gemm_run(&plan->config, &(rc_gemm){.m = t->tokens,
                                              .n = size,
                                              .k = x->backward.k,
                                              .a = t->gates,
                                              .lda = plan->record_ld,
                                              .b = x->rows,
                                              .ldb = size,
                                              .c = own->result,
                                              .ldc = ld});
        return;
    }
    for (int64_t i = 0; i < t->tokens; i++) own->rows[i] = t->gates + i * row;
    plan->kernels->product[x->backward.store](&(rc_product){.mat = &x->backward,
                                                            .rows = t->tokens,
                                                            .block_end = ld / plan->kernels->lanes,
                                                            .in = own->rows,
                                                            .init = own->zero,
                                                            .out = own->result,
                                                            .out_row = ld});
}

/* Whether the other direction has been at the row of this step. */
static int comes_second(const rc_input_task *t, int64_t step, int64_t slot)
{
    const int64_t other = rc_batch_length(t->batch, slot) - 1 - step;
    const int64_t mine = step / t->segment_steps, others = other / t->segment_steps;
    return t->plan->directions == 2 && (others > mine || (others == mine && t->direction == 1));
}

/* out += row, element by element where the caller's features are apart. */
static void add_row(const rc_input_task *t, char *out, char *row, int64_t size)
{
    const int64_t elem = t->plan->elem;
    if (t->dx.feature == elem) {
        t->plan->kernels->add(out, row, size);
        return;
    }
    for (int64_t i = 0; i < size; i++) t->plan->kernels->add(out + i * t->dx.feature, row + i * elem, 1);
}

void rc_input_gradient(const rc_input_task *t, char *memory)
{
    const rnncore_plan *plan = t->plan;
    const rc_scratch own = rc_scratch_of(plan, t->backend == RNNCORE_BLAS, memory);
    const int64_t size = rc_input_size(plan, t->layer), ld = rc_round_up(size, plan->kernels->lanes);
    memset(own.zero, 0, (size_t)(ld * plan->elem));
    multiply(t, size, ld, &own);
    cursor at = find(t->batch, t->first);
    for (int64_t i = 0; i < t->tokens; i++, advance(t->batch, &at)) {
        const int64_t time = rc_batch_time(t->batch, t->direction, at.step, at.slot);
        const int second = comes_second(t, at.step, at.slot);
        char *row = own.result + i * ld * plan->elem, *out = rc_rows_at(&t->dx, t->batch, time, at.slot);
        if (second) add_row(t, out, row, size);
        else rc_copy(out, t->dx.feature, row, plan->elem, size, plan->elem);
        if (rc_drops_input(plan, t->layer) && (second || plan->directions == 1)) /* compact: above layer 0 */
            rc_drop_row(plan, &t->keys, t->layer - 1, time, rc_batch_row(t->batch, at.slot), out, size);
    }
}
