/* SPDX-License-Identifier: MIT
 *
 * One step of SGD or Adam over all parameters of a model: a norm over all gradients, then the update, in pieces of
 * RC_UPDATE_SIZE elements that the team shares out. The pieces do not depend on the threads, so neither does a bit. */
#include <math.h>

#include "../base/arena.h"
#include "../base/fpenv.h"
#include "../base/sized.h"
#include "../isa/find.h"
#include "call.h"
#include "../simd/kernels.h"
#include "../model/plan.h"
#include "../base/team.h"
#include "../base/tuning.h"

typedef struct piece {
    const rnncore_tensor *tensor;
    int64_t first, size;
    double square_sum;
} piece;

typedef struct update_call {
    const rnncore_update_args *args;
    int64_t model;    /* of a fleet, whose arrays stand one behind the other */
    rc_update update; /* without its arrays */
    int64_t count;
    piece *pieces;
    rc_items items;
} update_call;

static const rc_kernels *kernels_of(const update_call *call, const piece *p)
{
    return rc_find_kernels(call->args->isa, p->tensor->dtype);
}

static char *at(const update_call *call, const void *array, const piece *p)
{
    const int64_t elem = p->tensor->dtype == RNNCORE_FLOAT32 ? sizeof(float) : sizeof(double);
    return array ? (char *)(uintptr_t)array + (call->model * p->tensor->size + p->first) * elem : NULL;
}

static double square_sum(const rc_kernels *kernels, const void *a, int64_t n) { return kernels->dot(a, a, n); }

static void norm_item(void *context, int64_t i, const rc_worker *worker)
{
    update_call *call = context;
    piece *p = &call->pieces[i];
    (void)worker;
    p->square_sum = square_sum(kernels_of(call, p), at(call, p->tensor->grads, p), p->size);
}

static void update_item(void *context, int64_t i, const rc_worker *worker)
{
    const update_call *call = context;
    const piece *p = &call->pieces[i];
    const rc_kernels *kernels = kernels_of(call, p);
    rc_update update = call->update;
    (void)worker;
    update.values = at(call, p->tensor->values, p);
    update.grads = at(call, p->tensor->grads, p);
    update.moment1 = at(call, p->tensor->moment1, p);
    update.moment2 = at(call, p->tensor->moment2, p);
    if (call->args->method == RNNCORE_ADAM) kernels->adam(&update, p->size);
    else kernels->sgd(&update, p->size);
}

static void norm_work(void *context, const rc_worker *worker)
{
    update_call *call = context;
    rc_items_run(&call->items, call->count, norm_item, call, worker);
}

static void update_work(void *context, const rc_worker *worker)
{
    update_call *call = context;
    rc_items_run(&call->items, call->count, update_item, call, worker);
}

static int is_fraction(double x) { return x >= 0 && x < 1; }
static int is_amount(double x) { return x >= 0 && isfinite(x); }

static rnncore_status check(const rnncore_update_args *a, int64_t *pieces)
{
    if ((a->method != RNNCORE_SGD && a->method != RNNCORE_ADAM) || a->count < 0 || (a->count && !a->tensors))
        return RNNCORE_ERROR_ARGUMENT;
    if (a->threads < 1 || a->step < 1 || !is_fraction(a->beta1) || !is_amount(a->lr) || !is_amount(a->weight_decay) ||
        !isfinite(a->grad_scale) || !(a->clip_norm >= 0))
        return RNNCORE_ERROR_ARGUMENT;
    if (a->method == RNNCORE_ADAM && (!is_fraction(a->beta2) || !is_amount(a->eps))) return RNNCORE_ERROR_ARGUMENT;
    *pieces = 0;
    for (int64_t i = 0; i < a->count; i++) {
        const rnncore_tensor *t = &a->tensors[i];
        if (t->dtype != RNNCORE_FLOAT32 && t->dtype != RNNCORE_FLOAT64) return RNNCORE_ERROR_ARGUMENT;
        if (!rc_find_kernels(a->isa, t->dtype)) return RNNCORE_ERROR_UNSUPPORTED;
        if (t->size < 0) return RNNCORE_ERROR_SHAPE;
        if (t->size && (!t->values || !t->grads)) return RNNCORE_ERROR_ARGUMENT;
        if (t->size && a->method == RNNCORE_ADAM && (!t->moment1 || !t->moment2)) return RNNCORE_ERROR_ARGUMENT;
        if (t->size && a->method == RNNCORE_SGD && a->beta1 > 0 && !t->moment1) return RNNCORE_ERROR_ARGUMENT;
        *pieces += (t->size + RC_UPDATE_SIZE - 1) / RC_UPDATE_SIZE;
    }
    return RNNCORE_OK;
}

static void cut(update_call *call)
{
    piece *p = call->pieces;
    for (int64_t i = 0; i < call->args->count; i++) {
        const rnncore_tensor *t = &call->args->tensors[i];
        for (int64_t first = 0; first < t->size; first += RC_UPDATE_SIZE) {
            const int64_t left = t->size - first;
            *p++ = (piece){t, first, left < RC_UPDATE_SIZE ? left : RC_UPDATE_SIZE, 0};
        }
    }
}

/* base^n by squaring: the same bits everywhere, which no C library's pow promises. */
static double power(double base, int64_t n)
{
    double result = 1;
    for (; n; n >>= 1, base *= base)
        if (n & 1) result *= base;
    return result;
}

/* The factors of the loops: step sizes with Adam's bias corrections, decay on the weights or through the gradient. */
static rc_update factors(const rnncore_update_args *a, double scale)
{
    const int adam = a->method == RNNCORE_ADAM;
    return (rc_update){
        .scale = scale,
        .beta1 = a->beta1,
        .beta2 = a->beta2,
        .eps = a->eps,
        .nesterov = a->nesterov,
        .l2 = a->decoupled ? 0 : a->weight_decay,
        .decay = a->decoupled ? 1 - a->lr * a->weight_decay : 1,
        .rate = adam ? a->lr / (1 - power(a->beta1, a->step)) : a->lr,
        .root = adam ? 1 / sqrt(1 - power(a->beta2, a->step)) : 0,
    };
}

static rnncore_status run_update(const rnncore_update_args *args, int64_t model, double *norm)
{
    update_call call = {.args = args, .model = model};
    const rnncore_status status = check(args, &call.count);
    if (status) return status;
    call.pieces = rnncore_alloc((size_t)call.count * sizeof *call.pieces);
    if (!call.pieces) return RNNCORE_ERROR_MEMORY;
    cut(&call);
    const int64_t worth = call.count / RC_UPDATE_PIECES;
    const int threads = worth < 1 ? 1 : worth < args->threads ? (int)worth : args->threads;

    rc_team_run(args->team, threads, norm_work, &call, NULL);
    double sum = 0;
    for (int64_t i = 0; i < call.count; i++) sum += call.pieces[i].square_sum;
    *norm = fabs(args->grad_scale) * sqrt(sum);
    if (isfinite(*norm)) {
        const double clip = args->clip_norm > 0 && *norm > args->clip_norm ? args->clip_norm / *norm : 1;
        call.update = factors(args, args->grad_scale * clip);
        call.items = (rc_items){0, 0};
        rc_team_run(args->team, threads, update_work, &call, NULL);
    }
    rnncore_free(call.pieces);
    return RNNCORE_OK;
}

rnncore_status rnncore_update(const rnncore_update_args *args, double *norm)
{
    const rc_fpenv outside = rc_fpenv_enter();
    rnncore_update_args own;
    rnncore_status status = RC_TAKE(&own, args, team);
    if (!status) status = norm ? run_update(&own, 0, norm) : RNNCORE_ERROR_ARGUMENT;
    rc_fpenv_leave(outside);
    return status;
}

/* -- Fleets -------------------------------------------------------------------------------------------------------- */

typedef struct fleet_update {
    rnncore_update_args args;
    rnncore_fleet fleet;
    rnncore_fleet_rates rates;
    double *norms;
    rc_items items;
    atomic_int status; /* of a model that failed */
} fleet_update;

static void model_item(void *context, int64_t m, const rc_worker *worker)
{
    fleet_update *call = context;
    rnncore_update_args own = call->args;
    (void)worker;
    if (call->fleet.active && !call->fleet.active[m]) return;
    own.threads = 1;
    own.team = NULL;
    if (call->rates.lr) own.lr = call->rates.lr[m];
    if (call->rates.grad_scale) own.grad_scale = call->rates.grad_scale[m];
    if (call->rates.step) own.step = call->rates.step[m];
    const rnncore_status status = run_update(&own, m, &call->norms[m]);
    if (status) atomic_store(&call->status, (int)status);
}

static void fleet_work(void *context, const rc_worker *worker)
{
    fleet_update *call = context;
    rc_items_run(&call->items, call->fleet.models, model_item, call, worker);
}

rnncore_status rnncore_fleet_update(const rnncore_update_args *args, const rnncore_fleet *fleet,
                                    const rnncore_fleet_rates *rates, double *norms)
{
    const rc_fpenv outside = rc_fpenv_enter();
    fleet_update call = {.norms = norms};
    int64_t pieces = 0, size = 0;
    rnncore_status status = RC_TAKE(&call.args, args, team);
    if (!status) status = RC_TAKE(&call.fleet, fleet, team);
    if (!status && rates) status = RC_TAKE(&call.rates, rates, step);
    if (!status) status = check(&call.args, &pieces);
    if (!status && (call.fleet.models < 0 || (call.fleet.models && !norms))) status = RNNCORE_ERROR_ARGUMENT;
    for (int64_t i = 0; !status && i < call.args.count; i++) size += call.args.tensors[i].size;
    const double worth = (double)size * (double)call.fleet.models / (RC_UPDATE_SIZE * RC_UPDATE_PIECES);
    const int threads = worth < call.args.threads ? (worth < 1 ? 1 : (int)worth) : call.args.threads;
    atomic_init(&call.status, RNNCORE_OK);
    if (!status) rc_team_run(call.args.team, threads, fleet_work, &call, NULL);
    rc_fpenv_leave(outside);
    return status ? status : (rnncore_status)atomic_load(&call.status);
}
