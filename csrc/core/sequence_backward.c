/* SPDX-License-Identifier: MIT
 *
 * Backward through time, all cells: the walk of sequence.c in reverse with transposed weights. Each step's recurrent
 * product ends in the cell's backward math, which leaves gate gradients where the gates were. A tape of segments is walked
 * segment by segment: what it does not hold is computed again first, by the steps of forward and so to the same bits. */
#include <string.h>

#include "sequence.h"
#include "state.h"

void rc_workspace_take_backward(rc_workspace *ws, rc_arena *arena, const rnncore_plan *plan, int64_t rows)
{
    rc_workspace_take(ws, arena, plan, rows, 1);
    ws->in = rc_arena_take(arena, rows, sizeof(void *));
    ws->dh = rc_arena_take(arena, rows, widest_row(plan) * plan->elem);
    ws->dc = rc_arena_take(arena, rows, plan->ld * plan->elem);
    ws->zero = rc_arena_take(arena, 1, widest_row(plan) * plan->elem);
}

const char *rc_previous_h(const rc_batch *batch, const rc_rows *y, const char *h0, int64_t h0_row, int direction,
                          int64_t step, int64_t slot)
{
    if (step == 0) return h0 + rc_batch_row(batch, slot) * h0_row;
    return rc_rows_at(y, batch, rc_batch_time(batch, direction, step - 1, slot), slot);
}

static void gather_previous_h(const rc_backward_run *run, int64_t step, int64_t rows, char *to)
{
    const int64_t bytes = run->plan->out * run->plan->elem;
    for (int64_t j = 0; j < rows; j++)
        memcpy(to + j * run->plan->out_ld * run->plan->elem,
               rc_previous_h(run->batch, &run->y, run->h0, bytes, run->direction, step, j), (size_t)bytes);
}

static char *gates_of(const rc_backward_run *run, int64_t step)
{
    const int64_t token = rc_batch_offset(run->batch, step);
    return run->gates + (run->shift + token) * run->plan->gates_ld * run->plan->elem;
}

/* A step's rows of c or mid, NULL where the cell has none. */
static char *rows_of(const rc_backward_run *run, char *base, int64_t step)
{
    const int64_t token = rc_batch_offset(run->batch, step);
    return base ? base + (run->shift + token) * run->plan->ld * run->plan->elem : NULL;
}

/* -- Computing a segment again -------------------------------------------------------------------------------------- */

/* Rows of the inputs of the tokens of steps [first, last), side by side for BLAS. */
static void point_inputs(const rc_backward_run *run, int64_t first, int64_t last)
{
    const rc_batch *batch = run->batch;
    const int64_t row_bytes = run->in_size * run->plan->elem;
    int64_t token = 0;
    for (int64_t s = first; s < last; s++) {
        for (int64_t j = 0; j < rc_batch_active(batch, s); j++, token++) {
            const char *x = rc_rows_at(&run->x, batch, rc_batch_time(batch, run->direction, s, j), j);
            char *copy = run->again->x + token * row_bytes;
            if (run->backend == RNNCORE_BLAS) memcpy(copy, x, (size_t)row_bytes);
            run->again->in[token] = run->backend == RNNCORE_BLAS ? copy : x;
        }
    }
}

static void step_again(const rc_backward_run *run, int64_t step, int64_t first)
{
    const rnncore_plan *plan = run->plan;
    const int64_t rows = rc_batch_active(run->batch, step);
    rc_slice alone = {.index = 0, .count = 1};
    const rc_step s = {
        .plan = plan,
        .weights = &run->weights,
        .ws = run->again,
        .rows = rows,
        .current = (int)(step & 1),
        .save = 1,
        .gates = gates_of(run, step),
        .mid = rows_of(run, run->mid, step),
        .c = rows_of(run, run->c, step),
        .c_prev = step == first || !run->c ? run->again->c : rows_of(run, run->c, step - 1),
        .backend = run->backend,
    };
    rc_forward_step(&s, &alone);
    clear_padding(plan, rows, s.gates, s.c);
}

void rc_backward_again(const rc_backward_run *run, int64_t first, int64_t last)
{
    const rnncore_plan *plan = run->plan;
    const rc_batch *batch = run->batch;
    rc_workspace *ws = run->again;
    const rc_slice alone = {.index = 0, .count = 1};
    const int64_t out_row = plan->out_ld * plan->elem, end = last < batch->steps ? last : batch->steps;
    for (int i = 0; i < 2; i++) {
        memset(ws->h[i], 0, (size_t)(batch->rows * out_row));
        point_rows(ws->in_h[i], ws->h[i], batch->rows, out_row);
    }
    if (first < end) gather_previous_h(run, first, rc_batch_active(batch, first), ws->h[first & 1]);
    load_state(batch, ws->c, plan->ld, run->c_first, plan->hidden, plan->elem);
    if (ws->mask) {
        rc_draw_masks(plan, batch, &run->drop, ws);
        rc_start_dropped(plan, batch, ws, (int)(first & 1));
    }
    for (int64_t begin = first; begin < end; begin += ws->chunk) {
        const int64_t stop = begin + ws->chunk < end ? begin + ws->chunk : end;
        point_inputs(run, begin, stop);
        rc_input_product(plan, &run->weights, run->backend, run->in_size,
                         rc_batch_offset(batch, stop) - rc_batch_offset(batch, begin), ws->in, gates_of(run, begin),
                         &alone);
        for (int64_t s = begin; s < stop; s++) step_again(run, s, first);
    }
}

/* -- Steps ---------------------------------------------------------------------------------------------------------- */

/* out[rows][ld of out] = init + (gate gradients of `phase`) . W_hh^T */
static rc_product gradient_product(const rc_backward_run *run, int phase, char *gates, int64_t rows)
{
    const rnncore_plan *plan = run->plan;
    const rc_phase *ph = &plan->cell->phase[phase];
    point_rows(run->ws->in, gates + ph->first_slot * plan->ld * plan->elem, rows, plan->gates_ld * plan->elem);
    return (rc_product){
        .rows = rows,
        .block_end = plan->out_ld / plan->kernels->lanes,
        .k = ph->slots * plan->ld,
        .gates = 1,
        .in = run->ws->in,
        .w = run->weights.hh_t[phase],
        .init_row = plan->out_ld,
        .out_row = plan->out_ld,
    };
}

/* Runs a gradient_product onto dh; with recurrent dropout what comes out of it goes through the mask. */
static void add_recurrent_gradients(const rc_backward_run *run, const rc_product *onto_dh)
{
    const rnncore_plan *plan = run->plan;
    const rc_workspace *ws = run->ws;
    rc_product p = *onto_dh;
    if (ws->mask) {
        p.init = ws->zero;
        p.init_row = 0;
        p.out = ws->dropped[0];
    }
    plan->kernels->product(&p);
    for (int64_t j = 0; ws->mask && j < p.rows; j++) {
        const int64_t at = j * plan->out_ld * plan->elem;
        plan->kernels->add_product((char *)onto_dh->out + at, ws->dropped[0] + at, ws->mask + at, plan->out);
    }
}

static void add_output_gradients(const rc_backward_run *run, int64_t step, int64_t rows, char *dh)
{
    const rnncore_plan *plan = run->plan;
    for (int64_t j = 0; run->dy.data && j < rows; j++) {
        const int64_t time = rc_batch_time(run->batch, run->direction, step, j);
        plan->kernels->add(dh + j * plan->out_ld * plan->elem, rc_rows_at(&run->dy, run->batch, time, j), plan->out);
    }
}

/* The gradients of a step's h: ws->dh, which holds what reaches h from the final state and around the recurrent product of
 * the step after, or with a projection the step's rows of dh_out. */
static char *output_row(const rc_backward_run *run, int64_t step)
{
    const rnncore_plan *plan = run->plan;
    if (!plan->config.proj_size) return run->ws->dh;
    return run->dh_out + rc_batch_offset(run->batch, step) * plan->out_ld * plan->elem;
}

/* Everything that reaches a step's h but the recurrent product of the step after, which is returned: rows that have a step
 * after need it. */
static rc_product gather_gradients(const rc_backward_run *run, int64_t step)
{
    const rnncore_plan *plan = run->plan;
    const int64_t rows = rc_batch_active(run->batch, step), later = rc_batch_active(run->batch, step + 1);
    const int64_t out_row = plan->out_ld * plan->elem;
    char *dh = output_row(run, step);
    if (plan->config.proj_size) {
        memset(dh, 0, (size_t)(later * out_row));
        memcpy(dh + later * out_row, run->ws->h[1] + later * out_row, (size_t)((rows - later) * out_row));
    }
    add_output_gradients(run, step, rows, dh);
    rc_product p = gradient_product(run, 0, later ? gates_of(run, step + 1) : run->gates, later);
    p.init = p.out = dh;
    return p;
}

/* Gate gradients of a step whose gradients of h are complete in dh_out: through W_hr. */
static void project_back(const rc_backward_run *run, const rc_cell_args *args, int64_t step, int64_t rows)
{
    const rnncore_plan *plan = run->plan;
    point_rows(run->ws->in, output_row(run, step), rows, plan->out_ld * plan->elem);
    const rc_product p = {
        .rows = rows,
        .block_end = plan->ld / plan->kernels->lanes,
        .k = plan->out_ld,
        .gates = 1,
        .in = run->ws->in,
        .w = run->weights.hr_t,
        .init = run->ws->zero,
        .out = args->dh,
        .out_row = plan->ld,
        .cell = plan->cell->phase[0].backward,
        .cell_args = args,
    };
    plan->kernels->product(&p);
}

/* The phases before the last one, from the gate gradients of the one after each. */
static void earlier_phases(const rc_backward_run *run, const rc_cell_args *args, int64_t rows)
{
    const rc_cell *cell = run->plan->cell;
    for (int i = cell->phases - 1; i > 0; i--) {
        rc_product p = gradient_product(run, i, args->gates, rows);
        p.init = run->ws->zero;
        p.init_row = 0;
        p.out = args->scratch;
        p.cell = run->ws->mask ? NULL : cell->phase[i - 1].backward;
        p.cell_args = args;
        run->plan->kernels->product(&p);
        if (!run->ws->mask) continue;
        for (int64_t j = 0; j < rows; j++) {
            const int64_t at = j * run->plan->ld * run->plan->elem;
            char *dq = (char *)args->scratch + at;
            run->plan->kernels->multiply(dq, dq, run->ws->mask + at, run->plan->hidden);
        }
        cell->phase[i - 1].backward(args, 0, rows, 0, run->plan->ld / run->plan->kernels->lanes);
    }
}

/* Gate gradients of a step. `ready`: the gradients of its h are complete; else the product that completes them ends in the
 * cell's math. */
static void backward_step(const rc_backward_run *run, const rc_cell_args *args, int64_t step, int ready)
{
    const rnncore_plan *plan = run->plan;
    const rc_cell *cell = plan->cell;
    const int64_t rows = rc_batch_active(run->batch, step), blocks = plan->ld / plan->kernels->lanes;
    int64_t done = 0; /* rows whose last phase is through */
    if (!ready) {
        rc_product p = gather_gradients(run, step);
        if (!plan->config.proj_size && !run->ws->mask) {
            p.cell = cell->phase[cell->phases - 1].backward;
            p.cell_args = args;
            done = p.rows;
        }
        add_recurrent_gradients(run, &p);
    }
    if (plan->config.proj_size) {
        project_back(run, args, step, rows);
        return;
    }
    cell->phase[cell->phases - 1].backward(args, done, rows - done, 0, blocks);
    earlier_phases(run, args, rows);
}

void rc_backward_begin(const rc_backward_run *run)
{
    const rnncore_plan *plan = run->plan;
    const rc_batch *batch = run->batch;
    rc_workspace *ws = run->ws;
    memset(ws->zero, 0, (size_t)(widest_row(plan) * plan->elem));
    memset(ws->h[0], 0, (size_t)(batch->rows * plan->out_ld * plan->elem));
    load_state(batch, plan->config.proj_size ? ws->h[1] : ws->dh, plan->out_ld, run->dh_n, plan->out, plan->elem);
    load_state(batch, ws->dc, plan->ld, run->dc_n, plan->hidden, plan->elem);
    if (ws->mask) rc_draw_masks(plan, batch, &run->drop, ws);
}

void rc_backward_steps(const rc_backward_run *run, int64_t first, int64_t last)
{
    const rnncore_plan *plan = run->plan;
    const rc_batch *batch = run->batch;
    rc_workspace *ws = run->ws;
    const int reads_h = plan->cell->ih_slots < plan->cell->slots || plan->cell->phases > 1; /* GRU's z * h_{t-1} */
    const int64_t end = last < batch->steps ? last : batch->steps;
    for (int64_t s = end - 1; s >= first; s--) {
        const int64_t rows = rc_batch_active(batch, s);
        const int starts = s == first && run->c_first;
        if (starts) load_state(batch, ws->c, plan->ld, run->c_first, plan->hidden, plan->elem);
        if (reads_h) gather_previous_h(run, s, rows, ws->h[0]);
        const rc_cell_args args = {
            .ld = plan->ld,
            .ldg = plan->gates_ld,
            .gates = gates_of(run, s),
            .h_prev = ws->h[0],
            .dh = ws->dh,
            .dc = ws->dc,
            .c = rows_of(run, run->c, s),
            .scratch = ws->mid,
            .c_prev = starts || !run->c ? ws->c : rows_of(run, run->c, s - 1),
            .options = run->weights.options,
            .peephole = run->weights.peephole,
        };
        backward_step(run, &args, s, s == last - 1 && last < batch->steps);
    }
    if (first > 0 && first < end) { /* while the gradients of its gates are there */
        const rc_product p = gather_gradients(run, first - 1);
        add_recurrent_gradients(run, &p);
    }
}

/* Gradient of the initial state: what goes around the first step's product and what comes through it. */
void rc_backward_end(const rc_backward_run *run)
{
    const rnncore_plan *plan = run->plan;
    const rc_batch *batch = run->batch;
    const int64_t alive = rc_batch_active(batch, 0);
    char *dh = plan->config.proj_size ? run->ws->h[1] : run->ws->dh;
    if (plan->config.proj_size) memset(dh, 0, (size_t)(alive * plan->out_ld * plan->elem));
    rc_product p = gradient_product(run, 0, alive ? gates_of(run, 0) : run->gates, alive);
    p.init = p.out = dh;
    add_recurrent_gradients(run, &p);
    store_state(batch, dh, plan->out_ld, run->dh0, plan->out, plan->elem, 0, batch->rows);
    if (plan->cell->has_c)
        store_state(batch, run->ws->dc, plan->ld, run->dc0, plan->hidden, plan->elem, 0, batch->rows);
}
