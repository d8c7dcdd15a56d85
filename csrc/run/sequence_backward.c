/* SPDX-License-Identifier: MIT
 *
 * Backward through time, all cells: the walk of sequence.c in reverse. A tape of segments is walked segment by segment: what it
 * does not hold is computed again first, by the steps of forward and so to the same bits. */
#include <string.h>

#include "../base/tuning.h"
#include "sequence.h"

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

/* Whether the call ends before this step. A round of several threads ends together: its leader leaves when they have gone. */
static int ends(const rc_backward_run *run, int64_t step, rc_slice *slice)
{
    if (slice->index != 0 || !rc_watch_ends(&run->watch, step)) return 0;
    rc_slice_dismiss(slice);
    return slice->count == 1;
}

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
        .ldg = plan->record_ld,
        .to = rc_record_of_step(run, step),
        .zoneout = &run->zoneout,
        .step = step,
        .c_prev = step == first || !run->record.c ? run->again->c : rc_record_of_step(run, step - 1).c,
        .backend = run->backend,
    };
    if (!rc_forward_step(&s, slice)) return 0;
    if (slice->index == slice->count - 1) rc_record_clear_padding(plan, &s.to, rows);
    return 1;
}

static void round_again(void *context, rc_slice *slice)
{
    const backward_round *round = context;
    const rc_backward_run *run = round->run;
    rc_input_product(run->plan, &run->weights, run->backend,
                     rc_batch_offset(run->batch, round->last) - rc_batch_offset(run->batch, round->first),
                     run->again->in, rc_record_of_step(run, round->first).gates, run->plan->record_ld, slice);
    for (int64_t s = round->first; s < round->last; s++)
        if (ends(run, s, slice) || !step_again(run, s, round->segment, slice)) return;
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
        rc_point_rows(ws->in_h[i], ws->h[i], batch->rows, out_row);
    }
    if (first < end) rc_gather_previous_h(run, first, rc_batch_active(batch, first), ws->h[first & 1], &alone);
    rc_load_state(batch, ws->c, plan->ld, run->c_first, plan->hidden, plan->elem);
    if (ws->mask) {
        rc_draw_masks(plan, batch, &run->drop, ws);
        rc_start_dropped(plan, batch, ws, (int)(first & 1));
    }
    for (int64_t begin = first; begin < end; begin += ws->chunk) {
        const int64_t stop = begin + ws->chunk < end ? begin + ws->chunk : end;
        backward_round round = {.run = run, .segment = first, .first = begin, .last = stop};
        point_inputs(run, begin, stop);
        rc_crew_round(crew, round_again, &round);
        if (rc_stopped(run->watch.stop)) return;
    }
}

/* -- Steps ---------------------------------------------------------------------------------------------------------- */

static void round_steps(void *context, rc_slice *slice)
{
    const backward_round *round = context;
    const rc_backward_run *run = round->run;
    for (int64_t s = round->last - 1; s >= round->first; s--) {
        if (ends(run, s, slice)) return;
        const int ready = round->ready && s == round->last - 1, starts = s == round->segment && run->c_first;
        if (!rc_backward_step(run, s, ready, starts, slice)) return;
    }
    /* The step before the segment, while the gate gradients that it needs are there. */
    if (round->first == round->segment && round->segment > 0) rc_complete_gradients(run, round->segment - 1, slice);
}

void rc_backward_begin(const rc_backward_run *run)
{
    const rnncore_plan *plan = run->plan;
    const rc_batch *batch = run->batch;
    rc_workspace *ws = run->ws;
    memset(ws->zero, 0, (size_t)(rc_widest_row(plan) * plan->elem));
    memset(ws->h[0], 0, (size_t)(batch->rows * plan->out_ld * plan->elem));
    rc_load_state(batch, plan->config.proj_size ? ws->h[1] : ws->dh, plan->out_ld, run->dh_n, plan->out, plan->elem);
    rc_load_state(batch, ws->dc, plan->ld, run->dc_n, plan->hidden, plan->elem);
    if (ws->mask) rc_draw_masks(plan, batch, &run->drop, ws);
    if (ws->kept[RC_ZONE_H]) memset(ws->kept[RC_ZONE_H], 0, (size_t)(batch->rows * plan->out_ld * plan->elem));
}

void rc_backward_steps(const rc_backward_run *run, int64_t first, int64_t last, rc_crew *crew)
{
    const rnncore_plan *plan = run->plan;
    const rc_batch *batch = run->batch;
    const int64_t steps = last < batch->steps ? last : batch->steps, most = crew ? RC_CREW_STEPS : steps;
    if (run->c_first) rc_load_state(batch, run->ws->c, plan->ld, run->c_first, plan->hidden, plan->elem);
    for (int64_t end = steps; end > first; end -= most) {
        const int64_t begin = end - most > first ? end - most : first;
        backward_round round = {.run = run, .segment = first, .first = begin, .last = end};
        round.ready = end == last && last < batch->steps;
        rc_crew_round(crew, round_steps, &round);
        if (rc_stopped(run->watch.stop)) return;
    }
}

/* Gradient of the initial state: what goes around the first step's product and what comes through it. */
void rc_backward_end(const rc_backward_run *run)
{
    const rnncore_plan *plan = run->plan;
    const rc_batch *batch = run->batch;
    const rc_slice alone = {.index = 0, .count = 1};
    char *dh = plan->config.proj_size ? run->ws->h[1] : run->ws->dh;
    rc_complete_initial(run, dh, &alone);
    rc_store_state(batch, dh, plan->out_ld, run->dh0, plan->out, plan->elem, 0, batch->rows);
    if (plan->cell->has_c)
        rc_store_state(batch, run->ws->dc, plan->ld, run->dc0, plan->hidden, plan->elem, 0, batch->rows);
}
