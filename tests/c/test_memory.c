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

/* An optimiser's step: of any array with any gradients. */
static rnncore_status run_update(model *m)
{
    const rnncore_tensor tensor = {
        .values = m->dx, .grads = m->x, .size = (int64_t)(m->x_bytes / m->elem), .dtype = m->config.dtype};
    double norm = 0;
    const rnncore_update_args args = {.struct_size = sizeof args,
                                      .method = RNNCORE_SGD,
                                      .lr = 0.5,
                                      .grad_scale = 1,
                                      .step = 1,
                                      .tensors = &tensor,
                                      .count = 1,
                                      .threads = 1};
    const rnncore_status status = rnncore_update(&args, &norm);
    CHECK(status == RNNCORE_OK ? norm > 0 : norm == 0);
    return status;
}

static const struct operation {
    const char *name;
    rnncore_status (*run)(model *m);
} operations[] = {
    {"plan", make_plan},        {"memory", make_memory},         {"team", make_team},
    {"forward", run_forward},   {"forward with BLAS", run_blas}, {"ragged forward", run_ragged},
    {"naive", run_naive},       {"update", run_update},          {"recording forward", run_recording},
    {"backward", run_backward}, /* last: it needs the tape of the one before */
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
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        int k = 0;
        check_subject = operations[i].name;
        while (k < MOST_ALLOCATIONS && refuse(&operations[i], &m, k)) k++;
        CHECK(0 < k && k < MOST_ALLOCATIONS);
    }
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
