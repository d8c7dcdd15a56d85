/* SPDX-License-Identifier: MIT
 * See stack.h. */
#include "share.h"

#include "../base/tuning.h"

/* Floating-point operations of a forward call. */
static double forward_flops(const rnncore_plan *plan, int64_t tokens)
{
    const double upper = (double)(plan->config.num_layers - 1) * (plan->directions + 1.0) * (double)plan->out;
    const double flops_per_token = 2.0 * plan->cell->gates * (double)plan->hidden * plan->directions *
                                   ((double)plan->config.input_size + (double)rc_recurrent_columns(plan) + upper);
    return flops_per_token * (double)tokens;
}

int rc_worth_threads(const rnncore_plan *plan, int64_t tokens, int threads)
{
    const double worth = forward_flops(plan, tokens) / RC_MIN_FLOPS_PER_THREAD;
    return worth < 1 ? 1 : worth < threads ? (int)worth : threads;
}

rc_watch rc_watch_of(const rnncore_plan *plan, int64_t rows, rc_stop *stop, const rc_stop *asker)
{
    const double flops = forward_flops(plan, rows > 1 ? rows : 1);
    rc_watch watch = {stop, asker != NULL, 0};
    while ((double)(watch.mask + 1) * flops < RC_LOOK_FLOPS) watch.mask = 2 * watch.mask + 1;
    return watch;
}

double rc_patience(const rnncore_plan *plan, int64_t tokens)
{
    const double seconds = RC_PATIENCE * forward_flops(plan, tokens) / RC_FLOPS_PER_SECOND;
    return seconds < RC_WAKE_SECONDS ? 0 : seconds < RC_MOST_PATIENCE ? seconds : RC_MOST_PATIENCE;
}

/* Whether a layer may begin before the one below has ended, and the steps are enough to make that worth while. */
static int can_follow_layers(const rnncore_plan *plan, const rnncore_forward_args *a)
{
    return plan->directions == 1 && plan->config.num_layers > 1 && a->steps >= 4 * RC_WAVE_STEPS &&
           !(a->tape && plan->config.dropout > 0);
}

/* Rows for each thread that are still few: better shared out by units, directions or layers. */
static int64_t few_rows(int64_t weights, int fits, int taped)
{
    if (weights < RC_FEW_ROWS_WEIGHTS) return 0;
    if (taped) return fits ? 0 : RC_FEW_ROWS; /* weight gradients want the gates of whole rows */
    return fits ? RC_FEW_ROWS : RC_MANY_ROWS;
}

/* Multiply-adds of a step of all rows. */
static int64_t step_work(const rnncore_plan *plan, int64_t batch, int64_t columns)
{
    return batch * plan->cell->gates * plan->hidden * columns;
}

/* How many of the threads are worth sharing the units of a step of so much work: 1 where it is not. */
static int unit_threads(const rnncore_plan *plan, int64_t work, int threads)
{
    int64_t n = 1;
    while (n < threads && n < plan->blocks && (n + 1) * (n + 1) * RC_MEETING_WORK <= work) n++;
    return (int)n;
}

/* Whether the layers of so many threads behind each other end sooner than their steps, shared by units, one after the other. (Three
 * layers on two threads take as long as two: LSTM, H = 200, one row is 1.27 times as fast when units are shared.) */
static int layers_are_faster(const rnncore_plan *plan, int64_t work, int threads, int units)
{
    const int64_t layers = plan->config.num_layers, rounds = (layers + threads - 1) / threads;
    return layers * (work / units + units * RC_MEETING_WORK) >= rounds * work;
}

rc_strategy rc_choose_strategy(const rnncore_plan *plan, const rnncore_forward_args *a, int64_t valid)
{
    const int threads = rc_worth_threads(plan, valid, a->threads);
    const int64_t recurrent = rc_recurrent_columns(plan);
    const int64_t columns = recurrent ? recurrent : rc_input_size(plan, plan->config.num_layers - 1);
    const int64_t step_weights = step_work(plan, 1, columns), work = step_work(plan, a->batch, columns);
    const int fits =
        rc_store_bytes(plan->config.store, plan->out, plan->cell->gates * plan->hidden, plan->elem) <= plan->l2_bytes;
    const int parts = a->batch < 1 ? 1 : a->batch < threads ? (int)a->batch : threads;
    const rc_strategy by_rows = {RC_SPLIT_ROWS, parts, parts};
    if (threads == 1) return by_rows;
    if (a->batch >= threads && !recurrent) return by_rows; /* its product has the rows of a whole chunk */
    if (a->batch >= threads && a->batch > few_rows(step_weights, fits, a->tape != NULL) * threads) return by_rows;
    if (plan->directions == 2 && threads == 2) return (rc_strategy){RC_SPLIT_DIRECTIONS, 2, 1};
    const int units = a->backend == RNNCORE_FUSED ? unit_threads(plan, work, threads) : 1;
    if (can_follow_layers(plan, a) && fits && layers_are_faster(plan, work, threads, units)) {
        const int64_t layers = plan->config.num_layers;
        return (rc_strategy){RC_SPLIT_LAYERS, layers < threads ? (int)layers : threads, 1};
    }
    /* A row alone costs about twice what it costs among many. */
    return units > 1 && 2 * units >= parts ? (rc_strategy){RC_SPLIT_UNITS, units, 1} : by_rows;
}

/* -- Backward ---------------------------------------------------------------------------------------------------------- */

int rc_backward_units(const rnncore_plan *plan, const rnncore_backward_args *a, int64_t parts, int threads)
{
    if (parts > 1 || plan->directions >= threads || a->backend != RNNCORE_FUSED) return 1;
    return unit_threads(plan, step_work(plan, a->batch, rc_recurrent_columns(plan)), threads);
}

int64_t rc_unit_ranges(const rnncore_plan *plan, int64_t layer, int threads)
{
    const int64_t input = rc_input_size(plan, layer), recurrent = rc_recurrent_columns(plan);
    const int64_t widest = input > recurrent ? input : recurrent;
    const int64_t bytes = plan->cell->gates * plan->hidden * widest * plan->elem;
    const int64_t shared = threads > 1 ? threads * RC_PIECES_PER_THREAD / (2 * plan->directions) : 1;
    const int64_t most = plan->l2_bytes / 2 < RC_OUTER_BYTES ? plan->l2_bytes / 2 : RC_OUTER_BYTES;
    const int64_t cached = (bytes + most - 1) / most, ranges = shared > cached ? shared : cached;
    return ranges < 1 ? 1 : ranges < plan->out ? ranges : plan->out;
}

int64_t rc_cached_steps(const rnncore_plan *plan, int64_t batch, int64_t valid, int threads)
{
    const int64_t row = plan->record_ld * plan->elem;
    const int64_t widest = plan->config.input_size > plan->out ? plan->config.input_size : plan->out;
    const int64_t weights = 2 * plan->cell->gates * plan->hidden * widest * plan->elem;
    if (threads > 1 || valid * row <= plan->l2_bytes / RC_CACHED_GATES || weights > plan->l2_bytes / RC_CACHED_WEIGHTS)
        return 0;
    const int64_t tokens = plan->l2_bytes / RC_SEGMENT_GATES / row / RC_OUTER_TOKENS * RC_OUTER_TOKENS;
    if (!batch) batch = 1;
    return ((tokens > RC_OUTER_TOKENS ? tokens : RC_OUTER_TOKENS) + batch - 1) / batch;
}
