/* SPDX-License-Identifier: MIT
 *
 * Out of memory as a table: for every operation and every k, the k-th allocation fails. The status says so, no output has
 * been written, nothing leaks, and the same call works afterwards. The linker redirects the library's allocations to the
 * functions below (--wrap). */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "rnncore.h"

#include "check.h"
#include "model.h"

static atomic_int watching, until_failure, refused, live, threads_refused;

/* Whether the allocation that is asked for now is to fail. */
static int fails_now(void)
{
    if (!atomic_load(&watching)) return 0;
    if (atomic_fetch_sub(&until_failure, 1) != 0) return 0;
    atomic_fetch_add(&refused, 1);
    return 1;
}

static void *counted(void *memory)
{
    if (memory && atomic_load(&watching)) atomic_fetch_add(&live, 1);
    return memory;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
int __real_posix_memalign(void **memory, size_t alignment, size_t size);
void __real_free(void *memory);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);
void __wrap_free(void *memory);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument);

void *__wrap_malloc(size_t size) { return fails_now() ? NULL : counted(__real_malloc(size)); }

void *__wrap_calloc(size_t count, size_t size) { return fails_now() ? NULL : counted(__real_calloc(count, size)); }

int __wrap_posix_memalign(void **memory, size_t alignment, size_t size)
{
    if (fails_now()) return ENOMEM;
    const int status = __real_posix_memalign(memory, alignment, size);
    if (!status) counted(*memory);
    return status;
}

void __wrap_free(void *memory)
{
    if (memory && atomic_load(&watching)) atomic_fetch_sub(&live, 1);
    __real_free(memory);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    if (atomic_load(&threads_refused)) return EAGAIN;
    return __real_pthread_create(thread, attributes, start, argument);
}

/* -- The operations -------------------------------------------------------------------------------------------------- */

static rnncore_status make_plan(model *m)
{
    rnncore_plan *plan = (rnncore_plan *)m;
    const rnncore_status status = rnncore_plan_create(&m->config, &plan);
    if (status) CHECK(plan == (rnncore_plan *)m);
    else rnncore_plan_destroy(plan);
    return status;
}

static rnncore_status make_memory(model *m)
{
    void *memory = rnncore_alloc(m->x_bytes);
    if (memory) memset(memory, 0, m->x_bytes);
    CHECK((uintptr_t)memory % 64 == 0);
    rnncore_free(memory);
    return memory ? RNNCORE_OK : RNNCORE_ERROR_MEMORY;
}

static rnncore_status make_team(model *m)
{
    rnncore_team *team = (rnncore_team *)m;
    const rnncore_status status = rnncore_team_create(3, &team);
    if (status) CHECK(team == (rnncore_team *)m);
    else rnncore_team_destroy(team);
    return status;
}

static rnncore_status run_forward(model *m)
{
    const rnncore_forward_args args = model_forward_args(m);
    return rnncore_forward(m->plan, m->weights, &args);
}

static rnncore_status run_blas(model *m)
{
    rnncore_forward_args args = model_forward_args(m);
    args.backend = RNNCORE_BLAS;
    return rnncore_forward(m->plan, m->weights, &args);
}

static rnncore_status run_ragged(model *m)
{
    static const int64_t lengths[] = {9, 0, 3};
    rnncore_forward_args args = model_forward_args(m);
    args.lengths = lengths;
    return rnncore_forward(m->plan, m->weights, &args);
}

static rnncore_status run_recording(model *m)
{
    rnncore_forward_args args = model_forward_args(m);
    args.tape = m->tape;
    return rnncore_forward(m->plan, m->weights, &args);
}

static rnncore_status run_naive(model *m)
{
    const rnncore_forward_args args = model_forward_args(m);
    return rnncore_forward_naive(m->plan, m->params, &args);
}

static rnncore_status run_backward(model *m)
{
    rnncore_backward_args args = model_backward_args(m);
    args.dy.data = NULL;
    return rnncore_backward(m->plan, m->weights, &args);
}

static rnncore_status run_update(model *m)
{
    double norm = -1;
    const rnncore_tensor tensor = {m->y, m->x, m->dx, m->dh0, 4, RNNCORE_FLOAT32};
    const rnncore_update_args args = {.struct_size = sizeof args,
                                      .method = RNNCORE_ADAM,
                                      .grad_scale = 1,
                                      .step = 1,
                                      .tensors = &tensor,
                                      .count = 1,
                                      .threads = 1};
    const rnncore_status status = rnncore_update(&args, &norm);
    CHECK(status ? norm == -1 : norm >= 0);
    return status;
}

static rnncore_status run_fleet_update(model *m)
{
    double norm = -1;
    const rnncore_tensor tensor = {m->y, m->x, m->dx, m->dh0, 4, RNNCORE_FLOAT32};
    const rnncore_fleet one = {.struct_size = sizeof one, .models = 1};
    const rnncore_update_args args = {.struct_size = sizeof args,
                                      .method = RNNCORE_ADAM,
                                      .grad_scale = 1,
                                      .step = 1,
                                      .tensors = &tensor,
                                      .count = 1,
                                      .threads = 1};
    const rnncore_status status = rnncore_fleet_update(&args, &one, NULL, &norm);
    CHECK(status ? norm == -1 : norm >= 0);
    return status;
}

/* What never allocates, and so never runs out of memory. */
static rnncore_status run_the_rest(model *m)
{
    rnncore_config config = {.struct_size = sizeof config};
    rnncore_param param = {.struct_size = sizeof param};
    const int uses = RNNCORE_PACK_FORWARD | RNNCORE_PACK_BACKWARD | RNNCORE_PACK_BLAS;
    CHECK_STATUS(rnncore_weights_pack(m->plan, uses, m->params, m->weights), RNNCORE_OK);
    CHECK_STATUS(rnncore_param_get(m->plan, 0, 0, &param), RNNCORE_OK);
    CHECK_STATUS(rnncore_dropout(RNNCORE_FLOAT32, m->dx, m->x, 3, 1, 0.5), RNNCORE_OK);
    CHECK_STATUS(rnncore_file_read(m->x, m->x_bytes, &config, NULL, 0), RNNCORE_ERROR_FORMAT);
    CHECK(rnncore_tape_bytes(m->plan, m->T, m->N, m->T * m->N, 0) > 0);
    return RNNCORE_OK;
}

static rnncore_status run_stream(model *m)
{
    static const int64_t rows[] = {1, -1};
    rnncore_config config = m->config;
    rnncore_plan *plan = NULL;
    rnncore_stream *stream = NULL;
    config.bidirectional = 0; /* whose parameters are the first of those that there are */
    config.num_layers = 1;
    rnncore_status status = rnncore_plan_create(&config, &plan);
    void *memory = status ? NULL : rnncore_alloc(rnncore_stream_bytes(plan, m->N));
    void *weights = status ? NULL : rnncore_alloc(rnncore_weights_bytes(plan, RNNCORE_PACK_FORWARD));
    if (!status && !(memory && weights)) status = RNNCORE_ERROR_MEMORY;
    if (!status) {
        CHECK_STATUS(rnncore_weights_pack(plan, RNNCORE_PACK_FORWARD, m->params, weights), RNNCORE_OK);
        CHECK_STATUS(rnncore_stream_init(plan, weights, m->N, memory, &stream), RNNCORE_OK);
        rnncore_stream_step(stream, m->x, m->y);
        CHECK_STATUS(rnncore_stream_select(stream, rows, 2), RNNCORE_OK);
        rnncore_stream_get_state(stream, m->h_n, m->c_n);
        rnncore_stream_set_state(stream, m->h_n, m->c_n);
    }
    rnncore_free(weights);
    rnncore_free(memory);
    rnncore_plan_destroy(plan);
    return status;
}

/* A stream that steps rows of states, made before anybody watches. */
static struct {
    rnncore_plan *plan;
    void *weights, *memory, *data;
    rnncore_stream *stream;
    rnncore_states states;
} sessions;

static void make_sessions(const model *m)
{
    rnncore_config config = m->config;
    config.bidirectional = 0;
    config.num_layers = 1;
    CHECK_STATUS(rnncore_plan_create(&config, &sessions.plan), RNNCORE_OK);
    const size_t row = rnncore_stream_row_bytes(sessions.plan);
    sessions.weights = model_alloc(rnncore_weights_bytes(sessions.plan, RNNCORE_PACK_FORWARD));
    sessions.memory = model_alloc(rnncore_stream_bytes(sessions.plan, 2));
    sessions.data = memset(model_alloc(3 * row), 0, 3 * row);
    sessions.states = (rnncore_states){sessions.data, (int64_t)row, 3};
    CHECK_STATUS(rnncore_weights_pack(sessions.plan, RNNCORE_PACK_FORWARD, m->params, sessions.weights), RNNCORE_OK);
    CHECK_STATUS(rnncore_stream_init(sessions.plan, sessions.weights, 2, sessions.memory, &sessions.stream),
                 RNNCORE_OK);
}

static void free_sessions(void)
{
    rnncore_free(sessions.data);
    rnncore_free(sessions.memory);
    rnncore_free(sessions.weights);
    rnncore_plan_destroy(sessions.plan);
}

static rnncore_status step_sessions(model *m)
{
    static const int64_t rows[] = {2, 0, 1};
    CHECK_STATUS(rnncore_stream_gather(sessions.stream, &sessions.states, rows, 2), RNNCORE_OK);
    CHECK_STATUS(rnncore_stream_scatter(sessions.stream, &sessions.states, rows), RNNCORE_OK);
    return rnncore_stream_step_rows(sessions.stream, &sessions.states, rows, 3, m->x, m->y);
}

/* A fleet of the model alone, its plan and memory made before anybody watches. */
static struct {
    rnncore_plan *plan;
    void *weights, *tape;
    rnncore_fleet fleet;
} fleets;

enum { TRAINS = RNNCORE_PACK_FORWARD | RNNCORE_PACK_BACKWARD };

static void make_fleet(const model *m)
{
    rnncore_config config = m->config;
    config.model_lanes = 1;
    fleets.fleet = (rnncore_fleet){.struct_size = sizeof fleets.fleet, .models = 1, .threads = 1};
    CHECK_STATUS(rnncore_plan_create(&config, &fleets.plan), RNNCORE_OK);
    fleets.weights = model_alloc(rnncore_fleet_weights_bytes(fleets.plan, TRAINS, 1));
    fleets.tape = model_alloc(rnncore_fleet_tape_bytes(fleets.plan, m->T, m->N, NULL, 0, 1));
}

static void free_fleet(void)
{
    rnncore_free(fleets.tape);
    rnncore_free(fleets.weights);
    rnncore_plan_destroy(fleets.plan);
}

static rnncore_status pack_fleet(model *m)
{
    return rnncore_fleet_pack(fleets.plan, TRAINS, &fleets.fleet, m->params, fleets.weights);
}

static rnncore_status run_fleet(model *m)
{
    rnncore_forward_args args = model_forward_args(m);
    args.tape = fleets.tape;
    return rnncore_fleet_forward(fleets.plan, fleets.weights, &args, &fleets.fleet);
}

static rnncore_status run_fleet_backward(model *m)
{
    rnncore_backward_args args = model_backward_args(m);
    args.dy.data = NULL;
    args.tape = fleets.tape;
    return rnncore_fleet_backward(fleets.plan, fleets.weights, &args, &fleets.fleet);
}

static const struct operation {
    const char *name;
    rnncore_status (*run)(model *m);
    int allocates_nothing;
} operations[] = {
    {"plan", make_plan, 0},
    {"memory", make_memory, 0},
    {"team", make_team, 0},
    {"update", run_update, 0},
    {"fleet's update", run_fleet_update, 0},
    {"stream", run_stream, 0},
    {"sessions", step_sessions, 1},
    {"fleet's weights", pack_fleet, 0},
    {"fleet's forward", run_fleet, 0},
    {"fleet's backward", run_fleet_backward, 0},
    {"the rest", run_the_rest, 1},
    {"forward", run_forward, 0},
    {"forward with BLAS", run_blas, 0},
    {"ragged forward", run_ragged, 0},
    {"naive", run_naive, 0},
    {"recording forward", run_recording, 0},
    {"backward", run_backward, 0}, /* last: it needs the tape of the one before */
};

enum { MOST_ALLOCATIONS = 100 };

/* The operation with its k-th allocation refused; whether there was one. */
static int refuse(const struct operation *operation, model *m, int k)
{
    model_reset(m);
    atomic_store(&until_failure, k);
    atomic_store(&refused, 0);
    atomic_store(&live, 0);
    atomic_store(&watching, 1);
    const rnncore_status status = operation->run(m);
    atomic_store(&watching, 0);
    const int failed = atomic_load(&refused);
    CHECK(atomic_load(&live) == 0);
    CHECK_STATUS(status, failed ? RNNCORE_ERROR_MEMORY : RNNCORE_OK);
    CHECK(!failed || model_untouched(m));
    return failed;
}

static void test_every_allocation(const char *cell, int64_t P)
{
    model m;
    model_init(&m, cell, RNNCORE_FLOAT32, NULL, 9, 3, 4, 7, P, 2, 1);
    make_sessions(&m);
    make_fleet(&m);
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        int k = 0;
        check_subject = operations[i].name;
        while (k < MOST_ALLOCATIONS && refuse(&operations[i], &m, k)) k++;
        CHECK((operations[i].allocates_nothing ? k == 0 : k > 0) && k < MOST_ALLOCATIONS);
    }
    free_fleet();
    free_sessions();
    model_free(&m);
}

/* Work for a team, with threads or the memory for their meeting refused: slower, and the same bits. */
static void test_team_without_means(int allow, int refuse_threads)
{
    model m;
    size_t bytes;
    rnncore_team *team;
    model_init(&m, RNNCORE_GRU, RNNCORE_FLOAT32, NULL, 40, 1, 32, 160, 0, 2, 0);
    rnncore_forward_args args = model_forward_args(&m);
    check_subject = "team without means";
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &args), RNNCORE_OK);
    void *alone = model_outputs(&m, &bytes);
    CHECK_STATUS(rnncore_team_create(3, &team), RNNCORE_OK);
    model_reset(&m);
    args.team = team;
    args.threads = 3;
    atomic_store(&threads_refused, refuse_threads);
    atomic_store(&until_failure, allow);
    atomic_store(&watching, 1);
    CHECK_STATUS(rnncore_forward(m.plan, m.weights, &args), allow ? RNNCORE_OK : RNNCORE_ERROR_MEMORY);
    atomic_store(&watching, 0);
    atomic_store(&threads_refused, 0);
    void *together = model_outputs(&m, &bytes);
    CHECK(allow ? memcmp(alone, together, bytes) == 0 : model_untouched(&m));
    rnncore_free(together);
    rnncore_free(alone);
    rnncore_team_destroy(team);
    model_free(&m);
}

int main(void)
{
    for (int i = 0; rnncore_cell_name(i); i++)
        test_every_allocation(rnncore_cell_name(i), strcmp(rnncore_cell_name(i), RNNCORE_LSTM) ? 0 : 3);
    for (int allow = 0; allow < 4; allow++) test_team_without_means(allow, 0);
    test_team_without_means(MOST_ALLOCATIONS, 1);
    return check_result("test_memory");
}
