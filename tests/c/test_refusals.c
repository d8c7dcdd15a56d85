/* SPDX-License-Identifier: MIT
 *
 * Every refusal of a call, a stream and a selection: its status, and that nothing was written. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rnncore.h"

#include "check.h"
#include "model.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

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

int main(void)
{
    test_refused_forward();
    test_refused_backward();
    test_refused_streams();
    test_refused_selections();
    return check_result("test_refusals");
}
