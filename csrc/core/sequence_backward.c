/* SPDX-License-Identifier: MIT
 *
 * Backward through time, all cells: the walk of sequence.c in reverse with transposed weights. Each step's recurrent
 * product ends in the cell's backward math, which leaves gate gradients where the gates were. */
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

/* out[rows][ld of out] = init + (gate gradients of `phase`) . W_hh^T */
static rc_product gradient_product(const rc_backward_run *run, int phase, char *gates, int64_t rows)
{
    const rnncore_plan *plan = run->plan;
    const rc_phase *ph = &plan->cell->phase[phase];
    point_rows(run->ws->in, gates + ph->first_slot * plan->ld * plan->elem, rows, plan->gates_ld * plan->elem);
    return (rc_product){
        .rows = rows, .block_end = plan->out_ld / plan->kernels->lanes, .k = ph->slots * plan->ld, .gates = 1,
        .in = run->ws->in, .w = run->weights.hh_t[phase], .init_row = plan->out_ld, .out_row = plan->out_ld,
    };
}

static void add_output_gradients(const rc_backward_run *run, int64_t step, int64_t rows, char *dh)
{
    const rnncore_plan *plan = run->plan;
    for (int64_t j = 0; run->dy.data && j < rows; j++) {
        const int64_t time = rc_batch_time(run->batch, run->direction, step, j);
        plan->kernels->add(dh + j * plan->out_ld * plan->elem, rc_rows_at(&run->dy, run->batch, time, j), plan->out);
    }
}

static void gather_previous_h(const rc_backward_run *run, int64_t step, int64_t rows, char *to)
{
    const int64_t bytes = run->plan->out * run->plan->elem;
    for (int64_t j = 0; j < rows; j++)
        memcpy(to + j * run->plan->out_ld * run->plan->elem,
               rc_previous_h(run->batch, &run->y, run->h0, bytes, run->direction, step, j), (size_t)bytes);
}

/* Gate gradients of a step without a projection. ws->dh holds what reaches h of the step from the final state and around
 * the recurrent product of the step after; `later` rows also get that product. */
static void backward_step(const rc_backward_run *run, const rc_cell_args *args, int64_t rows, int64_t later,
                          char *later_gates)
{
    const rnncore_plan *plan = run->plan;
    const rc_cell *cell = plan->cell;
    const int last = cell->phases - 1;
    rc_product p = gradient_product(run, 0, later_gates, later);
    p.init = p.out = args->dh;
    p.cell = cell->phase[last].backward;
    p.cell_args = args;
    plan->kernels->product(&p);
    cell->phase[last].backward(args, later, rows - later, 0, p.block_end);
    for (int i = last; i > 0; i--) {
        p = gradient_product(run, i, args->gates, rows);
        p.init = run->ws->zero;
        p.init_row = 0;
        p.out = args->scratch;
        p.cell = cell->phase[i - 1].backward;
        p.cell_args = args;
        plan->kernels->product(&p);
    }
}

/* The same with a projection: dh_out, the gradients of the projected outputs of this step, then through W_hr. */
static void backward_step_projected(const rc_backward_run *run, const rc_cell_args *args, int64_t step, int64_t rows,
                                    int64_t later, char *later_gates, char *dh_out)
{
    const rnncore_plan *plan = run->plan;
    const int64_t out_row = plan->out_ld * plan->elem;
    memset(dh_out, 0, (size_t)(later * out_row));
    memcpy(dh_out + later * out_row, run->ws->h[1] + later * out_row, (size_t)((rows - later) * out_row));
    add_output_gradients(run, step, rows, dh_out);
    rc_product p = gradient_product(run, 0, later_gates, later);
    p.init = p.out = dh_out;
    plan->kernels->product(&p);

    point_rows(run->ws->in, dh_out, rows, out_row);
    p = (rc_product){
        .rows = rows, .block_end = plan->ld / plan->kernels->lanes, .k = plan->out_ld, .gates = 1, .in = run->ws->in,
        .w = run->weights.hr_t, .init = run->ws->zero, .out = args->dh, .out_row = plan->ld,
        .cell = plan->cell->phase[0].backward, .cell_args = args,
    };
    plan->kernels->product(&p);
}

/* Gradient of the initial state: what goes around the first step's product and what comes through it. */
static void finish_backward(const rc_backward_run *run, char *dh)
{
    const rnncore_plan *plan = run->plan;
    const rc_batch *batch = run->batch;
    const int64_t alive = rc_batch_active(batch, 0);
    if (plan->config.proj_size) memset(dh, 0, (size_t)(alive * plan->out_ld * plan->elem));
    rc_product p = gradient_product(run, 0, run->gates, alive);
    p.init = p.out = dh;
    plan->kernels->product(&p);
    store_state(batch, dh, plan->out_ld, run->dh0, plan->out, plan->elem, 0, batch->rows);
    if (plan->cell->has_c)
        store_state(batch, run->ws->dc, plan->ld, run->dc0, plan->hidden, plan->elem, 0, batch->rows);
}

void rc_backward_sequence(const rc_backward_run *run)
{
    const rnncore_plan *plan = run->plan;
    const rc_batch *batch = run->batch;
    rc_workspace *ws = run->ws;
    const int projected = plan->config.proj_size > 0;
    const int64_t gates_row = plan->gates_ld * plan->elem, c_row = plan->ld * plan->elem;
    char *dh_final = projected ? ws->h[1] : ws->dh;      /* gradients of h of rows that have not begun */
    memset(ws->zero, 0, (size_t)(widest_row(plan) * plan->elem));
    memset(ws->h[0], 0, (size_t)(batch->rows * plan->out_ld * plan->elem));
    load_state(batch, dh_final, plan->out_ld, run->dh_n, plan->out, plan->elem);
    load_state(batch, ws->dc, plan->ld, run->dc_n, plan->hidden, plan->elem);

    for (int64_t s = batch->steps - 1; s >= 0; s--) {
        const int64_t rows = rc_batch_active(batch, s), later = rc_batch_active(batch, s + 1);
        const int64_t token = rc_batch_offset(batch, s);
        char *gates = run->gates + token * gates_row, *later_gates = gates + rows * gates_row;
        if (s == 0 && plan->cell->has_c) load_state(batch, ws->c, plan->ld, run->c0, plan->hidden, plan->elem);
        gather_previous_h(run, s, rows, ws->h[0]);
        const rc_cell_args args = {
            .ld = plan->ld, .ldg = plan->gates_ld, .gates = gates, .h_prev = ws->h[0], .dh = ws->dh, .dc = ws->dc,
            .c = run->c ? run->c + token * c_row : NULL, .scratch = ws->mid,
            .c_prev = s == 0 || !run->c ? ws->c : run->c + rc_batch_offset(batch, s - 1) * c_row,
        };
        if (projected) {
            backward_step_projected(run, &args, s, rows, later, later_gates,
                                    run->dh_out + token * plan->out_ld * plan->elem);
        } else {
            add_output_gradients(run, s, rows, ws->dh);
            backward_step(run, &args, rows, later, later_gates);
        }
    }
    finish_backward(run, dh_final);
}
