/* SPDX-License-Identifier: MIT
 *
 * Fleets: each model has the outputs and gradients of its plan alone, bit for bit, whether a lane is a unit or a model. And what
 * their doors refuse. */
#include <string.h>

#include "rnncore.h"

#include "check.h"
#include "model.h"

enum { T = 4, N = 2, M = 5, BOTH = RNNCORE_PACK_FORWARD | RNNCORE_PACK_BACKWARD };
static const int64_t lengths[N] = {3, 4};

/* Models of one config, and copies of their blocks, those of all models side by side. */
typedef struct many {
    model each[M];
    char *stacked[MODEL_MAX_PARAMS * 2 + 16];
    rnncore_plan *plan;
    void *weights, *tape;
    size_t tape_bytes;
    rnncore_fleet fleet;
    rnncore_forward_args forward;
    rnncore_backward_args backward;
    const void *params[MODEL_MAX_PARAMS];
    void *grads[MODEL_MAX_PARAMS];
} many;

static void *stacked_of(const many *f, const void *own)
{
    for (int i = 0; own && i < f->each[0].block_count; i++)
        if (f->each[0].blocks[i] == own) return f->stacked[i];
    return NULL;
}

static void make(many *f, const rnncore_config *config, int64_t segments)
{
    *f = (many){.fleet = {.struct_size = sizeof f->fleet, .models = M, .threads = 1}};
    for (int m = 0; m < M; m++) model_init_config(&f->each[m], config, T, N);
    const model *first = &f->each[0];
    for (int i = 0; i < first->block_count; i++) {
        f->stacked[i] = model_alloc(M * first->sizes[i]);
        for (int m = 0; m < M; m++)
            memcpy(f->stacked[i] + (size_t)m * first->sizes[i], f->each[m].blocks[i], first->sizes[i]);
    }
    for (int i = 0; i < MODEL_MAX_PARAMS; i++) {
        f->params[i] = stacked_of(f, first->params[i]);
        f->grads[i] = stacked_of(f, first->grads[i]);
    }
    f->fleet.x_stride = (int64_t)first->x_bytes;
    f->fleet.y_stride = (int64_t)first->y_bytes;
    CHECK_STATUS(rnncore_plan_create(config, &f->plan), RNNCORE_OK);
    f->weights = model_alloc(rnncore_fleet_weights_bytes(f->plan, BOTH, M));
    int64_t all[M * N];
    for (int i = 0; i < M * N; i++) all[i] = lengths[i % N];
    f->tape_bytes = rnncore_fleet_tape_bytes(f->plan, T, N, all, segments, M);
    f->tape = model_alloc(f->tape_bytes);
    f->forward = model_forward_args(first);
    f->backward = model_backward_args(first);
}

static void release(many *f)
{
    for (int i = 0; i < f->each[0].block_count; i++) rnncore_free(f->stacked[i]);
    for (int m = 0; m < M; m++) model_free(&f->each[m]);
    rnncore_free(f->weights);
    rnncore_free(f->tape);
    rnncore_plan_destroy(f->plan);
}

static void train(many *f, const int64_t *all, int64_t segments)
{
    rnncore_forward_args *a = &f->forward;
    rnncore_backward_args *b = &f->backward;
    a->x.data = stacked_of(f, a->x.data);
    a->y.data = stacked_of(f, a->y.data);
    a->h0 = stacked_of(f, a->h0);
    a->c0 = stacked_of(f, a->c0);
    a->h_n = stacked_of(f, a->h_n);
    a->c_n = stacked_of(f, a->c_n);
    a->tape = b->tape = f->tape;
    a->segments = segments;
    a->lengths = b->lengths = all;
    b->dy.data = a->y.data;
    b->dx.data = stacked_of(f, b->dx.data);
    b->dh_n = a->h0;
    b->dc_n = a->c0;
    b->dh0 = stacked_of(f, b->dh0);
    b->dc0 = stacked_of(f, b->dc0);
    b->grads = f->grads;
    CHECK_STATUS(rnncore_fleet_pack(f->plan, BOTH, &f->fleet, f->params, f->weights), RNNCORE_OK);
    CHECK_STATUS(rnncore_fleet_forward(f->plan, f->weights, a, &f->fleet), RNNCORE_OK);
    CHECK_STATUS(rnncore_fleet_backward(f->plan, f->weights, b, &f->fleet), RNNCORE_OK);
}

static void train_alone(model *m, int64_t segments)
{
    rnncore_forward_args a = model_forward_args(m);
    rnncore_backward_args b = model_backward_args(m);
    a.lengths = b.lengths = lengths;
    a.segments = segments;
    a.tape = b.tape = model_alloc(rnncore_tape_bytes(m->plan, T, N, lengths[0] + lengths[1], segments));
    CHECK_STATUS(rnncore_forward(m->plan, m->weights, &a), RNNCORE_OK);
    CHECK_STATUS(rnncore_backward(m->plan, m->weights, &b), RNNCORE_OK);
    rnncore_free(a.tape);
}

/* `resting`: the second model does. */
static void check_models(const rnncore_config *config, int threads, int64_t segments, int resting)
{
    static const unsigned char active[M] = {1, 0, 1, 1, 1};
    int64_t all[M * N];
    many f;
    for (int i = 0; i < M * N; i++) all[i] = lengths[i % N];
    make(&f, config, segments);
    f.fleet.threads = f.forward.threads = f.backward.threads = threads;
    if (resting) f.fleet.active = active;
    train(&f, all, segments);
    for (int m = 0; m < M; m++) {
        model *own = &f.each[m];
        train_alone(own, segments);
        for (int i = own->outputs; i < own->block_count; i++) {
            if (own->blocks[i] == own->weights || own->blocks[i] == own->tape) continue;
            if (resting && m == 1) memset(own->blocks[i], 0, own->sizes[i]);
            CHECK(memcmp(f.stacked[i] + (size_t)m * own->sizes[i], own->blocks[i], own->sizes[i]) == 0);
        }
    }
    release(&f);
}

/* What is refused, with nothing written. */
static void check_doors(const rnncore_config *config)
{
    many f;
    int64_t all[M * N] = {0};
    make(&f, config, 0);
    rnncore_forward_args *a = &f.forward;
    rnncore_backward_args *b = &f.backward;
    rnncore_fleet bad = f.fleet;
    CHECK_STATUS(rnncore_fleet_pack(NULL, BOTH, &f.fleet, f.params, f.weights), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_fleet_pack(f.plan, BOTH, NULL, f.params, f.weights), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_fleet_pack(f.plan, 0, &f.fleet, f.params, f.weights), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_fleet_pack(f.plan, BOTH, &f.fleet, NULL, f.weights), RNNCORE_ERROR_ARGUMENT);
    bad.models = -1;
    CHECK_STATUS(rnncore_fleet_pack(f.plan, BOTH, &bad, f.params, f.weights), RNNCORE_ERROR_SHAPE);
    CHECK(rnncore_fleet_weights_bytes(f.plan, BOTH, -1) == 0);
    CHECK(rnncore_fleet_weights_bytes(f.plan, BOTH, (int64_t)1 << 50) == 0);
    CHECK(rnncore_plan_models(NULL) == 0);
    CHECK_STATUS(rnncore_fleet_pack(f.plan, BOTH, &f.fleet, f.params, f.weights), RNNCORE_OK);
    CHECK_STATUS(rnncore_fleet_forward(f.plan, NULL, a, &f.fleet), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_fleet_forward(f.plan, f.weights, NULL, &f.fleet), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_fleet_forward(f.plan, f.weights, a, &bad), RNNCORE_ERROR_SHAPE);
    bad.models = 0;
    CHECK_STATUS(rnncore_fleet_forward(f.plan, f.weights, a, &bad), RNNCORE_OK);
    CHECK_STATUS(rnncore_fleet_backward(f.plan, f.weights, b, &bad), RNNCORE_OK);
    a->lengths = all;
    all[M * N - 1] = T + 1;
    CHECK_STATUS(rnncore_fleet_forward(f.plan, f.weights, a, &f.fleet), RNNCORE_ERROR_LENGTHS);
    CHECK(rnncore_fleet_tape_bytes(f.plan, T, N, all, 0, M) == 0);
    CHECK(rnncore_fleet_tape_bytes(f.plan, -1, N, NULL, 0, M) == 0);
    CHECK(model_untouched(&f.each[0]));
    if (rnncore_plan_models(f.plan) > 1) {
        all[M * N - 1] = 0;
        all[N] = T; /* the second model, which shares its vectors with the first whatever their width */
        CHECK_STATUS(rnncore_fleet_forward(f.plan, f.weights, a, &f.fleet), RNNCORE_ERROR_UNSUPPORTED);
        a->lengths = NULL;
        a->backend = RNNCORE_BLAS;
        CHECK(rnncore_fleet_forward(f.plan, f.weights, a, &f.fleet) != RNNCORE_OK);
    }
    memset(f.tape, 0, f.tape_bytes);
    b->tape = f.tape;
    CHECK_STATUS(rnncore_fleet_backward(f.plan, f.weights, b, &f.fleet), RNNCORE_ERROR_ARGUMENT);
    release(&f);
}

/* What calls refuse of weights, tapes and options that are not theirs. */
static void check_strangers(const rnncore_config *config)
{
    many f;
    make(&f, config, 0);
    const int lanes = rnncore_plan_models(f.plan) > 1;
    rnncore_fleet bad = f.fleet;
    rnncore_backward_args *b = &f.backward;
    bad.threads = 0;
    CHECK_STATUS(rnncore_fleet_pack(f.plan, BOTH, &bad, f.params, f.weights), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_fleet_pack(f.plan, BOTH, &f.fleet, f.params, NULL), RNNCORE_ERROR_ARGUMENT);
    const void *first = f.params[0];
    f.params[0] = NULL;
    CHECK_STATUS(rnncore_fleet_pack(f.plan, BOTH, &f.fleet, f.params, f.weights), RNNCORE_ERROR_ARGUMENT);
    f.params[0] = first;
    CHECK(rnncore_fleet_weights_bytes(NULL, BOTH, M) == 0);
    CHECK(rnncore_fleet_weights_bytes(f.plan, BOTH, 0) > 0);
    CHECK(rnncore_fleet_tape_bytes(NULL, T, N, NULL, 0, M) == 0);

    CHECK_STATUS(rnncore_fleet_pack(f.plan, RNNCORE_PACK_BACKWARD, &f.fleet, f.params, f.weights), RNNCORE_OK);
    CHECK_STATUS(rnncore_fleet_forward(f.plan, f.weights, &f.forward, &f.fleet), RNNCORE_ERROR_ARGUMENT);
    int64_t all[M * N];
    for (int i = 0; i < M * N; i++) all[i] = lengths[i % N];
    train(&f, all, 0); /* the tape is used up */
    CHECK_STATUS(rnncore_fleet_backward(f.plan, f.weights, b, &f.fleet), RNNCORE_ERROR_ARGUMENT);
    CHECK_STATUS(rnncore_fleet_forward(f.plan, f.weights, &f.forward, &f.fleet), RNNCORE_OK);
    b->steps = T - 1;
    for (int i = 0; i < M * N; i++) all[i] = T - 1;
    CHECK_STATUS(rnncore_fleet_backward(f.plan, f.weights, b, &f.fleet), RNNCORE_ERROR_ARGUMENT);
    b->steps = T;
    b->batch = N - 1;
    CHECK_STATUS(rnncore_fleet_backward(f.plan, f.weights, b, &f.fleet), RNNCORE_ERROR_ARGUMENT);
    b->batch = N;
    if (lanes) {
        b->recurrent_dropout = 0.5;
        CHECK_STATUS(rnncore_fleet_backward(f.plan, f.weights, b, &f.fleet), RNNCORE_ERROR_UNSUPPORTED);
        f.forward.recurrent_dropout = 0.5;
        CHECK_STATUS(rnncore_fleet_forward(f.plan, f.weights, &f.forward, &f.fleet), RNNCORE_ERROR_UNSUPPORTED);
    }
    release(&f);
}

/* Inference gives what training gave, with a key of dropout for each model or one for all. */
static void check_inference(const rnncore_config *config)
{
    static const uint64_t keys[M] = {9, 9, 9, 9, 9};
    many f;
    int64_t all[M * N];
    for (int i = 0; i < M * N; i++) all[i] = lengths[i % N];
    make(&f, config, 0);
    f.forward.dropout_key = f.backward.dropout_key = keys[0];
    train(&f, all, 0);
    const size_t bytes = M * f.each[0].y_bytes;
    char *first = model_alloc(bytes);
    memcpy(first, f.forward.y.data, bytes);
    f.fleet.dropout_keys = keys;
    CHECK_STATUS(rnncore_fleet_forward(f.plan, f.weights, &f.forward, &f.fleet), RNNCORE_OK);
    CHECK(memcmp(first, f.forward.y.data, bytes) == 0);
    CHECK_STATUS(rnncore_fleet_backward(f.plan, f.weights, &f.backward, &f.fleet), RNNCORE_OK);
    if (config->dropout <= 0 && config->zoneout <= 0 && config->zoneout_c <= 0) {
        CHECK_STATUS(rnncore_fleet_forward(f.plan, f.weights, &f.forward, &f.fleet), RNNCORE_OK);
        memcpy(first, f.forward.y.data, bytes);
        f.forward.tape = NULL;
        CHECK_STATUS(rnncore_fleet_forward(f.plan, f.weights, &f.forward, &f.fleet), RNNCORE_OK);
        CHECK(memcmp(first, f.forward.y.data, bytes) == 0);
    }
    rnncore_free(first);
    release(&f);
}

/* Ends a call at once. */
static int end(void *context)
{
    (*(int *)context)++;
    return 1;
}

static void check_cancel(const rnncore_config *config)
{
    many f;
    int asked = 0;
    make(&f, config, 0);
    CHECK_STATUS(rnncore_fleet_pack(f.plan, BOTH, &f.fleet, f.params, f.weights), RNNCORE_OK);
    f.forward.tape = f.backward.tape = f.tape;
    f.forward.cancel = end;
    f.forward.cancel_context = &asked;
    f.fleet.x_stride = f.fleet.y_stride = 0;
    f.forward.h_n = f.forward.c_n = NULL;
    f.forward.h0 = f.forward.c0 = NULL;
    CHECK_STATUS(rnncore_fleet_forward(f.plan, f.weights, &f.forward, &f.fleet), RNNCORE_CANCELLED);
    CHECK(asked == 1);
    CHECK_STATUS(rnncore_fleet_backward(f.plan, f.weights, &f.backward, &f.fleet), RNNCORE_ERROR_ARGUMENT);
    release(&f);
}

int main(void)
{
    const char *isa;
    for (int i = 0; (isa = rnncore_isa_name(i)) != NULL; i++)
        for (int k = 0; k < model_config_count; k++)
            for (int lanes = 0; lanes < 2; lanes++) {
                rnncore_config config = model_configs[k];
                config.isa = isa;
                config.model_lanes = lanes;
                check_subject = config.cell;
                check_models(&config, 1, 0, 0);
                check_models(&config, 3, 2, 1);
                check_doors(&config);
                check_strangers(&config);
                check_inference(&config);
                check_cancel(&config);
            }
    return check_result("test_fleet");
}
