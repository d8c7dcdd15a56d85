/* SPDX-License-Identifier: MIT
 *
 * Backward through time, all cells: the walk of sequence.c in reverse with transposed weights. Each step's recurrent
 * product ends in the cell's backward math, which leaves gate gradients where the gates were. A tape of segments is walked
 * segment by segment: what it does not hold is computed again first, by the steps of forward and so to the same bits. */
#include <string.h>

#include "sequence.h"
#include "state.h"
#include "../base/tuning.h"
#include "../base/wait.h"

void rc_workspace_take_backward(rc_workspace *ws, rc_arena *arena, const rnncore_plan *plan, int64_t rows,
                                int64_t slices)
{
    rc_workspace_take(ws, arena, plan, rows, slices);
    ws->in = rc_arena_take(arena, rows * slices, sizeof(void *));
    ws->dh = rc_arena_take(arena, rows, widest_row(plan) * plan->elem);
    ws->dc = rc_arena_take(arena, rows, plan->ld * plan->elem);
    ws->zero = rc_arena_take(arena, 1, widest_row(plan) * plan->elem);
    ws->kept[RC_ZONE_H] = plan->config.zoneout > 0 ? rc_arena_take(arena, rows, plan->out_ld * plan->elem) : NULL;
    ws->kept[RC_ZONE_C] = plan->config.zoneout_c > 0 ? rc_arena_take(arena, rows, plan->ld * plan->elem) : NULL;
}

const char *rc_previous_h(const rc_batch *batch, const rc_rows *y, const char *h0, int64_t h0_row, int direction,
                          int64_t step, int64_t slot)
{
    if (step == 0) return h0 + rc_batch_row(batch, slot) * h0_row;
    return rc_rows_at(y, batch, rc_batch_time(batch, direction, step - 1, slot), slot);
}

/* A slice's units of rows of `size`. */
typedef struct units {
    int64_t begin, end;
} units;

static units units_of(const rnncore_plan *plan, int64_t size, const rc_slice *slice)
{
    const int64_t lanes = plan->kernels->lanes, blocks = rc_round_up(size, lanes) / lanes;
    const int64_t end = rc_slice_end(slice, blocks) * lanes;
    return (units){rc_slice_begin(slice, blocks) * lanes, end < size ? end : size};
}

static void gather_previous_h(const rc_backward_run *run, int64_t step, int64_t rows, char *to, const rc_slice *slice)
{
    const rnncore_plan *plan = run->plan;
    const units own = units_of(plan, plan->out, slice);
    const int64_t at = own.begin * plan->elem, row = plan->out * plan->elem;
    for (int64_t j = 0; j < rows; j++)
        memcpy(to + j * plan->out_ld * plan->elem + at,
               rc_previous_h(run->batch, &run->y, run->h0, row, run->direction, step, j) + at,
               (size_t)((own.end - own.begin) * plan->elem));
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

/* Steps of a segment that threads share, each with a slice of the units. */
typedef struct backward_round {
    const rc_backward_run *run;
    int64_t segment, first, last; /* the segment's first step; the steps */
    int ready;                    /* the gradients of the last step's h are complete */
} backward_round;

static int step_again(const rc_backward_run *run, int64_t step, int64_t first, rc_slice *slice)
{
    const rnncore_plan *plan = run->plan;
    const int64_t rows = rc_batch_active(run->batch, step);
    const rc_step s = {
        .plan = plan,
        .weights = &run->weights,
        .ws = run->again,
        .rows = rows,
        .current = (int)(step & 1),
        .reverse = (int)(step & 1),
        .save = 1,
        .gates = gates_of(run, step),
        .mid = rows_of(run, run->mid, step),
        .c = rows_of(run, run->c, step),
        .next_c = rows_of(run, run->next_c, step),
        .zoneout = &run->zoneout,
        .step = step,
        .c_prev = step == first || !run->c ? run->again->c : rows_of(run, run->c, step - 1),
        .backend = run->backend,
    };
    if (!rc_forward_step(&s, slice)) return 0;
    if (slice->index == slice->count - 1) clear_padding(plan, rows, s.gates, s.c, s.next_c);
    return 1;
}

static void round_again(void *context, rc_slice *slice)
{
    const backward_round *round = context;
    const rc_backward_run *run = round->run;
    rc_input_product(run->plan, &run->weights, run->backend, run->in_size,
                     rc_batch_offset(run->batch, round->last) - rc_batch_offset(run->batch, round->first),
                     run->again->in, gates_of(run, round->first), slice);
    for (int64_t s = round->first; s < round->last; s++)
        if (!step_again(run, s, round->segment, slice)) return;
}

void rc_backward_again(const rc_backward_run *run, int64_t first, int64_t last, rc_crew *crew)
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
    if (first < end) gather_previous_h(run, first, rc_batch_active(batch, first), ws->h[first & 1], &alone);
    load_state(batch, ws->c, plan->ld, run->c_first, plan->hidden, plan->elem);
    if (ws->mask) {
        rc_draw_masks(plan, batch, &run->drop, ws);
        rc_start_dropped(plan, batch, ws, (int)(first & 1));
    }
    for (int64_t begin = first; begin < end; begin += ws->chunk) {
        const int64_t stop = begin + ws->chunk < end ? begin + ws->chunk : end;
        backward_round round = {.run = run, .segment = first, .first = begin, .last = stop};
        point_inputs(run, begin, stop);
        rc_crew_round(crew, round_again, &round);
    }
}

/* -- Steps ---------------------------------------------------------------------------------------------------------- */

/* Right after threads have met: asks for all lines of the gate gradients, half of which come from other cores. */
static void ask_for_gradients(const void *const *rows, int64_t count, int64_t bytes)
{
    if (count * bytes > RC_ASK_GATES_BYTES) return;
    for (int64_t j = 0; j < count; j++)
        for (int64_t i = 0; i < bytes; i += RC_ALIGN) rc_ask_to_read((const char *)rows[j] + i);
}

/* This slice's units of out[rows][ld of out] = init + (gate gradients of `phase`) . W_hh^T */
static rc_product gradient_product(const rc_backward_run *run, int phase, char *gates, int64_t rows,
                                   const rc_slice *slice)
{
    const rnncore_plan *plan = run->plan;
    const rc_phase *ph = &plan->cell->phase[phase];
    const int64_t blocks = plan->out_ld / plan->kernels->lanes;
    const void **in = run->ws->in + slice->index * run->batch->rows;
    point_rows(in, gates + ph->first_slot * plan->ld * plan->elem, rows, plan->gates_ld * plan->elem);
    if (slice->count > 1) ask_for_gradients(in, rows, ph->slots * plan->ld * plan->elem);
    return (rc_product){
        .rows = rows,
        .block_begin = rc_slice_begin(slice, blocks),
        .block_end = rc_slice_end(slice, blocks),
        .k = ph->slots * plan->ld,
        .gates = 1,
        .large = ph->slots * plan->ld * plan->out_ld * plan->elem > plan->l2_bytes * slice->count,
        .in = in,
        .w = run->weights.hh_t[phase],
        .init_row = plan->out_ld,
        .out_row = plan->out_ld,
    };
}

/* Runs a gradient_product onto dh; with recurrent dropout what comes out of it goes through the mask. */
static void add_recurrent_gradients(const rc_backward_run *run, const rc_product *onto_dh, const rc_slice *slice)
{
    const rnncore_plan *plan = run->plan;
    const rc_workspace *ws = run->ws;
    const units own = units_of(plan, plan->out, slice);
    rc_product p = *onto_dh;
    if (ws->mask) {
        p.init = ws->zero;
        p.init_row = 0;
        p.out = ws->dropped[0];
    }
    plan->kernels->product(&p);
    for (int64_t j = 0; ws->mask && j < p.rows; j++) {
        const int64_t at = (j * plan->out_ld + own.begin) * plan->elem;
        plan->kernels->add_product((char *)onto_dh->out + at, ws->dropped[0] + at, ws->mask + at, own.end - own.begin);
    }
}

static void add_output_gradients(const rc_backward_run *run, int64_t step, int64_t rows, char *dh,
                                 const rc_slice *slice)
{
    const rnncore_plan *plan = run->plan;
    const units own = units_of(plan, plan->out, slice);
    const int64_t at = own.begin * plan->elem, size = own.end - own.begin;
    const int64_t at_once =
        size == plan->out_ld ? rc_rows_together(&run->dy, run->batch, rows, plan->out, plan->elem) : 1;
    for (int64_t j = 0; run->dy.data && j < rows; j += at_once) {
        const int64_t time = rc_batch_time(run->batch, run->direction, step, j);
        plan->kernels->add(dh + j * plan->out_ld * plan->elem + at, rc_rows_at(&run->dy, run->batch, time, j) + at,
                           at_once * size);
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

/* -- Zoneout: its gradients of h_{t-1} and c_{t-1} go around the cell ----------------------------------------------- */

/* This slice's units of the gradients of a step's h and c: what stays is that of the cell's results. */
static void split_at_zones(const rc_backward_run *run, int64_t step, int64_t rows, const rc_slice *slice)
{
    const units h = units_of(run->plan, run->plan->out, slice), c = units_of(run->plan, run->plan->hidden, slice);
    char *const *kept = run->ws->kept;
    if (kept[RC_ZONE_H])
        rc_zone_back(&run->zoneout, RC_ZONE_H, step, rows, h.begin, h.end, output_row(run, step), kept[RC_ZONE_H]);
    if (kept[RC_ZONE_C])
        rc_zone_back(&run->zoneout, RC_ZONE_C, step, rows, c.begin, c.end, run->ws->dc, kept[RC_ZONE_C]);
}

/* After the cell; with a projection start_output_rows does it for h. */
static void add_kept(const rc_backward_run *run, int64_t rows, const rc_slice *slice)
{
    const rnncore_plan *plan = run->plan;
    const rc_workspace *ws = run->ws;
    const units own = units_of(plan, plan->hidden, slice);
    for (int64_t j = 0; j < rows; j++) {
        const int64_t at = (j * plan->ld + own.begin) * plan->elem, size = own.end - own.begin;
        if (ws->kept[RC_ZONE_H] && !plan->config.proj_size)
            plan->kernels->add(ws->dh + at, ws->kept[RC_ZONE_H] + at, size);
        if (ws->kept[RC_ZONE_C]) plan->kernels->add(ws->dc + at, ws->kept[RC_ZONE_C] + at, size);
    }
}

/* With a projection: this slice's units of rows of dh_out before anything is added, which is the gradient of the final state
 * in the rows [later, rows) that end with this step, and what zoneout kept in the others. */
static void start_output_rows(const rc_backward_run *run, char *dh, int64_t rows, int64_t later, const rc_slice *slice)
{
    const rnncore_plan *plan = run->plan;
    const units own = units_of(plan, plan->out_ld, slice);
    const size_t bytes = (size_t)((own.end - own.begin) * plan->elem);
    for (int64_t j = 0; j < rows; j++) {
        const int64_t at = (j * plan->out_ld + own.begin) * plan->elem;
        if (j < later && run->ws->kept[RC_ZONE_H]) memcpy(dh + at, run->ws->kept[RC_ZONE_H] + at, bytes);
        else if (j < later) memset(dh + at, 0, bytes);
        else memcpy(dh + at, run->ws->h[1] + at, bytes);
    }
}

/* Everything that reaches a step's h but the recurrent product of the step after, which is returned: rows that have a step
 * after need it. */
static rc_product gather_gradients(const rc_backward_run *run, int64_t step, const rc_slice *slice)
{
    const int64_t rows = rc_batch_active(run->batch, step), later = rc_batch_active(run->batch, step + 1);
    char *dh = output_row(run, step);
    if (run->plan->config.proj_size) start_output_rows(run, dh, rows, later, slice);
    add_output_gradients(run, step, rows, dh, slice);
    rc_product p = gradient_product(run, 0, later ? gates_of(run, step + 1) : run->gates, later, slice);
    p.reverse = (int)(step & 1);
    p.init = p.out = dh;
    return p;
}

/* Gate gradients of a step whose gradients of h are complete in dh_out: through W_hr. */
static void project_back(const rc_backward_run *run, const rc_cell_args *args, int64_t step, int64_t rows,
                         const rc_slice *slice)
{
    const rnncore_plan *plan = run->plan;
    const int64_t blocks = plan->ld / plan->kernels->lanes;
    const void **in = run->ws->in + slice->index * run->batch->rows;
    point_rows(in, output_row(run, step), rows, plan->out_ld * plan->elem);
    const rc_product p = {
        .rows = rows,
        .block_begin = rc_slice_begin(slice, blocks),
        .block_end = rc_slice_end(slice, blocks),
        .k = plan->out_ld,
        .gates = 1,
        .in = in,
        .w = run->weights.hr_t,
        .init = run->ws->zero,
        .out = args->dh,
        .out_row = plan->ld,
        .cell = plan->cell->phase[0].backward,
        .cell_args = args,
    };
    plan->kernels->product(&p);
}

/* A cell's math on this slice's units of rows [first, rows). */
static void run_cell(const rc_backward_run *run, rc_cell_fn *cell, const rc_cell_args *args, int64_t first,
                     int64_t rows, const rc_slice *slice)
{
    const int64_t blocks = run->plan->ld / run->plan->kernels->lanes, begin = rc_slice_begin(slice, blocks);
    cell(args, first, rows - first, begin, rc_slice_end(slice, blocks) - begin);
}

/* The phase before `phase`, from the gate gradients of that one. */
static void earlier_phase(const rc_backward_run *run, const rc_cell_args *args, int phase, int64_t rows,
                          const rc_slice *slice)
{
    const rnncore_plan *plan = run->plan;
    const units own = units_of(plan, plan->hidden, slice);
    rc_cell_fn *cell = plan->cell->phase[phase - 1].backward;
    rc_product p = gradient_product(run, phase, args->gates, rows, slice);
    p.init = run->ws->zero;
    p.init_row = 0;
    p.out = args->scratch;
    p.cell = run->ws->mask ? NULL : cell;
    p.cell_args = args;
    plan->kernels->product(&p);
    if (!run->ws->mask) return;
    for (int64_t j = 0; j < rows; j++) {
        const int64_t at = (j * plan->ld + own.begin) * plan->elem;
        char *dq = (char *)args->scratch + at;
        plan->kernels->multiply(dq, dq, run->ws->mask + at, own.end - own.begin);
    }
    run_cell(run, cell, args, 0, rows, slice);
}

/* This slice's units of the gate gradients of a step. `ready`: the gradients of its h are complete; else the product that
 * completes them ends in the cell's math. Returns 0 when the thread must leave (see rc_slice_sync); else all units are done. */
static int backward_step(const rc_backward_run *run, const rc_cell_args *args, int64_t step, int ready, rc_slice *slice)
{
    const rnncore_plan *plan = run->plan;
    const rc_cell *cell = plan->cell;
    const int64_t rows = rc_batch_active(run->batch, step);
    rc_cell_fn *last_phase = cell->phase[cell->phases - 1].backward;
    int64_t done = 0; /* rows whose last phase is through */
    if (!ready) {
        rc_product p = gather_gradients(run, step, slice);
        if (!plan->config.proj_size && !run->ws->mask && !rc_zones(plan)) {
            p.cell = last_phase;
            p.cell_args = args;
            done = p.rows;
        }
        add_recurrent_gradients(run, &p, slice);
    }
    if (rc_zones(plan)) split_at_zones(run, step, rows, slice);
    if (plan->config.proj_size) {
        if (!rc_slice_sync(slice)) return 0;
        project_back(run, args, step, rows, slice);
    } else {
        run_cell(run, last_phase, args, done, rows, slice);
    }
    for (int i = cell->phases - 1; i > 0; i--) {
        if (!rc_slice_sync(slice)) return 0;
        earlier_phase(run, args, i, rows, slice);
    }
    if (rc_zones(plan)) add_kept(run, rows, slice);
    return rc_slice_sync(slice);
}

static void round_steps(void *context, rc_slice *slice)
{
    const backward_round *round = context;
    const rc_backward_run *run = round->run;
    const rnncore_plan *plan = run->plan;
    const rc_workspace *ws = run->ws;
    const int reads_h = plan->cell->ih_slots < plan->cell->slots || plan->cell->phases > 1; /* GRU's z * h_{t-1} */
    for (int64_t s = round->last - 1; s >= round->first; s--) {
        const int starts = s == round->segment && run->c_first;
        if (reads_h) gather_previous_h(run, s, rc_batch_active(run->batch, s), ws->h[0], slice);
        const rc_cell_args args = {
            .ld = plan->ld,
            .ldg = plan->gates_ld,
            .gates = gates_of(run, s),
            .h_prev = ws->h[0],
            .dh = ws->dh,
            .dc = ws->dc,
            .c = rows_of(run, run->next_c ? run->next_c : run->c, s),
            .scratch = ws->mid,
            .c_prev = starts || !run->c ? ws->c : rows_of(run, run->c, s - 1),
            .options = run->weights.options,
            .peephole = run->weights.peephole,
        };
        if (!backward_step(run, &args, s, round->ready && s == round->last - 1, slice)) return;
    }
    if (round->first > round->segment || round->segment == 0) return;
    /* The step before the segment, while the gate gradients that it needs are there. */
    const rc_product p = gather_gradients(run, round->segment - 1, slice);
    add_recurrent_gradients(run, &p, slice);
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
    if (ws->kept[RC_ZONE_H]) memset(ws->kept[RC_ZONE_H], 0, (size_t)(batch->rows * plan->out_ld * plan->elem));
}

void rc_backward_steps(const rc_backward_run *run, int64_t first, int64_t last, rc_crew *crew)
{
    const rnncore_plan *plan = run->plan;
    const rc_batch *batch = run->batch;
    const int64_t steps = last < batch->steps ? last : batch->steps, most = crew ? RC_CREW_STEPS : steps;
    if (run->c_first) load_state(batch, run->ws->c, plan->ld, run->c_first, plan->hidden, plan->elem);
    for (int64_t end = steps; end > first; end -= most) {
        const int64_t begin = end - most > first ? end - most : first;
        backward_round round = {.run = run, .segment = first, .first = begin, .last = end};
        round.ready = end == last && last < batch->steps;
        rc_crew_round(crew, round_steps, &round);
    }
}

/* Gradient of the initial state: what goes around the first step's product and what comes through it. */
void rc_backward_end(const rc_backward_run *run)
{
    const rnncore_plan *plan = run->plan;
    const rc_batch *batch = run->batch;
    const int64_t alive = rc_batch_active(batch, 0);
    const rc_slice alone = {.index = 0, .count = 1};
    char *dh = plan->config.proj_size ? run->ws->h[1] : run->ws->dh;
    if (plan->config.proj_size) start_output_rows(run, dh, alive, alive, &alone);
    rc_product p = gradient_product(run, 0, alive ? gates_of(run, 0) : run->gates, alive, &alone);
    p.init = p.out = dh;
    add_recurrent_gradients(run, &p, &alone);
    store_state(batch, dh, plan->out_ld, run->dh0, plan->out, plan->elem, 0, batch->rows);
    if (plan->cell->has_c)
        store_state(batch, run->ws->dc, plan->ld, run->dc0, plan->hidden, plan->elem, 0, batch->rows);
}
