/* SPDX-License-Identifier: MIT
 *
 * One time step per call: the same products and gate math as sequence.c, with all memory laid out once. */
#include <string.h>

#include "sequence.h"

typedef struct stream_layer {
    rc_weights weights;
    rc_workspace ws;
    int64_t in_size;
} stream_layer;

struct rnncore_stream {
    const rnncore_plan *plan;
    int64_t batch;
    int current;                 /* which of the two h buffers of every layer is the state */
    char *gates;                 /* [N][gates_ld] */
    const void **in;             /* [N]: rows of the input product */
    stream_layer *layers;
};

static rnncore_stream *lay_out(rc_arena *arena, const rnncore_plan *plan, int64_t batch)
{
    const int64_t count = plan->config.num_layers;
    rnncore_stream *stream = rc_arena_take(arena, 1, sizeof *stream);
    char *gates = rc_arena_take(arena, batch, plan->gates_ld * plan->elem);
    const void **in = rc_arena_take(arena, batch, sizeof *in);
    stream_layer *layers = rc_arena_take(arena, count, sizeof *layers);
    for (int64_t i = 0; i < count; i++) {
        rc_workspace ws = {0};
        rc_workspace_take(&ws, arena, plan, batch, 1);
        if (arena->base) layers[i].ws = ws;
    }
    if (arena->base) *stream = (rnncore_stream){.plan = plan, .batch = batch, .gates = gates, .in = in, .layers = layers};
    return stream;
}

size_t rnncore_stream_bytes(const rnncore_plan *plan, int64_t batch)
{
    if (!plan || batch < 1 || plan->directions != 1) return 0;
    rc_arena arena = rc_arena_counting();
    lay_out(&arena, plan, batch);
    return rc_arena_bytes(&arena);
}

rnncore_status rnncore_stream_init(const rnncore_plan *plan, const void *weights, int64_t batch, void *memory,
                                   rnncore_stream **stream)
{
    if (!plan || !weights || !memory || !stream || batch < 1) return RNNCORE_ERROR_ARGUMENT;
    if (!(rc_weights_uses(weights) & RNNCORE_PACK_FORWARD)) return RNNCORE_ERROR_ARGUMENT;
    if (plan->directions != 1) return RNNCORE_ERROR_UNSUPPORTED;
    rc_arena arena = rc_arena_over(memory, SIZE_MAX);
    rnncore_stream *made = lay_out(&arena, plan, batch);
    for (int64_t i = 0; i < plan->config.num_layers; i++) {
        stream_layer *layer = &made->layers[i];
        layer->weights = rc_weights_of(plan, weights, i, 0);
        layer->in_size = rc_input_size(plan, i);
        for (int64_t r = 0; r < batch; r++) {
            for (int k = 0; k < 2; k++) layer->ws.in_h[k][r] = layer->ws.h[k] + r * plan->out_ld * plan->elem;
        }
    }
    rnncore_stream_set_state(made, NULL, NULL);
    *stream = made;
    return RNNCORE_OK;
}

void rnncore_stream_step(rnncore_stream *stream, const void *x, void *y)
{
    const rnncore_plan *plan = stream->plan;
    const int64_t elem = plan->elem, out_row = plan->out_ld * elem;
    const void *const *in = stream->in;
    rc_slice all = {.index = 0, .count = 1};
    for (int64_t r = 0; r < stream->batch; r++)
        stream->in[r] = (const char *)x + r * plan->config.input_size * elem;
    for (int64_t i = 0; i < plan->config.num_layers; i++) {
        stream_layer *layer = &stream->layers[i];
        rc_input_product(plan, &layer->weights, RNNCORE_FUSED, layer->in_size, stream->batch, in, stream->gates,
                         &all);
        rc_forward_step(&(rc_step){
            .plan = plan, .weights = &layer->weights, .ws = &layer->ws, .rows = stream->batch,
            .current = stream->current, .reverse = stream->current, .gates = stream->gates, .c_prev = layer->ws.c,
            .c = layer->ws.c}, &all);
        in = layer->ws.in_h[1 - stream->current];
    }
    stream->current = 1 - stream->current;
    const char *h = stream->layers[plan->config.num_layers - 1].ws.h[stream->current];
    for (int64_t r = 0; r < stream->batch; r++)
        memcpy((char *)y + r * plan->out * elem, h + r * out_row, (size_t)(plan->out * elem));
}

void rnncore_stream_get_state(const rnncore_stream *stream, void *h, void *c)
{
    const rnncore_plan *plan = stream->plan;
    const size_t h_bytes = (size_t)(plan->out * plan->elem), c_bytes = (size_t)(plan->hidden * plan->elem);
    for (int64_t i = 0; i < plan->config.num_layers * stream->batch; i++) {
        const rc_workspace *ws = &stream->layers[i / stream->batch].ws;
        const int64_t r = i % stream->batch;
        if (h) memcpy((char *)h + i * h_bytes, ws->h[stream->current] + r * plan->out_ld * plan->elem, h_bytes);
        if (c) memcpy((char *)c + i * c_bytes, ws->c + r * plan->ld * plan->elem, c_bytes);
    }
}

void rnncore_stream_set_state(rnncore_stream *stream, const void *h, const void *c)
{
    const rnncore_plan *plan = stream->plan;
    const size_t h_bytes = (size_t)(plan->out * plan->elem), c_bytes = (size_t)(plan->hidden * plan->elem);
    for (int64_t i = 0; i < plan->config.num_layers; i++) {
        rc_workspace *ws = &stream->layers[i].ws;
        for (int k = 0; k < 2; k++) memset(ws->h[k], 0, (size_t)(stream->batch * plan->out_ld * plan->elem));
        memset(ws->c, 0, (size_t)(stream->batch * plan->ld * plan->elem));
        for (int64_t r = 0; r < stream->batch; r++) {
            const int64_t row = i * stream->batch + r;
            if (h) memcpy(ws->h[stream->current] + r * plan->out_ld * plan->elem, (const char *)h + row * h_bytes, h_bytes);
            if (c) memcpy(ws->c + r * plan->ld * plan->elem, (const char *)c + row * c_bytes, c_bytes);
        }
    }
}
