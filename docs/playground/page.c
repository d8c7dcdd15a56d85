/* SPDX-License-Identifier: MIT
 *
 * What the page asks of the library, in a form that JavaScript can call: numbers and addresses, no structs. An address that
 * JavaScript passes comes from page_alloc. */
#include <stdint.h>
#include <string.h>

#include "rnncore.h"

#define EXPORT(name) __attribute__((export_name(#name)))

EXPORT(page_alloc) void *page_alloc(size_t bytes) { return rnncore_alloc(bytes); }
EXPORT(page_free) void page_free(void *memory) { rnncore_free(memory); }
EXPORT(page_status_text) const char *page_status_text(rnncore_status status) { return rnncore_status_text(status); }

/* -- A network: plan, packed weights, and a stream where there can be one --------------------------------------------- */

typedef struct network {
    rnncore_plan *plan;
    void *weights, *memory;
    rnncore_stream *stream;
} network;

static void network_close(network *net)
{
    rnncore_free(net->memory);
    rnncore_free(net->weights);
    rnncore_plan_destroy(net->plan);
    memset(net, 0, sizeof *net);
}

static rnncore_status network_open(network *net, const rnncore_config *config, const void *const *params)
{
    memset(net, 0, sizeof *net);
    rnncore_status status = rnncore_plan_create(config, &net->plan);
    if (status) return status;
    net->weights = rnncore_alloc(rnncore_weights_bytes(net->plan, RNNCORE_PACK_FORWARD));
    status = net->weights ? rnncore_weights_pack(net->plan, RNNCORE_PACK_FORWARD, params, net->weights)
                          : RNNCORE_ERROR_MEMORY;
    if (!status && !config->bidirectional) {
        net->memory = rnncore_alloc(rnncore_stream_bytes(net->plan, 1));
        status = net->memory ? rnncore_stream_init(net->plan, net->weights, 1, net->memory, &net->stream)
                             : RNNCORE_ERROR_MEMORY;
    }
    if (status) network_close(net);
    return status;
}

/* -- Handwriting: one LSTM of one layer, in float, step by step ------------------------------------------------------- */

/* *stream gets the LSTM of these parameters (weight_ih weight_hh bias_ih bias_hh), which may be freed afterwards. */
EXPORT(page_writer)
rnncore_status page_writer(int inputs, int hidden, const void *const *params, rnncore_stream **stream)
{
    const rnncore_config config = {.struct_size = sizeof config,
                                   .cell = RNNCORE_LSTM,
                                   .input_size = inputs,
                                   .hidden_size = hidden,
                                   .num_layers = 1};
    network net;
    const rnncore_status status = network_open(&net, &config, params);
    if (!status) *stream = net.stream; /* lives as long as the page */
    return status;
}

EXPORT(page_step) void page_step(rnncore_stream *stream, const float *x, float *y)
{
    rnncore_stream_step(stream, x, y);
}
EXPORT(page_restart) void page_restart(rnncore_stream *stream) { rnncore_stream_set_state(stream, NULL, NULL); }

/* -- The lecture's network: two inputs, one unit, in double ----------------------------------------------------------- */

/* y[t] = tanh(w[0] x[t][0] + w[1] x[t][1] + w[2] y[t-1] + b) for all steps, y[-1] = 0. */
EXPORT(page_lecture)
rnncore_status page_lecture(const double *w, double b, int steps, const double *x, double *y)
{
    const rnncore_config config = {.struct_size = sizeof config,
                                   .cell = RNNCORE_RNN_TANH,
                                   .dtype = RNNCORE_FLOAT64,
                                   .input_size = 2,
                                   .hidden_size = 1,
                                   .num_layers = 1};
    const void *const params[] = {w, w + 2, &b, NULL};
    network net;
    const rnncore_status status = network_open(&net, &config, params);
    if (status) return status;
    for (int t = 0; t < steps; t++) rnncore_stream_step(net.stream, x + (size_t)2 * t, y + t);
    network_close(&net);
    return RNNCORE_OK;
}

/* -- Bits: the run that native.py does too ---------------------------------------------------------------------------- */

enum { T = 12, N = 5, I = 7, H = 21, L = 2, D = 2, GATES = 4, ELEMENT = 8 };
enum { PARAMS = 4, INPUTS = D * H > I ? D *H : I, COUNT = L * D * GATES * H * (INPUTS + H + 2) + T * N * I };
enum { Y = T * N * D * H, STATE = L * D * N * H };

static const int64_t lengths[N] = {12, 7, 0, 1, 10};

/* The next number of the run: a whole number of 24 bits, as a fraction from -0.5 to 0.5 that float holds exactly. */
static double fraction(uint32_t *drawn) { return (double)((++*drawn * 2654435761u) >> 8) * 0x1p-24 - 0.5; }

static void *fill(char *to, int64_t count, rnncore_dtype dtype, uint32_t *drawn)
{
    for (int64_t i = 0; i < count; i++) {
        const double value = fraction(drawn);
        if (dtype == RNNCORE_FLOAT32) ((float *)(void *)to)[i] = (float)value;
        else ((double *)(void *)to)[i] = value;
    }
    return to + count * ELEMENT; /* room for doubles either way, so that all are aligned */
}

/* Runs a stack of two layers in both directions over rows of unequal length; `out` gets y, h_n and, of an LSTM, c_n, one
 * after the other, and *bytes how many bytes they are. `room` bytes of `out` must hold them. */
EXPORT(page_bits)
rnncore_status page_bits(int is_lstm, rnncore_dtype dtype, char *out, int64_t room, int64_t *bytes)
{
    static _Alignas(64) char numbers[COUNT * ELEMENT];
    const rnncore_config config = {.struct_size = sizeof config,
                                   .cell = is_lstm ? RNNCORE_LSTM : RNNCORE_GRU,
                                   .dtype = dtype,
                                   .input_size = I,
                                   .hidden_size = H,
                                   .num_layers = L,
                                   .bidirectional = 1};
    const int64_t elem = dtype == RNNCORE_FLOAT32 ? 4 : 8, gates = is_lstm ? 4 : 3;
    const void *params[L * D * PARAMS];
    uint32_t drawn = 0;
    char *next = numbers;
    *bytes = elem * (Y + (is_lstm ? 2 : 1) * STATE);
    if (*bytes > room) return RNNCORE_ERROR_SHAPE;
    for (int k = 0; k < L * D; k++) {
        const int64_t sizes[PARAMS] = {gates * H * (k < D ? I : D * H), gates * H * H, gates * H, gates * H};
        for (int p = 0; p < PARAMS; p++) {
            params[PARAMS * k + p] = next;
            next = fill(next, sizes[p], dtype, &drawn);
        }
    }
    fill(next, T * N * I, dtype, &drawn);
    network net;
    rnncore_status status = network_open(&net, &config, params);
    if (status) return status;
    char *const h_n = out + elem * Y;
    status = rnncore_forward(net.plan, net.weights,
                             &(rnncore_forward_args){.struct_size = sizeof(rnncore_forward_args),
                                                     .steps = T,
                                                     .batch = N,
                                                     .lengths = lengths,
                                                     .x = {next, {N * I * elem, I * elem, elem}},
                                                     .y = {out, {N * D * H * elem, D * H * elem, elem}},
                                                     .h_n = h_n,
                                                     .c_n = is_lstm ? h_n + elem * STATE : NULL,
                                                     .threads = 1});
    network_close(&net);
    return status;
}
