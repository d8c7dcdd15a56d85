/* SPDX-License-Identifier: MIT
 *
 * One time step per call: the same products and gate math as sequence.c, with all memory laid out once. A row of the batch
 * lives in a slot, of which the first `batch` are in use; `slot` says which, so rows change their order without moving. */
#include <string.h>

#include "../base/compiler.h"
#include "../base/fpenv.h"
#include "../base/tuning.h"
#include "call.h"
#include "sequence.h"

typedef struct stream_layer {
    rc_weights weights;
    rc_workspace ws;
} stream_layer;

struct rnncore_stream {
    const rnncore_plan *plan;
    int64_t capacity, batch; /* slots there are, slots in use */
    int64_t *slot, *moved;   /* [capacity] slot of each row; and of each row while they change */
    char *used;              /* [capacity] */
    int current;             /* which of the two h buffers of every layer is the state */
    char *gates;             /* [N][gates_ld] */
    const void **in;         /* [N]: rows of the input product */
    stream_layer *layers;
};

static rnncore_stream *lay_out(rc_arena *arena, const rnncore_plan *plan, int64_t batch)
{
    const int64_t count = plan->config.num_layers;
    rnncore_stream *stream = rc_arena_take(arena, 1, sizeof *stream);
    int64_t *slot = rc_arena_take(arena, batch, sizeof *slot), *moved = rc_arena_take(arena, batch, sizeof *moved);
    char *used = rc_arena_take(arena, batch, sizeof *used);
    char *gates = rc_arena_take(arena, batch, plan->gates_ld * plan->elem);
    const void **in = rc_arena_take(arena, batch, sizeof *in);
    stream_layer *layers = rc_arena_take(arena, count, sizeof *layers);
    for (int64_t i = 0; i < count; i++) {
        rc_workspace ws = {0};
        rc_workspace_take(&ws, arena, plan, batch, 1);
        if (arena->base) layers[i].ws = ws;
    }
    if (arena->base)
        *stream = (rnncore_stream){.plan = plan,
                                   .capacity = batch,
                                   .batch = batch,
                                   .slot = slot,
                                   .moved = moved,
                                   .used = used,
                                   .gates = gates,
                                   .in = in,
                                   .layers = layers};
    return stream;
}

size_t rnncore_stream_bytes(const rnncore_plan *plan, int64_t batch)
{
    if (!plan || batch < 1 || batch > RC_MOST_ROWS || plan->directions != 1) return 0;
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
    if (batch > RC_MOST_ROWS) return RNNCORE_ERROR_OVERFLOW;
    rc_arena arena = rc_arena_over(memory, SIZE_MAX);
    rnncore_stream *made = lay_out(&arena, plan, batch);
    for (int64_t i = 0; i < plan->config.num_layers; i++) {
        stream_layer *layer = &made->layers[i];
        layer->weights = rc_weights_of(plan, weights, i, 0);
        for (int64_t r = 0; r < batch; r++) {
            for (int k = 0; k < 2; k++) layer->ws.in_h[k][r] = layer->ws.h[k] + r * plan->out_ld * plan->elem;
        }
    }
    for (int64_t r = 0; r < batch; r++) made->slot[r] = r;
    rnncore_stream_set_state(made, NULL, NULL);
    *stream = made;
    return RNNCORE_OK;
}

static void run_step(rnncore_stream *stream, const void *x, void *y)
{
    const rnncore_plan *plan = stream->plan;
    const int64_t elem = plan->elem, out_row = plan->out_ld * elem;
    const void *const *in = stream->in;
    rc_slice all = {.index = 0, .count = 1};
    for (int64_t r = 0; r < stream->batch; r++)
        stream->in[stream->slot[r]] = (const char *)x + r * plan->config.input_size * elem;
    for (int64_t i = 0; i < plan->config.num_layers; i++) {
        stream_layer *layer = &stream->layers[i];
        rc_input_product(plan, &layer->weights, RNNCORE_FUSED, stream->batch, in, stream->gates, plan->gates_ld, &all);
        rc_forward_step(&(rc_step){.plan = plan,
                                   .weights = &layer->weights,
                                   .ws = &layer->ws,
                                   .rows = stream->batch,
                                   .current = stream->current,
                                   .reverse = stream->current,
                                   .ldg = plan->gates_ld,
                                   .to = {.gates = stream->gates},
                                   .c_prev = layer->ws.c},
                        &all);
        in = layer->ws.in_h[1 - stream->current];
    }
    stream->current = 1 - stream->current;
    const char *h = stream->layers[plan->config.num_layers - 1].ws.h[stream->current];
    for (int64_t r = 0; r < stream->batch; r++)
        memcpy((char *)y + r * plan->out * elem, h + stream->slot[r] * out_row, (size_t)(plan->out * elem));
}

void rnncore_stream_step(rnncore_stream *stream, const void *x, void *y)
{
    const rc_fpenv outside = rc_fpenv_enter();
    run_step(stream, x, y);
    rc_fpenv_leave(outside);
}

int64_t rnncore_stream_rows(const rnncore_stream *stream) { return stream->batch; }

/* The state of a slot in one layer. */
static char *h_of(const rnncore_stream *stream, int64_t layer, int64_t slot)
{
    return stream->layers[layer].ws.h[stream->current] + slot * stream->plan->out_ld * stream->plan->elem;
}

static char *c_of(const rnncore_stream *stream, int64_t layer, int64_t slot)
{
    return stream->layers[layer].ws.c + slot * stream->plan->ld * stream->plan->elem;
}

/* Copies the state of a slot to another one; from < 0: zeros. */
static void fill_slot(const rnncore_stream *stream, int64_t to, int64_t from)
{
    const size_t h_bytes = (size_t)(stream->plan->out_ld * stream->plan->elem);
    const size_t c_bytes = (size_t)(stream->plan->ld * stream->plan->elem);
    for (int64_t i = 0; i < stream->plan->config.num_layers; i++) {
        if (from >= 0) memcpy(h_of(stream, i, to), h_of(stream, i, from), h_bytes);
        else memset(h_of(stream, i, to), 0, h_bytes);
        if (from >= 0) memcpy(c_of(stream, i, to), c_of(stream, i, from), c_bytes);
        else memset(c_of(stream, i, to), 0, c_bytes);
    }
}

rnncore_status rnncore_stream_select(rnncore_stream *stream, const int64_t *rows, int64_t n)
{
    if (!stream || !rows) return RNNCORE_ERROR_ARGUMENT;
    if (n < 1 || n > stream->capacity) return RNNCORE_ERROR_SHAPE;
    memset(stream->used, 0, (size_t)stream->capacity);
    for (int64_t i = 0; i < n; i++) {
        if (rows[i] < -1 || rows[i] >= stream->batch) return RNNCORE_ERROR_SHAPE;
        stream->moved[i] = rows[i] < 0 ? -1 : stream->slot[rows[i]];
        if (rows[i] >= 0 && stream->used[stream->moved[i]]++) return RNNCORE_ERROR_ARGUMENT;
    }
    /* Rows in the first n slots stay where they are; the others go to slots that nobody keeps. */
    for (int64_t i = 0, unused = 0; i < n; i++) {
        if (stream->moved[i] >= 0 && stream->moved[i] < n) continue;
        while (stream->used[unused]) unused++;
        fill_slot(stream, unused, stream->moved[i]);
        stream->moved[i] = unused++;
    }
    memcpy(stream->slot, stream->moved, (size_t)n * sizeof *stream->slot);
    stream->batch = n;
    return RNNCORE_OK;
}

void rnncore_stream_get_state(const rnncore_stream *stream, void *h, void *c)
{
    const size_t h_bytes = (size_t)(stream->plan->out * stream->plan->elem);
    const size_t c_bytes = (size_t)(stream->plan->hidden * stream->plan->elem);
    for (int64_t i = 0; i < stream->plan->config.num_layers * stream->batch; i++) {
        const int64_t layer = i / stream->batch, slot = stream->slot[i % stream->batch];
        const size_t row = (size_t)i;
        if (h) memcpy((char *)h + row * h_bytes, h_of(stream, layer, slot), h_bytes);
        if (c) memcpy((char *)c + row * c_bytes, c_of(stream, layer, slot), c_bytes);
    }
}

void rnncore_stream_set_state(rnncore_stream *stream, const void *h, const void *c)
{
    const size_t h_bytes = (size_t)(stream->plan->out * stream->plan->elem);
    const size_t c_bytes = (size_t)(stream->plan->hidden * stream->plan->elem);
    for (int64_t i = 0; i < stream->plan->config.num_layers; i++) {
        const rc_workspace *ws = &stream->layers[i].ws;
        for (int k = 0; k < 2; k++)
            memset(ws->h[k], 0, (size_t)stream->capacity * (size_t)(stream->plan->out_ld * stream->plan->elem));
        memset(ws->c, 0, (size_t)stream->capacity * (size_t)(stream->plan->ld * stream->plan->elem));
        for (int64_t r = 0; r < stream->batch; r++) {
            const size_t row = (size_t)(i * stream->batch + r);
            if (h) memcpy(h_of(stream, i, stream->slot[r]), (const char *)h + row * h_bytes, h_bytes);
            if (c) memcpy(c_of(stream, i, stream->slot[r]), (const char *)c + row * c_bytes, c_bytes);
        }
    }
}

/* -- States in the caller's memory -------------------------------------------------------------------------------------- */

size_t rnncore_stream_row_bytes(const rnncore_plan *plan)
{
    if (!plan || plan->directions != 1) return 0;
    const int64_t values = plan->out + (plan->cell->has_c ? plan->hidden : 0);
    return (size_t)(plan->config.num_layers * values * plan->elem);
}

static rnncore_status check_rows(const rnncore_stream *stream, const rnncore_states *states, const int64_t *rows,
                                 int64_t n)
{
    if (!stream || !states || !states->data || !rows) return RNNCORE_ERROR_ARGUMENT;
    const int64_t row_bytes = (int64_t)rnncore_stream_row_bytes(stream->plan);
    if (states->stride < row_bytes || states->stride % stream->plan->elem) return RNNCORE_ERROR_ARGUMENT;
    for (int64_t r = 0; r < n; r++)
        if (rows[r] < 0 || rows[r] >= states->count) return RNNCORE_ERROR_SHAPE;
    return n < 0 ? RNNCORE_ERROR_SHAPE : RNNCORE_OK;
}

static char *row_of(const rnncore_states *states, int64_t row) { return (char *)states->data + row * states->stride; }

/* Asks for the first lines of a row, which lies anywhere; the rest follows in order. */
static void ask_for_row(const rnncore_stream *stream, const char *row)
{
    const int64_t bytes = (int64_t)rnncore_stream_row_bytes(stream->plan);
    for (int64_t i = 0; i < bytes && i < RC_GATHER_BYTES; i += RC_ALIGN) rc_ask_to_read(row + i);
}

static void gather(rnncore_stream *stream, const rnncore_states *states, const int64_t *rows, int64_t n)
{
    const size_t h_bytes = (size_t)(stream->plan->out * stream->plan->elem);
    const size_t c_bytes = stream->plan->cell->has_c ? (size_t)(stream->plan->hidden * stream->plan->elem) : 0;
    const int64_t count = stream->plan->config.num_layers;
    stream->batch = n;
    for (int64_t r = 0; r < n; r++) {
        if (r + RC_GATHER_AHEAD < n) ask_for_row(stream, row_of(states, rows[r + RC_GATHER_AHEAD]));
        const char *h = row_of(states, rows[r]), *c = h + (size_t)count * h_bytes;
        stream->slot[r] = r;
        for (int64_t i = 0; i < count; i++, h += h_bytes, c += c_bytes) {
            memcpy(h_of(stream, i, r), h, h_bytes);
            if (c_bytes) memcpy(c_of(stream, i, r), c, c_bytes);
        }
    }
}

static void scatter(const rnncore_stream *stream, const rnncore_states *states, const int64_t *rows)
{
    const size_t h_bytes = (size_t)(stream->plan->out * stream->plan->elem);
    const size_t c_bytes = stream->plan->cell->has_c ? (size_t)(stream->plan->hidden * stream->plan->elem) : 0;
    const int64_t count = stream->plan->config.num_layers;
    for (int64_t r = 0; r < stream->batch; r++) {
        char *h = row_of(states, rows[r]), *c = h + (size_t)count * h_bytes;
        for (int64_t i = 0; i < count; i++, h += h_bytes, c += c_bytes) {
            memcpy(h, h_of(stream, i, stream->slot[r]), h_bytes);
            if (c_bytes) memcpy(c, c_of(stream, i, stream->slot[r]), c_bytes);
        }
    }
}

rnncore_status rnncore_stream_gather(rnncore_stream *stream, const rnncore_states *states, const int64_t *rows,
                                     int64_t n)
{
    const rnncore_status status = check_rows(stream, states, rows, n);
    if (status) return status;
    if (n < 1 || n > stream->capacity) return RNNCORE_ERROR_SHAPE;
    gather(stream, states, rows, n);
    return RNNCORE_OK;
}

rnncore_status rnncore_stream_scatter(const rnncore_stream *stream, const rnncore_states *states, const int64_t *rows)
{
    const rnncore_status status = check_rows(stream, states, rows, stream ? stream->batch : 0);
    if (status) return status;
    scatter(stream, states, rows);
    return RNNCORE_OK;
}

rnncore_status rnncore_stream_step_rows(rnncore_stream *stream, const rnncore_states *states, const int64_t *rows,
                                        int64_t n, const void *x, void *y)
{
    const rnncore_status status = check_rows(stream, states, rows, n);
    if (status) return status;
    if (!x || !y) return RNNCORE_ERROR_ARGUMENT;
    const rnncore_plan *plan = stream->plan;
    const rc_fpenv outside = rc_fpenv_enter();
    for (int64_t first = 0; first < n; first += stream->capacity) {
        const int64_t left = n - first;
        gather(stream, states, rows + first, left < stream->capacity ? left : stream->capacity);
        run_step(stream, (const char *)x + first * plan->config.input_size * plan->elem,
                 (char *)y + first * plan->out * plan->elem);
        scatter(stream, states, rows + first);
    }
    rc_fpenv_leave(outside);
    return RNNCORE_OK;
}
