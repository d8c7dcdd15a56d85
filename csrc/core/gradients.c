/* SPDX-License-Identifier: MIT
 * See gradients.h. Each product runs over RC_GRADIENT_ROWS tokens at a time, whose operand rows are gathered first. */
#include "gradients.h"

#include <string.h>

#include "gemm.h"
#include "stack.h"

/* Where a walk over the tokens of a part, in a direction's own order, stands. */
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

/* C (units, n) of a gate's block (+)= gate gradients^T (units, tokens) . rows (tokens, n). */
static void add_product(const rc_gradient_task *t, const char *gates, int64_t tokens, const char *rows, int64_t n,
                        void *grad, int gate)
{
    const rnncore_plan *plan = t->plan;
    rc_gemm_run(plan->config.dtype, &(rc_gemm){
        .transpose_a = 1, .m = t->units, .n = n, .k = tokens, .a = gates, .lda = plan->gates_ld, .b = rows, .ldb = n,
        .c = (char *)grad + (gate * plan->hidden + t->first_unit) * n * plan->elem, .ldc = n, .beta = 1});
}

static void zero_block(const rc_gradient_task *t, void *grad, int64_t n, int gate)
{
    const rnncore_plan *plan = t->plan;
    if (grad)
        memset((char *)grad + (gate * plan->hidden + t->first_unit) * n * plan->elem, 0,
               (size_t)(t->units * n * plan->elem));
}

static void add_bias(const rc_gradient_task *t, const char *gates, int64_t tokens, void *grad, int gate)
{
    const rnncore_plan *plan = t->plan;
    if (grad)
        plan->kernels->add_rows((char *)grad + (gate * plan->hidden + t->first_unit) * plan->elem, gates, tokens,
                                t->units, plan->gates_ld);
}

/* Which gate of weight_hh the plane belongs to and in which phase, or -1. */
static int recurrent_gate(const rc_cell *cell, int slot, int *phase)
{
    for (*phase = 0; *phase < cell->phases; ++*phase) {
        const int i = slot - cell->phase[*phase].first_slot;
        if (i >= 0 && i < cell->phase[*phase].slots) return cell->phase[*phase].gate[i];
    }
    return -1;
}

/* The operand rows of one chunk: of W_ih the inputs, of W_hh the previous outputs. */
static void gather_chunk(const rc_gradient_task *t, const rc_batch *batch, cursor at, int64_t tokens, int recurrent)
{
    const rnncore_plan *plan = t->plan;
    const int64_t n = recurrent ? plan->out : t->in_size, bytes = n * plan->elem, row = plan->directions * plan->out;
    const rc_rows x = rc_compact_rows((void *)(uintptr_t)t->x, t->in_size, 0, plan->elem);
    const rc_rows y = rc_compact_rows((void *)(uintptr_t)t->y, row, t->direction * plan->out, plan->elem);
    for (int64_t i = 0; i < tokens; i++, advance(batch, &at)) {
        const char *from = recurrent
            ? rc_previous_h(batch, &y, t->h0, bytes, t->direction, at.step, at.slot)
            : rc_rows_at(&x, batch, rc_batch_time(batch, t->direction, at.step, at.slot), at.slot);
        memcpy(t->scratch + i * bytes, from, (size_t)bytes);
    }
}

/* r * h_prev, the operand of the second phase, is on the tape in rows of ld; made dense here. */
static void gather_mid(const rc_gradient_task *t, int64_t token, int64_t tokens)
{
    const int64_t bytes = t->plan->hidden * t->plan->elem, row = t->plan->ld * t->plan->elem;
    for (int64_t i = 0; i < tokens; i++)
        memcpy(t->scratch + i * bytes, t->mid + (token + i) * row, (size_t)bytes);
}

void rc_plane_gradients(const rc_gradient_task *t)
{
    const rnncore_plan *plan = t->plan;
    int phase;
    const int hh_gate = recurrent_gate(plan->cell, t->slot, &phase);
    const int ih_gate = t->slot < plan->cell->ih_slots ? plan->cell->ih_gate[t->slot] : -1;
    if (ih_gate >= 0) zero_block(t, t->grads->weight_ih, t->in_size, ih_gate);
    if (ih_gate >= 0) zero_block(t, t->grads->bias_ih, 1, ih_gate);
    if (hh_gate >= 0) zero_block(t, t->grads->weight_hh, plan->out, hh_gate);
    if (hh_gate >= 0) zero_block(t, t->grads->bias_hh, 1, hh_gate);

    for (int64_t p = 0; p < t->parts; p++) {
        const rc_batch *batch = &t->batch[p];
        cursor at = {0, 0};
        for (int64_t done = 0; done < batch->tokens; done += RC_GRADIENT_ROWS) {
            const int64_t left = batch->tokens - done, tokens = left < RC_GRADIENT_ROWS ? left : RC_GRADIENT_ROWS;
            const int64_t first = batch->first_token + done;
            const char *gates = t->gates + (first * plan->gates_ld + t->slot * plan->ld + t->first_unit) * plan->elem;
            if (ih_gate >= 0) {
                gather_chunk(t, batch, at, tokens, 0);
                add_product(t, gates, tokens, t->scratch, t->in_size, t->grads->weight_ih, ih_gate);
                add_bias(t, gates, tokens, t->grads->bias_ih, ih_gate);
            }
            if (hh_gate >= 0) {
                if (phase == 0) gather_chunk(t, batch, at, tokens, 1);
                else gather_mid(t, first, tokens);
                add_product(t, gates, tokens, t->scratch, plan->out, t->grads->weight_hh, hh_gate);
                add_bias(t, gates, tokens, t->grads->bias_hh, hh_gate);
            }
            for (int64_t i = 0; i < tokens; i++) advance(batch, &at);
        }
    }
}

void rc_projection_gradient(const rnncore_plan *plan, int64_t valid, const char *dh_out, const char *mid, void *grad)
{
    memset(grad, 0, (size_t)(plan->out * plan->hidden * plan->elem));
    for (int64_t done = 0; done < valid; done += RC_GRADIENT_ROWS) {
        const int64_t left = valid - done;
        rc_gemm_run(plan->config.dtype, &(rc_gemm){
            .transpose_a = 1, .m = plan->out, .n = plan->hidden, .k = left < RC_GRADIENT_ROWS ? left : RC_GRADIENT_ROWS,
            .a = dh_out + done * plan->out_ld * plan->elem, .lda = plan->out_ld,
            .b = mid + done * plan->ld * plan->elem, .ldb = plan->ld, .c = grad, .ldc = plan->hidden, .beta = 1});
    }
}

void rc_input_gradient(const rnncore_plan *plan, const rc_batch *batch, const rc_weights *weights, int direction,
                       int64_t size, const char *gates, char *dx, char *scratch)
{
    const int64_t row = size * plan->elem;
    cursor at = {0, 0};
    for (int64_t done = 0; done < batch->tokens; done += RC_GRADIENT_ROWS) {
        const int64_t left = batch->tokens - done, tokens = left < RC_GRADIENT_ROWS ? left : RC_GRADIENT_ROWS;
        rc_gemm_run(plan->config.dtype, &(rc_gemm){
            .m = tokens, .n = size, .k = plan->cell->ih_slots * plan->ld,
            .a = gates + done * plan->gates_ld * plan->elem, .lda = plan->gates_ld, .b = weights->ih_rows, .ldb = size,
            .c = direction == 0 ? dx + done * row : scratch, .ldc = size});
        for (int64_t i = 0; direction && i < tokens; i++, advance(batch, &at)) {
            const int64_t time = rc_batch_time(batch, direction, at.step, at.slot);
            plan->kernels->add(dx + (rc_batch_offset(batch, time) + at.slot) * row, scratch + i * row, size);
        }
    }
}
