/* SPDX-License-Identifier: MIT
 *
 * The C library as its header promises it: names, every refusal (nothing is written), and the same bits from a call, its
 * naive loop and a stream. */
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
    ROW("function", ARGUMENT, RNNCORE_LSTM, SIZES, .activations[0][0].function = (rnncore_function)12),
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

/* -- Calls ----------------------------------------------------------------------------------------------------------- */

static const int64_t too_long[] = {1, 4, 0}, negative[] = {1, -1, 0};

typedef struct bad_forward {
    const char *name;
    rnncore_status expected;
    int naive_too; /* whether the naive loop looks at it */
    void (*spoil)(rnncore_forward_args *a);
} bad_forward;

#define SPOIL(name, what) \
    static void spoil_##name(rnncore_forward_args *a) { what; }
SPOIL(x, a->x.data = NULL)
SPOIL(y, a->y.data = NULL)
SPOIL(x_address, a->x.data = (char *)a->x.data + 1)
SPOIL(y_address, a->y.data = (char *)a->y.data + 1)
SPOIL(x_stride, a->x.stride[1] += 1)
SPOIL(y_stride, a->y.stride[2] -= 1)
SPOIL(c0, a->c0 = a->h0)
SPOIL(c_n, a->c_n = a->h_n)
SPOIL(steps, a->steps = -1)
SPOIL(batch, a->batch = -1)
SPOIL(product, a->steps = a->batch = (int64_t)1 << 40)
SPOIL(all_steps, (a->steps = INT64_MAX, a->batch = 1))
SPOIL(no_rows, (a->steps = INT64_MAX, a->batch = 0))
SPOIL(all_rows, (a->steps = 0, a->batch = INT64_MAX))
SPOIL(long_row, a->lengths = too_long)
SPOIL(negative_row, a->lengths = negative)
SPOIL(tape, a->tape = (char *)a->y.data + 4)
SPOIL(threads, a->threads = 0)
SPOIL(backend, a->backend = (rnncore_backend)2)
SPOIL(drop, (a->tape = (void *)(uintptr_t)64, a->recurrent_dropout = 1))
#undef SPOIL

static const bad_forward bad_forwards[] = {
    {"x null", RNNCORE_ERROR_ARGUMENT, 1, spoil_x},
    {"y null", RNNCORE_ERROR_ARGUMENT, 1, spoil_y},
    {"x between elements", RNNCORE_ERROR_ARGUMENT, 1, spoil_x_address},
    {"y between elements", RNNCORE_ERROR_ARGUMENT, 1, spoil_y_address},
    {"x stride", RNNCORE_ERROR_ARGUMENT, 1, spoil_x_stride},
    {"y stride", RNNCORE_ERROR_ARGUMENT, 1, spoil_y_stride},
    {"c0 of a GRU", RNNCORE_ERROR_ARGUMENT, 1, spoil_c0},
    {"c_n of a GRU", RNNCORE_ERROR_ARGUMENT, 1, spoil_c_n},
    {"steps", RNNCORE_ERROR_SHAPE, 1, spoil_steps},
    {"batch", RNNCORE_ERROR_SHAPE, 1, spoil_batch},
    {"steps * batch", RNNCORE_ERROR_OVERFLOW, 1, spoil_product},
    {"all steps there are", RNNCORE_ERROR_OVERFLOW, 1, spoil_all_steps},
    {"all steps of no rows", RNNCORE_ERROR_OVERFLOW, 1, spoil_no_rows},
    {"all rows there are", RNNCORE_ERROR_OVERFLOW, 1, spoil_all_rows},
    {"length above T", RNNCORE_ERROR_LENGTHS, 1, spoil_long_row},
    {"length below 0", RNNCORE_ERROR_LENGTHS, 1, spoil_negative_row},
    {"tape unaligned", RNNCORE_ERROR_ARGUMENT, 0, spoil_tape},
    {"threads", RNNCORE_ERROR_ARGUMENT, 0, spoil_threads},
    {"backend", RNNCORE_ERROR_ARGUMENT, 0, spoil_backend},
    {"recurrent dropout", RNNCORE_ERROR_ARGUMENT, 0, spoil_drop},
};

static void test_refused_forward(void)
{
    model m;
    model_init(&m, RNNCORE_GRU, RNNCORE_FLOAT32, NULL, 3, 3, 4, 5, 0, 1, 0);
    const rnncore_forward_args good = model_forward_args(&m);
    for (size_t i = 0; i < COUNT(bad_forwards); i++) {
        rnncore_forward_args bad = good;
        check_subject = bad_forwards[i].name;
        bad_forwards[i].spoil(&bad);
        CHECK_STATUS(rnncore_forward(m.plan, m.weights, &bad), bad_forwards[i].expected);
        if (bad_forwards[i].naive_too)
            CHECK_STATUS(rnncore_forward_naive(m.plan, m.params, &bad), bad_forwards[i].expected);
    }
    check_subject = "forward";
    const void *const without[4] = {m.params[0]};
    CHECK_STATUS(rnncore_forward(NULL, m.weights, &good), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_forward(m.plan, NULL, &good), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, NULL), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_forward_naive(m.plan, NULL, &good), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_forward_naive(m.plan, without, &good), RNNCORE_ERROR_ARGUMENT);
    rnncore_forward_args blas = good;
    blas.backend = RNNCORE_BLAS;
    CHECK_STATUS(rnncore_weights_pack(m.plan, RNNCORE_PACK_FORWARD, m.params, m.weights), RNNCORE_OK);
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &blas), RNNCORE_ERROR_ARGUMENT);
    CHECK(model_untouched(&m));
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &good), RNNCORE_OK);
    CHECK(!model_untouched(&m));
    model_free(&m);
}

typedef struct bad_backward {
    const char *name;
    rnncore_status expected;
    void (*spoil)(rnncore_backward_args *a, void **grads);
} bad_backward;

#define SPOIL(name, what) \
    static void spoil_b_##name(rnncore_backward_args *a, void **g) \
    { \
        (void)a; \
        (void)g; \
        what; \
    }
SPOIL(tape, a->tape = NULL)
SPOIL(tape_address, a->tape = (char *)a->tape + 4)
SPOIL(grads, a->grads = NULL)
SPOIL(weight_ih, g[0] = NULL)
SPOIL(weight_hh, g[1] = NULL)
SPOIL(dc_n, a->dc_n = a->dh_n)
SPOIL(dc0, a->dc0 = a->dh0)
SPOIL(dy, a->dy.stride[0] += 1)
SPOIL(dx, a->dx.data = (char *)a->dx.data + 2)
SPOIL(steps, a->steps = 2)
SPOIL(batch, a->batch = 2)
SPOIL(negative, a->steps = -1)
SPOIL(lengths, a->lengths = too_long)
SPOIL(threads, a->threads = -1)
SPOIL(drop, a->recurrent_dropout = (double)NAN)
#undef SPOIL

static const bad_backward bad_backwards[] = {
    {"tape null", RNNCORE_ERROR_ARGUMENT, spoil_b_tape},
    {"tape unaligned", RNNCORE_ERROR_ARGUMENT, spoil_b_tape_address},
    {"grads null", RNNCORE_ERROR_ARGUMENT, spoil_b_grads},
    {"grads.weight_ih", RNNCORE_ERROR_ARGUMENT, spoil_b_weight_ih},
    {"grads.weight_hh", RNNCORE_ERROR_ARGUMENT, spoil_b_weight_hh},
    {"dc_n of a GRU", RNNCORE_ERROR_ARGUMENT, spoil_b_dc_n},
    {"dc0 of a GRU", RNNCORE_ERROR_ARGUMENT, spoil_b_dc0},
    {"dy stride", RNNCORE_ERROR_ARGUMENT, spoil_b_dy},
    {"dx between elements", RNNCORE_ERROR_ARGUMENT, spoil_b_dx},
    {"other steps", RNNCORE_ERROR_ARGUMENT, spoil_b_steps},
    {"other batch", RNNCORE_ERROR_ARGUMENT, spoil_b_batch},
    {"steps", RNNCORE_ERROR_SHAPE, spoil_b_negative},
    {"length above T", RNNCORE_ERROR_LENGTHS, spoil_b_lengths},
    {"threads", RNNCORE_ERROR_ARGUMENT, spoil_b_threads},
    {"recurrent dropout", RNNCORE_ERROR_ARGUMENT, spoil_b_drop},
};

static void test_refused_backward(void)
{
    model m;
    model_init(&m, RNNCORE_GRU, RNNCORE_FLOAT32, NULL, 3, 3, 4, 5, 0, 1, 0);
    rnncore_forward_args forward = model_forward_args(&m);
    forward.tape = m.tape;
    check_subject = "recording forward";
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &forward), RNNCORE_OK);
    model_reset(&m);
    const rnncore_backward_args good = model_backward_args(&m);
    for (size_t i = 0; i < COUNT(bad_backwards); i++) {
        rnncore_backward_args bad = good;
        void *grads[4];
        memcpy(grads, m.grads, sizeof grads);
        check_subject = bad_backwards[i].name;
        bad.grads = grads;
        bad_backwards[i].spoil(&bad, grads);
        CHECK_STATUS(rnncore_backward(m.plan, m.weights, &bad), bad_backwards[i].expected);
    }
    check_subject = "backward";
    CHECK_STATUS(rnncore_backward(NULL, m.weights, &good), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_backward(m.plan, NULL, &good), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_backward(m.plan, m.weights, NULL), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_weights_pack(m.plan, RNNCORE_PACK_FORWARD, m.params, m.weights), RNNCORE_OK);
    CHECK_STATUS(rnncore_backward(m.plan, m.weights, &good), RNNCORE_ERROR_ARGUMENT);
    CHECK(model_untouched(&m));
    CHECK_STATUS(rnncore_weights_pack(m.plan, RNNCORE_PACK_BACKWARD, m.params, m.weights), RNNCORE_OK);
    CHECK_STATUS(rnncore_backward(m.plan, m.weights, &good), RNNCORE_OK);
    CHECK(!model_untouched(&m));
    model_free(&m);
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

static void test_refused_streams(void)
{
    model m, both;
    rnncore_stream *stream = (rnncore_stream *)&m;
    model_init(&m, RNNCORE_GRU, RNNCORE_FLOAT32, NULL, 3, 2, 4, 5, 0, 1, 0);
    model_init(&both, RNNCORE_GRU, RNNCORE_FLOAT32, NULL, 3, 2, 4, 5, 0, 1, 1);
    check_subject = "stream";
    void *memory = model_alloc(rnncore_stream_bytes(m.plan, 2));
    CHECK_STATUS(rnncore_stream_init(NULL, m.weights, 2, memory, &stream), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_stream_init(m.plan, NULL, 2, memory, &stream), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_stream_init(m.plan, m.weights, 0, memory, &stream), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_stream_init(m.plan, m.weights, 2, NULL, &stream), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_stream_init(m.plan, m.weights, INT64_MAX, memory, &stream), RNNCORE_ERROR_OVERFLOW);
    CHECK_STATUS(rnncore_stream_init(m.plan, m.weights, 2, memory, NULL), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_stream_init(both.plan, both.weights, 2, memory, &stream), RNNCORE_ERROR_UNSUPPORTED);
    CHECK(rnncore_stream_bytes(both.plan, 2) == 0);
    CHECK_STATUS(rnncore_weights_pack(m.plan, RNNCORE_PACK_BACKWARD, m.params, m.weights), RNNCORE_OK);
    CHECK_STATUS(rnncore_stream_init(m.plan, m.weights, 2, memory, &stream), RNNCORE_ERROR_ARGUMENT);
    CHECK(stream == (rnncore_stream *)&m);
    rnncore_free(memory);
    model_free(&both);
    model_free(&m);
}

static void test_refused_selections(void)
{
    static const int64_t good[] = {1, -1}, twice[] = {1, 1}, beyond[] = {0, 2}, below[] = {-2, 0}, more[] = {0, 1, -1};
    model m;
    rnncore_stream *stream;
    model_init(&m, RNNCORE_LSTM, RNNCORE_FLOAT64, NULL, 1, 2, 3, 5, 0, 2, 0);
    check_subject = "selection";
    void *memory = model_alloc(rnncore_stream_bytes(m.plan, 2));
    CHECK_STATUS(rnncore_stream_init(m.plan, m.weights, 2, memory, &stream), RNNCORE_OK);
    rnncore_stream_set_state(stream, m.h0, m.c0);
    CHECK_STATUS(rnncore_stream_select(NULL, good, 2), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_stream_select(stream, NULL, 2), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_stream_select(stream, twice, 2), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_stream_select(stream, beyond, 2), RNNCORE_ERROR_SHAPE);
    CHECK_STATUS(rnncore_stream_select(stream, below, 2), RNNCORE_ERROR_SHAPE);
    CHECK_STATUS(rnncore_stream_select(stream, more, 3), RNNCORE_ERROR_SHAPE);
    CHECK_STATUS(rnncore_stream_select(stream, good, 0), RNNCORE_ERROR_SHAPE);
    CHECK(rnncore_stream_rows(stream) == 2);
    rnncore_stream_get_state(stream, m.h_n, m.c_n);
    CHECK(memcmp(m.h_n, m.h0, m.h_bytes) == 0 && memcmp(m.c_n, m.c0, m.c_bytes) == 0);
    CHECK_STATUS(rnncore_stream_select(stream, good, 2), RNNCORE_OK);
    rnncore_stream_get_state(stream, m.h_n, m.c_n);
    CHECK(memcmp(m.h_n, (double *)m.h0 + 5, 5 * sizeof(double)) == 0 && ((double *)m.c_n)[5] == 0);
    rnncore_free(memory);
    model_free(&m);
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
    test_refused_forward();
    test_refused_backward();
    test_dropout();
    test_refused_streams();
    test_refused_selections();
    test_bits();
    test_zoneout();
    test_state_in_place();
    return check_result("test_core");
}
