/* SPDX-License-Identifier: MIT
 *
 * Backward over a stack of layers. Per layer, from the top: the time loops turn the gates on the tape into gate gradients,
 * a part and direction per thread, or one after the other on a crew whose threads share the units; then, all threads
 * together, the products over all tokens give the gradients of the parameters and of the input. */
#include "call.h"
#include "gradients.h"
#include "share.h"
#include "../base/fpenv.h"
#include "../base/team.h"

typedef struct backward_call {
    const rnncore_plan *plan;
    const void *weights;
    const rnncore_backward_args *args;
    int64_t valid, parts;
    int threads;             /* that may turn up */
    rc_batch *batch;         /* [parts] */
    rc_workspace *workspace; /* [parts * directions] */
    char *dy_top;            /* [valid][D*O]: the caller's dy when its features are not side by side */
    char *dy[2];             /* [valid][D*O]: gradients of the outputs of the layers below, in turn */
    char *dh_out[2];         /* [d][valid][out_ld], with a projection */
    int64_t segments;        /* of the steps, at least 1: what is computed again, or stays in the cache, at a time */
    int64_t segment_steps;
    int again;             /* whether the segments are computed again, into what follows; else the tape has all */
    rc_workspace *forward; /* [parts * directions] */
    rc_record record[2];   /* [N * segment_steps] of one layer */
    char *scratch;         /* [threads][scratch_bytes]: of the products */
    int64_t scratch_bytes;
    rc_items *items; /* see items_count */
    rc_crew *crew;   /* when units are shared; else NULL */
    rc_stop stop;
} backward_call;

/* A call, and the layer, the steps [first, last) and the direction that items are of. */
typedef struct layer_items {
    backward_call *call;
    int64_t layer, first, last;
    int direction;
} layer_items;

static int gathers_dy(const backward_call *call)
{
    return call->args->dy.data && call->args->dy.stride[2] != call->plan->elem;
}

/* Lists of items: gathered dy, padding of dx, and for each layer and segment the time loops, the products without the other
 * direction's dx, and that dx. */
static rc_keys keys_of(const rnncore_backward_args *a) { return (rc_keys){a->dropout_key, a->row_keys, a->batch}; }
static int64_t items_count(const backward_call *call) { return 2 + call->plan->config.num_layers * call->segments * 3; }

/* Threads that share a run's units, at most. */
static int64_t slices(const backward_call *call) { return call->crew ? call->threads : 1; }

/* What the computing again of one segment of one layer needs. */
static void take_segment(backward_call *call, rc_arena *arena, int64_t most_rows)
{
    const rnncore_plan *plan = call->plan;
    const int64_t runs = call->parts * plan->directions;
    const int64_t held = call->args->batch * call->segment_steps; /* at most T * N */
    call->forward = rc_arena_take(arena, runs, sizeof *call->forward);
    for (int64_t i = 0; i < runs; i++) {
        rc_workspace counted = {0};
        rc_workspace_take_forward(arena->base ? &call->forward[i] : &counted, arena, plan, most_rows,
                                  call->segment_steps, slices(call), call->crew ? RC_CREW_STEPS : call->segment_steps);
        if (call->args->recurrent_dropout > 0)
            rc_workspace_take_masks(arena->base ? &call->forward[i] : &counted, arena, plan, most_rows);
    }
    for (int d = 0; d < plan->directions; d++) call->record[d] = rc_record_take(arena, plan, held);
}

static void lay_out(backward_call *call, rc_arena *arena)
{
    const rnncore_plan *plan = call->plan;
    const rnncore_backward_args *a = call->args;
    const int64_t runs = call->parts * plan->directions, most_rows = (a->batch + call->parts - 1) / call->parts;
    call->batch = rc_batch_deal(arena, a->steps, a->batch, a->lengths, call->parts);
    call->workspace = rc_arena_take(arena, runs, sizeof *call->workspace);
    for (int64_t i = 0; i < runs; i++) {
        rc_workspace counted = {0};
        rc_workspace_take_backward(arena->base ? &call->workspace[i] : &counted, arena, plan, most_rows, slices(call));
        if (a->recurrent_dropout > 0)
            rc_workspace_take_masks(arena->base ? &call->workspace[i] : &counted, arena, plan, most_rows);
    }
    const int64_t out_row = plan->directions * plan->out * plan->elem, below = plan->config.num_layers - 1;
    call->dy_top = gathers_dy(call) ? rc_arena_take(arena, call->valid, out_row) : NULL;
    for (int i = 0; i < 2 && i < below; i++) call->dy[i] = rc_arena_take(arena, call->valid, out_row);
    for (int d = 0; d < plan->directions && plan->config.proj_size; d++)
        call->dh_out[d] = rc_arena_take(arena, call->valid, plan->out_ld * plan->elem);
    if (call->again) take_segment(call, arena, most_rows);
    call->items = rc_arena_take(arena, items_count(call), sizeof *call->items);
    call->scratch_bytes = rc_gradient_scratch_bytes(plan, a->backend == RNNCORE_BLAS || a->recurrent_dropout > 0);
    call->scratch = rc_arena_take(arena, call->threads, call->scratch_bytes);
}

/* Gradients of a layer's outputs: from the caller at the top, else from the layer above. */
static rc_rows output_gradients(const backward_call *call, int64_t layer)
{
    const rnncore_plan *plan = call->plan;
    const int64_t row = plan->directions * plan->out;
    if (layer < plan->config.num_layers - 1) return rc_compact_rows(call->dy[layer % 2], row, 0, plan->elem);
    return call->dy_top ? rc_compact_rows(call->dy_top, row, 0, plan->elem) : rc_array_rows(&call->args->dy, 0);
}

/* Steps that the buffers of gates hold when it is not all of them. */
static int64_t held_steps(const backward_call *call) { return call->again ? call->segment_steps : 0; }

/* What is recorded of the steps at hand. */
static const rc_record *record_of(const backward_call *call, const rc_tape *tape, int direction)
{
    return call->again ? &call->record[direction] : &tape->record[direction];
}

/* (N, H): c before the first step of a segment; NULL: the tape has all steps. */
static const char *first_c(const backward_call *call, const rc_tape *tape, int direction, int64_t first)
{
    const int64_t mark_bytes = call->args->batch * call->plan->hidden * call->plan->elem;
    if (first == 0) return tape->c0[direction];
    if (!tape->marks[direction]) return NULL;
    return tape->marks[direction] + (first / call->segment_steps - 1) * mark_bytes;
}

static rc_backward_run make_run(const layer_items *items, int64_t part, int direction, const rc_worker *worker)
{
    backward_call *call = items->call;
    const rnncore_plan *plan = call->plan;
    const rnncore_backward_args *a = call->args;
    const int64_t layer = items->layer, run = part * plan->directions + direction;
    const rc_tape tape = rc_tape_of(plan, a->tape, a->batch, call->valid, layer);
    const int64_t elem = plan->elem, row = plan->directions * plan->out, column = direction * plan->out;
    const int64_t in_size = rc_input_size(plan, layer), token = call->batch[part].first_token;
    rc_rows dy = output_gradients(call, layer);
    if (dy.data) dy.data += column * elem;
    return (rc_backward_run){
        .plan = plan,
        .batch = &call->batch[part],
        .weights = rc_weights_of(plan, call->weights, layer, direction),
        .direction = direction,
        .x = rc_compact_rows(tape.x, in_size, 0, elem),
        .dy = dy,
        .y = rc_compact_rows(tape.y, row, column, elem),
        .h0 = tape.h0[direction],
        .c0 = tape.c0[direction],
        .dh_n = rc_state_of(plan, a->dh_n, a->batch, plan->out, layer, direction),
        .dc_n = rc_state_of(plan, a->dc_n, a->batch, plan->hidden, layer, direction),
        .dh0 = rc_state_of(plan, a->dh0, a->batch, plan->out, layer, direction),
        .dc0 = rc_state_of(plan, a->dc0, a->batch, plan->hidden, layer, direction),
        .record = *record_of(call, &tape, direction),
        .shift = rc_held_row(call->batch, part, items->first, held_steps(call)),
        .dh_out = call->dh_out[direction] ? call->dh_out[direction] + token * plan->out_ld * elem : NULL,
        .c_first = first_c(call, &tape, direction, items->first),
        .in_size = in_size,
        .drop = rc_drop_of(plan, a->recurrent_dropout, keys_of(a), layer, direction),
        .zoneout = rc_zoneout_of(plan, &call->batch[part], keys_of(a), layer, direction),
        .backend = a->backend,
        .watch = rc_watch_of(plan, call->batch[part].rows, &call->stop, worker->stop),
        .ws = &call->workspace[run],
        .again = call->again ? &call->forward[run] : NULL,
    };
}

/* -- The pieces of the work ----------------------------------------------------------------------------------------- */

static void load_item(void *context, int64_t part, const rc_worker *worker)
{
    const backward_call *call = context;
    const rc_batch *batch = &call->batch[part];
    const int64_t size = call->plan->directions * call->plan->out, elem = call->plan->elem;
    (void)worker;
    rc_gather_tokens(batch, call->dy_top + batch->first_token * size * elem, &call->args->dy, size, elem);
}

static void sequence_item(void *context, int64_t i, const rc_worker *worker)
{
    const layer_items *items = context;
    const int directions = items->call->plan->directions;
    const rc_stop *stop = &items->call->stop;
    if (rc_stopped(stop)) return;
    const rc_backward_run run = make_run(items, i / directions, (int)(i % directions), worker);
    if (items->last >= items->call->args->steps) rc_backward_begin(&run);
    if (items->call->again) rc_backward_again(&run, items->first, items->last, items->call->crew);
    if (!rc_stopped(stop)) rc_backward_steps(&run, items->first, items->last, items->call->crew);
    if (items->first == 0 && !rc_stopped(stop)) rc_backward_end(&run);
}

/* Tokens of a part in the steps of the items, and in *before those before them. */
static int64_t segment_tokens(const layer_items *items, int64_t part, int64_t *before)
{
    const rc_batch *batch = &items->call->batch[part];
    *before = items->first < batch->steps ? rc_batch_offset(batch, items->first) : batch->tokens;
    return (items->last < batch->steps ? rc_batch_offset(batch, items->last) : batch->tokens) - *before;
}

/* Pieces of the input gradients of each part, all alike; parts with fewer tokens leave some empty. */
static int64_t input_pieces(const layer_items *items)
{
    int64_t most = 0, before;
    if (items->layer == 0 && !items->call->args->dx.data) return 0;
    for (int64_t p = 0; p < items->call->parts; p++) {
        const int64_t tokens = segment_tokens(items, p, &before);
        if (tokens > most) most = tokens;
    }
    return (most + RC_INPUT_TOKENS - 1) / RC_INPUT_TOKENS;
}

static void input_item(const layer_items *items, int64_t i, char *scratch)
{
    const backward_call *call = items->call;
    const rnncore_plan *plan = call->plan;
    const rnncore_backward_args *a = call->args;
    const int64_t part = i % call->parts, done = i / call->parts * RC_INPUT_TOKENS;
    const rc_batch *batch = &call->batch[part];
    const rc_tape tape = rc_tape_of(plan, a->tape, a->batch, call->valid, items->layer);
    int64_t before;
    const int64_t left = segment_tokens(items, part, &before) - done;
    if (left <= 0) return;
    const int64_t row = rc_held_row(call->batch, part, items->first, held_steps(call)) + before + done;
    const rc_input_task task = {
        .plan = plan,
        .batch = batch,
        .weights = call->weights,
        .layer = items->layer,
        .direction = items->direction,
        .first = before + done,
        .tokens = left < RC_INPUT_TOKENS ? left : RC_INPUT_TOKENS,
        .segment_steps = call->segment_steps,
        .gates = rc_record_at(plan, record_of(call, &tape, items->direction), row).gates,
        .dx = items->layer ? output_gradients(call, items->layer - 1) : rc_array_rows(&a->dx, 0),
        .keys = keys_of(a),
        .backend = a->backend,
    };
    rc_input_gradient(&task, scratch);
}

static void weight_item(const layer_items *items, int64_t i, char *scratch, const rc_stop *asker)
{
    backward_call *call = items->call;
    const rnncore_plan *plan = call->plan;
    const rnncore_backward_args *a = call->args;
    const rc_tape tape = rc_tape_of(plan, a->tape, a->batch, call->valid, items->layer);
    const int64_t ranges = rc_unit_ranges(plan, items->layer, call->threads);
    const int products = rc_gradient_count(plan), d = (int)(i / (ranges * products));
    const rc_gradient_source source = {
        .plan = plan,
        .batch = call->batch,
        .parts = call->parts,
        .first = items->first,
        .last = items->last,
        .held = held_steps(call),
        .direction = d,
        .layer = items->layer,
        .x = tape.x,
        .y = tape.y,
        .h0 = tape.h0[d],
        .record = *record_of(call, &tape, d),
        .c_first = first_c(call, &tape, d, items->first),
        .dh_out = call->dh_out[d],
        .workspace = a->recurrent_dropout > 0 ? call->workspace : NULL,
        .grads = a->grads,
        .backend = a->backend,
        .watch = {&call->stop, asker != NULL, RC_LOOK_BLOCKS - 1},
    };
    rc_weight_gradient(&source, (int)(i / ranges % products), i % ranges, ranges, items->last < a->steps, scratch);
}

static int64_t weight_pieces(const layer_items *items)
{
    const rnncore_plan *plan = items->call->plan;
    return plan->directions * rc_gradient_count(plan) * rc_unit_ranges(plan, items->layer, items->call->threads);
}

/* First the weight gradients, which are larger. */
static void product_item(void *context, int64_t i, const rc_worker *worker)
{
    const layer_items *items = context;
    const int64_t weights = weight_pieces(items);
    char *scratch = items->call->scratch + worker->seat * items->call->scratch_bytes;
    if (worker->stop ? rc_stop_ask(worker->stop) : rc_stopped(&items->call->stop)) return;
    if (i < weights) weight_item(items, i, scratch, worker->stop);
    else input_item(items, i - weights, scratch);
}

static void reverse_item(void *context, int64_t i, const rc_worker *worker)
{
    const layer_items *items = context;
    if (worker->stop ? rc_stop_ask(worker->stop) : rc_stopped(&items->call->stop)) return;
    input_item(items, i, items->call->scratch + worker->seat * items->call->scratch_bytes);
}

static void padding_item(void *context, int64_t part, const rc_worker *worker)
{
    const backward_call *call = context;
    const rnncore_plan *plan = call->plan;
    (void)worker;
    rc_zero_padding(&call->batch[part], &call->args->dx, call->args->steps, plan->config.input_size, plan->elem);
}

/* -- The order of the work ------------------------------------------------------------------------------------------ */

/* Items for all threads: those that have come here, or the crew that this one leads. */
static void share(const backward_call *call, rc_items *items, int64_t count, rc_item_fn *item, void *context,
                  const rc_worker *worker)
{
    if (call->crew) rc_crew_items(call->crew, items, count, item, context, worker);
    else rc_items_run(items, count, item, context, worker);
}

static void walk_segments(backward_call *call, const rc_worker *worker)
{
    const rnncore_plan *plan = call->plan;
    rc_items *next = call->items;
    if (call->dy_top) share(call, next++, call->parts, load_item, call, worker);
    if (call->args->dx.data && call->args->lengths) share(call, next++, call->parts, padding_item, call, worker);
    for (int64_t i = plan->config.num_layers * call->segments - 1; i >= 0 && !rc_stopped(&call->stop); i--) {
        layer_items items = {.call = call, .layer = i / call->segments};
        items.first = i % call->segments * call->segment_steps;
        items.last = items.first + call->segment_steps;
        const int64_t runs = call->parts * plan->directions, inputs = call->parts * input_pieces(&items);
        if (call->crew)
            for (int64_t run = 0; run < runs; run++) sequence_item(&items, run, worker);
        else rc_items_run(next++, runs, sequence_item, &items, worker);
        share(call, next++, weight_pieces(&items) + inputs, product_item, &items, worker);
        items.direction = 1;
        if (plan->directions == 2) share(call, next++, inputs, reverse_item, &items, worker);
    }
}

static void backward_work(void *context, const rc_worker *worker)
{
    backward_call *call = context;
    if (!call->crew) {
        walk_segments(call, worker);
    } else if (worker->seat == 0) {
        rc_crew_open(call->crew, worker);
        walk_segments(call, worker);
        rc_crew_close(call->crew);
    } else {
        rc_crew_follow(call->crew, worker);
    }
}

/* Segments as they are: the last ones of a tape may have no steps. */
static void set_segments(backward_call *call, int64_t segments)
{
    const int64_t steps = call->args->steps > 0 ? call->args->steps : 1,
                  cached = rc_cached_steps(call->plan, call->args->batch, call->valid, call->threads);
    call->again = segments > 0;
    call->segment_steps = !call->again && cached && cached < steps ? cached : rc_segment_steps(steps, segments);
    call->segments = (steps + call->segment_steps - 1) / call->segment_steps;
}

static rnncore_status run_call(backward_call *call)
{
    rc_arena counting = rc_arena_counting();
    lay_out(call, &counting);
    const size_t bytes = rc_arena_bytes(&counting);
    if (!bytes) return RNNCORE_ERROR_OVERFLOW;
    void *memory = rnncore_alloc(bytes);
    if (!memory) return RNNCORE_ERROR_MEMORY;
    rc_arena arena = rc_arena_over(memory, bytes);
    lay_out(call, &arena);
    for (int64_t i = 0; i < items_count(call); i++) call->items[i] = (rc_items){0, 0};
    rc_team_run(call->args->team, call->threads, backward_work, call, &call->stop);
    rnncore_free(memory);
    if (!rc_stopped(&call->stop)) return RNNCORE_OK;
    *(rc_tape_header *)call->args->tape = rc_no_tape;
    return RNNCORE_CANCELLED;
}

static rnncore_status run_backward(const rnncore_plan *plan, const void *weights, const rnncore_backward_args *given,
                                   rc_fpenv outside)
{
    rnncore_backward_args own;
    const rnncore_backward_args *args = &own;
    backward_call call = {.plan = plan, .weights = weights, .args = args};
    rnncore_status status = rc_take_backward(plan, weights, given, &own, &call.valid);
    if (status) return status;
    const rc_tape_header *header = args->tape;
    if (header->steps != args->steps || header->batch != args->batch || header->valid != call.valid)
        return RNNCORE_ERROR_ARGUMENT;
    if (header->segments && args->backend == RNNCORE_FUSED && !(rc_weights_uses(weights) & RNNCORE_PACK_FORWARD))
        return RNNCORE_ERROR_ARGUMENT;
    call.stop = (rc_stop){args->cancel, args->cancel_context, args->cancel_every, 0, outside, 0};
    call.parts = header->parts;
    call.threads = rc_worth_threads(plan, 2 * call.valid, args->threads);
    set_segments(&call, header->segments);
    const int units = rc_backward_units(plan, args, call.parts, call.threads);
    call.crew = rc_crew_create(call.threads, units, rc_patience(plan, 2 * call.valid));
    status = run_call(&call);
    rc_crew_destroy(call.crew);
    return status;
}

rnncore_status rnncore_backward(const rnncore_plan *plan, const void *weights, const rnncore_backward_args *args)
{
    const rc_fpenv outside = rc_fpenv_enter();
    const rnncore_status status = run_backward(plan, weights, args, outside);
    rc_fpenv_leave(outside);
    return status;
}
