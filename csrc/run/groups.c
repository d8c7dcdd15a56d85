/* SPDX-License-Identifier: MIT
 * See groups.h. */
#include "groups.h"

#include <string.h>

#include "batch.h"
#include "record.h"

/* The models of a group, and the memory of the thread that has it. */
typedef struct group {
    int64_t index, first, models;
    char *own;
} group;
static int is_active(const rc_fleet_call *call, int64_t model)
{
    return !call->fleet.active || call->fleet.active[model];
}

static int has_work(const rc_fleet_call *call, const group *g)
{
    for (int64_t m = 0; m < g->models; m++)
        if (is_active(call, g->first + m)) return 1;
    return 0;
}

/* -- Arrays -------------------------------------------------------------------------------------------------------- */

static int64_t size_of(const rc_models_array *a) { return a->size[0] * a->size[1] * a->size[2]; }

/* How many values lie side by side: one, a row, or all. */
static int64_t run_of(const rc_models_array *a, int64_t real)
{
    const int64_t row = a->size[2] * real, plane = a->size[1] * row;
    if (a->stride[2] != real && a->size[2] > 1) return 1;
    if ((a->stride[1] != row && a->size[1] > 1) || (a->stride[0] != plane && a->size[0] > 1)) return a->size[2];
    return size_of(a);
}

/* n values of each model of a group, from `at` on in the first one's array: into elements, and out of them. */
typedef void move_fn(const rc_fleet_call *call, const group *g, const rc_models_array *a, char *at, char *elements,
                     int64_t n);

static void join_run(const rc_fleet_call *call, const group *g, const rc_models_array *a, char *at, char *elements,
                     int64_t n)
{
    call->plan->kernels->join(elements, at, a->model, g->models, n);
}

static void part_run(const rc_fleet_call *call, const group *g, const rc_models_array *a, char *at, char *elements,
                     int64_t n)
{
    call->plan->kernels->part(at, a->model, elements, g->models, n);
}

static void move_array(const rc_fleet_call *call, const group *g, const rc_models_array *a, move_fn *move)
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
static void clear_model(const rc_fleet_call *call, const rc_models_array *a, int64_t model)
{
    for (int64_t i = 0; a->data && i < a->size[0] * a->size[1]; i++)
        rc_zero(a->data + model * a->model + i / a->size[1] * a->stride[0] + i % a->size[1] * a->stride[1],
                a->stride[2], a->size[2], call->real);
}

/* Before a group's call, and after it. */
static void join_arrays(const rc_fleet_call *call, const group *g)
{
    for (int64_t i = 0; call->together > 1 && i < call->count; i++)
        if (!call->arrays[i].written) move_array(call, g, &call->arrays[i], join_run);
}

static void part_arrays(const rc_fleet_call *call, const group *g)
{
    for (int64_t i = 0; i < call->count; i++) {
        const rc_models_array *a = &call->arrays[i];
        if (!a->written) continue;
        if (call->together > 1 && has_work(call, g)) move_array(call, g, a, part_run);
        for (int64_t m = g->first; m < g->first + g->models; m++)
            if (!is_active(call, m)) clear_model(call, a, m);
    }
}

/* An array as the group's call takes it. */
static void *data_of(const rc_fleet_call *call, const group *g, int64_t i)
{
    const rc_models_array *a = &call->arrays[i];
    if (!a->data) return NULL;
    return call->together > 1 ? g->own + a->at : a->data + g->first * a->model;
}

static rnncore_array array_of(const rc_fleet_call *call, const group *g, int64_t i)
{
    const rc_models_array *a = &call->arrays[i];
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

static const uint64_t *keys_of(const uint64_t *keys, int64_t batch, const group *g)
{
    return keys ? keys + g->first * batch : NULL;
}

static void *tape_of(const rc_fleet_call *call, void *tapes, const group *g)
{
    return (char *)tapes + call->tape_at[g->index];
}

static char *weights_of(const rc_fleet_call *call, const group *g)
{
    return call->weights + g->index * call->weights_bytes;
}

static void **params_of(const rc_fleet_call *call, const group *g)
{
    void **table = (void **)(g->own + call->table_at);
    for (int64_t i = 0; i < call->params; i++) table[i] = data_of(call, g, call->count - call->params + i);
    return table;
}
/* -- Groups -------------------------------------------------------------------------------------------------------- */

/* What a group's call asks in place of the caller: of this thread alone, and in the environment that it finds. */
static int ask(void *context) { return rc_stop_ask(context); }

static rnncore_status pack_group(const rc_fleet_call *call, const group *g)
{
    return rnncore_weights_pack(call->plan, call->uses, (const void *const *)params_of(call, g), weights_of(call, g));
}

static rnncore_status forward_group(const rc_fleet_call *call, const group *g, rc_stop *stop)
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
    own.row_keys = keys_of(a->row_keys, a->batch, g);
    own.threads = 1;
    own.team = NULL;
    own.cancel = stop && a->cancel ? ask : NULL;
    own.cancel_context = stop;
    own.cancel_every = 0; /* the fleet's own stop looks at the clock */
    return rnncore_forward(call->plan, weights_of(call, g), &own);
}

static rnncore_status backward_group(const rc_fleet_call *call, const group *g, rc_stop *stop)
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
    own.row_keys = keys_of(a->row_keys, a->batch, g);
    own.threads = 1;
    own.team = NULL;
    own.cancel = stop && a->cancel ? ask : NULL;
    own.cancel_context = stop;
    own.cancel_every = 0; /* the fleet's own stop looks at the clock */
    return rnncore_backward(call->plan, weights_of(call, g), &own);
}

static void group_item(void *context, int64_t i, const rc_worker *worker)
{
    rc_fleet_call *call = context;
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
    if (!status) part_arrays(call, &g);
    else if (status != RNNCORE_CANCELLED) atomic_store(&call->status, (int)status); /* of which the stop tells */
}

static void fleet_work(void *context, const rc_worker *worker)
{
    rc_fleet_call *call = context;
    rc_items_run(&call->items, call->groups, group_item, call, worker);
}
/* -- All groups ---------------------------------------------------------------------------------------------------- */

int64_t rc_group_steps(const rc_fleet_call *call, int64_t index, int64_t steps, int64_t batch, const int64_t *lengths)
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

/* Memory beside the list of arrays: tapes' places, and each thread's joined arrays and table of parameters. */
static void lay_out(rc_fleet_call *call, rc_arena *arena)
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

int64_t rc_place_tapes(rc_fleet_call *call, int64_t steps, int64_t batch, const int64_t *lengths, int64_t segments)
{
    int64_t at = RC_ALIGN;
    for (int64_t g = 0; g < call->groups; g++) {
        const int64_t valid = rc_group_steps(call, g, steps, batch, lengths);
        const size_t bytes = rnncore_tape_bytes(call->plan, steps, batch, valid, segments);
        if (call->tape_at) call->tape_at[g] = at;
        if (!bytes || __builtin_add_overflow(at, bytes, &at)) return 0;
    }
    return at;
}

rnncore_status rc_run_groups(rc_fleet_call *call, rnncore_team *team)
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
    if (f->tape) rc_place_tapes(call, f->steps, f->batch, f->lengths, f->segments);
    if (b->tape) rc_place_tapes(call, b->steps, b->batch, b->lengths, ((const rc_fleet_header *)b->tape)->segments);
    atomic_init(&call->status, RNNCORE_OK);
    rc_team_run(team, call->threads, fleet_work, call, &call->stop);
    rnncore_free(memory);
    return rc_stopped(&call->stop) ? RNNCORE_CANCELLED : (rnncore_status)atomic_load(&call->status);
}
