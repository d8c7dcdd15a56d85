/* SPDX-License-Identifier: MIT
 *
 * The time loop of all cells: an input product for a chunk of steps, then step after step a recurrent product whose
 * finished tiles the cell's gate math turns into the new state. What differs between cells is in rc_cell; see
 * cells/cell.h. */
#include "sequence.h"

#include <string.h>

#include "../base/blas.h"
#include "state.h"
#include "../base/tuning.h"
#include "../base/wait.h"

/* -- Workspace ------------------------------------------------------------------------------------------------------ */

void rc_workspace_take(rc_workspace *ws, rc_arena *arena, const rnncore_plan *plan, int64_t rows, int64_t slices)
{
    for (int i = 0; i < 2; i++) {
        ws->h[i] = rc_arena_take(arena, rows, widest_row(plan) * plan->elem);
        ws->in_h[i] = rc_arena_take(arena, rows, sizeof(void *));
    }
    ws->c = rc_arena_take(arena, rows, plan->ld * plan->elem);
    ws->mid = rc_arena_take(arena, rows, plan->ld * plan->elem);
    ws->in_mid = rc_arena_take(arena, rows * slices, sizeof(void *));
    ws->next_c = plan->config.zoneout_c > 0 ? rc_arena_take(arena, rows, plan->ld * plan->elem) : NULL;
    ws->mask = NULL;
}

void rc_workspace_take_masks(rc_workspace *ws, rc_arena *arena, const rnncore_plan *plan, int64_t rows)
{
    ws->mask = rc_arena_take(arena, rows, plan->out_ld * plan->elem);
    for (int i = 0; i < 2; i++) ws->dropped[i] = rc_arena_take(arena, rows, plan->out_ld * plan->elem);
}

void rc_workspace_take_forward(rc_workspace *ws, rc_arena *arena, const rnncore_plan *plan, int64_t rows, int64_t steps,
                               int64_t slices, int64_t most_steps)
{
    const int64_t row_bytes = plan->gates_ld * plan->elem;
    int64_t in_size = plan->config.input_size;
    if (plan->config.num_layers > 1 && rc_input_size(plan, 1) > in_size) in_size = rc_input_size(plan, 1);
    rc_workspace_take(ws, arena, plan, rows, slices);
    const int64_t tokens = RC_CHUNK_BYTES / row_bytes > RC_CHUNK_TOKENS ? RC_CHUNK_BYTES / row_bytes : RC_CHUNK_TOKENS;
    ws->chunk = tokens / (rows ? rows : 1);
    if (ws->chunk < 1) ws->chunk = 1;
    if (ws->chunk > most_steps) ws->chunk = most_steps;
    if (ws->chunk > steps) ws->chunk = steps;
    ws->in = rc_arena_take(arena, ws->chunk * rows, sizeof(void *));
    ws->gates = rc_arena_take(arena, ws->chunk * rows, row_bytes);
    ws->x = rc_arena_take(arena, ws->chunk * rows, in_size * plan->elem);
}

/* -- Recurrent dropout ---------------------------------------------------------------------------------------------- */

void rc_draw_masks(const rnncore_plan *plan, const rc_batch *batch, const rc_drop *drop, rc_workspace *ws)
{
    const int64_t row_bytes = plan->out_ld * plan->elem;
    memset(ws->mask, 0, (size_t)(batch->rows * row_bytes));
    for (int64_t j = 0; j < batch->rows; j++)
        plan->kernels->dropout(ws->mask + j * row_bytes, NULL, plan->out, drop->key,
                               (uint64_t)(rc_batch_row(batch, j) * plan->out), drop->p);
}

/* to = from * mask, units [begin, end) of all rows. */
static void drop_units(const rnncore_plan *plan, const rc_workspace *ws, char *to, const char *from, int64_t rows,
                       int64_t begin, int64_t end)
{
    for (int64_t j = 0; j < rows; j++) {
        const int64_t at = (j * plan->out_ld + begin) * plan->elem;
        plan->kernels->multiply(to + at, from + at, ws->mask + at, end - begin);
    }
}

void rc_start_dropped(const rnncore_plan *plan, const rc_batch *batch, rc_workspace *ws, int current)
{
    const int64_t row_bytes = plan->out_ld * plan->elem;
    for (int i = 0; i < 2; i++) {
        memset(ws->dropped[i], 0, (size_t)(batch->rows * row_bytes));
        point_rows(ws->in_h[i], ws->dropped[i], batch->rows, row_bytes);
    }
    drop_units(plan, ws, ws->dropped[current], ws->h[current], batch->rows, 0, plan->out);
}

/* This slice's units of what the next product reads, before the others read it: of the new h, or, between two phases, of the
 * second one's operand. */
static void drop_operand(const rc_step *s, char *to, const char *from, const rc_slice *slice)
{
    const int64_t lanes = s->plan->kernels->lanes, blocks = s->plan->out_ld / lanes;
    if (s->ws->mask)
        drop_units(s->plan, s->ws, to, from, s->rows, rc_slice_begin(slice, blocks) * lanes,
                   rc_slice_end(slice, blocks) * lanes);
}

/* -- Forward -------------------------------------------------------------------------------------------------------- */

void rc_input_product(const rnncore_plan *plan, const rc_weights *weights, rnncore_backend backend, int64_t in_size,
                      int64_t tokens, const void *const *in, char *gates, const rc_slice *slice)
{
    const rc_cell *cell = plan->cell;
    const int64_t blocks = plan->ld / plan->kernels->lanes;
    rc_product p = {
        .rows = tokens,
        .block_begin = rc_slice_begin(slice, blocks),
        .block_end = rc_slice_end(slice, blocks),
        .k = backend == RNNCORE_FUSED ? in_size : 0,
        .gates = cell->ih_slots,
        .large = cell->ih_slots * plan->ld * (in_size + plan->out) * plan->elem > plan->l2_bytes / RC_STAYING_WEIGHTS,
        .in = in,
        .w = weights->ih,
        .init = weights->bias,
        .out = gates,
        .out_row = plan->gates_ld,
        .plane = plan->ld,
    };
    plan->kernels->product(&p);
    if (cell->slots > cell->ih_slots) { /* planes without W_ih x start from their bias alone */
        const int64_t first = cell->ih_slots * plan->ld * plan->elem;
        p.k = 0;
        p.gates = cell->slots - cell->ih_slots;
        p.init = weights->bias + first;
        p.out = gates + first;
        plan->kernels->product(&p);
    }
    if (backend == RNNCORE_BLAS) {
        const int64_t columns = cell->ih_slots * plan->ld;
        rc_gemm_run(&plan->config, &(rc_gemm){.transpose_b = 1,
                                              .m = tokens,
                                              .n = columns,
                                              .k = in_size,
                                              .a = in[0],
                                              .lda = in_size,
                                              .b = weights->ih_rows,
                                              .ldb = in_size,
                                              .c = gates,
                                              .ldc = plan->gates_ld,
                                              .beta = 1});
    }
}

/* out[rows] (+)= in . W: packed chains that end in `cell`, or one BLAS product and the cell over everything. */
static void recurrent_product(const rc_step *s, const rc_product *p, const char *w_rows, int64_t in_row)
{
    if (s->backend == RNNCORE_FUSED) {
        s->plan->kernels->product(p);
        return;
    }
    rc_gemm_run(&s->plan->config, &(rc_gemm){.transpose_b = 1,
                                             .m = p->rows,
                                             .n = p->gates * (p->block_end * s->plan->kernels->lanes),
                                             .k = p->k,
                                             .a = p->in[0],
                                             .lda = in_row,
                                             .b = w_rows,
                                             .ldb = p->k,
                                             .c = p->out,
                                             .ldc = p->out_row,
                                             .beta = p->init == p->out});
    if (p->cell) p->cell(p->cell_args, 0, p->rows, 0, p->block_end);
}

/* h = mid . W_hr^T */
static void project(const rc_step *s, char *h, const void **in_mid, const rc_slice *slice)
{
    const rnncore_plan *plan = s->plan;
    const int64_t lanes = plan->kernels->lanes, blocks = plan->out_ld / lanes;
    const int64_t begin = rc_slice_begin(slice, blocks), end = rc_slice_end(slice, blocks);
    for (int64_t r = 0; r < s->rows; r++)
        memset(h + (r * plan->out_ld + begin * lanes) * plan->elem, 0, (size_t)((end - begin) * lanes * plan->elem));
    const rc_product p = {
        .rows = s->rows,
        .block_begin = begin,
        .block_end = end,
        .k = plan->hidden,
        .gates = 1,
        .in = in_mid,
        .w = s->weights->hr,
        .init = h,
        .out = h,
        .init_row = plan->out_ld,
        .out_row = plan->out_ld,
    };
    recurrent_product(s, &p, s->weights->hr_rows, plan->ld);
}

/* Before a step that threads share: asks for all lines of the state, half of which come from other cores, the first ones
 * needed first; and for this slice's lines of the next state, which other cores have read, so that they are here when the
 * new values are stored. */
static void ask_for_states(const rc_step *s, const rc_slice *slice)
{
    const rnncore_plan *plan = s->plan;
    const int64_t row = plan->out_ld * plan->elem, bytes = s->rows * row;
    const int64_t begin = rc_slice_begin(slice, plan->out_ld) * plan->elem,
                  end = rc_slice_end(slice, plan->out_ld) * plan->elem;
    const char *h = s->ws->h[s->current], *next = s->ws->h[1 - s->current];
    if (bytes > RC_ASK_BYTES) return;
    for (int64_t i = 0; i < bytes; i += RC_ALIGN) rc_ask_to_read(h + i);
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t i = begin; i < end; i += RC_ALIGN) rc_ask_to_write(next + r * row + i);
}

/* This slice's units of a part of the state through zoneout, before the others read them. */
static void zone_units(const rc_step *s, int zone, char *out, const char *prev, const char *next, const rc_slice *slice)
{
    const rnncore_plan *plan = s->plan;
    const int64_t lanes = plan->kernels->lanes, blocks = (zone == RC_ZONE_H ? plan->out_ld : plan->ld) / lanes;
    if (rc_zone_p(plan, zone) > 0)
        rc_zone_step(plan, s->zoneout, zone, s->step, s->rows, rc_slice_begin(slice, blocks) * lanes,
                     rc_slice_end(slice, blocks) * lanes, out, prev, next);
}

/* This slice's units of the new h: what zoneout makes of them, and what the next product reads of that. */
static void finish_h(const rc_step *s, char *h, const rc_slice *slice)
{
    zone_units(s, RC_ZONE_H, h, s->ws->h[s->current], h, slice);
    drop_operand(s, s->ws->dropped[1 - s->current], h, slice);
}

int rc_forward_step(const rc_step *s, rc_slice *slice)
{
    const rnncore_plan *plan = s->plan;
    const rc_cell *cell = plan->cell;
    const rc_workspace *ws = s->ws;
    const int projected = plan->config.proj_size > 0;
    char *mid = s->mid ? s->mid : ws->mid, *h = ws->h[1 - s->current];
    char *next_c = !ws->next_c ? s->c : s->next_c ? s->next_c : ws->next_c; /* what the cell writes */
    const void **in_mid = ws->in_mid + slice->index * s->rows;
    if (slice->count > 1) ask_for_states(s, slice);
    if (projected || cell->phases > 1) point_rows(in_mid, mid, s->rows, plan->ld * plan->elem);

    const rc_cell_args args = {
        .ld = plan->ld,
        .ldg = plan->gates_ld,
        .gates = s->gates,
        .h_prev = ws->h[s->current],
        .c_prev = s->c_prev,
        .h = projected ? mid : h,
        .c = next_c,
        .scratch = mid,
        .save = s->save,
        .options = s->weights->options,
        .peephole = s->weights->peephole,
    };
    for (int i = 0; i < cell->phases; i++) {
        const int64_t blocks = plan->ld / plan->kernels->lanes;
        char *gates = s->gates + cell->phase[i].first_slot * plan->ld * plan->elem;
        const rc_product p = {
            .rows = s->rows,
            .block_begin = rc_slice_begin(slice, blocks),
            .block_end = rc_slice_end(slice, blocks),
            .k = i == 0 ? plan->out : plan->hidden,
            .gates = cell->phase[i].slots,
            .reverse = s->reverse,
            .large = cell->phase[i].slots * plan->ld * plan->out * plan->elem > plan->l2_bytes * slice->count,
            .in = i == 0 ? ws->in_h[s->current] : in_mid,
            .w = s->weights->hh[i],
            .init = gates,
            .out = gates,
            .init_row = plan->gates_ld,
            .out_row = plan->gates_ld,
            .plane = plan->ld,
            .cell = cell->phase[i].forward,
            .cell_args = &args,
        };
        recurrent_product(s, &p, s->weights->hh_rows[i], i == 0 ? plan->out_ld : plan->ld);
        if (i + 1 < cell->phases) drop_operand(s, mid, mid, slice);
        else zone_units(s, RC_ZONE_C, s->c, s->c_prev, next_c, slice);
        if (i + 1 == cell->phases && !projected) finish_h(s, h, slice);
        if (!rc_slice_sync(slice)) return 0;
    }
    if (projected) {
        project(s, h, in_mid, slice);
        finish_h(s, h, slice);
        if (!rc_slice_sync(slice)) return 0;
    }
    return 1;
}

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
    if (!run->c || step == 0) return run->ws->c;
    return run->c + rc_batch_offset(run->batch, step - 1) * run->plan->ld * run->plan->elem;
}

/* Slots [first, last) have seen their last step, or `steps` is 0 and they have none. */
static void store_final(const rc_forward_run *run, int64_t steps, int64_t first, int64_t last)
{
    const rnncore_plan *plan = run->plan;
    store_state(run->batch, run->ws->h[steps & 1], plan->out_ld, run->h_n, plan->out, plan->elem, first, last);
    if (plan->cell->has_c)
        store_state(run->batch, state_before(run, steps), plan->ld, run->c_n, plan->hidden, plan->elem, first, last);
}

/* This slice's units of c before a step at which a segment of the tape begins. */
static void mark_state(const rc_forward_run *run, int64_t step, int64_t rows, const rc_slice *slice)
{
    if (!run->marks || step == 0 || step % run->mark_every) return;
    const int64_t elem = run->plan->elem, lanes = run->plan->kernels->lanes, blocks = run->plan->ld / lanes;
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
    const int64_t base = rc_batch_offset(batch, chunk->first), c_row = plan->ld * plan->elem;
    rc_input_product(plan, &run->weights, run->backend, run->in_size, rc_batch_offset(batch, chunk->last) - base,
                     run->ws->in, chunk->gates, slice);
    for (int64_t s = chunk->first; s < chunk->last; s++) {
        const int64_t rows = rc_batch_active(batch, s), token = rc_batch_offset(batch, s);
        const int64_t before = s ? rc_batch_active(batch, s - 1) : batch->rows;
        if (rows < before && slice->index == 0) store_final(run, s, rows, before);
        mark_state(run, s, rows, slice);
        const rc_step step = {
            .plan = plan,
            .weights = &run->weights,
            .ws = run->ws,
            .rows = rows,
            .current = (int)(s & 1),
            .reverse = (int)(s & 1),
            .save = run->gates != NULL,
            .gates = chunk->gates + (token - base) * plan->gates_ld * plan->elem,
            .mid = run->mid ? run->mid + token * c_row : NULL,
            .c_prev = state_before(run, s),
            .c = run->c ? run->c + token * c_row : run->ws->c,
            .next_c = run->next_c ? run->next_c + token * c_row : NULL,
            .zoneout = run->records ? &run->zoneout : NULL,
            .step = s,
            .backend = run->backend,
        };
        if (!rc_forward_step(&step, slice)) return;
        if (step.save && slice->index == slice->count - 1)
            clear_padding(plan, rows, step.gates, run->c ? step.c : NULL, step.next_c);
        store_outputs(run, s, rows, run->ws->h[1 - (s & 1)], slice);
    }
}

void rc_forward_sequence(const rc_forward_run *run, rc_crew *crew)
{
    const rnncore_plan *plan = run->plan;
    const rc_batch *batch = run->batch;
    rc_workspace *ws = run->ws;
    load_state(batch, ws->h[0], plan->out_ld, run->h0, plan->out, plan->elem);
    memset(ws->h[1], 0, (size_t)(batch->rows * plan->out_ld * plan->elem));
    load_state(batch, ws->c, plan->ld, run->c0, plan->hidden, plan->elem);
    for (int i = 0; i < 2; i++) point_rows(ws->in_h[i], ws->h[i], batch->rows, plan->out_ld * plan->elem);
    if (ws->mask) {
        rc_draw_masks(plan, batch, &run->drop, ws);
        rc_start_dropped(plan, batch, ws, 0);
    }

    for (int64_t first = 0; first < batch->steps; first += ws->chunk) {
        const int64_t last = first + ws->chunk < batch->steps ? first + ws->chunk : batch->steps;
        forward_chunk chunk = {.run = run, .first = first, .last = last, .gates = ws->gates};
        if (run->gates) chunk.gates = run->gates + rc_batch_offset(batch, first) * plan->gates_ld * plan->elem;
        for (int i = 0; run->ready && atomic_load_explicit(run->ready, memory_order_acquire) < last; i++)
            rc_pause_or_yield(i);
        point_inputs(run, first, last);
        rc_crew_round(crew, run_chunk, &chunk);
        if (run->done) atomic_store_explicit(run->done, last, memory_order_release);
    }
    store_final(run, batch->steps, 0, batch->steps ? rc_batch_active(batch, batch->steps - 1) : batch->rows);
}
