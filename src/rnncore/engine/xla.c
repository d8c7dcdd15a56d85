/* SPDX-License-Identifier: MIT
 *
 * Calls of the core as XLA's foreign functions. Packed weights and tapes are results and operands like others, bytes that XLA
 * allocates: a handler keeps nothing, takes no lock and needs no Python.
 *
 * Attributes: cell, isa (names); config, the bytes of the rnncore_config but for its pointers, in hexadecimal digits (attributes of
 * all versions are numbers and text); parts of the state, bias, batch_first, threads, recurrent_dropout. */
#include "xla.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_NAME = 64 };

static _Atomic(rnncore_team *) team;

void rnncore_xla_set_team(rnncore_team *given) { atomic_store(&team, given); }

/* -- Attributes -------------------------------------------------------------------------------------------------------- */

static const void *find(const xla_call *call, const char *name, int kind)
{
    const xla_attributes *all = &call->attributes;
    for (int64_t i = 0; i < all->count; i++)
        if (all->kinds[i] == kind && all->names[i]->size == strlen(name) &&
            !memcmp(all->names[i]->data, name, all->names[i]->size))
            return all->items[i];
    return NULL;
}

/* The 8 bytes of a number, an int64_t or a double; zeros if it is not there. */
static void read_number(const xla_call *call, const char *name, void *to)
{
    const xla_scalar *scalar = find(call, name, XLA_ATTRIBUTE_SCALAR);
    memset(to, 0, 8);
    if (scalar) memcpy(to, scalar->value, 8);
}

static int64_t count_of(const xla_call *call, const char *name)
{
    int64_t value;
    read_number(call, name, &value);
    return value;
}

static double share_of(const xla_call *call, const char *name)
{
    double value;
    read_number(call, name, &value);
    return value;
}

static int read_name(const xla_call *call, const char *name, char to[MOST_NAME])
{
    const xla_text *text = find(call, name, XLA_ATTRIBUTE_TEXT);
    if (!text || text->size >= MOST_NAME) return 0;
    memcpy(to, text->data, text->size);
    to[text->size] = 0;
    return 1;
}

static int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

static int read_config(const xla_call *call, rnncore_config *config)
{
    const xla_text *text = find(call, "config", XLA_ATTRIBUTE_TEXT);
    unsigned char *bytes = (unsigned char *)config;
    if (!text || text->size != 2 * sizeof *config) return 0;
    for (size_t i = 0; i < sizeof *config; i++)
        bytes[i] = (unsigned char)(16 * digit(text->data[2 * i]) + digit(text->data[2 * i + 1]));
    return 1;
}

/* -- What the handlers share --------------------------------------------------------------------------------------------- */

/* A call being handled, whatever it is. */
typedef struct work {
    const xla_call *call;
    rnncore_config config;
    rnncore_plan *plan;
    int64_t steps, batch;
    int64_t *lengths; /* malloc'd, or NULL: all steps */
    void *weights;    /* packed for this call alone, or a copy of weights that lay badly, or NULL */
    uint64_t key;
} work;

static xla_error *fail(const xla_call *call, rnncore_status status)
{
    xla_error_args args = {.struct_size = sizeof args, .message = rnncore_status_text(status)};
    args.code = status == RNNCORE_ERROR_MEMORY ? XLA_RESOURCE_EXHAUSTED : XLA_INVALID_ARGUMENT;
    return call->api->create_error(&args);
}

/* Whether the call only asks for the version: the runtime's own, if these declarations know it, or the newest of theirs. */
static int answers_metadata(const xla_call *call)
{
    const xla_metadata_extension *asked = (const xla_metadata_extension *)call->extensions;
    const xla_version *runtime = &call->api->version;
    if (!asked || asked->base.kind != XLA_EXTENSION_METADATA) return 0;
    xla_version *version = &asked->metadata->version;
    version->major = XLA_MAJOR;
    version->minor = runtime->major == XLA_MAJOR && runtime->minor < XLA_MINOR ? runtime->minor : XLA_MINOR;
    return 1;
}

static rnncore_status begin(work *w, const xla_call *call)
{
    char cell[MOST_NAME], isa[MOST_NAME];
    *w = (work){.call = call};
    if (!read_config(call, &w->config) || !read_name(call, "cell", cell) || !read_name(call, "isa", isa))
        return RNNCORE_ERROR_ARGUMENT;
    w->config.cell = cell;
    w->config.isa = isa;
    const rnncore_status status = rnncore_plan_create(&w->config, &w->plan);
    w->config.cell = w->config.isa = NULL; /* the plan has its own */
    return status;
}

static xla_error *end(work *w, rnncore_status status)
{
    rnncore_plan_destroy(w->plan);
    rnncore_free(w->weights);
    free(w->lengths);
    return status ? fail(w->call, status) : NULL;
}

static const xla_buffer *operand(const work *w, int64_t index) { return w->call->operands.items[index]; }
static const xla_buffer *result(const work *w, int64_t index) { return w->call->results.items[index]; }

/* NULL for an array of no elements, which stands for one that was left out. */
static void *data_of(const xla_buffer *buffer)
{
    for (int64_t i = 0; i < buffer->rank; i++)
        if (!buffer->dims[i]) return NULL;
    return buffer->data;
}

/* Where a block, which the core wants at multiples of RNNCORE_XLA_ALIGN, begins in an array of that many bytes more: XLA aligns
 * arrays less in old versions, and copies them as it likes, so the first byte says where the block begins. */
static void *begin_block(const xla_buffer *buffer)
{
    unsigned char *bytes = buffer->data;
    bytes[0] = (unsigned char)(RNNCORE_XLA_ALIGN - (uintptr_t)bytes % RNNCORE_XLA_ALIGN);
    return bytes + bytes[0];
}

static void *find_block(const xla_buffer *buffer)
{
    return (unsigned char *)buffer->data + *(unsigned char *)buffer->data;
}

static size_t block_size(const xla_buffer *buffer) { return (size_t)buffer->dims[0] - RNNCORE_XLA_ALIGN; }

/* Operand 0; NULL: no memory. */
static const void *packed_weights(work *w)
{
    void *block = find_block(operand(w, 0));
    if ((uintptr_t)block % RNNCORE_XLA_ALIGN == 0) return block;
    w->weights = rnncore_alloc(block_size(operand(w, 0)));
    return w->weights ? memcpy(w->weights, block, block_size(operand(w, 0))) : NULL;
}

/* An array of a call, (T, N, features) or (N, T, features). One without elements lies anywhere. */
static rnncore_array array_of(const work *w, const xla_buffer *buffer)
{
    static double nothing;
    const int64_t elem = w->config.dtype == RNNCORE_FLOAT32 ? sizeof(float) : sizeof(double);
    const int64_t row = buffer->dims[2] * elem, outer = buffer->dims[1] * row;
    rnncore_array array = {.data = data_of(buffer), .stride = {outer, row, elem}};
    if (!array.data) array.data = &nothing;
    if (count_of(w->call, "batch_first")) array.stride[0] = row, array.stride[1] = outer;
    return array;
}

/* T and N from an array of the call; its lengths and the key of its masks from operand `first` and the next. */
static rnncore_status read_call(work *w, const xla_buffer *array, int64_t first)
{
    const int batch_first = count_of(w->call, "batch_first") != 0;
    const xla_buffer *lengths = operand(w, first), *key = operand(w, first + 1);
    w->steps = array->dims[batch_first];
    w->batch = array->dims[!batch_first];
    if (data_of(key)) memcpy(&w->key, key->data, sizeof w->key);
    if (!data_of(lengths)) return RNNCORE_OK;
    if (lengths->dims[0] != w->batch || (lengths->dtype != XLA_S32 && lengths->dtype != XLA_S64))
        return RNNCORE_ERROR_ARGUMENT;
    w->lengths = malloc((size_t)w->batch * sizeof *w->lengths);
    if (!w->lengths) return RNNCORE_ERROR_MEMORY;
    for (int64_t i = 0; i < w->batch; i++)
        w->lengths[i] =
            lengths->dtype == XLA_S32 ? ((const int32_t *)lengths->data)[i] : ((const int64_t *)lengths->data)[i];
    return RNNCORE_OK;
}

static int threads_of(const work *w)
{
    const int64_t threads = count_of(w->call, "threads");
    return atomic_load(&team) && threads > 1 ? (int)threads : 1;
}

/* malloc'd pointers of all parameters or gradients, which are `items` in the core's order, without the optional ones where there
 * is no bias; NULL if they are not as many. */
static void **list_params(const work *w, xla_buffer **items, int64_t count)
{
    const int rows = rnncore_param_count(w->plan);
    const int64_t all = w->config.num_layers * (1 + w->config.bidirectional) * rows;
    void **table = calloc((size_t)all, sizeof *table);
    int64_t next = 0;
    for (int64_t i = 0; table && i < all; i++) {
        rnncore_param row = {.struct_size = sizeof row};
        rnncore_param_get(w->plan, 0, (int)(i % rows), &row);
        if (row.optional && !count_of(w->call, "bias")) continue;
        if (next < count) table[i] = data_of(items[next]);
        next++;
    }
    if (next == count) return table;
    free(table);
    return NULL;
}

/* -- Handlers ---------------------------------------------------------------------------------------------------------- */

/* Packs the parameters, operands from `first` on, where they stay: into a result, or for the length of the call. */
static rnncore_status pack(work *w, int64_t first, const xla_buffer *kept, const void **weights)
{
    const int uses = RNNCORE_PACK_FORWARD | (kept ? RNNCORE_PACK_BACKWARD : 0);
    const size_t bytes = rnncore_weights_bytes(w->plan, uses);
    if (kept && block_size(kept) != bytes) return RNNCORE_ERROR_SHAPE;
    void *block = kept ? begin_block(kept) : (w->weights = rnncore_alloc(bytes));
    if (!block) return RNNCORE_ERROR_MEMORY;
    void **params = list_params(w, w->call->operands.items + first, w->call->operands.count - first);
    const rnncore_status status =
        params ? rnncore_weights_pack(w->plan, uses, (const void *const *)params, block) : RNNCORE_ERROR_ARGUMENT;
    free(params);
    *weights = block;
    return status;
}

/* x, lengths, key, h0, of an LSTM c0, and the parameters in the core's order -> y, h, c and, if it is recorded, packed weights
 * and the tape. Attribute: segments. */
static rnncore_status forward(work *w)
{
    const int64_t parts = count_of(w->call, "parts"), segments = count_of(w->call, "segments");
    const int records = w->call->results.count > 1 + parts;
    const xla_buffer *tape = records ? result(w, 2 + parts) : NULL;
    const void *weights;
    rnncore_status status = read_call(w, operand(w, 0), 1);
    if (!status) status = pack(w, 3 + parts, records ? result(w, 1 + parts) : NULL, &weights);
    if (status) return status;
    /* Room for all steps: how many are valid was not known before. */
    if (tape && block_size(tape) != rnncore_tape_bytes(w->plan, w->steps, w->batch, w->steps * w->batch, segments))
        return RNNCORE_ERROR_SHAPE;
    const rnncore_forward_args args = {
        .struct_size = sizeof args,
        .steps = w->steps,
        .batch = w->batch,
        .lengths = w->lengths,
        .x = array_of(w, operand(w, 0)),
        .y = array_of(w, result(w, 0)),
        .h0 = data_of(operand(w, 3)),
        .c0 = parts > 1 ? data_of(operand(w, 4)) : NULL,
        .h_n = data_of(result(w, 1)),
        .c_n = parts > 1 ? data_of(result(w, 2)) : NULL,
        .tape = tape ? begin_block(tape) : NULL,
        .segments = segments,
        .dropout_key = w->key,
        .recurrent_dropout = share_of(w->call, "recurrent_dropout"),
        .threads = threads_of(w),
        .team = atomic_load(&team),
    };
    return rnncore_forward(w->plan, weights, &args);
}

/* Packed weights, tape, lengths, key, dy, dh and, of an LSTM, dc -> the tape used up, dx, dh0, dc0 and the gradients of the
 * parameters. */
static rnncore_status backward(work *w)
{
    const int64_t parts = count_of(w->call, "parts"), first = 2 + parts;
    rnncore_status status = read_call(w, operand(w, 4), 2);
    if (status) return status;
    const void *weights = packed_weights(w);
    if (!weights) return RNNCORE_ERROR_MEMORY;
    void *recorded = find_block(operand(w, 1)), *tape = begin_block(result(w, 0));
    /* XLA gives one array for both where nobody reads the tape after this call. */
    if (tape != recorded) memmove(tape, recorded, block_size(operand(w, 1)));
    void **grads = list_params(w, w->call->results.items + first, w->call->results.count - first);
    const rnncore_backward_args args = {
        .struct_size = sizeof args,
        .steps = w->steps,
        .batch = w->batch,
        .lengths = w->lengths,
        .tape = tape,
        .dy = array_of(w, operand(w, 4)),
        .dh_n = data_of(operand(w, 5)),
        .dc_n = parts > 1 ? data_of(operand(w, 6)) : NULL,
        .dx = array_of(w, result(w, 1)),
        .dh0 = data_of(result(w, 2)),
        .dc0 = parts > 1 ? data_of(result(w, 3)) : NULL,
        .grads = grads,
        .dropout_key = w->key,
        .recurrent_dropout = share_of(w->call, "recurrent_dropout"),
        .threads = threads_of(w),
        .team = atomic_load(&team),
    };
    status = grads ? rnncore_backward(w->plan, weights, &args) : RNNCORE_ERROR_ARGUMENT;
    free(grads);
    return status;
}

static xla_error *handle(const xla_call *call, rnncore_status (*run)(work *))
{
    work w;
    if (answers_metadata(call)) return NULL;
    rnncore_status status = begin(&w, call);
    if (!status) status = run(&w);
    return end(&w, status);
}

xla_error *rnncore_xla_forward(xla_call *call) { return handle(call, forward); }
xla_error *rnncore_xla_backward(xla_call *call) { return handle(call, backward); }
