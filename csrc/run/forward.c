/* SPDX-License-Identifier: MIT
 *
 * Forward over a stack of layers: checks, memory, and the order of layers, directions and parts on the team. */
#include <string.h>

#include "call.h"
#include "sequence.h"
#include "share.h"
#include "../base/fpenv.h"
#include "../base/team.h"
#include "../base/tuning.h"

typedef struct forward_call {
    const rnncore_plan *plan;
    const void *weights;
    const rnncore_forward_args *args;
    rc_strategy strategy;
    int64_t valid, parts;
    rc_batch *batch;         /* [parts] */
    rc_workspace *workspace; /* [parts * directions], or [layers] when those are split */
    char *between[2];        /* [valid][D*O]: outputs of the layers in turn, inference only */
    rc_items *items;       /* [2 * layers]: inputs and runs of each layer; one for all when rows or layers are split */
    _Atomic int64_t *done; /* [layers]: steps done by each, when layers are split */
    rc_crew *crew;         /* when units are split */
    rc_stop stop;
} forward_call;

static rc_keys keys_of(const rnncore_forward_args *a) { return (rc_keys){a->dropout_key, a->row_keys, a->batch}; }

static void lay_out(forward_call *call, rc_arena *arena)
{
    const rnncore_plan *plan = call->plan;
    const rnncore_forward_args *a = call->args;
    const rc_split split = call->strategy.split;
    const int64_t runs = split == RC_SPLIT_LAYERS ? plan->config.num_layers : call->parts * plan->directions;
    const int64_t most_rows = (a->batch + call->parts - 1) / call->parts;
    const int64_t most_steps = split == RC_SPLIT_LAYERS  ? RC_WAVE_STEPS
                               : split == RC_SPLIT_UNITS ? RC_CREW_STEPS
                                                         : a->steps;
    call->batch = rc_batch_deal(arena, a->steps, a->batch, a->lengths, call->parts);
    call->workspace = rc_arena_take(arena, runs, sizeof *call->workspace);
    for (int64_t i = 0; i < runs; i++) {
        rc_workspace counted = {0};
        rc_workspace_take_forward(arena->base ? &call->workspace[i] : &counted, arena, plan, most_rows, a->steps,
                                  split == RC_SPLIT_UNITS ? call->strategy.threads : 1, most_steps);
        if (a->tape && a->recurrent_dropout > 0)
            rc_workspace_take_masks(arena->base ? &call->workspace[i] : &counted, arena, plan, most_rows);
    }
    call->done = rc_arena_take(arena, plan->config.num_layers, sizeof *call->done);
    call->items = rc_arena_take(arena, 2 * plan->config.num_layers, sizeof *call->items);
    const int64_t between = a->tape ? 0 : plan->config.num_layers - 1;
    for (int i = 0; i < 2 && i < between; i++)
        call->between[i] = rc_arena_take(arena, call->valid, plan->directions * plan->out * plan->elem);
}

/* The run of one part, layer and direction: where its input, outputs, states and tape are. */
static rc_forward_run make_run(forward_call *call, int64_t layer, int64_t part, int direction, const rc_worker *worker)
{
    const rnncore_plan *plan = call->plan;
    const rnncore_forward_args *a = call->args;
    const rc_batch *batch = &call->batch[part];
    const int64_t elem = plan->elem, row = plan->directions * plan->out, column = direction * plan->out;
    const int is_last = layer == plan->config.num_layers - 1;
    rc_forward_run run = {
        .plan = plan,
        .batch = batch,
        .weights = rc_weights_of(plan, call->weights, layer, direction),
        .direction = direction,
        .in_size = rc_input_size(plan, layer),
        .backend = a->backend,
        .h0 = rc_state_of(plan, a->h0, a->batch, plan->out, layer, direction),
        .c0 = rc_state_of(plan, a->c0, a->batch, plan->hidden, layer, direction),
        .h_n = rc_state_of(plan, a->h_n, a->batch, plan->out, layer, direction),
        .c_n = rc_state_of(plan, a->c_n, a->batch, plan->hidden, layer, direction),
        .watch = rc_watch_of(plan, batch->rows, &call->stop, worker->stop),
        .ws = &call->workspace[part * plan->directions + direction],
    };
    if (call->strategy.split == RC_SPLIT_LAYERS) {
        run.ws = &call->workspace[layer];
        run.ready = layer ? &call->done[layer - 1] : NULL;
        run.done = &call->done[layer];
    }
    if (a->tape) {
        const rc_tape tape = rc_tape_of(plan, a->tape, a->batch, call->valid, layer);
        run.drop = rc_drop_of(plan, a->recurrent_dropout, keys_of(a), layer, direction);
        run.x = rc_compact_rows(tape.x, run.in_size, 0, elem);
        run.y[0] = rc_compact_rows(tape.y, row, column, elem);
        run.record = rc_record_at(plan, &tape.record[direction], batch->first_token);
        run.zoneout = rc_zoneout_of(plan, batch, keys_of(a), layer, direction);
        run.has_tape = 1;
        run.marks = tape.marks[direction];
        run.mark_row = plan->hidden * elem;
        run.mark_every = rc_segment_steps(a->steps, a->segments);
        run.mark_bytes = a->batch * run.mark_row;
    } else {
        run.x = layer ? rc_compact_rows(call->between[(layer - 1) % 2], run.in_size, 0, elem) : rc_array_rows(&a->x, 0);
        if (!is_last) run.y[0] = rc_compact_rows(call->between[layer % 2], row, column, elem);
    }
    if (is_last) run.y[1] = rc_array_rows(&a->y, column);
    return run;
}

/* Before a part's layer runs with a tape: its input, and the initial states for backward. */
static void record_inputs(const forward_call *call, int64_t layer, int64_t part)
{
    const rnncore_plan *plan = call->plan;
    const rnncore_forward_args *a = call->args;
    const rc_batch *batch = &call->batch[part];
    const rc_tape tape = rc_tape_of(plan, a->tape, a->batch, call->valid, layer);
    const int64_t row = rc_input_size(plan, layer) * plan->elem;
    char *x = tape.x + batch->first_token * row;
    if (layer == 0) {
        rc_gather_tokens(batch, x, &a->x, plan->config.input_size, plan->elem);
    } else if (rc_drops_input(plan, layer)) {
        const rc_tape below = rc_tape_of(plan, a->tape, a->batch, call->valid, layer - 1);
        const rc_keys keys = keys_of(a);
        rc_drop_tokens(plan, batch, &keys, layer - 1, x, below.y + batch->first_token * row,
                       rc_input_size(plan, layer));
    }
}

static void record_states(const forward_call *call)
{
    const rnncore_plan *plan = call->plan;
    const rnncore_forward_args *a = call->args;
    for (int64_t i = 0; i < plan->config.num_layers * plan->directions; i++) {
        const int64_t layer = i / plan->directions;
        const int d = (int)(i % plan->directions);
        const rc_tape tape = rc_tape_of(plan, a->tape, a->batch, call->valid, layer);
        const size_t h_bytes = (size_t)(a->batch * plan->out * plan->elem);
        const size_t c_bytes = (size_t)(a->batch * plan->hidden * plan->elem);
        const char *h0 = rc_state_of(plan, a->h0, a->batch, plan->out, layer, d);
        const char *c0 = rc_state_of(plan, a->c0, a->batch, plan->hidden, layer, d);
        if (h0) memcpy(tape.h0[d], h0, h_bytes);
        else memset(tape.h0[d], 0, h_bytes);
        if (tape.c0[d] && c0) memcpy(tape.c0[d], c0, c_bytes);
        else if (tape.c0[d]) memset(tape.c0[d], 0, c_bytes);
    }
}

static void run_layer(forward_call *call, int64_t layer, int64_t part, int direction, const rc_worker *worker)
{
    const rc_forward_run run = make_run(call, layer, part, direction, worker);
    rc_forward_sequence(&run, call->crew);
}

static void zero_padding(const forward_call *call, int64_t part)
{
    rc_zero_padding(&call->batch[part], &call->args->y, call->args->steps, call->plan->directions * call->plan->out,
                    call->plan->elem);
}

/* A part from its input to its output: needs nobody. */
static void part_item(void *context, int64_t part, const rc_worker *worker)
{
    forward_call *call = context;
    for (int64_t layer = 0; layer < call->plan->config.num_layers && !rc_stopped(&call->stop); layer++) {
        if (call->args->tape) record_inputs(call, layer, part);
        for (int d = 0; d < call->plan->directions; d++) run_layer(call, layer, part, d, worker);
    }
    zero_padding(call, part);
}

/* The directions of one layer; there is one part. */
typedef struct layer_items {
    forward_call *call;
    int64_t layer;
} layer_items;

static void input_item(void *context, int64_t part, const rc_worker *worker)
{
    const layer_items *items = context;
    (void)worker;
    record_inputs(items->call, items->layer, part);
}

static void direction_item(void *context, int64_t direction, const rc_worker *worker)
{
    const layer_items *items = context;
    run_layer(items->call, items->layer, 0, (int)direction, worker);
}

static void walk_directions(forward_call *call, const rc_worker *worker)
{
    for (int64_t layer = 0; layer < call->plan->config.num_layers; layer++) {
        layer_items items = {call, layer};
        if (call->args->tape) rc_items_run(&call->items[2 * layer], 1, input_item, &items, worker);
        rc_items_run(&call->items[2 * layer + 1], call->plan->directions, direction_item, &items, worker);
    }
    if (worker->seat == 0) zero_padding(call, 0);
}

/* A layer from its first step to its last, behind the one below. */
static void layer_item(void *context, int64_t layer, const rc_worker *worker)
{
    forward_call *call = context;
    if (call->args->tape) record_inputs(call, layer, 0);
    run_layer(call, layer, 0, 0, worker);
    if (layer == call->plan->config.num_layers - 1) zero_padding(call, 0);
}

static void walk_units(forward_call *call, const rc_worker *worker)
{
    if (worker->seat == 0) {
        if (call->crew) rc_crew_open(call->crew, worker);
        part_item(call, 0, worker);
        if (call->crew) rc_crew_close(call->crew);
    } else if (call->crew) {
        rc_crew_follow(call->crew, worker);
    }
}

static void forward_work(void *context, const rc_worker *worker)
{
    forward_call *call = context;
    switch (call->strategy.split) {
    case RC_SPLIT_ROWS: rc_items_run(call->items, call->parts, part_item, call, worker); break;
    case RC_SPLIT_DIRECTIONS: walk_directions(call, worker); break;
    case RC_SPLIT_LAYERS: rc_items_run(call->items, call->plan->config.num_layers, layer_item, call, worker); break;
    case RC_SPLIT_UNITS: walk_units(call, worker); break;
    }
}

static rnncore_status run_forward(const rnncore_plan *plan, const void *weights, const rnncore_forward_args *given,
                                  rc_fpenv outside)
{
    rnncore_forward_args own;
    const rnncore_forward_args *args = &own;
    forward_call call = {.plan = plan, .weights = weights, .args = args};
    rnncore_status status = rc_take_forward(plan, given, &own, &call.valid);
    if (status) return status;
    const int needed = args->backend == RNNCORE_BLAS ? RNNCORE_PACK_BLAS : RNNCORE_PACK_FORWARD;
    if (!weights || !(rc_weights_uses(weights) & needed)) return RNNCORE_ERROR_ARGUMENT;

    call.stop = (rc_stop){args->cancel, args->cancel_context, args->cancel_every, 0, outside, 0};
    call.strategy = rc_choose_strategy(plan, args, call.valid);
    call.parts = call.strategy.parts;
    rc_arena counting = rc_arena_counting();
    lay_out(&call, &counting);
    const size_t bytes = rc_arena_bytes(&counting);
    if (!bytes) return RNNCORE_ERROR_OVERFLOW;
    void *memory = rnncore_alloc(bytes);
    if (!memory) return RNNCORE_ERROR_MEMORY;
    rc_arena arena = rc_arena_over(memory, bytes);
    lay_out(&call, &arena);

    for (int64_t i = 0; i < 2 * plan->config.num_layers; i++) call.items[i] = (rc_items){0, 0};
    for (int64_t i = 0; i < plan->config.num_layers; i++) atomic_init(&call.done[i], 0);
    if (args->tape) {
        *(rc_tape_header *)args->tape =
            (rc_tape_header){args->steps, args->batch, call.valid, call.parts, args->segments};
        record_states(&call);
    }
    if (call.strategy.split == RC_SPLIT_UNITS)
        call.crew = rc_crew_create(call.strategy.threads, call.strategy.threads, rc_patience(plan, call.valid));
    rc_team_run(args->team, call.strategy.threads, forward_work, &call, &call.stop);
    rc_crew_destroy(call.crew);
    rnncore_free(memory);
    if (!rc_stopped(&call.stop)) return RNNCORE_OK;
    if (args->tape) *(rc_tape_header *)args->tape = rc_no_tape;
    return RNNCORE_CANCELLED;
}

rnncore_status rnncore_forward(const rnncore_plan *plan, const void *weights, const rnncore_forward_args *args)
{
    const rc_fpenv outside = rc_fpenv_enter();
    const rnncore_status status = run_forward(plan, weights, args, outside);
    rc_fpenv_leave(outside);
    return status;
}
