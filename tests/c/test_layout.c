/* SPDX-License-Identifier: MIT
 *
 * Arrays anywhere in memory: with strides of every kind, or left out where a call allows it, outputs are those of dense arrays
 * to the last bit. And calls without steps or without rows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rnncore.h"

#include "check.h"
#include "model.h"

enum { T = 7, N = 5 };

/* Elements from one feature to the next, and whether time and rows run backwards; x, y, dy and dx have them all. */
static const struct layout {
    const char *name;
    int64_t feature, gap; /* gap: elements between rows */
    int backwards;
} layouts[] = {{"a gap between rows", 1, 3, 0},
               {"every second element", 2, 0, 0},
               {"backwards", 1, 0, 1},
               {"features backwards", -1, 0, 0},
               {"all at once", -3, 2, 1}};

/* Two layers without dropout, of which the naive loop knows nothing. */
static void make(model *m, const char *cell, rnncore_dtype dtype, int64_t P, int both)
{
    const rnncore_config config = {.struct_size = sizeof config,
                                   .cell = cell,
                                   .dtype = dtype,
                                   .input_size = 3,
                                   .hidden_size = 9,
                                   .proj_size = P,
                                   .num_layers = 2,
                                   .bidirectional = both};
    model_init_config(m, &config, T, N);
}

static const int64_t lengths[] = {4, 0, 7, 7, 1};

/* An array (T, N, size) in `memory`, which is large enough and gets what the dense array has. */
static rnncore_array spread(const struct layout *l, const rnncore_array *dense, int64_t size, char *memory)
{
    const int64_t elem = dense->stride[2], step = l->feature < 0 ? -l->feature : l->feature;
    const int64_t row = (size * step + l->gap) * elem, sign = l->backwards ? -1 : 1;
    rnncore_array a = {memory, {sign * N * row, sign * row, l->feature * elem}};
    char *at = memory;
    if (l->backwards) at += (T * N - 1) * row;
    if (l->feature < 0) at += (size - 1) * step * elem;
    a.data = at;
    for (int64_t i = 0; i < T * N * size; i++) {
        const int64_t t = i / size / N, n = i / size % N, k = i % size;
        memcpy(at + t * a.stride[0] + n * a.stride[1] + k * a.stride[2],
               (char *)dense->data + t * dense->stride[0] + n * dense->stride[1] + k * elem, (size_t)elem);
    }
    return a;
}

static int same(const rnncore_array *a, const rnncore_array *dense, int64_t size)
{
    for (int64_t i = 0; i < T * N * size; i++) {
        const int64_t t = i / size / N, n = i / size % N, k = i % size;
        if (memcmp((char *)a->data + t * a->stride[0] + n * a->stride[1] + k * a->stride[2],
                   (char *)dense->data + t * dense->stride[0] + n * dense->stride[1] + k * dense->stride[2],
                   (size_t)dense->stride[2]))
            return 0;
    }
    return 1;
}

/* All outputs of a call with this layout, NULL: dense, into the model's dense arrays. */
static void check_layout(const model *m, const struct layout *l, const int64_t *own, rnncore_backend backend)
{
    const int64_t in = m->config.input_size, out = m->directions * m->out;
    const size_t most = 4 * (m->x_bytes + m->y_bytes);
    char *memory[4];
    rnncore_forward_args forward = model_forward_args(m), dense = forward;
    rnncore_backward_args backward = model_backward_args(m), dense_back = backward;
    for (int i = 0; i < 4; i++) memory[i] = memset(model_alloc(most), 0, most);
    check_subject = l->name;
    forward.lengths = dense.lengths = backward.lengths = dense_back.lengths = own;
    forward.backend = dense.backend = backward.backend = dense_back.backend = backend;
    forward.tape = dense.tape = m->tape;
    const size_t tape = rnncore_tape_bytes(m->plan, T, N, T * N, 0);
    memset(m->tape, 0xff, tape); /* NaN: nothing reads what was not written */
    CHECK_STATUS(rnncore_forward(m->plan, m->weights, &dense), RNNCORE_OK);
    forward.x = spread(l, &dense.x, in, memory[0]);
    forward.y = spread(l, &dense.y, out, memory[1]);
    memset(memory[1], 9, most);
    CHECK_STATUS(rnncore_forward(m->plan, m->weights, &forward), RNNCORE_OK);
    CHECK(same(&forward.y, &dense.y, out));
    memset(memory[1], 9, most);
    if (backend == RNNCORE_FUSED) {
        CHECK_STATUS(rnncore_forward_naive(m->plan, m->params, &forward), RNNCORE_OK);
        CHECK(same(&forward.y, &dense.y, out));
    }
    CHECK_STATUS(rnncore_backward(m->plan, m->weights, &dense_back), RNNCORE_OK);
    size_t bytes;
    void *expected = model_outputs(m, &bytes);
    forward.y = dense.y;
    backward.dy = spread(l, &dense_back.dy, out, memory[2]);
    backward.dx = spread(l, &dense_back.dx, in, memory[3]);
    memset(memory[3], 9, most);
    memset(m->tape, 0, tape);
    CHECK_STATUS(rnncore_forward(m->plan, m->weights, &forward), RNNCORE_OK);
    CHECK_STATUS(rnncore_backward(m->plan, m->weights, &backward), RNNCORE_OK);
    CHECK(same(&backward.dx, &dense_back.dx, in));
    void *found = model_outputs(m, &bytes);
    CHECK(memcmp(expected, found, bytes) == 0);
    rnncore_free(found);
    rnncore_free(expected);
    for (int i = 0; i < 4; i++) rnncore_free(memory[i]);
}

static void test_layouts(void)
{
    for (int dtype = RNNCORE_FLOAT32; dtype <= RNNCORE_FLOAT64; dtype++)
        for (int both = 0; both < 2; both++) {
            model m;
            make(&m, RNNCORE_LSTM, (rnncore_dtype)dtype, 4, both);
            for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
                check_layout(&m, &layouts[i], NULL, RNNCORE_FUSED);
                check_layout(&m, &layouts[i], lengths, RNNCORE_FUSED);
                check_layout(&m, &layouts[i], lengths, RNNCORE_BLAS);
            }
            model_free(&m);
        }
}

/* What a call does not want changes nothing else: gradients of parameters with and without all the others. */
static void check_wanted(const char *cell, const int64_t *own, int64_t segments)
{
    model m;
    make(&m, cell, RNNCORE_FLOAT32, 0, 0);
    rnncore_forward_args forward = model_forward_args(&m);
    rnncore_backward_args backward = model_backward_args(&m);
    forward.lengths = backward.lengths = own;
    forward.segments = segments;
    forward.tape = backward.tape = m.tape;
    check_subject = cell;
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &forward), RNNCORE_OK);
    CHECK_STATUS(rnncore_backward(m.plan, m.weights, &backward), RNNCORE_OK);
    const size_t bytes = 3 * 9 * sizeof(float); /* of every cell's weight_ih there are so many */
    void *weight = memcpy(model_alloc(bytes), m.grads[0], bytes);
    void *y = memcpy(model_alloc(m.y_bytes), m.y, m.y_bytes);
    forward.h_n = forward.c_n = NULL;
    backward.dx.data = backward.dh0 = backward.dc0 = NULL;
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &forward), RNNCORE_OK);
    CHECK(memcmp(y, m.y, m.y_bytes) == 0);
    CHECK_STATUS(rnncore_backward(m.plan, m.weights, &backward), RNNCORE_OK);
    CHECK(memcmp(weight, m.grads[0], bytes) == 0);
    CHECK_STATUS(rnncore_forward_naive(m.plan, m.params, &forward), RNNCORE_OK);
    CHECK(memcmp(y, m.y, m.y_bytes) == 0);
    /* Zeros for what is not given. */
    memset(m.h0, 0, m.h_bytes);
    if (m.c0) memset(m.c0, 0, m.c_bytes);
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &forward), RNNCORE_OK);
    memcpy(y, m.y, m.y_bytes);
    backward.dy.data = memset(m.y, 0, m.y_bytes);
    CHECK_STATUS(rnncore_backward(m.plan, m.weights, &backward), RNNCORE_OK);
    memcpy(weight, m.grads[0], bytes);
    forward.h0 = forward.c0 = NULL;
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &forward), RNNCORE_OK);
    CHECK(memcmp(y, m.y, m.y_bytes) == 0);
    backward.dy.data = NULL;
    backward.dh_n = backward.dc_n = NULL;
    CHECK_STATUS(rnncore_backward(m.plan, m.weights, &backward), RNNCORE_OK);
    CHECK(memcmp(weight, m.grads[0], bytes) == 0);
    rnncore_free(y);
    rnncore_free(weight);
    model_free(&m);
}

/* No steps: the states pass through, outputs are empty, gradients are zeros. No rows: nothing but zero gradients. */
static void check_empty(const char *cell, int64_t steps, int64_t rows, int64_t segments)
{
    model m;
    make(&m, cell, RNNCORE_FLOAT64, 0, 1);
    rnncore_forward_args forward = model_forward_args(&m);
    rnncore_backward_args backward = model_backward_args(&m);
    check_subject = cell;
    forward.steps = backward.steps = steps;
    forward.batch = backward.batch = rows;
    forward.segments = segments;
    forward.tape = backward.tape = m.tape;
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &forward), RNNCORE_OK);
    CHECK(rows == 0 || memcmp(m.h_n, m.h0, m.h_bytes) == 0);
    CHECK_STATUS(rnncore_backward(m.plan, m.weights, &backward), RNNCORE_OK);
    CHECK(rows == 0 || memcmp(m.dh0, m.h0, m.h_bytes) == 0); /* dh_n of these arguments */
    for (int i = 0; i < 3 * 9; i++) CHECK(((const double *)m.grads[0])[i] == 0);
    CHECK_STATUS(rnncore_forward_naive(m.plan, m.params, &forward), RNNCORE_OK);
    model_free(&m);
}

/* An infinite input saturates units and leaves the gradient of every input a number: what pads vectors, 0 * infinity, is never
 * read. */
static void check_infinite(const char *cell)
{
    model m;
    make(&m, cell, RNNCORE_FLOAT32, 0, 0);
    rnncore_forward_args forward = model_forward_args(&m);
    const rnncore_backward_args backward = model_backward_args(&m);
    check_subject = cell;
    forward.tape = m.tape;
    ((float *)m.x)[4] = INFINITY;
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &forward), RNNCORE_OK);
    CHECK_STATUS(rnncore_backward(m.plan, m.weights, &backward), RNNCORE_OK);
    for (int i = 0; i < T * N * 3; i++) CHECK(isfinite((double)((const float *)m.dx)[i]));
    model_free(&m);
}

int main(void)
{
    const char *cell;
    static const int64_t some[] = {0, 7, 3, 0, 5};
    test_layouts();
    check_infinite(RNNCORE_RNN_TANH);
    check_infinite(RNNCORE_LSTM);
    check_infinite(RNNCORE_GRU);
    for (int i = 0; (cell = rnncore_cell_name(i)) != NULL; i++) {
        check_wanted(cell, NULL, 0);
        check_wanted(cell, some, 0);
        check_wanted(cell, some, 3);
        check_empty(cell, 0, N, 0);
        check_empty(cell, T, 0, 0);
        check_empty(cell, 0, 0, 0);
    }
    return check_result("test_layout");
}
