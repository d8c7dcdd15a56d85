/* SPDX-License-Identifier: MIT
 *
 * The C library as its header promises it: names, plans and parameters, and the same bits from a call, its naive loop and a
 * stream; test_refusals.c has what calls refuse. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rnncore.h"

#include "check.h"
#include "model.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void test_names(void)
{
    check_subject = "names";
    for (int s = 0; s < RNNCORE_STATUS_COUNT; s++) {
        CHECK(strncmp(rnncore_status_name((rnncore_status)s), "RNNCORE_", 8) == 0);
        CHECK(strlen(rnncore_status_text((rnncore_status)s)) > 0);
    }
    CHECK(strcmp(rnncore_status_name(RNNCORE_OK), "RNNCORE_OK") == 0);
    CHECK(strcmp(rnncore_status_name(RNNCORE_ERROR_SHAPE), "RNNCORE_ERROR_SHAPE") == 0);
    CHECK(rnncore_status_name(RNNCORE_STATUS_COUNT) && rnncore_status_text((rnncore_status)-1));
    CHECK(rnncore_isa_name(0) && !rnncore_isa_name(1000));
    int last = 0;
    while (rnncore_isa_name(last + 1)) last++;
    CHECK(strcmp(rnncore_isa_name(last), "scalar") == 0);
}

/* -- Plans ----------------------------------------------------------------------------------------------------------- */

static const rnncore_config sound = {
    .struct_size = sizeof(rnncore_config), .cell = RNNCORE_LSTM, .input_size = 3, .hidden_size = 5, .num_layers = 1};

static const rnncore_blas half_a_blas = {0};

static const struct bad_config {
    const char *name;
    rnncore_status expected;
    rnncore_config config;
} bad_configs[] = {
#define ROW(name, status, cell_, ...) \
    { \
        name, RNNCORE_ERROR_##status, { .struct_size = sizeof(rnncore_config), .cell = cell_, __VA_ARGS__ } \
    }
#define SIZES .input_size = 3, .hidden_size = 5, .num_layers = 1
    ROW("cell below", ARGUMENT, NULL, SIZES),
    ROW("cell above", ARGUMENT, "perceptron", SIZES),
    ROW("dtype", ARGUMENT, RNNCORE_LSTM, SIZES, .dtype = (rnncore_dtype)2),
    ROW("store", ARGUMENT, RNNCORE_LSTM, SIZES, .store = RNNCORE_STORE_COUNT),
    ROW("hidden_size of integers", SHAPE, RNNCORE_LSTM, .input_size = 3, .hidden_size = INT64_MAX, .num_layers = 1,
        .store = RNNCORE_STORE_INT8),
    ROW("store of doubles", ARGUMENT, RNNCORE_LSTM, SIZES, .dtype = RNNCORE_FLOAT64, .store = RNNCORE_STORE_BFLOAT16),
    ROW("bidirectional", ARGUMENT, RNNCORE_LSTM, SIZES, .bidirectional = 2),
    ROW("dropout one", ARGUMENT, RNNCORE_LSTM, SIZES, .dropout = 1.0),
    ROW("dropout negative", ARGUMENT, RNNCORE_LSTM, SIZES, .dropout = -0.1),
    ROW("dropout nan", ARGUMENT, RNNCORE_LSTM, SIZES, .dropout = (double)NAN),
    ROW("zoneout one", ARGUMENT, RNNCORE_GRU, SIZES, .zoneout = 1),
    ROW("zoneout nan", ARGUMENT, RNNCORE_LSTM, SIZES, .zoneout = (double)NAN),
    ROW("zoneout_c negative", ARGUMENT, RNNCORE_LSTM, SIZES, .zoneout_c = -0.1),
    ROW("zoneout_c of a GRU", ARGUMENT, RNNCORE_GRU, SIZES, .zoneout_c = 0.1),
    ROW("input_size", SHAPE, RNNCORE_LSTM, .input_size = 0, .hidden_size = 5, .num_layers = 1),
    ROW("hidden_size", SHAPE, RNNCORE_LSTM, .input_size = 3, .hidden_size = -1, .num_layers = 1),
    ROW("num_layers", SHAPE, RNNCORE_LSTM, .input_size = 3, .hidden_size = 5, .num_layers = 0),
    ROW("input_size large", OVERFLOW, RNNCORE_LSTM, .input_size = INT64_MAX, .hidden_size = 5, .num_layers = 1),
    ROW("hidden_size large", OVERFLOW, RNNCORE_LSTM, .input_size = 3, .hidden_size = (int64_t)1 << 40, .num_layers = 1),
    ROW("num_layers large", OVERFLOW, RNNCORE_LSTM, .input_size = 3, .hidden_size = 5, .num_layers = INT64_MAX),
    ROW("proj_size of a GRU", ARGUMENT, RNNCORE_GRU, SIZES, .proj_size = 2),
    ROW("proj_size large", SHAPE, RNNCORE_LSTM, SIZES, .proj_size = 5),
    ROW("proj_size negative", SHAPE, RNNCORE_LSTM, SIZES, .proj_size = -1),
    ROW("isa", UNSUPPORTED, RNNCORE_LSTM, SIZES, .isa = "z80"),
    ROW("peepholes of a GRU", ARGUMENT, RNNCORE_GRU, SIZES, .peepholes = 1),
    ROW("peepholes", ARGUMENT, RNNCORE_LSTM, SIZES, .peepholes = 2),
    ROW("coupled gates of an RNN", ARGUMENT, RNNCORE_RNN_TANH, SIZES, .coupled = 1),
    ROW("clip negative", ARGUMENT, RNNCORE_LSTM, SIZES, .clip = -1),
    ROW("clip nan", ARGUMENT, RNNCORE_LSTM, SIZES, .clip = (double)NAN),
    ROW("function", ARGUMENT, RNNCORE_LSTM, SIZES, .activations[0][0].function = RNNCORE_FUNCTION_COUNT),
    ROW("alpha", ARGUMENT, RNNCORE_LSTM, SIZES, .activations[0][0] = {RNNCORE_ELU, .alpha = (double)INFINITY}),
    ROW("place of another cell", ARGUMENT, RNNCORE_GRU, SIZES, .activations[0][3].function = RNNCORE_TANH),
    ROW("place f of coupled gates", ARGUMENT, RNNCORE_LSTM, SIZES, .coupled = 1,
        .activations[0][1].function = RNNCORE_TANH),
    ROW("BLAS without functions", ARGUMENT, RNNCORE_LSTM, SIZES, .blas = &half_a_blas),
    ROW("other direction", ARGUMENT, RNNCORE_LSTM, SIZES, .activations[1][0].function = RNNCORE_TANH),
#undef SIZES
#undef ROW
};

static void test_plans(void)
{
    rnncore_plan *plan = (rnncore_plan *)&sound;
    check_subject = "plan";
    CHECK_STATUS(rnncore_plan_create(NULL, &plan), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_plan_create(&sound, NULL), RNNCORE_ERROR_ARGUMENT);
    for (size_t i = 0; i < COUNT(bad_configs); i++) {
        check_subject = bad_configs[i].name;
        CHECK_STATUS(rnncore_plan_create(&bad_configs[i].config, &plan), bad_configs[i].expected);
    }
    CHECK(plan == (rnncore_plan *)&sound);
    CHECK_STATUS(rnncore_plan_create(&sound, &plan), RNNCORE_OK);
    CHECK(strcmp(rnncore_plan_isa(plan), rnncore_isa_name(0)) == 0);
    CHECK(rnncore_plan_isa(NULL) == NULL);
    CHECK(rnncore_weights_bytes(NULL, RNNCORE_PACK_FORWARD) == 0);
    CHECK(rnncore_weights_bytes(plan, 0) == 0 && rnncore_weights_bytes(plan, 8) == 0);
    CHECK(rnncore_weights_bytes(plan, RNNCORE_PACK_FORWARD) > 0);
    CHECK(rnncore_tape_bytes(NULL, 1, 1, 1, 0) == 0 && rnncore_tape_bytes(plan, -1, 1, 0, 0) == 0);
    CHECK(rnncore_tape_bytes(plan, 4, 1, 5, 0) == 0 && rnncore_tape_bytes(plan, 4, 1, -1, 0) == 0);
    CHECK(rnncore_tape_bytes(plan, INT64_MAX, 2, 2, 0) == 0 && rnncore_tape_bytes(plan, 0, INT64_MAX, 0, 0) == 0);
    CHECK(rnncore_stream_bytes(NULL, 1) == 0 && rnncore_stream_bytes(plan, 0) == 0);
    CHECK(rnncore_stream_bytes(plan, INT64_MAX) == 0 && rnncore_stream_bytes(plan, 1) > 0);
    CHECK(rnncore_stream_bytes(plan, (int64_t)1 << 30) > 0 && rnncore_stream_bytes(plan, ((int64_t)1 << 30) + 1) == 0);
    rnncore_plan_destroy(plan);
    rnncore_plan_destroy(NULL);
}

static void test_huge_weights(void)
{
    const rnncore_config huge = {.struct_size = sizeof(rnncore_config),
                                 .cell = RNNCORE_LSTM,
                                 .dtype = RNNCORE_FLOAT64,
                                 .input_size = (int64_t)1 << 28,
                                 .hidden_size = (int64_t)1 << 28,
                                 .num_layers = 65536,
                                 .bidirectional = 1};
    rnncore_plan *plan;
    check_subject = "huge weights";
    if (!CHECK_STATUS(rnncore_plan_create(&huge, &plan), RNNCORE_OK)) return;
    CHECK(rnncore_weights_bytes(plan, RNNCORE_PACK_FORWARD) == 0);
    CHECK(rnncore_tape_bytes(plan, 1 << 20, 1 << 20, (int64_t)1 << 40, 0) == 0);
    rnncore_plan_destroy(plan);
}

static void test_packing(void)
{
    model m;
    model_init(&m, RNNCORE_LSTM, RNNCORE_FLOAT32, NULL, 2, 1, 3, 5, 2, 1, 0);
    check_subject = "packing";
    const int use = RNNCORE_PACK_FORWARD;
    const void *p[5];
    memcpy(p, m.params, sizeof p);
    CHECK_STATUS(rnncore_weights_pack(NULL, use, p, m.weights), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_weights_pack(m.plan, use, NULL, m.weights), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_weights_pack(m.plan, use, p, NULL), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_weights_pack(m.plan, 0, p, m.weights), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_weights_pack(m.plan, 8, p, m.weights), RNNCORE_ERROR_ARGUMENT);
    for (size_t i = 0; i < 5; i++) {
        rnncore_param param = {.struct_size = sizeof param};
        memcpy(p, m.params, sizeof p);
        p[i] = NULL;
        CHECK_STATUS(rnncore_param_get(m.plan, 0, (int)i, &param), RNNCORE_OK);
        const int may_be_null = param.optional;
        CHECK_STATUS(rnncore_weights_pack(m.plan, use, p, m.weights),
                     may_be_null ? RNNCORE_OK : RNNCORE_ERROR_ARGUMENT);
    }
    model_free(&m);
}

static void test_params(void)
{
    static const struct {
        const char *name;
        int64_t rows, columns;
        int optional;
    } expected[] = {{"weight_ih", 20, 4, 0}, {"weight_hh", 20, 2, 0}, {"bias_ih", 20, 0, 1},
                    {"bias_hh", 20, 0, 1},   {"weight_hr", 2, 5, 0},  {"weight_peephole", 15, 0, 0}};
    const rnncore_config config = {.struct_size = sizeof(rnncore_config),
                                   .cell = RNNCORE_LSTM,
                                   .input_size = 3,
                                   .hidden_size = 5,
                                   .proj_size = 2,
                                   .num_layers = 2,
                                   .bidirectional = 1,
                                   .peepholes = 1};
    rnncore_plan *plan;
    rnncore_param param = {.struct_size = sizeof param, .name = "untouched"};
    check_subject = "parameters";
    CHECK_STATUS(rnncore_plan_create(&config, &plan), RNNCORE_OK);
    CHECK(rnncore_param_count(plan) == (int)COUNT(expected) && rnncore_param_count(NULL) == 0);
    CHECK_STATUS(rnncore_param_get(NULL, 0, 0, &param), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_param_get(plan, 0, 0, NULL), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_param_get(plan, 0, -1, &param), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_param_get(plan, 0, (int)COUNT(expected), &param), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_param_get(plan, 2, 0, &param), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_param_get(plan, -1, 0, &param), RNNCORE_ERROR_ARGUMENT);
    CHECK(!strcmp(param.name, "untouched"));
    for (int i = 0; i < (int)COUNT(expected); i++) {
        CHECK_STATUS(rnncore_param_get(plan, 1, i, &param), RNNCORE_OK);
        CHECK(!strcmp(param.name, expected[i].name) && param.rows == expected[i].rows);
        CHECK(param.columns == expected[i].columns && param.optional == expected[i].optional);
    }
    CHECK_STATUS(rnncore_param_get(plan, 0, 0, &param), RNNCORE_OK);
    CHECK(param.columns == 3);
    rnncore_plan_destroy(plan);
    int lstm = 0;
    for (int i = 0; rnncore_cell_name(i); i++) lstm += !strcmp(rnncore_cell_name(i), RNNCORE_LSTM);
    CHECK(lstm == 1 && !rnncore_cell_name(-1) && !rnncore_cell_name(1000));
}

static void test_dropout(void)
{
    enum { N = 1000 };
    static float a[N], once[N], twice[N];
    int64_t kept = 0;
    check_subject = "dropout";
    for (int i = 0; i < N; i++) a[i] = 3;
    CHECK_STATUS(rnncore_dropout(RNNCORE_FLOAT32, once, a, N, 7, 0.25), RNNCORE_OK);
    for (int i = 0; i < N; i++) {
        CHECK(once[i] == 0 || once[i] == 4);
        kept += once[i] != 0;
    }
    CHECK(kept > N / 2 && kept < N);
    CHECK_STATUS(rnncore_dropout(RNNCORE_FLOAT32, a, a, N, 7, 0.25), RNNCORE_OK);
    CHECK(memcmp(a, once, sizeof a) == 0);
    CHECK_STATUS(rnncore_dropout(RNNCORE_FLOAT32, twice, a, N, 7, 1.0), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_dropout(RNNCORE_FLOAT32, twice, a, N, 7, (double)NAN), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_dropout(RNNCORE_FLOAT32, twice, NULL, N, 7, 0.5), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_dropout((rnncore_dtype)9, twice, a, N, 7, 0.5), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_dropout(RNNCORE_FLOAT32, twice, a, -1, 7, 0.5), RNNCORE_ERROR_SHAPE);
    CHECK(twice[0] == 0);
}

/* -- Bits ------------------------------------------------------------------------------------------------------------ */

/* A stream from the model's initial state gives its y, h_n and c_n. */
static void check_stream(model *m)
{
    const size_t in_row = m->x_bytes / (size_t)m->T, out_row = m->y_bytes / (size_t)m->T;
    void *memory = model_alloc(rnncore_stream_bytes(m->plan, m->N));
    char *y = model_alloc(out_row), *h = model_alloc(m->h_bytes), *c = model_alloc(m->c_bytes);
    rnncore_stream *stream;
    if (CHECK_STATUS(rnncore_stream_init(m->plan, m->weights, m->N, memory, &stream), RNNCORE_OK)) {
        rnncore_stream_set_state(stream, m->h0, m->c0);
        for (int64_t t = 0; t < m->T; t++) {
            rnncore_stream_step(stream, (char *)m->x + (size_t)t * in_row, y);
            CHECK(memcmp(y, (char *)m->y + (size_t)t * out_row, out_row) == 0);
        }
        rnncore_stream_get_state(stream, h, m->c_n ? c : NULL);
        CHECK(memcmp(h, m->h_n, m->h_bytes) == 0);
        CHECK(!m->c_n || memcmp(c, m->c_n, m->c_bytes) == 0);
    }
    rnncore_free(c);
    rnncore_free(h);
    rnncore_free(y);
    rnncore_free(memory);
}

static void check_bits(const rnncore_config *config, int64_t N)
{
    model m;
    size_t bytes;
    model_init_config(&m, config, 6, N);
    const rnncore_forward_args args = model_forward_args(&m);
    check_subject = config->isa;
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &args), RNNCORE_OK);
    check_stream(&m);
    void *fast = model_outputs(&m, &bytes);
    model_reset(&m);
    CHECK_STATUS(rnncore_forward_naive(m.plan, m.params, &args), RNNCORE_OK);
    void *naive = model_outputs(&m, &bytes);
    CHECK(memcmp(fast, naive, bytes) == 0);
    rnncore_free(naive);
    rnncore_free(fast);
    model_free(&m);
}

static void test_bits(void)
{
    const char *isa;
    rnncore_config tiny = model_configs[0];
    tiny.clip = 1e-310; /* a subnormal number is zero, that is: no clip */
    check_bits(&tiny, 3);
    for (int i = 0; (isa = rnncore_isa_name(i)) != NULL; i++)
        for (int k = 0; k < model_config_count; k++)
            for (int dtype = RNNCORE_FLOAT32; dtype <= RNNCORE_FLOAT64; dtype++)
                for (int64_t N = 1; N <= 11; N += 10) {
                    rnncore_config config = model_configs[k];
                    config.isa = isa;
                    config.dtype = (rnncore_dtype)dtype;
                    config.dropout = 0.25;
                    const int stores = dtype == RNNCORE_FLOAT32 ? RNNCORE_STORE_COUNT : 1;
                    for (int store = 0; store < stores; store++) {
                        config.store = (rnncore_store)store;
                        check_bits(&config, N);
                    }
                }
}

/* Zoneout on a tape: other results than without one, and the same from a tape of segments, in forward and backward. */
static void check_zoneout(const rnncore_config *config)
{
    model m;
    size_t bytes;
    model_init_config(&m, config, 6, 11);
    rnncore_forward_args forward = model_forward_args(&m);
    rnncore_backward_args backward = model_backward_args(&m);
    const int64_t lengths[11] = {6, 0, 3, 6, 1, 2, 6, 5, 4, 6, 6};
    void *found[2];
    for (int i = 0; i < 2; i++) {
        forward.lengths = backward.lengths = lengths;
        forward.segments = i * 3;
        forward.recurrent_dropout = backward.recurrent_dropout = 0.25;
        forward.tape = backward.tape = model_alloc(rnncore_tape_bytes(m.plan, 6, 11, 45, forward.segments));
        model_reset(&m);
        CHECK_STATUS(rnncore_forward(m.plan, m.weights, &forward), RNNCORE_OK);
        CHECK_STATUS(rnncore_backward(m.plan, m.weights, &backward), RNNCORE_OK);
        found[i] = model_outputs(&m, &bytes);
        rnncore_free(forward.tape);
    }
    CHECK(memcmp(found[0], found[1], bytes) == 0);
    void *y = model_alloc(m.y_bytes);
    memcpy(y, m.y, m.y_bytes);
    forward.tape = NULL;
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &forward), RNNCORE_OK);
    CHECK(memcmp(y, m.y, m.y_bytes) != 0);
    rnncore_free(y);
    rnncore_free(found[0]);
    rnncore_free(found[1]);
    model_free(&m);
}

static void test_zoneout(void)
{
    check_subject = "zoneout";
    for (int k = 0; k < model_config_count; k++) {
        rnncore_config config = model_configs[k];
        if (config.zoneout == 0) continue;
        config.bidirectional = config.activations[0][0].function == RNNCORE_USUAL;
        check_zoneout(&config);
    }
}

/* Final states may overwrite the initial ones. */
static void test_state_in_place(void)
{
    model m;
    model_init(&m, RNNCORE_LSTM, RNNCORE_FLOAT64, NULL, 4, 3, 5, 6, 0, 2, 1);
    rnncore_forward_args args = model_forward_args(&m);
    check_subject = "state in place";
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &args), RNNCORE_OK);
    args.h_n = m.h0;
    args.c_n = m.c0;
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &args), RNNCORE_OK);
    CHECK(memcmp(m.h0, m.h_n, m.h_bytes) == 0);
    CHECK(memcmp(m.c0, m.c_n, m.c_bytes) == 0);
    model_free(&m);
}

int main(void)
{
    test_names();
    test_plans();
    test_huge_weights();
    test_packing();
    test_params();
    test_dropout();
    test_bits();
    test_zoneout();
    test_state_in_place();
    return check_result("test_core");
}
