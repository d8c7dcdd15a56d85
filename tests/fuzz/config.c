/* SPDX-License-Identifier: MIT
 *
 * Any config: the library refuses it, or runs it. What is small enough runs forward, the naive loop, backward and a stream, on
 * arrays of exactly the sizes that the header asks for; outputs of all three must be the same to the last bit. */
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "rnncore.h"

enum { MOST_PARAMS = 64, MOST_BYTES = 1 << 16, MOST_BLOCKS = 2 * MOST_PARAMS + 16 };

typedef struct input {
    const uint8_t *at;
    size_t left;
} input;

static void take(input *in, void *out, size_t bytes)
{
    memset(out, 0, bytes);
    if (bytes > in->left) bytes = in->left;
    if (bytes) memcpy(out, in->at, bytes);
    in->at += bytes;
    in->left -= bytes;
}

static uint8_t take_byte(input *in)
{
    uint8_t byte;
    take(in, &byte, 1);
    return byte;
}

/* Mostly small, for what is large is refused or too slow to run. */
static int64_t take_size(input *in)
{
    const uint8_t byte = take_byte(in);
    int64_t size = byte % 8;
    if (byte >= 240) take(in, &size, sizeof size);
    return size;
}

static double take_real(input *in)
{
    const uint8_t byte = take_byte(in);
    double real = byte / 128.0;
    if (byte >= 250) take(in, &real, sizeof real);
    return byte % 4 ? 0 : real;
}

static const char *take_name(input *in, const char *(*name)(int))
{
    int count = 0;
    while (name(count)) count++;
    const int chosen = take_byte(in) % (count + 2);
    return chosen < count ? name(chosen) : chosen == count ? NULL : "none";
}

static rnncore_config take_config(input *in)
{
    rnncore_config config = {.struct_size = take_byte(in) ? sizeof config : take_byte(in)};
    config.cell = take_name(in, rnncore_cell_name);
    config.isa = take_name(in, rnncore_isa_name);
    config.dtype = (rnncore_dtype)(take_byte(in) % 3);
    config.store = (rnncore_store)(take_byte(in) % (2 * RNNCORE_STORE_COUNT) / 2);
    config.input_size = take_size(in);
    config.hidden_size = take_size(in);
    config.proj_size = take_byte(in) % 4 ? 0 : take_size(in);
    config.num_layers = take_byte(in) % 3 ? 1 : take_size(in);
    config.bidirectional = take_byte(in) % 4 == 3 ? take_byte(in) : 0;
    config.peepholes = take_byte(in) % 4 == 3;
    config.coupled = take_byte(in) % 4 == 3;
    config.dropout = take_real(in);
    config.zoneout = take_real(in);
    config.zoneout_c = take_real(in);
    config.clip = take_real(in);
    for (int d = 0; take_byte(in) % 4 == 3 && d < 2; d++)
        for (int p = 0; p < RNNCORE_PLACES; p++)
            config.activations[d][p] =
                (rnncore_activation){(rnncore_function)(take_byte(in) % 14), take_real(in), take_real(in)};
    return config;
}

/* The blocks of one run, freed together; of exactly the bytes that are asked for. */
typedef struct blocks {
    void *all[MOST_BLOCKS];
    int count;
} blocks;

static void *block(blocks *b, int64_t bytes)
{
    if (b->count == MOST_BLOCKS) abort();
    return b->all[b->count++] = calloc((size_t)bytes + !bytes, 1);
}

/* Numbers of size about 1, from the input, in either element type. */
static void *values(blocks *b, input *in, rnncore_dtype dtype, int64_t count)
{
    void *out = block(b, count * (dtype ? 8 : 4));
    for (int64_t i = 0; out && i < count; i++) {
        const double value = (take_byte(in) - 128) / 100.0 + (double)(i % 7) / 64;
        if (dtype) ((double *)out)[i] = value;
        else ((float *)out)[i] = (float)value;
    }
    return out;
}

static int same(rnncore_dtype dtype, const void *a, const void *b, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const double p = dtype ? ((const double *)a)[i] : (double)((const float *)a)[i];
        const double q = dtype ? ((const double *)b)[i] : (double)((const float *)b)[i];
        if (!(p == q && !signbit(p) == !signbit(q)) && !(isnan(p) && isnan(q))) return 0;
    }
    return 1;
}

typedef struct run {
    const rnncore_config *config;
    const rnncore_plan *plan;
    const void *const *params;
    void *weights;
    int64_t out, directions;
    blocks *b;
    input *in;
} run;

/* Rows of a stream: their steps are those of the whole call. */
static void check_stream(const run *r, const rnncore_forward_args *args)
{
    const size_t bytes = rnncore_stream_bytes(r->plan, args->batch);
    const int64_t elem = r->config->dtype ? 8 : 4, step = args->batch * r->out;
    void *memory = bytes && bytes < MOST_BYTES && args->batch ? rnncore_alloc(bytes) : NULL;
    void *y = block(r->b, step * elem);
    rnncore_stream *stream = NULL;
    if (memory && y && !rnncore_stream_init(r->plan, r->weights, args->batch, memory, &stream))
        for (int64_t t = 0; t < args->steps; t++) {
            rnncore_stream_step(stream, (const char *)args->x.data + t * args->x.stride[0], y);
            FUZZ_HOLDS(same(r->config->dtype, y, (const char *)args->y.data + t * args->y.stride[0], step));
        }
    rnncore_free(memory);
}

/* Forward with a tape, and backward through it: they must not step outside. */
static void check_training(const run *r, rnncore_forward_args *args, const int64_t *lengths)
{
    const int64_t elem = r->config->dtype ? 8 : 4, valid = args->steps * args->batch;
    const int64_t segments = take_byte(r->in) % 3;
    const size_t bytes = rnncore_tape_bytes(r->plan, args->steps, args->batch, valid, segments);
    void *tape = bytes && bytes < MOST_BYTES ? rnncore_alloc(bytes) : NULL;
    void *grads[MOST_PARAMS] = {0};
    const int count = rnncore_param_count(r->plan);
    for (int i = 0; i < (int)r->config->num_layers * (int)r->directions * count; i++) {
        rnncore_param param = {.struct_size = sizeof param};
        FUZZ_HOLDS(!rnncore_param_get(r->plan, i / count / r->directions, i % count, &param));
        grads[i] = r->params[i] ? block(r->b, param.rows * (param.columns ? param.columns : 1) * elem) : NULL;
    }
    args->tape = tape;
    args->segments = segments;
    args->dropout_key = 5;
    args->recurrent_dropout = take_byte(r->in) % 4 ? 0 : take_real(r->in);
    args->lengths = lengths;
    if (tape && !rnncore_forward(r->plan, r->weights, args)) {
        const rnncore_backward_args backward = {.struct_size = sizeof backward,
                                                .steps = args->steps,
                                                .batch = args->batch,
                                                .lengths = lengths,
                                                .tape = tape,
                                                .dy = args->y,
                                                .dx = args->x,
                                                .grads = grads,
                                                .dropout_key = args->dropout_key,
                                                .recurrent_dropout = args->recurrent_dropout,
                                                .threads = 1};
        FUZZ_HOLDS(!rnncore_backward(r->plan, r->weights, &backward));
    }
    rnncore_free(tape);
}

static void check_run(const run *r)
{
    const int64_t T = take_byte(r->in) % 5, N = take_byte(r->in) % 4, I = r->config->input_size,
                  O = r->out * r->directions;
    const int64_t elem = r->config->dtype ? 8 : 4;
    int64_t lengths[4];
    for (int i = 0; i < 4; i++) lengths[i] = take_byte(r->in) % (T + 1);
    void *x = values(r->b, r->in, r->config->dtype, T * N * I);
    void *y = block(r->b, T * N * O * elem), *again = block(r->b, T * N * O * elem);
    if (!x || !y || !again) return;
    rnncore_forward_args args = {.struct_size = sizeof args,
                                 .steps = T,
                                 .batch = N,
                                 .x = {x, {N * I * elem, I * elem, elem}},
                                 .y = {y, {N * O * elem, O * elem, elem}},
                                 .threads = 1};
    FUZZ_HOLDS(!rnncore_forward(r->plan, r->weights, &args));
    args.y.data = again;
    FUZZ_HOLDS(!rnncore_forward_naive(r->plan, r->params, &args));
    FUZZ_HOLDS(same(r->config->dtype, y, again, T * N * O));
    args.y.data = y;
    check_stream(r, &args);
    check_training(r, &args, lengths);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    const rnncore_config config = take_config(&in);
    rnncore_plan *plan = NULL;
    if (rnncore_plan_create(&config, &plan)) {
        FUZZ_HOLDS(plan == NULL);
        return 0;
    }
    blocks b = {.count = 0};
    const void *params[MOST_PARAMS] = {0};
    const int count = rnncore_param_count(plan), uses = RNNCORE_PACK_FORWARD | RNNCORE_PACK_BACKWARD;
    const size_t bytes = rnncore_weights_bytes(plan, uses);
    const int64_t directions = config.bidirectional ? 2 : 1;
    if (config.num_layers <= MOST_PARAMS / count / directions && bytes && bytes <= MOST_BYTES) {
        void *weights = rnncore_alloc(bytes);
        for (int i = 0; i < (int)config.num_layers * (int)directions * count; i++) {
            rnncore_param param = {.struct_size = sizeof param};
            FUZZ_HOLDS(!rnncore_param_get(plan, i / count / directions, i % count, &param));
            if (param.optional && take_byte(&in) % 4 == 3) continue;
            params[i] = values(&b, &in, config.dtype, param.rows * (param.columns ? param.columns : 1));
        }
        const int64_t out = config.proj_size ? config.proj_size : config.hidden_size;
        const run r = {&config, plan, params, weights, out, directions, &b, &in};
        if (weights) {
            FUZZ_HOLDS(!rnncore_weights_pack(plan, uses, params, weights));
            check_run(&r);
        }
        rnncore_free(weights);
    }
    for (int i = 0; i < b.count; i++) free(b.all[i]);
    rnncore_plan_destroy(plan);
    return 0;
}
