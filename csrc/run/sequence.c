/* SPDX-License-Identifier: MIT
 *
 * The time loop: an input product for a chunk of steps, then step after step. */
#include "sequence.h"

#include <string.h>

#include "../base/tuning.h"
#include "../base/wait.h"

/* Points ws->in at the input rows of steps [first, last); rows that are not contiguous (or that a BLAS wants as one
 * matrix) are gathered. */
static void point_inputs(const rc_forward_run *run, int64_t first, int64_t last)
{
    const rc_batch *batch = run->batch;
    const int64_t elem = run->plan->elem, row_bytes = run->in_size * elem;
    const int gather = run->x.feature != elem || run->backend == RNNCORE_BLAS;
    int64_t token = 0;
    for (int64_t s = first; s < last; s++) {
        for (int64_t j = 0; j < rc_batch_active(batch, s); j++, token++) {
            const char *x = rc_rows_at(&run->x, batch, rc_batch_time(batch, run->direction, s, j), j);
            if (gather) {
                rc_copy(run->ws->x + token * row_bytes, elem, x, run->x.feature, run->in_size, elem);
                x = run->ws->x + token * row_bytes;
            }
            run->ws->in[token] = x;
        }
    }
}

/* This slice's units of the outputs of a step. */
static void store_outputs(const rc_forward_run *run, int64_t step, int64_t rows, const char *h, const rc_slice *slice)
{
    const int64_t elem = run->plan->elem, out = run->plan->out;
    const int64_t begin = rc_slice_begin(slice, out), size = rc_slice_end(slice, out) - begin;
    for (int i = 0; i < 2; i++) {
        const rc_rows *y = &run->y[i];
        const int64_t at_once = size == run->plan->out_ld ? rc_rows_together(y, run->batch, rows, out, elem) : 1;
        for (int64_t j = 0; y->data && j < rows; j += at_once) {
            const int64_t time = rc_batch_time(run->batch, run->direction, step, j);
            rc_copy(rc_rows_at(y, run->batch, time, j) + begin * y->feature, y->feature,
                    h + (j * run->plan->out_ld + begin) * elem, elem, at_once * size, elem);
        }
    }
}

/* Cell states before a step. */
static char *state_before(const rc_forward_run *run, int64_t step)
{
    if (!run->record.c || step == 0) return run->ws->c;
    return rc_record_at(run->plan, &run->record, rc_batch_offset(run->batch, step - 1)).c;
}

/* Slots [first, last) have seen their last step, or `steps` is 0 and they have none. */
static void store_final(const rc_forward_run *run, int64_t steps, int64_t first, int64_t last)
{
    const rnncore_plan *plan = run->plan;
    rc_store_state(run->batch, run->ws->h[steps & 1], plan->out_ld, run->h_n, plan->out, plan->elem, first, last);
    if (plan->cell->has_c)
        rc_store_state(run->batch, state_before(run, steps), plan->ld, run->c_n, plan->hidden, plan->elem, first, last);
}

/* This slice's units of c before a step at which a segment of the tape begins. */
static void mark_state(const rc_forward_run *run, int64_t step, int64_t rows, const rc_slice *slice)
{
    if (!run->marks || step == 0 || step % run->mark_every) return;
    const int64_t elem = run->plan->elem, lanes = run->plan->kernels->lanes, blocks = run->plan->blocks;
    const int64_t begin = rc_slice_begin(slice, blocks) * lanes * elem,
                  end = rc_slice_end(slice, blocks) * lanes * elem;
    const int64_t size = (end < run->mark_row ? end : run->mark_row) - begin;
    const char *c = state_before(run, step) + begin;
    char *mark = run->marks + (step / run->mark_every - 1) * run->mark_bytes + begin;
    for (int64_t j = 0; j < rows; j++)
        memcpy(mark + rc_batch_row(run->batch, j) * run->mark_row, c + j * run->plan->ld * elem, (size_t)size);
}

typedef struct forward_chunk {
    const rc_forward_run *run;
    int64_t first, last; /* steps */
    char *gates;         /* of the first one */
} forward_chunk;

static void run_chunk(void *context, rc_slice *slice)
{
    const forward_chunk *chunk = context;
    const rc_forward_run *run = chunk->run;
    const rnncore_plan *plan = run->plan;
    const rc_batch *batch = run->batch;
    const int64_t base = rc_batch_offset(batch, chunk->first);
    const int records = run->record.gates != NULL;
    const int64_t ldg = records ? plan->record_ld : plan->gates_ld;
    rc_input_product(plan, &run->weights, run->backend, rc_batch_offset(batch, chunk->last) - base, run->ws->in,
                     chunk->gates, ldg, slice);
    for (int64_t s = chunk->first; s < chunk->last; s++) {
        const int64_t rows = rc_batch_active(batch, s), token = rc_batch_offset(batch, s);
        const int64_t before = s ? rc_batch_active(batch, s - 1) : batch->rows;
        if (slice->index == 0 && rc_watch_ends(&run->watch, s)) {
            if (slice->count == 1) return;
            rc_slice_dismiss(slice); /* a round ends together: it is left when the others have gone */
        }
        if (rows < before && slice->index == 0) store_final(run, s, rows, before);
        mark_state(run, s, rows, slice);
        rc_step step = {
            .plan = plan,
            .weights = &run->weights,
            .ws = run->ws,
            .rows = rows,
            .current = (int)(s & 1),
            .reverse = (int)(s & 1),
            .save = records,
            .ldg = ldg,
            .to = rc_record_at(plan, &run->record, token),
            .c_prev = state_before(run, s),
            .zoneout = run->has_tape ? &run->zoneout : NULL,
            .step = s,
            .backend = run->backend,
        };
        if (!records) step.to.gates = chunk->gates + (token - base) * ldg * plan->elem;
        if (!rc_forward_step(&step, slice)) return;
        if (records && slice->index == slice->count - 1) rc_record_clear_padding(plan, &step.to, rows);
        store_outputs(run, s, rows, run->ws->h[1 - (s & 1)], slice);
    }
}

/* Waits until the layer below has done so many steps; whether it will. */
static int await_layer_below(const rc_forward_run *run, int64_t steps)
{
    for (int i = 0; run->ready && atomic_load_explicit(run->ready, memory_order_acquire) < steps; i++) {
        rc_pause_or_yield(i);
        if (i >= RC_SPIN_PAUSES && rc_watch_ends(&run->watch, 0)) return 0;
    }
    return 1;
}

void rc_forward_sequence(const rc_forward_run *run, rc_crew *crew)
{
    const rnncore_plan *plan = run->plan;
    const rc_batch *batch = run->batch;
    rc_workspace *ws = run->ws;
    rc_load_state(batch, ws->h[0], plan->out_ld, run->h0, plan->out, plan->elem);
    memset(ws->h[1], 0, (size_t)(batch->rows * plan->out_ld * plan->elem));
    rc_load_state(batch, ws->c, plan->ld, run->c0, plan->hidden, plan->elem);
    for (int i = 0; i < 2; i++) rc_point_rows(ws->in_h[i], ws->h[i], batch->rows, plan->out_ld * plan->elem);
    if (ws->mask) {
        rc_draw_masks(plan, batch, &run->drop, ws);
        rc_start_dropped(plan, batch, ws, 0);
    }

    for (int64_t first = 0; first < batch->steps; first += ws->chunk) {
        const int64_t last = first + ws->chunk < batch->steps ? first + ws->chunk : batch->steps;
        forward_chunk chunk = {.run = run, .first = first, .last = last, .gates = ws->gates};
        if (run->record.gates) chunk.gates = rc_record_at(plan, &run->record, rc_batch_offset(batch, first)).gates;
        if (!await_layer_below(run, last)) return;
        point_inputs(run, first, last);
        rc_crew_round(crew, run_chunk, &chunk);
        if (rc_stopped(run->watch.stop)) return;
        if (run->done) atomic_store_explicit(run->done, last, memory_order_release);
    }
    store_final(run, batch->steps, 0, batch->steps ? rc_batch_active(batch, batch->steps - 1) : batch->rows);
}
