/* SPDX-License-Identifier: MIT
 *
 * Calls through a BLAS: refused by a plan without one; with plain loops in order the same bits as the kernels; and with the
 * system's BLAS, if any, the same bits where every sum is exact. */
#include <stdlib.h>
#include <string.h>

#include "rnncore.h"

#include "check.h"
#include "model.h"

enum { ALL_USES = RNNCORE_PACK_FORWARD | RNNCORE_PACK_BACKWARD | RNNCORE_PACK_BLAS };

static void test_refusals(void)
{
    model m;
    rnncore_plan *without;
    check_subject = "a plan without a BLAS";
    model_init(&m, RNNCORE_GRU, RNNCORE_FLOAT32, NULL, 3, 3, 4, 5, 0, 1, 0);
    rnncore_config config = m.config;
    config.blas = NULL;
    CHECK_STATUS(rnncore_plan_create(&config, &without), RNNCORE_OK);
    CHECK(rnncore_weights_bytes(without, RNNCORE_PACK_BLAS) == 0);
    CHECK(rnncore_weights_bytes(without, RNNCORE_PACK_FORWARD) > 0);
    CHECK_STATUS(rnncore_weights_pack(without, ALL_USES, m.params, m.weights), RNNCORE_ERROR_UNSUPPORTED);

    rnncore_forward_args forward = model_forward_args(&m);
    forward.backend = RNNCORE_BLAS;
    CHECK_STATUS(rnncore_forward(without, m.weights, &forward), RNNCORE_ERROR_UNSUPPORTED);
    CHECK(model_untouched(&m));
    forward.tape = m.tape;
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &forward), RNNCORE_OK);
    model_reset(&m);
    rnncore_backward_args backward = model_backward_args(&m);
    backward.backend = RNNCORE_BLAS;
    CHECK_STATUS(rnncore_backward(without, m.weights, &backward), RNNCORE_ERROR_UNSUPPORTED);
    CHECK(model_untouched(&m));
    rnncore_plan_destroy(without);
    model_free(&m);
}

/* The plan has a copy: the caller's struct may go. */
static void test_copy(void)
{
    model m;
    rnncore_blas mine = model_blas;
    check_subject = "a BLAS that is gone";
    model_init_config(&m,
                      &(rnncore_config){.struct_size = sizeof(rnncore_config),
                                        .cell = RNNCORE_LSTM,
                                        .input_size = 2,
                                        .hidden_size = 3,
                                        .num_layers = 1,
                                        .blas = &mine},
                      4, 2);
    memset(&mine, 0, sizeof mine);
    rnncore_forward_args args = model_forward_args(&m);
    args.backend = RNNCORE_BLAS;
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &args), RNNCORE_OK);
    model_free(&m);
}

/* Outputs and gradients of a training call. */
static void *train(model *m, rnncore_backend backend, int64_t segments, size_t *bytes)
{
    static const int64_t lengths[] = {5, 0, 3, 5, 1};
    rnncore_forward_args forward = model_forward_args(m);
    rnncore_backward_args backward = model_backward_args(m);
    forward.lengths = backward.lengths = lengths;
    forward.backend = backward.backend = backend;
    forward.segments = segments;
    forward.recurrent_dropout = backward.recurrent_dropout = 0.25;
    forward.tape = backward.tape = model_alloc(rnncore_tape_bytes(m->plan, m->T, m->N, 14, segments));
    model_reset(m);
    CHECK_STATUS(rnncore_forward(m->plan, m->weights, &forward), RNNCORE_OK);
    CHECK_STATUS(rnncore_backward(m->plan, m->weights, &backward), RNNCORE_OK);
    rnncore_free(forward.tape);
    return model_outputs(m, bytes);
}

static void test_bits(const char *cell, rnncore_dtype dtype, int64_t P)
{
    model m;
    size_t bytes;
    check_subject = "plain loops and kernels";
    model_init(&m, cell, dtype, NULL, 5, 5, 3, 21, P, 2, 1);
    for (int64_t segments = 0; segments < 3; segments += 2) {
        void *fused = train(&m, RNNCORE_FUSED, segments, &bytes), *blas = train(&m, RNNCORE_BLAS, segments, &bytes);
        CHECK(memcmp(fused, blas, bytes) == 0);
        rnncore_free(fused);
        rnncore_free(blas);
    }
    model_free(&m);
}

/* Rounds to multiples of 1/8, whose products sum exactly in any order. */
static void coarsen(const model *m, void *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (m->config.dtype == RNNCORE_FLOAT32) ((float *)values)[i] = (float)(int)(8 * ((float *)values)[i]) / 8;
        else ((double *)values)[i] = (double)(int)(8 * ((double *)values)[i]) / 8;
    }
}

static void test_system(rnncore_dtype dtype)
{
    enum { T = 1, N = 4, I = 6, H = 20 };
    model m;
    size_t bytes;
    check_subject = "the system's BLAS and kernels";
    model_init_config(&m,
                      &(rnncore_config){.struct_size = sizeof(rnncore_config),
                                        .cell = RNNCORE_GRU,
                                        .dtype = dtype,
                                        .input_size = I,
                                        .hidden_size = H,
                                        .num_layers = 1,
                                        .blas = rnncore_system_blas()},
                      T, N);
    for (int i = 0; i < rnncore_param_count(m.plan); i++) {
        rnncore_param param = {.struct_size = sizeof param};
        CHECK_STATUS(rnncore_param_get(m.plan, 0, i, &param), RNNCORE_OK);
        coarsen(&m, (void *)(uintptr_t)m.params[i], param.rows * (param.columns ? param.columns : 1));
    }
    coarsen(&m, m.x, T * N * I);
    coarsen(&m, m.h0, N * H);
    CHECK_STATUS(rnncore_weights_pack(m.plan, ALL_USES, m.params, m.weights), RNNCORE_OK);
    rnncore_forward_args args = model_forward_args(&m);
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &args), RNNCORE_OK);
    void *fused = model_outputs(&m, &bytes);
    model_reset(&m);
    args.backend = RNNCORE_BLAS;
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &args), RNNCORE_OK);
    void *blas = model_outputs(&m, &bytes);
    CHECK(memcmp(fused, blas, bytes) == 0);
    rnncore_free(fused);
    rnncore_free(blas);
    model_free(&m);
}

int main(void)
{
    test_refusals();
    test_copy();
    for (int i = 0; rnncore_cell_name(i); i++) {
        test_bits(rnncore_cell_name(i), RNNCORE_FLOAT32, strcmp(rnncore_cell_name(i), RNNCORE_LSTM) ? 0 : 7);
        test_bits(rnncore_cell_name(i), RNNCORE_FLOAT64, 0);
    }
    if (rnncore_system_blas()) {
        test_system(RNNCORE_FLOAT32);
        test_system(RNNCORE_FLOAT64);
    }
    printf("the system's BLAS: %s\n", rnncore_system_blas() ? "yes" : "none");
    return check_result("test_blas");
}
