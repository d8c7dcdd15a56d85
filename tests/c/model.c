/* SPDX-License-Identifier: MIT
 * See model.h. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../csrc/base/fma.h"

/* All but the instruction set and the element type; options reach every function and every cell that has any. */
#define SIZES .struct_size = sizeof(rnncore_config), .input_size = 5, .hidden_size = 19, .num_layers = 2
const rnncore_config model_configs[] = {
    {.cell = RNNCORE_RNN_TANH, SIZES},
    {.cell = RNNCORE_RNN_RELU, SIZES},
    {.cell = RNNCORE_LSTM, SIZES},
    {.cell = RNNCORE_LSTM, SIZES, .proj_size = 7},
    {.cell = RNNCORE_GRU, SIZES},
    {.cell = RNNCORE_GRU_RESET_BEFORE, SIZES},
    {.cell = RNNCORE_RNN_TANH, SIZES, .clip = 1, .activations = {{{RNNCORE_SOFTPLUS, 0, 0}}}},
    {.cell = RNNCORE_LSTM, SIZES, .proj_size = 7, .peepholes = 1, .clip = 0.5},
    {.cell = RNNCORE_LSTM,
     SIZES,
     .peepholes = 1,
     .activations = {{{RNNCORE_HARD_SIGMOID, 0.2, 0.5},
                      {RNNCORE_AFFINE, 0.5, 0.25},
                      {RNNCORE_ELU, 0.7, 0},
                      {RNNCORE_SOFTSIGN, 0, 0},
                      {RNNCORE_SCALED_TANH, 1.5, 0.5}}}},
    {.cell = RNNCORE_LSTM, SIZES, .coupled = 1, .peepholes = 1},
    {.cell = RNNCORE_GRU,
     SIZES,
     .activations = {{{0}, {RNNCORE_HARD_SIGMOID, 0.2, 0.5}, {RNNCORE_LEAKY_RELU, 0.1, 0}}}},
    {.cell = RNNCORE_GRU_RESET_BEFORE,
     SIZES,
     .clip = 2,
     .activations = {{{RNNCORE_SOFTSIGN, 0, 0}, {RNNCORE_SIGMOID, 0, 0}, {RNNCORE_THRESHOLDED_RELU, -0.2, 0}}}},
    {.cell = RNNCORE_GRU, SIZES, .activations = {{{0}, {0}, {RNNCORE_RELU, 0, 0}}}},
    {.cell = RNNCORE_RNN_RELU, SIZES, .zoneout = 0.3},
    {.cell = RNNCORE_LSTM, SIZES, .zoneout = 0.3, .zoneout_c = 0.6},
    {.cell = RNNCORE_LSTM, SIZES, .proj_size = 7, .peepholes = 1, .zoneout = 0.3, .zoneout_c = 0.6},
    {.cell = RNNCORE_GRU, SIZES, .zoneout = 0.3},
    {.cell = RNNCORE_GRU_RESET_BEFORE, SIZES, .zoneout = 0.3},
    {.cell = "lstm_norm", SIZES},
    {.cell = "lstm_norm", SIZES, .peepholes = 1, .zoneout = 0.3},
    {.cell = "lstm_norm", SIZES, .proj_size = 7, .peepholes = 1, .coupled = 1, .clip = 0.5, .zoneout_c = 0.3},
    {.cell = "gru_norm", SIZES},
    {.cell = "gru_norm", SIZES, .clip = 0.5, .zoneout = 0.3},
    {.cell = RNNCORE_MIN_GRU, SIZES},
    {.cell = RNNCORE_MIN_GRU, SIZES, .activations = {{{0}, {RNNCORE_LOG_SPACE, 0, 0}}}},
    {.cell = RNNCORE_MIN_GRU, SIZES, .clip = 0.5, .zoneout = 0.3, .activations = {{{0}, {RNNCORE_TANH, 0, 0}}}},
    {.cell = RNNCORE_MIN_LSTM, SIZES},
    {.cell = RNNCORE_MIN_LSTM, SIZES, .clip = 0.5, .zoneout = 0.3},
    {.cell = RNNCORE_MIN_LSTM, SIZES, .activations = {{{RNNCORE_SOFTPLUS, 0, 0}, {0}, {RNNCORE_AFFINE, 0.5, 0.25}}}},
};
#undef SIZES
const int model_config_count = sizeof model_configs / sizeof *model_configs;

void *model_alloc(size_t bytes)
{
    void *memory = rnncore_alloc(bytes);
    if (!memory) {
        fputs("the test itself ran out of memory\n", stderr);
        exit(2);
    }
    return memory;
}

static void plain_sgemm(const char *transpose_a, const char *transpose_b, const int *m, const int *n, const int *k,
                        const float *alpha, const float *a, const int *lda, const float *b, const int *ldb,
                        const float *beta, float *c, const int *ldc)
{
    const int64_t a_row = *transpose_a == 'N' ? 1 : *lda, a_column = *transpose_a == 'N' ? *lda : 1;
    const int64_t b_row = *transpose_b == 'N' ? 1 : *ldb, b_column = *transpose_b == 'N' ? *ldb : 1;
    for (int64_t j = 0; j < *n; j++)
        for (int64_t i = 0; i < *m; i++) {
            float sum = *beta == 0 ? 0 : *beta * c[i + j * *ldc];
            for (int64_t p = 0; p < *k; p++)
                sum = rc_fmaf(*alpha * a[i * a_row + p * a_column], b[p * b_row + j * b_column], sum);
            c[i + j * *ldc] = sum;
        }
}

static void plain_dgemm(const char *transpose_a, const char *transpose_b, const int *m, const int *n, const int *k,
                        const double *alpha, const double *a, const int *lda, const double *b, const int *ldb,
                        const double *beta, double *c, const int *ldc)
{
    const int64_t a_row = *transpose_a == 'N' ? 1 : *lda, a_column = *transpose_a == 'N' ? *lda : 1;
    const int64_t b_row = *transpose_b == 'N' ? 1 : *ldb, b_column = *transpose_b == 'N' ? *ldb : 1;
    for (int64_t j = 0; j < *n; j++)
        for (int64_t i = 0; i < *m; i++) {
            double sum = *beta == 0 ? 0 : *beta * c[i + j * *ldc];
            for (int64_t p = 0; p < *k; p++)
                sum = rc_fma(*alpha * a[i * a_row + p * a_column], b[p * b_row + j * b_column], sum);
            c[i + j * *ldc] = sum;
        }
}

const rnncore_blas model_blas = {plain_sgemm, plain_dgemm};

static void *block(model *m, size_t bytes)
{
    m->sizes[m->block_count] = bytes;
    return m->blocks[m->block_count++] = memset(model_alloc(bytes), MODEL_UNTOUCHED, bytes);
}

static uint64_t random_state = 1;

void model_seed(uint64_t seed) { random_state = seed; }

/* A block of uniform values in [-scale, scale]. */
static void *random_block(model *m, int64_t count, double scale)
{
    void *values = block(m, (size_t)count * m->elem);
    for (int64_t i = 0; i < count; i++) {
        random_state = random_state * 6364136223846793005u + 1442695040888963407u;
        const double value = scale * (2 * (double)(random_state >> 11) / 9007199254740992.0 - 1);
        if (m->config.dtype == RNNCORE_FLOAT32) ((float *)values)[i] = (float)value;
        else ((double *)values)[i] = value;
    }
    return values;
}

static int64_t slots(const model *m) { return m->config.num_layers * m->directions; }

/* Elements of parameter `i` of all layers and directions. */
static int64_t param_size(const model *m, int64_t i)
{
    const int count = rnncore_param_count(m->plan);
    rnncore_param param = {.struct_size = sizeof param};
    if (rnncore_param_get(m->plan, i / count / m->directions, (int)(i % count), &param)) exit(2);
    return param.rows * (param.columns ? param.columns : 1);
}

static int64_t param_count(const model *m) { return slots(m) * rnncore_param_count(m->plan); }

static void make_params(model *m)
{
    for (int64_t i = 0; i < param_count(m); i++) m->params[i] = random_block(m, param_size(m, i), 0.3);
}

static void make_outputs(model *m)
{
    m->outputs = m->block_count;
    m->y = block(m, m->y_bytes);
    m->h_n = block(m, m->h_bytes);
    m->dx = block(m, m->x_bytes);
    m->dh0 = block(m, m->h_bytes);
    m->c_n = m->has_c ? block(m, m->c_bytes) : NULL;
    m->dc0 = m->has_c ? block(m, m->c_bytes) : NULL;
    for (int64_t i = 0; i < param_count(m); i++) m->grads[i] = block(m, (size_t)param_size(m, i) * m->elem);
}

void model_init(model *m, const char *cell, rnncore_dtype dtype, const char *isa, int64_t T, int64_t N, int64_t I,
                int64_t H, int64_t P, int64_t L, int bidirectional)
{
    model_init_config(m,
                      &(rnncore_config){.struct_size = sizeof(rnncore_config),
                                        .cell = cell,
                                        .dtype = dtype,
                                        .input_size = I,
                                        .hidden_size = H,
                                        .proj_size = P,
                                        .num_layers = L,
                                        .bidirectional = bidirectional,
                                        .dropout = L > 1 ? 0.25 : 0,
                                        .isa = isa},
                      T, N);
}

void model_init_config(model *m, const rnncore_config *config, int64_t T, int64_t N)
{
    const int blas = config->store < RNNCORE_STORE_INT8 ? RNNCORE_PACK_BLAS : 0; /* integers have none */
    const int uses = RNNCORE_PACK_FORWARD | RNNCORE_PACK_BACKWARD | blas;
    const int64_t I = config->input_size, H = config->hidden_size;
    *m = (model){.config = *config,
                 .T = T,
                 .N = N,
                 .directions = config->bidirectional ? 2 : 1,
                 .out = config->proj_size ? config->proj_size : H,
                 .elem = config->dtype == RNNCORE_FLOAT32 ? sizeof(float) : sizeof(double)};
    if (!config->blas) m->config.blas = &model_blas;
    m->x_bytes = (size_t)(T * N * I) * m->elem;
    m->y_bytes = (size_t)(T * N * m->directions * m->out) * m->elem;
    m->h_bytes = (size_t)(slots(m) * N * m->out) * m->elem;
    m->c_bytes = (size_t)(slots(m) * N * H) * m->elem;
    m->has_c = !strncmp(config->cell, RNNCORE_LSTM, 4);
    if (rnncore_plan_create(&m->config, &m->plan)) {
        fputs("model_init: no plan\n", stderr);
        exit(2);
    }
    make_params(m);
    m->x = random_block(m, T * N * I, 1);
    m->h0 = random_block(m, slots(m) * N * m->out, 1);
    m->c0 = m->has_c ? random_block(m, slots(m) * N * H, 1) : NULL;
    m->weights = block(m, rnncore_weights_bytes(m->plan, uses));
    m->tape = block(m, rnncore_tape_bytes(m->plan, T, N, T * N, 0));
    if (rnncore_weights_pack(m->plan, uses, m->params, m->weights)) {
        fputs("model_init: no weights\n", stderr);
        exit(2);
    }
    make_outputs(m);
}

void model_free(model *m)
{
    for (int i = 0; i < m->block_count; i++) rnncore_free(m->blocks[i]);
    rnncore_plan_destroy(m->plan);
}

static rnncore_array dense(const model *m, void *data, int64_t features)
{
    const int64_t elem = (int64_t)m->elem;
    return (rnncore_array){data, {m->N * features * elem, features * elem, elem}};
}

rnncore_forward_args model_forward_args(const model *m)
{
    return (rnncore_forward_args){.struct_size = sizeof(rnncore_forward_args),
                                  .steps = m->T,
                                  .batch = m->N,
                                  .x = dense(m, m->x, m->config.input_size),
                                  .y = dense(m, m->y, m->directions * m->out),
                                  .h0 = m->h0,
                                  .c0 = m->c0,
                                  .h_n = m->h_n,
                                  .c_n = m->c_n,
                                  .dropout_key = 5,
                                  .backend = RNNCORE_FUSED,
                                  .threads = 1};
}

rnncore_backward_args model_backward_args(const model *m)
{
    return (rnncore_backward_args){
        .struct_size = sizeof(rnncore_backward_args), /* gradients of outputs: the outputs of forward do */
        .steps = m->T,
        .batch = m->N,
        .tape = m->tape,
        .dy = dense(m, m->y, m->directions * m->out),
        .dh_n = m->h0,
        .dc_n = m->c0,
        .dx = dense(m, m->dx, m->config.input_size),
        .dh0 = m->dh0,
        .dc0 = m->dc0,
        .grads = m->grads,
        .dropout_key = 5,
        .threads = 1};
}

void model_reset(model *m)
{
    for (int i = m->outputs; i < m->block_count; i++) memset(m->blocks[i], MODEL_UNTOUCHED, m->sizes[i]);
}

int model_untouched(const model *m)
{
    for (int i = m->outputs; i < m->block_count; i++)
        for (size_t k = 0; k < m->sizes[i]; k++)
            if (((const unsigned char *)m->blocks[i])[k] != MODEL_UNTOUCHED) return 0;
    return 1;
}

void *model_outputs(const model *m, size_t *bytes)
{
    *bytes = 0;
    for (int i = m->outputs; i < m->block_count; i++) *bytes += m->sizes[i];
    char *copy = model_alloc(*bytes), *to = copy;
    for (int i = m->outputs; i < m->block_count; to += m->sizes[i++]) memcpy(to, m->blocks[i], m->sizes[i]);
    return copy;
}
