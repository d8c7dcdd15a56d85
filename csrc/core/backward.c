/* SPDX-License-Identifier: MIT
 *
 * Backward over a stack of layers. Per layer, from the top: the time loops turn the gates on the tape into gate gradients;
 * then, all threads together, the products over all tokens give the gradients of the parameters and of the input. */
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
    char *dy_top;                /* [valid][D*O]: the caller's dy when its features are not side by side */
    char *dy[2];                 /* [valid][D*O]: gradients of the outputs of the layers below, in turn */
    char *dh_out[2];             /* [d][valid][out_ld], with a projection */
    char *scratch;               /* [threads][scratch_bytes]: of the products */
    int64_t scratch_bytes;
    rc_items *items;             /* [2 + 2 * layers] */
} backward_call;

/* A call and the layer that items are of. */
typedef struct layer_items {
    const backward_call *call;
    int64_t layer;
} layer_items;

static int gathers_dy(const backward_call *call)
{
    return call->args->dy.data && call->args->dy.stride[2] != call->plan->elem;
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
    const int64_t out_row = plan->directions * plan->out * plan->elem, below = plan->config.num_layers - 1;
    call->dy_top = gathers_dy(call) ? rc_arena_take(arena, call->valid, out_row) : NULL;
    for (int i = 0; i < 2 && i < below; i++) call->dy[i] = rc_arena_take(arena, call->valid, out_row);
    for (int d = 0; d < plan->directions && plan->config.proj_size; d++)
        call->dh_out[d] = rc_arena_take(arena, call->valid, plan->out_ld * plan->elem);
    call->items = rc_arena_take(arena, 2 + 2 * plan->config.num_layers, sizeof *call->items);
    call->scratch_bytes = rc_gradient_scratch_bytes(plan, a->backend);
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

static rc_backward_run make_run(const backward_call *call, int64_t layer, int64_t part, int direction)
{
    const rnncore_plan *plan = call->plan;
    const rnncore_backward_args *a = call->args;
    const rc_batch *batch = &call->batch[part];
    const rc_tape tape = rc_tape_of(plan, a->tape, a->batch, call->valid, layer);
    const int64_t elem = plan->elem, row = plan->directions * plan->out, column = direction * plan->out;
    const int64_t first = batch->first_token;
    rc_rows dy = output_gradients(call, layer);
    if (dy.data) dy.data += column * elem;
    return (rc_backward_run){
        .plan = plan, .batch = batch, .weights = rc_weights_of(plan, call->weights, layer, direction),
        .direction = direction, .dy = dy,
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
    const rnncore_plan *plan = items->call->plan;
    (void)worker;
    const rc_backward_run run = make_run(items->call, items->layer, i / plan->directions, (int)(i % plan->directions));
    rc_backward_sequence(&run);
}

/* Pieces of the input gradients of each part, all alike; parts with fewer tokens leave some empty. */
static int64_t input_pieces(const backward_call *call, int64_t layer)
{
    int64_t most = 0;
    if (layer == 0 && !call->args->dx.data) return 0;
    for (int64_t p = 0; p < call->parts; p++)
        if (call->batch[p].tokens > most) most = call->batch[p].tokens;
    return (most + RC_INPUT_TOKENS - 1) / RC_INPUT_TOKENS;
}

/* Ranges of the units of each weight gradient: as the request says, whatever threads turn up. */
static int64_t unit_ranges(const backward_call *call)
{
    const int64_t ranges = call->threads * RC_PIECES_PER_THREAD / (2 * call->plan->directions);
    return call->threads == 1 || ranges < 1 ? 1 : ranges < call->plan->out ? ranges : call->plan->out;
}

static void input_item(const backward_call *call, int64_t layer, int64_t i, char *scratch)
{
    const rnncore_plan *plan = call->plan;
    const rnncore_backward_args *a = call->args;
    const rc_batch *batch = &call->batch[i % call->parts];
    const rc_tape tape = rc_tape_of(plan, a->tape, a->batch, call->valid, layer);
    const int64_t first = i / call->parts * RC_INPUT_TOKENS, left = batch->tokens - first;
    rc_input_task task = {
        .plan = plan, .batch = batch, .weights = call->weights, .layer = layer, .first = first,
        .tokens = left < RC_INPUT_TOKENS ? left : RC_INPUT_TOKENS, .total_batch = a->batch,
        .dropout_key = a->dropout_key, .backend = a->backend,
        .dx = layer ? output_gradients(call, layer - 1) : rc_array_rows(&a->dx, 0),
    };
    for (int d = 0; d < plan->directions; d++)
        task.gates[d] = tape.gates[d] + batch->first_token * plan->gates_ld * plan->elem;
    if (task.tokens > 0) rc_input_gradient(&task, scratch);
}

static void weight_item(const backward_call *call, int64_t layer, int64_t i, char *scratch)
{
    const rnncore_plan *plan = call->plan;
    const rnncore_backward_args *a = call->args;
    const rc_tape tape = rc_tape_of(plan, a->tape, a->batch, call->valid, layer);
    const int64_t ranges = unit_ranges(call), operands = RC_OPERAND_MID + 1;
    const int d = (int)(i / (ranges * operands));
    const rc_operand operand = (rc_operand)(i / ranges % operands);
    const rc_gradient_source source = {
        .plan = plan, .batch = call->batch, .parts = call->parts, .direction = d,
        .in_size = rc_input_size(plan, layer), .x = tape.x, .y = tape.y, .h0 = tape.h0[d], .gates = tape.gates[d],
        .mid = tape.mid[d], .dh_out = call->dh_out[d], .grads = &a->grads[layer * plan->directions + d],
        .backend = a->backend,
    };
    if (rc_has_operand(plan, operand)) rc_weight_gradient(&source, operand, i % ranges, ranges, scratch);
}

static int64_t weight_pieces(const backward_call *call)
{
    return call->plan->directions * (RC_OPERAND_MID + 1) * unit_ranges(call);
}

/* First the weight gradients, which are larger. */
static void product_item(void *context, int64_t i, const rc_worker *worker)
{
    const layer_items *items = context;
    const backward_call *call = items->call;
    const int64_t weights = weight_pieces(call);
    char *scratch = call->scratch + worker->seat * call->scratch_bytes;
    if (i < weights) weight_item(call, items->layer, i, scratch);
    else input_item(call, items->layer, i - weights, scratch);
}

static void padding_item(void *context, int64_t part, const rc_worker *worker)
{
    const backward_call *call = context;
    const rnncore_plan *plan = call->plan;
    (void)worker;
    rc_zero_padding(&call->batch[part], &call->args->dx, call->args->steps, plan->config.input_size, plan->elem);
}

static void backward_work(void *context, const rc_worker *worker)
{
    backward_call *call = context;
    const rnncore_plan *plan = call->plan;
    rc_items *next = call->items;
    if (call->dy_top) rc_items_run(next++, call->parts, load_item, call, worker);
    if (call->args->dx.data && call->args->lengths) rc_items_run(next++, call->parts, padding_item, call, worker);
    for (int64_t layer = plan->config.num_layers - 1; layer >= 0; layer--) {
        layer_items items = {call, layer};
        const int64_t pieces = weight_pieces(call) + call->parts * input_pieces(call, layer);
        rc_items_run(next++, call->parts * plan->directions, sequence_item, &items, worker);
        rc_items_run(next++, pieces, product_item, &items, worker);
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

    for (int64_t i = 0; i < 2 + 2 * plan->config.num_layers; i++) call.items[i] = (rc_items){0, 0};
    rc_team_run(args->team, call.threads, backward_work, &call);
    rnncore_free(memory);
    return RNNCORE_OK;
}
