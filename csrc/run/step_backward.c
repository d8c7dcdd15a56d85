/* SPDX-License-Identifier: MIT
 *
 * One step backward: what reaches h is gathered, the recurrent product of the step after it last, whose finished tiles the
 * cell's backward math turns into gate gradients where the gate values were. */
#include <string.h>

#include "../base/compiler.h"
#include "../base/tuning.h"
#include "step.h"

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

const char *rc_previous_h(const rc_batch *batch, const rc_rows *y, const char *h0, int64_t h0_row, int direction,
                          int64_t step, int64_t slot)
{
    if (step == 0) return h0 + rc_batch_row(batch, slot) * h0_row;
    return rc_rows_at(y, batch, rc_batch_time(batch, direction, step - 1, slot), slot);
}

void rc_gather_previous_h(const rc_backward_run *run, int64_t step, int64_t rows, char *to, const rc_slice *slice)
{
    const rnncore_plan *plan = run->plan;
    const units own = units_of(plan, plan->out, slice);
    const int64_t at = own.begin * plan->elem, row = plan->out * plan->elem;
    for (int64_t j = 0; j < rows; j++)
        memcpy(to + j * plan->out_ld * plan->elem + at,
               rc_previous_h(run->batch, &run->y, run->h0, row, run->direction, step, j) + at,
               (size_t)((own.end - own.begin) * plan->elem));
}

/* -- Products ---------------------------------------------------------------------------------------------------------- */

/* Right after threads have met: asks for all lines of the gate gradients, half of which come from other cores. */
static void ask_for_gradients(const void *const *rows, int64_t count, int64_t bytes)
{
    if (count * bytes > RC_ASK_GATES_BYTES) return;
    for (int64_t j = 0; j < count; j++)
        for (int64_t i = 0; i < bytes; i += RC_ALIGN) rc_ask_to_read((const char *)rows[j] + i);
}

/* This slice's units of out[rows][units] = init + (gradients of a term's planes) . W; without a matrix where the cell has no
 * such term. */
static rc_product gradient_product(const rc_backward_run *run, int index, char *gates, int64_t rows,
                                   const rc_slice *slice)
{
    const rnncore_plan *plan = run->plan;
    if (index >= plan->term_count) return (rc_product){0};
    const rc_mat *mat = &run->weights.term[index].backward;
    const int64_t blocks = mat->units / plan->kernels->lanes;
    const void **in = run->ws->in + slice->index * run->batch->rows;
    rc_point_rows(in, gates + plan->term[index].first * plan->ld * plan->elem, rows, plan->record_ld * plan->elem);
    if (slice->count > 1) ask_for_gradients(in, rows, mat->k * plan->elem);
    return (rc_product){
        .mat = mat,
        .rows = rows,
        .block_begin = rc_slice_begin(slice, blocks),
        .block_end = rc_slice_end(slice, blocks),
        .large = mat->k * mat->units * plan->elem > plan->l2_bytes * slice->count,
        .in = in,
        .init_row = mat->units,
        .out_row = mat->units,
    };
}

/* Runs a gradient_product onto dh; with recurrent dropout what comes out of it goes through the mask. */
static void add_recurrent_gradients(const rc_backward_run *run, const rc_product *onto_dh, const rc_slice *slice)
{
    const rnncore_plan *plan = run->plan;
    const rc_workspace *ws = run->ws;
    const units own = units_of(plan, plan->out, slice);
    rc_product p = *onto_dh;
    if (!p.mat) return;
    if (ws->mask) {
        p.init = ws->zero;
        p.init_row = 0;
        p.out = ws->dropped[0];
    }
    plan->kernels->product[p.mat->store](&p);
    for (int64_t j = 0; ws->mask && j < p.rows; j++) {
        const int64_t at = (j * plan->out_ld + own.begin) * plan->elem;
        plan->kernels->add_product((char *)onto_dh->out + at, ws->dropped[0] + at, ws->mask + at, own.end - own.begin);
    }
}

/* The cell's math on this slice's units of rows [first, rows). */
static void run_math(const rc_backward_run *run, rc_cell_fn *math, const rc_cell_args *args, int64_t first,
                     int64_t rows, const rc_slice *slice)
{
    const int64_t blocks = run->plan->blocks, begin = rc_slice_begin(slice, blocks);
    math(args, first, rows - first, begin, rc_slice_end(slice, blocks) - begin);
}

/* -- What reaches h ---------------------------------------------------------------------------------------------------- */

/* The gradients of a step's h: ws->dh, which holds what reaches h from the final state and around the recurrent product of
 * the step after, or with a projection the step's rows of dh_out. */
static char *output_row(const rc_backward_run *run, int64_t step)
{
    const rnncore_plan *plan = run->plan;
    if (!plan->config.proj_size) return run->ws->dh;
    return run->dh_out + rc_batch_offset(run->batch, step) * plan->out_ld * plan->elem;
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
static rc_product gather(const rc_backward_run *run, int64_t step, const rc_slice *slice)
{
    const int64_t rows = rc_batch_active(run->batch, step), later = rc_batch_active(run->batch, step + 1);
    char *dh = output_row(run, step);
    if (run->plan->config.proj_size) start_output_rows(run, dh, rows, later, slice);
    add_output_gradients(run, step, rows, dh, slice);
    char *gates = later ? rc_record_of_step(run, step + 1).gates : run->record.gates;
    rc_product p = gradient_product(run, RC_TERM_H, gates, later, slice);
    p.reverse = (int)(step & 1);
    p.init = p.out = dh;
    return p;
}

void rc_complete_gradients(const rc_backward_run *run, int64_t step, const rc_slice *slice)
{
    const rc_product p = gather(run, step, slice);
    add_recurrent_gradients(run, &p, slice);
}

void rc_complete_initial(const rc_backward_run *run, char *dh, const rc_slice *slice)
{
    const int64_t alive = rc_batch_active(run->batch, 0);
    if (run->plan->config.proj_size) start_output_rows(run, dh, alive, alive, slice);
    char *gates = alive ? rc_record_of_step(run, 0).gates : run->record.gates;
    rc_product p = gradient_product(run, RC_TERM_H, gates, alive, slice);
    p.init = p.out = dh;
    add_recurrent_gradients(run, &p, slice);
}

/* -- Operations -------------------------------------------------------------------------------------------------------- */

/* All that reaches h; the product of the step after ends in the cell's math where nothing comes between. */
static void run_gather(const rc_backward_run *run, const rc_op *op, const rc_cell_args *args, int64_t step, int ready,
                       const rc_slice *slice)
{
    const int64_t rows = rc_batch_active(run->batch, step);
    int64_t done = 0; /* rows whose math is through */
    if (!ready) {
        rc_product p = gather(run, step, slice);
        if (op->math && !run->ws->mask) {
            p.tail = op->math;
            p.tail_args = args;
            done = p.rows;
        }
        add_recurrent_gradients(run, &p, slice);
    }
    if (op->math) run_math(run, op->math, args, done, rows, slice);
}

/* The gradients of the cell's result from those of h, which are complete in dh_out: through W_hr. */
static void project_back(const rc_backward_run *run, const rc_op *op, const rc_cell_args *args, int64_t step,
                         const rc_slice *slice)
{
    const rnncore_plan *plan = run->plan;
    const rc_mat *mat = &run->weights.term[op->index].backward;
    const int64_t blocks = mat->units / plan->kernels->lanes, rows = rc_batch_active(run->batch, step);
    const void **in = run->ws->in + slice->index * run->batch->rows;
    rc_point_rows(in, output_row(run, step), rows, plan->out_ld * plan->elem);
    const rc_product p = {
        .mat = mat,
        .rows = rows,
        .block_begin = rc_slice_begin(slice, blocks),
        .block_end = rc_slice_end(slice, blocks),
        .in = in,
        .init = run->ws->zero,
        .out = args->dh,
        .out_row = plan->ld,
        .tail = op->math,
        .tail_args = args,
    };
    plan->kernels->product[mat->store](&p);
}

/* The gradient of mid from those of the planes that it was multiplied into. */
static void multiply_back(const rc_backward_run *run, const rc_op *op, const rc_cell_args *args, int64_t step,
                          const rc_slice *slice)
{
    const rnncore_plan *plan = run->plan;
    const units own = units_of(plan, plan->hidden, slice);
    const int64_t rows = rc_batch_active(run->batch, step);
    rc_product p = gradient_product(run, op->index, args->gates, rows, slice);
    p.init = run->ws->zero;
    p.init_row = 0;
    p.out = args->mid;
    p.tail = run->ws->mask ? NULL : op->math;
    p.tail_args = args;
    plan->kernels->product[p.mat->store](&p);
    if (!run->ws->mask) return;
    for (int64_t j = 0; j < rows; j++) {
        const int64_t at = (j * plan->ld + own.begin) * plan->elem;
        char *dq = (char *)args->mid + at;
        plan->kernels->multiply(dq, dq, run->ws->mask + at, own.end - own.begin);
    }
    if (op->math) run_math(run, op->math, args, 0, rows, slice);
}

/* Its sums over the gradients of its result. */
static void run_norm_back(const rnncore_plan *plan, const rc_op *op, const rc_cell_args *args, int64_t rows)
{
    static const int8_t only[] = {0};
    const rc_norm *n = &plan->cell->norm[op->index];
    const rc_term *term = n->term < 0 ? NULL : &plan->term[n->term];
    const int64_t plane = plan->ld * plan->elem;
    for (int64_t r = 0; r < rows; r++) {
        const char *gates = (const char *)args->gates + r * args->ldg * plan->elem;
        char *numbers = (char *)args->numbers + r * RC_NORM_NUMBERS * plan->elem;
        plan->kernels->norm_back(numbers + (RC_NORM_SUMS + 2 * op->index) * plan->elem, gates + n->d * plane,
                                 gates + n->u * plane, args->vector[n->gain], term ? term->gate : only,
                                 term ? term->planes : 1, plan->ld, plan->hidden);
    }
}

/* Zoneout's gradients of h_{t-1} and c_{t-1} go around the cell. This slice's units of the gradients of a step's h and c: what
 * stays is that of the cell's results. */
static void split_at_zones(const rc_backward_run *run, int64_t step, const rc_slice *slice)
{
    const units h = units_of(run->plan, run->plan->out, slice), c = units_of(run->plan, run->plan->hidden, slice);
    const int64_t rows = rc_batch_active(run->batch, step);
    char *const *kept = run->ws->kept;
    if (kept[RC_ZONE_H])
        rc_zone_back(&run->zoneout, RC_ZONE_H, step, rows, h.begin, h.end, output_row(run, step), kept[RC_ZONE_H]);
    if (kept[RC_ZONE_C])
        rc_zone_back(&run->zoneout, RC_ZONE_C, step, rows, c.begin, c.end, run->ws->dc, kept[RC_ZONE_C]);
}

/* After the cell; with a projection start_output_rows does it for h. */
static void add_kept(const rc_backward_run *run, int64_t step, const rc_slice *slice)
{
    const rnncore_plan *plan = run->plan;
    const rc_workspace *ws = run->ws;
    const units own = units_of(plan, plan->hidden, slice);
    for (int64_t j = 0; j < rc_batch_active(run->batch, step); j++) {
        const int64_t at = (j * plan->ld + own.begin) * plan->elem, size = own.end - own.begin;
        if (ws->kept[RC_ZONE_H] && !plan->config.proj_size)
            plan->kernels->add(ws->dh + at, ws->kept[RC_ZONE_H] + at, size);
        if (ws->kept[RC_ZONE_C]) plan->kernels->add(ws->dc + at, ws->kept[RC_ZONE_C] + at, size);
    }
}

int rc_backward_step(const rc_backward_run *run, int64_t step, int ready, int starts, rc_slice *slice)
{
    const rnncore_plan *plan = run->plan;
    const rc_workspace *ws = run->ws;
    const rc_record at = rc_record_of_step(run, step);
    const int64_t rows = rc_batch_active(run->batch, step);
    if (plan->cell->reads_h) rc_gather_previous_h(run, step, rows, ws->h[0], slice);
    const rc_cell_args args = {
        .ld = plan->ld * plan->kernels->models,
        .ldg = plan->record_ld * plan->kernels->models,
        .gates = at.gates,
        .h_prev = ws->h[0],
        .dh = ws->dh,
        .dc = ws->dc,
        .c = at.raw_c ? at.raw_c : at.c,
        .mid = ws->mid,
        .c_prev = starts || !at.c ? ws->c : rc_record_of_step(run, step - 1).c,
        .options = run->weights.options,
        .vector = run->weights.vector,
        .numbers = ws->numbers ? ws->numbers + slice->index * run->batch->rows * RC_NORM_NUMBERS * plan->elem : NULL,
    };
    for (const rc_op *op = plan->backward; op->kind; op++) {
        switch (op->kind) {
        case RC_OP_GATHER: run_gather(run, op, &args, step, ready, slice); break;
        case RC_OP_ZONE: split_at_zones(run, step, slice); break;
        case RC_OP_PROJECT: project_back(run, op, &args, step, slice); break;
        case RC_OP_PRODUCT: multiply_back(run, op, &args, step, slice); break;
        case RC_OP_MATH: run_math(run, op->math, &args, 0, rows, slice); break;
        case RC_OP_NORM: rc_norm_rows(plan, op->index, &args, rows); break;
        case RC_OP_NORM_BACK: run_norm_back(plan, op, &args, rows); break;
        case RC_OP_KEEP: add_kept(run, step, slice); break;
        default: break; /* of forward */
        }
        if (op->meet && !rc_slice_sync(slice)) return 0;
    }
    return 1;
}
