/* SPDX-License-Identifier: MIT
 *
 * Calls of a fleet: models by the group, each group a call of forward.c or backward.c on one thread. A group is one model, which
 * reads and writes the caller's arrays where they are; or, with lanes for models, as many as an element holds, whose arrays are
 * joined before the call and parted after it. */
#include <string.h>

#include "../base/fpenv.h"
#include "../base/sized.h"
#include "../base/team.h"
#include "../base/tuning.h"
#include "call.h"
#include "record.h"
#include "share.h"

/* An array of all models, (M, a, b, c) from `data` on, strides in bytes; data NULL: none. Where groups have more than one model
 * their joined arrays stand `at` bytes into a thread's memory. */
typedef struct models_array {
    char *data;
    int64_t model, size[3], stride[3];
    int written; /* by the call; else read */
    int64_t at;
} models_array;

/* Arrays of a call by their places; parameters or gradients follow those of backward, or are alone. */
enum { X, Y, H0, C0, H_N, C_N, FORWARD_ARRAYS };
enum { DY, DH_N, DC_N, DX, DH0, DC0, BACKWARD_ARRAYS };

typedef struct fleet_call {
    const rnncore_plan *plan;
    rnncore_fleet fleet;
    int64_t together, groups, real; /* models of a group; bytes of a value */
    char *weights;
    int64_t weights_bytes; /* of a group */
    int uses;              /* of weights to be packed */
    rnncore_forward_args forward;
    rnncore_backward_args backward;
    models_array *arrays;
    int64_t count, params; /* of arrays; of those that are parameters, the last ones */
    int64_t *tape_at;      /* [groups + 1]: bytes before each tape */
    char *own;             /* [threads][own_bytes]: joined arrays, and from table_at on a table of parameters */
    int64_t own_bytes, table_at;
    int threads;
    rc_items items;
    rc_stop stop;
    atomic_int status; /* of a group that failed */
} fleet_call;

/* What a fleet's tape begins with. */
typedef struct fleet_header {
    int64_t models, steps, batch, segments;
} fleet_header;

/* The models of a group, and the memory of the thread that has it. */
typedef struct group {
    int64_t index, first, models;
    char *own;
} group;

static int is_active(const fleet_call *call, int64_t model) { return !call->fleet.active || call->fleet.active[model]; }

static int has_work(const fleet_call *call, const group *g)
{
    for (int64_t m = 0; m < g->models; m++)
        if (is_active(call, g->first + m)) return 1;
    return 0;
}

/* -- Arrays -------------------------------------------------------------------------------------------------------- */

static models_array strided(const rnncore_array *a, int64_t model, int64_t steps, int64_t batch, int64_t features)
{
    return (models_array){
        .data = a->data,
        .model = model,
        .size = {steps, batch, features},
        .stride = {a->stride[0], a->stride[1], a->stride[2]},
    };
}

static models_array dense(const fleet_call *call, const void *data, int64_t size)
{
    return (models_array){
        .data = (char *)(uintptr_t)data,
        .model = size * call->real,
        .size = {1, 1, size},
        .stride = {0, 0, call->real},
    };
}

static models_array written(models_array a)
{
    a.written = 1;
    return a;
}

static int64_t size_of(const models_array *a) { return a->size[0] * a->size[1] * a->size[2]; }

/* How many values lie side by side: one, a row, or all. */
static int64_t run_of(const models_array *a, int64_t real)
{
    const int64_t row = a->size[2] * real, plane = a->size[1] * row;
    if (a->stride[2] != real && a->size[2] > 1) return 1;
    if ((a->stride[1] != row && a->size[1] > 1) || (a->stride[0] != plane && a->size[0] > 1)) return a->size[2];
    return size_of(a);
}

/* n values of each model of a group, from `at` on in the first one's array: into elements, and out of them. */
typedef void move_fn(const fleet_call *call, const group *g, const models_array *a, char *at, char *elements,
                     int64_t n);

static void join_run(const fleet_call *call, const group *g, const models_array *a, char *at, char *elements, int64_t n)
{
    call->plan->kernels->join(elements, at, a->model, g->models, n);
}

static void part_run(const fleet_call *call, const group *g, const models_array *a, char *at, char *elements, int64_t n)
{
    call->plan->kernels->part(at, a->model, elements, g->models, n);
}

static void move_array(const fleet_call *call, const group *g, const models_array *a, move_fn *move)
{
    const int64_t n = run_of(a, call->real), all = size_of(a);
    for (int64_t i = 0; a->data && i < all; i += n) {
        const int64_t row = i / a->size[2];
        char *at = a->data + g->first * a->model + row / a->size[1] * a->stride[0] + row % a->size[1] * a->stride[1] +
                   i % a->size[2] * a->stride[2];
        move(call, g, a, at, g->own + a->at + i * call->plan->elem, n);
    }
}

/* Zeros for a model that rests. */
static void clear_model(const fleet_call *call, const models_array *a, int64_t model)
{
    for (int64_t i = 0; a->data && i < a->size[0] * a->size[1]; i++)
        rc_zero(a->data + model * a->model + i / a->size[1] * a->stride[0] + i % a->size[1] * a->stride[1],
                a->stride[2], a->size[2], call->real);
}

/* Before a group's call, and after it. */
static void join_arrays(const fleet_call *call, const group *g)
{
    for (int64_t i = 0; call->together > 1 && i < call->count; i++)
        if (!call->arrays[i].written) move_array(call, g, &call->arrays[i], join_run);
}

static void part_arrays(const fleet_call *call, const group *g)
{
    for (int64_t i = 0; i < call->count; i++) {
        const models_array *a = &call->arrays[i];
        if (!a->written) continue;
        if (call->together > 1 && has_work(call, g)) move_array(call, g, a, part_run);
        for (int64_t m = g->first; m < g->first + g->models; m++)
            if (!is_active(call, m)) clear_model(call, a, m);
    }
}

/* An array as the group's call takes it. */
static void *data_of(const fleet_call *call, const group *g, int64_t i)
{
    const models_array *a = &call->arrays[i];
    if (!a->data) return NULL;
    return call->together > 1 ? g->own + a->at : a->data + g->first * a->model;
}

static rnncore_array array_of(const fleet_call *call, const group *g, int64_t i)
{
    const models_array *a = &call->arrays[i];
    rnncore_array own = {data_of(call, g, i), {a->stride[0], a->stride[1], a->stride[2]}};
    if (call->together > 1) {
        own.stride[2] = call->plan->elem;
        own.stride[1] = a->size[2] * own.stride[2];
        own.stride[0] = a->size[1] * own.stride[1];
    }
    return own;
}

/* Where a group's tape, lengths and weights are. */
static const int64_t *lengths_of(const int64_t *lengths, int64_t batch, const group *g)
{
    return lengths ? lengths + g->first * batch : NULL;
}

static void *tape_of(const fleet_call *call, void *tapes, const group *g)
{
    return (char *)tapes + call->tape_at[g->index];
}

static char *weights_of(const fleet_call *call, const group *g)
{
    return call->weights + g->index * call->weights_bytes;
}

static void **params_of(const fleet_call *call, const group *g)
{
    void **table = (void **)(g->own + call->table_at);
    for (int64_t i = 0; i < call->params; i++) table[i] = data_of(call, g, call->count - call->params + i);
    return table;
}

/* -- Groups -------------------------------------------------------------------------------------------------------- */

/* What a group's call asks in place of the caller: of this thread alone, and in the environment that it finds. */
static int ask(void *context) { return rc_stop_ask(context); }

static rnncore_status pack_group(const fleet_call *call, const group *g)
{
    return rnncore_weights_pack(call->plan, call->uses, (const void *const *)params_of(call, g), weights_of(call, g));
}

static rnncore_status forward_group(const fleet_call *call, const group *g, rc_stop *stop)
{
    const rnncore_forward_args *a = &call->forward;
    rnncore_forward_args own = *a;
    own.lengths = lengths_of(a->lengths, a->batch, g);
    own.x = array_of(call, g, X);
    own.y = array_of(call, g, Y);
    own.h0 = data_of(call, g, H0);
    own.c0 = data_of(call, g, C0);
    own.h_n = data_of(call, g, H_N);
    own.c_n = data_of(call, g, C_N);
    own.tape = a->tape ? tape_of(call, a->tape, g) : NULL;
    if (call->fleet.dropout_keys) own.dropout_key = call->fleet.dropout_keys[g->first];
    own.threads = 1;
    own.team = NULL;
    own.cancel = stop && a->cancel ? ask : NULL;
    own.cancel_context = stop;
    own.cancel_every = 0; /* the fleet's own stop looks at the clock */
    return rnncore_forward(call->plan, weights_of(call, g), &own);
}

static rnncore_status backward_group(const fleet_call *call, const group *g, rc_stop *stop)
{
    const rnncore_backward_args *a = &call->backward;
    rnncore_backward_args own = *a;
    own.lengths = lengths_of(a->lengths, a->batch, g);
    own.tape = tape_of(call, a->tape, g);
    own.dy = array_of(call, g, DY);
    own.dx = array_of(call, g, DX);
    own.dh_n = data_of(call, g, DH_N);
    own.dc_n = data_of(call, g, DC_N);
    own.dh0 = data_of(call, g, DH0);
    own.dc0 = data_of(call, g, DC0);
    own.grads = params_of(call, g);
    if (call->fleet.dropout_keys) own.dropout_key = call->fleet.dropout_keys[g->first];
    own.threads = 1;
    own.team = NULL;
    own.cancel = stop && a->cancel ? ask : NULL;
    own.cancel_context = stop;
    own.cancel_every = 0; /* the fleet's own stop looks at the clock */
    return rnncore_backward(call->plan, weights_of(call, g), &own);
}

static void group_item(void *context, int64_t i, const rc_worker *worker)
{
    fleet_call *call = context;
    const int64_t first = i * call->together, left = call->fleet.models - first;
    const group g = {i, first, left < call->together ? left : call->together,
                     call->own + worker->seat * call->own_bytes};
    if (worker->stop ? rc_stop_ask(worker->stop) : rc_stopped(&call->stop)) return;
    rnncore_status status = RNNCORE_OK;
    if (has_work(call, &g)) {
        join_arrays(call, &g);
        status = call->uses             ? pack_group(call, &g)
                 : call->forward.x.data ? forward_group(call, &g, worker->stop)
                                        : backward_group(call, &g, worker->stop);
    } else if (call->forward.tape) {
        *(rc_tape_header *)tape_of(call, call->forward.tape, &g) = rc_no_tape;
    }
    if (status == RNNCORE_CANCELLED) return; /* the stop says so */
    if (status) atomic_store(&call->status, (int)status);
    part_arrays(call, &g);
}

static void fleet_work(void *context, const rc_worker *worker)
{
    fleet_call *call = context;
    rc_items_run(&call->items, call->groups, group_item, call, worker);
}

/* -- Calls --------------------------------------------------------------------------------------------------------- */

static const int64_t most_models = (int64_t)1 << 40;

static rnncore_status take_fleet(fleet_call *call, const rnncore_plan *plan, const rnncore_fleet *fleet)
{
    if (!plan) return RNNCORE_ERROR_ARGUMENT;
    const rnncore_status status = RC_TAKE(&call->fleet, fleet, team);
    if (status) return status;
    if (!rc_in_range(call->fleet.models, 0, most_models)) return RNNCORE_ERROR_SHAPE;
    call->plan = plan;
    call->together = plan->kernels->models;
    call->groups = (call->fleet.models + call->together - 1) / call->together;
    call->real = plan->elem / call->together;
    return RNNCORE_OK;
}

/* Valid steps of a group's models, or -1 where their lengths differ. */
static int64_t group_steps(const fleet_call *call, int64_t index, int64_t steps, int64_t batch, const int64_t *lengths)
{
    if (!lengths) return steps * batch;
    const int64_t first = index * call->together, left = call->fleet.models - first;
    const int64_t models = left < call->together ? left : call->together;
    const int64_t *own = lengths + first * batch;
    for (int64_t m = 1; m < models; m++)
        if (memcmp(own, own + m * batch, (size_t)batch * sizeof *own)) return -1;
    int64_t valid = 0;
    for (int64_t i = 0; i < batch; i++) valid += own[i];
    return valid;
}

/* Whether all lengths are sound; *valid gets the valid steps of all models. The first model's have been checked. */
static rnncore_status check_all_lengths(const fleet_call *call, int64_t steps, int64_t batch, const int64_t *lengths,
                                        int64_t *valid)
{
    int64_t own;
    *valid = 0;
    for (int64_t m = 0; lengths && m < call->fleet.models; m++) {
        const rnncore_status status = rc_check_lengths(steps, batch, lengths + m * batch, &own);
        if (status) return status;
    }
    for (int64_t g = 0; g < call->groups; g++) {
        own = group_steps(call, g, steps, batch, lengths);
        if (own < 0) return RNNCORE_ERROR_UNSUPPORTED;
        if (__builtin_mul_overflow(own, call->together, &own) || __builtin_add_overflow(*valid, own, valid))
            return RNNCORE_ERROR_OVERFLOW;
    }
    return RNNCORE_OK;
}

/* The parameters or gradients of all models, after the other arrays. */
static void list_params(fleet_call *call, const void *const *params, int is_written)
{
    const rnncore_plan *plan = call->plan;
    for (int64_t i = 0; i < plan->config.num_layers * plan->directions; i++)
        for (int row = 0; row < plan->cell->param_count; row++) {
            if (plan->position[row] < 0) continue;
            const rnncore_param p =
                rc_describe_param(&plan->config, plan->cell, &plan->cell->params[row], i / plan->directions);
            const int64_t place = i * plan->param_count + plan->position[row];
            models_array a = dense(call, params[place], p.rows * (p.columns ? p.columns : 1));
            a.written = is_written;
            call->arrays[call->count - call->params + place] = a;
        }
}

/* Memory beside the list of arrays: tapes' places, and each thread's joined arrays and table of parameters. */
static void lay_out(fleet_call *call, rc_arena *arena)
{
    rc_arena one = rc_arena_counting();
    for (int64_t i = 0; call->together > 1 && i < call->count; i++) {
        call->arrays[i].at = (int64_t)one.used;
        if (call->arrays[i].data) rc_arena_take(&one, size_of(&call->arrays[i]), call->plan->elem);
    }
    call->table_at = (int64_t)one.used;
    rc_arena_take(&one, call->params + 1, sizeof(void *));
    call->own_bytes = (int64_t)rc_arena_bytes(&one);
    call->tape_at = rc_arena_take(arena, call->groups + 1, sizeof *call->tape_at);
    call->own = rc_arena_take(arena, call->threads, call->own_bytes ? call->own_bytes : INT64_MAX);
}

/* Bytes before each group's tape, and of all; 0 where they are too many. */
static int64_t place_tapes(fleet_call *call, int64_t steps, int64_t batch, const int64_t *lengths, int64_t segments)
{
    int64_t at = RC_ALIGN;
    for (int64_t g = 0; g < call->groups; g++) {
        const int64_t valid = group_steps(call, g, steps, batch, lengths);
        const size_t bytes = rnncore_tape_bytes(call->plan, steps, batch, valid, segments);
        if (call->tape_at) call->tape_at[g] = at;
        if (!bytes || bytes > INT64_MAX || __builtin_add_overflow(at, (int64_t)bytes, &at)) return 0;
    }
    return at;
}

static rnncore_status run_groups(fleet_call *call, rnncore_team *team)
{
    const rnncore_forward_args *f = &call->forward;
    const rnncore_backward_args *b = &call->backward;
    rc_arena counting = rc_arena_counting();
    if (call->threads > call->groups) call->threads = call->groups > 1 ? (int)call->groups : 1;
    lay_out(call, &counting);
    const size_t bytes = rc_arena_bytes(&counting);
    if (!bytes) return RNNCORE_ERROR_OVERFLOW;
    void *memory = rnncore_alloc(bytes);
    if (!memory) return RNNCORE_ERROR_MEMORY;
    rc_arena arena = rc_arena_over(memory, bytes);
    lay_out(call, &arena);
    if (f->tape) place_tapes(call, f->steps, f->batch, f->lengths, f->segments);
    if (b->tape) place_tapes(call, b->steps, b->batch, b->lengths, ((const fleet_header *)b->tape)->segments);
    atomic_init(&call->status, RNNCORE_OK);
    rc_team_run(team, call->threads, fleet_work, call, &call->stop);
    rnncore_free(memory);
    return rc_stopped(&call->stop) ? RNNCORE_CANCELLED : (rnncore_status)atomic_load(&call->status);
}

/* A list of `count` arrays and the parameters; NULL: no memory. */
static models_array *list_arrays(fleet_call *call, int64_t count, int with_params)
{
    const rnncore_plan *plan = call->plan;
    call->params = with_params ? plan->config.num_layers * plan->directions * plan->param_count : 0;
    call->count = count + call->params;
    call->arrays = rnncore_alloc((size_t)(call->count * (int64_t)sizeof *call->arrays));
    return call->arrays;
}

/* A dense (L*D, N, size) array of each model. */
static models_array states(const fleet_call *call, const void *data, int64_t batch, int64_t size)
{
    return dense(call, data, call->plan->config.num_layers * call->plan->directions * batch * size);
}

/* -- Packing ------------------------------------------------------------------------------------------------------- */

int64_t rnncore_plan_models(const rnncore_plan *plan) { return plan ? plan->kernels->models : 0; }

size_t rnncore_fleet_weights_bytes(const rnncore_plan *plan, int uses, int64_t models)
{
    size_t bytes = rnncore_weights_bytes(plan, uses);
    if (!bytes || !rc_in_range(models, 0, most_models)) return 0;
    const int64_t groups = (models + plan->kernels->models - 1) / plan->kernels->models;
    return __builtin_mul_overflow(bytes, (size_t)(groups ? groups : 1), &bytes) ? 0 : bytes;
}

static rnncore_status run_pack(const rnncore_plan *plan, int uses, const rnncore_fleet *fleet,
                               const void *const *params, void *weights)
{
    fleet_call call = {.uses = uses, .weights = weights};
    rnncore_status status = take_fleet(&call, plan, fleet);
    if (status) return status;
    if (!params || !weights || !rc_check_params(plan, params) || call.fleet.threads < 1) return RNNCORE_ERROR_ARGUMENT;
    status = rc_check_uses(plan, uses);
    if (status) return status;
    call.weights_bytes = (int64_t)rnncore_weights_bytes(plan, uses);
    call.threads = rc_worth_threads(plan, RC_PACK_TOKENS * call.fleet.models, call.fleet.threads);
    call.fleet.active = NULL;
    if (!list_arrays(&call, 0, 1)) return RNNCORE_ERROR_MEMORY;
    list_params(&call, params, 0);
    status = run_groups(&call, call.fleet.team);
    rnncore_free(call.arrays);
    return status;
}

rnncore_status rnncore_fleet_pack(const rnncore_plan *plan, int uses, const rnncore_fleet *fleet,
                                  const void *const *params, void *weights)
{
    const rc_fpenv outside = rc_fpenv_enter();
    const rnncore_status status = run_pack(plan, uses, fleet, params, weights);
    rc_fpenv_leave(outside);
    return status;
}

/* -- Forward ------------------------------------------------------------------------------------------------------- */

size_t rnncore_fleet_tape_bytes(const rnncore_plan *plan, int64_t steps, int64_t batch, const int64_t *lengths,
                                int64_t segments, int64_t models)
{
    fleet_call call = {.plan = plan};
    int64_t valid;
    const rnncore_fleet fleet = {.struct_size = sizeof fleet, .models = models};
    if (take_fleet(&call, plan, &fleet) || rc_check_lengths(steps, batch, NULL, &valid)) return 0;
    if (check_all_lengths(&call, steps, batch, lengths, &valid)) return 0;
    return (size_t)place_tapes(&call, steps, batch, lengths, segments);
}

static rnncore_status check_forward(fleet_call *call, const rnncore_forward_args *given, int64_t *valid)
{
    rnncore_forward_args *a = &call->forward;
    rnncore_status status = rc_take_forward(call->plan, given, a, valid);
    if (!status) status = check_all_lengths(call, a->steps, a->batch, a->lengths, valid);
    if (status) return status;
    if (call->together > 1 && (a->backend != RNNCORE_FUSED || (a->tape && a->recurrent_dropout > 0)))
        return RNNCORE_ERROR_UNSUPPORTED;
    const int needed = a->backend == RNNCORE_BLAS ? RNNCORE_PACK_BLAS : RNNCORE_PACK_FORWARD;
    if (!call->weights || (call->groups && !(rc_weights_uses(call->weights) & needed))) return RNNCORE_ERROR_ARGUMENT;
    return RNNCORE_OK;
}

static rnncore_status run_forward(const rnncore_plan *plan, const void *weights, const rnncore_forward_args *args,
                                  const rnncore_fleet *fleet, rc_fpenv outside)
{
    fleet_call call = {.weights = (char *)(uintptr_t)weights};
    const rnncore_forward_args *a = &call.forward;
    int64_t valid;
    rnncore_status status = take_fleet(&call, plan, fleet);
    if (!status) status = check_forward(&call, args, &valid);
    if (status || !call.groups) return status;
    call.weights_bytes = (int64_t)rnncore_weights_bytes(plan, rc_weights_uses(weights));
    call.threads = rc_worth_threads(plan, valid, a->threads);
    call.stop = (rc_stop){a->cancel, a->cancel_context, a->cancel_every, 0, outside, 0};
    if (!list_arrays(&call, FORWARD_ARRAYS, 0)) return RNNCORE_ERROR_MEMORY;
    call.arrays[X] = strided(&a->x, call.fleet.x_stride, a->steps, a->batch, plan->config.input_size);
    call.arrays[Y] = written(strided(&a->y, call.fleet.y_stride, a->steps, a->batch, plan->directions * plan->out));
    call.arrays[H0] = states(&call, a->h0, a->batch, plan->out);
    call.arrays[C0] = states(&call, a->c0, a->batch, plan->hidden);
    call.arrays[H_N] = written(states(&call, a->h_n, a->batch, plan->out));
    call.arrays[C_N] = written(states(&call, a->c_n, a->batch, plan->hidden));
    fleet_header *header = a->tape;
    if (header) *header = (fleet_header){call.fleet.models, a->steps, a->batch, a->segments};
    status = run_groups(&call, a->team);
    if (header && status) header->models = -1;
    rnncore_free(call.arrays);
    return status;
}

rnncore_status rnncore_fleet_forward(const rnncore_plan *plan, const void *weights, const rnncore_forward_args *args,
                                     const rnncore_fleet *fleet)
{
    const rc_fpenv outside = rc_fpenv_enter();
    const rnncore_status status = run_forward(plan, weights, args, fleet, outside);
    rc_fpenv_leave(outside);
    return status;
}

/* -- Backward ------------------------------------------------------------------------------------------------------ */

static rnncore_status check_backward(fleet_call *call, const rnncore_backward_args *given, int64_t *valid)
{
    rnncore_backward_args *a = &call->backward;
    rnncore_status status = rc_take_backward(call->plan, call->weights, given, a, valid);
    if (!status) status = check_all_lengths(call, a->steps, a->batch, a->lengths, valid);
    if (status) return status;
    if (call->together > 1 && (a->backend != RNNCORE_FUSED || a->recurrent_dropout > 0))
        return RNNCORE_ERROR_UNSUPPORTED;
    const fleet_header *header = a->tape;
    if (header->models != call->fleet.models || header->steps != a->steps || header->batch != a->batch)
        return RNNCORE_ERROR_ARGUMENT;
    return RNNCORE_OK;
}

static rnncore_status run_backward(const rnncore_plan *plan, const void *weights, const rnncore_backward_args *args,
                                   const rnncore_fleet *fleet, rc_fpenv outside)
{
    fleet_call call = {.weights = (char *)(uintptr_t)weights};
    const rnncore_backward_args *a = &call.backward;
    int64_t valid;
    rnncore_status status = take_fleet(&call, plan, fleet);
    if (!status && call.groups) status = check_backward(&call, args, &valid);
    if (status || !call.groups) return status;
    call.weights_bytes = (int64_t)rnncore_weights_bytes(plan, rc_weights_uses(weights));
    call.threads = rc_worth_threads(plan, 2 * valid, a->threads);
    call.stop = (rc_stop){a->cancel, a->cancel_context, a->cancel_every, 0, outside, 0};
    if (!list_arrays(&call, BACKWARD_ARRAYS, 1)) return RNNCORE_ERROR_MEMORY;
    call.arrays[DY] = strided(&a->dy, call.fleet.y_stride, a->steps, a->batch, plan->directions * plan->out);
    call.arrays[DH_N] = states(&call, a->dh_n, a->batch, plan->out);
    call.arrays[DC_N] = states(&call, a->dc_n, a->batch, plan->hidden);
    call.arrays[DX] = written(strided(&a->dx, call.fleet.x_stride, a->steps, a->batch, plan->config.input_size));
    call.arrays[DH0] = written(states(&call, a->dh0, a->batch, plan->out));
    call.arrays[DC0] = written(states(&call, a->dc0, a->batch, plan->hidden));
    list_params(&call, (const void *const *)a->grads, 1);
    status = run_groups(&call, a->team);
    ((fleet_header *)a->tape)->models = -1;
    rnncore_free(call.arrays);
    return status;
}

rnncore_status rnncore_fleet_backward(const rnncore_plan *plan, const void *weights, const rnncore_backward_args *args,
                                      const rnncore_fleet *fleet)
{
    const rc_fpenv outside = rc_fpenv_enter();
    const rnncore_status status = run_backward(plan, weights, args, fleet, outside);
    rc_fpenv_leave(outside);
    return status;
}
