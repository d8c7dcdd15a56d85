/* SPDX-License-Identifier: MIT
 *
 * Backward over a stack of layers. Per layer, from the top: the time loops turn the gates on the tape into gate gradients;
 * then, all threads together, the products over all tokens give the gradients of the parameters and of the input. */
#include <string.h>

#include "check.h"
#include "gradients.h"
#include "stack.h"
#include "team.h"

typedef struct backward_call {
    const rnncore_plan *plan;
    const void *weights;
    const rnncore_backward_args *args;
    int64_t valid, parts;
    int threads;                 /* that may turn up */
    rc_batch *batch;             /* [parts] */
    rc_workspace *workspace;     /* [parts * directions] */
    char *dy[2];                 /* [valid][widest]: gradients of a layer's output, and of its input */
    char *dh_out[2];             /* [d][valid][out_ld], with a projection */
    char **scratch;              /* [threads]: gathered rows of the products */
    rc_items *items;             /* [1 + 2 * layers] */
} backward_call;

/* A call and the layer that items are of. */
typedef struct layer_items {
    const backward_call *call;
    int64_t layer;
} layer_items;

static int64_t widest(const rnncore_plan *plan)
{
    const int64_t out = plan->directions * plan->out;
    return out > plan->config.input_size ? out : plan->config.input_size;
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
        rc_workspace_take_backward(arena->base ? &call->workspace[i] : &counted, arena, plan, most_rows);
    }
    for (int i = 0; i < 2; i++) call->dy[i] = rc_arena_take(arena, call->valid, widest(plan) * plan->elem);
    for (int d = 0; d < plan->directions && plan->config.proj_size; d++)
        call->dh_out[d] = rc_arena_take(arena, call->valid, plan->out_ld * plan->elem);
    call->items = rc_arena_take(arena, 1 + 2 * plan->config.num_layers, sizeof *call->items);
    call->scratch = rc_arena_take(arena, call->threads, sizeof *call->scratch);
    for (int i = 0; i < call->threads; i++) {
        char *piece = rc_arena_take(arena, RC_GRADIENT_ROWS, widest(plan) * plan->elem);
        if (arena->base) call->scratch[i] = piece;
    }
}

static rc_backward_run make_run(const backward_call *call, int64_t layer, int64_t part, int direction)
{
    const rnncore_plan *plan = call->plan;
    const rnncore_backward_args *a = call->args;
    const rc_batch *batch = &call->batch[part];
    const rc_tape tape = rc_tape_of(plan, a->tape, a->batch, call->valid, layer);
    const int64_t elem = plan->elem, row = plan->directions * plan->out, column = direction * plan->out;
    const int64_t first = batch->first_token;
    return (rc_backward_run){
        .plan = plan, .batch = batch, .weights = rc_weights_of(plan, call->weights, layer, direction),
        .direction = direction, .dy = rc_compact_rows(call->dy[layer % 2], row, column, elem),
        .y = rc_compact_rows(tape.y, row, column, elem), .h0 = tape.h0[direction], .c0 = tape.c0[direction],
        .dh_n = rc_state_of(plan, a->dh_n, a->batch, plan->out, layer, direction),
        .dc_n = rc_state_of(plan, a->dc_n, a->batch, plan->hidden, layer, direction),
        .dh0 = rc_state_of(plan, a->dh0, a->batch, plan->out, layer, direction),
        .dc0 = rc_state_of(plan, a->dc0, a->batch, plan->hidden, layer, direction),
        .gates = tape.gates[direction] + first * plan->gates_ld * elem,
        .c = tape.c[direction] ? tape.c[direction] + first * plan->ld * elem : NULL,
        .dh_out = call->dh_out[direction] ? call->dh_out[direction] + first * plan->out_ld * elem : NULL,
        .ws = &call->workspace[part * plan->directions + direction],
    };
}

/* Gradients of the top layer's outputs, compact. */
static void load_output_gradients(const backward_call *call, int64_t part)
{
    const rnncore_plan *plan = call->plan;
    const rc_batch *batch = &call->batch[part];
    const int64_t size = plan->directions * plan->out, row = size * plan->elem;
    char *dy = call->dy[(plan->config.num_layers - 1) % 2] + batch->first_token * row;
    if (call->args->dy.data) rc_gather_tokens(batch, dy, &call->args->dy, size, plan->elem);
    else memset(dy, 0, (size_t)(batch->tokens * row));
}

/* Gradients of a layer's input, from both directions, to the layer below or to the caller. */
static void input_gradients(const backward_call *call, int64_t layer, int64_t part, char *scratch)
{
    const rnncore_plan *plan = call->plan;
    const rnncore_backward_args *a = call->args;
    const rc_batch *batch = &call->batch[part];
    const rc_tape tape = rc_tape_of(plan, a->tape, a->batch, call->valid, layer);
    const int64_t size = rc_input_size(plan, layer), row = size * plan->elem;
    char *dx = call->dy[(layer + 1) % 2] + batch->first_token * row;
    if (layer == 0 && !a->dx.data) return;
    for (int d = 0; d < plan->directions; d++) {
        const rc_weights weights = rc_weights_of(plan, call->weights, layer, d);
        rc_input_gradient(plan, batch, &weights, d, size,
                          tape.gates[d] + batch->first_token * plan->gates_ld * plan->elem, dx, scratch);
    }
    if (rc_drops_input(plan, layer)) rc_drop_tokens(plan, batch, a->batch, a->dropout_key, layer - 1, dx, dx, size);
    if (layer == 0) {
        rc_scatter_tokens(batch, &a->dx, dx, size, plan->elem);
        rc_zero_padding(batch, &a->dx, a->steps, size, plan->elem);
    }
}

/* The parameter gradients of a layer are cut into planes and, where those are few, into ranges of units: as the request
 * says, whatever threads turn up. */
static int64_t unit_ranges(const backward_call *call)
{
    const rnncore_plan *plan = call->plan;
    const int64_t most = call->args->threads < plan->hidden ? call->args->threads : plan->hidden;
    return plan->cell->slots * plan->directions < 2 * most ? most : 1;
}

static void plane_item(const layer_items *items, int64_t i, char *scratch)
{
    const backward_call *call = items->call;
    const rnncore_plan *plan = call->plan;
    const rnncore_backward_args *a = call->args;
    const rc_tape tape = rc_tape_of(plan, a->tape, a->batch, call->valid, items->layer);
    const int64_t ranges = unit_ranges(call), planes = plan->cell->slots;
    const int d = (int)(i / (planes * ranges));
    const int64_t first = i % ranges * plan->hidden / ranges;
    const rc_gradient_task task = {
        .plan = plan, .batch = call->batch, .parts = call->parts, .direction = d, .slot = (int)(i / ranges % planes),
        .first_unit = first, .units = (i % ranges + 1) * plan->hidden / ranges - first,
        .in_size = rc_input_size(plan, items->layer), .x = tape.x, .y = tape.y, .h0 = tape.h0[d],
        .gates = tape.gates[d], .mid = tape.mid[d], .grads = &a->grads[items->layer * plan->directions + d],
        .scratch = scratch,
    };
    rc_plane_gradients(&task);
}

static void load_item(void *context, int64_t part, const rc_worker *worker)
{
    (void)worker;
    load_output_gradients(context, part);
}

static void sequence_item(void *context, int64_t i, const rc_worker *worker)
{
    const layer_items *items = context;
    const rnncore_plan *plan = items->call->plan;
    (void)worker;
    const rc_backward_run run = make_run(items->call, items->layer, i / plan->directions, (int)(i % plan->directions));
    rc_backward_sequence(&run);
}

/* First the parts of the input gradients, then the planes, then the projections. */
static void product_item(void *context, int64_t i, const rc_worker *worker)
{
    const layer_items *items = context;
    const backward_call *call = items->call;
    const rnncore_plan *plan = call->plan;
    const int64_t planes = plan->directions * plan->cell->slots * unit_ranges(call);
    char *scratch = call->scratch[worker->seat];
    if (i < call->parts) {
        input_gradients(call, items->layer, i, scratch);
    } else if (i < call->parts + planes) {
        plane_item(items, i - call->parts, scratch);
    } else {
        const int d = (int)(i - call->parts - planes);
        const rc_tape tape = rc_tape_of(plan, call->args->tape, call->args->batch, call->valid, items->layer);
        rc_projection_gradient(plan, call->valid, call->dh_out[d], tape.mid[d],
                               call->args->grads[items->layer * plan->directions + d].weight_hr);
    }
}

static void backward_work(void *context, const rc_worker *worker)
{
    backward_call *call = context;
    const rnncore_plan *plan = call->plan;
    const int64_t projections = plan->config.proj_size ? plan->directions : 0;
    const int64_t products = call->parts + plan->directions * plan->cell->slots * unit_ranges(call) + projections;
    rc_items *next = call->items;
    rc_items_run(next++, call->parts, load_item, call, worker);
    for (int64_t layer = plan->config.num_layers - 1; layer >= 0; layer--) {
        layer_items items = {call, layer};
        rc_items_run(next++, call->parts * plan->directions, sequence_item, &items, worker);
        rc_items_run(next++, products, product_item, &items, worker);
    }
}

rnncore_status rnncore_backward(const rnncore_plan *plan, const void *weights, const rnncore_backward_args *args)
{
    backward_call call = {.plan = plan, .weights = weights, .args = args};
    rnncore_status status = rc_check_backward(plan, weights, args, &call.valid);
    if (status) return status;
    const rc_tape_header *header = args->tape;
    if (header->steps != args->steps || header->batch != args->batch || header->valid != call.valid)
        return RNNCORE_ERROR_ARGUMENT;

    call.parts = header->parts;
    call.threads = rc_worth_threads(plan, 2 * call.valid, args->threads);
    rc_arena counting = rc_arena_counting();
    lay_out(&call, &counting);
    const size_t bytes = rc_arena_bytes(&counting);
    if (!bytes) return RNNCORE_ERROR_OVERFLOW;
    void *memory = rnncore_alloc(bytes);
    if (!memory) return RNNCORE_ERROR_MEMORY;
    rc_arena arena = rc_arena_over(memory, bytes);
    lay_out(&call, &arena);

    for (int64_t i = 0; i < 1 + 2 * plan->config.num_layers; i++) call.items[i] = (rc_items){0, 0};
    rc_team_run(args->team, call.threads, backward_work, &call);
    rnncore_free(memory);
    return RNNCORE_OK;
}
