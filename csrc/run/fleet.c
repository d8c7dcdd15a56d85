/* SPDX-License-Identifier: MIT
 *
 * The doors of fleets, many models of one plan: every size and pointer is checked here, then the groups of models run. */
#include "../base/fpenv.h"
#include "../base/sized.h"
#include "../base/tuning.h"
#include "call.h"
#include "groups.h"
#include "share.h"

/* -- Calls --------------------------------------------------------------------------------------------------------- */

static const int64_t most_models = (int64_t)1 << 40;

static rnncore_status take_fleet(rc_fleet_call *call, const rnncore_plan *plan, const rnncore_fleet *fleet)
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

/* Whether all lengths are sound; *valid gets the valid steps of all models. The first model's have been checked. */
static rnncore_status check_all_lengths(const rc_fleet_call *call, int64_t steps, int64_t batch, const int64_t *lengths,
                                        int64_t *valid)
{
    int64_t own;
    *valid = 0;
    for (int64_t m = 0; lengths && m < call->fleet.models; m++) {
        const rnncore_status status = rc_check_lengths(steps, batch, lengths + m * batch, &own);
        if (status) return status;
    }
    for (int64_t g = 0; g < call->groups; g++) {
        own = rc_group_steps(call, g, steps, batch, lengths);
        if (own < 0) return RNNCORE_ERROR_UNSUPPORTED;
        if (__builtin_mul_overflow(own, call->together, &own) || __builtin_add_overflow(*valid, own, valid))
            return RNNCORE_ERROR_OVERFLOW;
    }
    return RNNCORE_OK;
}

/* -- Lists of arrays ----------------------------------------------------------------------------------------------- */

static rc_models_array strided(const rnncore_array *a, int64_t model, int64_t steps, int64_t batch, int64_t features)
{
    return (rc_models_array){
        .data = a->data,
        .model = model,
        .size = {steps, batch, features},
        .stride = {a->stride[0], a->stride[1], a->stride[2]},
    };
}

static rc_models_array dense(const rc_fleet_call *call, const void *data, int64_t size)
{
    return (rc_models_array){
        .data = (char *)(uintptr_t)data,
        .model = size * call->real,
        .size = {1, 1, size},
        .stride = {0, 0, call->real},
    };
}

static rc_models_array written(rc_models_array a)
{
    a.written = 1;
    return a;
}

/* The parameters or gradients of all models, after the other arrays. */
static void list_params(rc_fleet_call *call, const void *const *params, int is_written)
{
    const rnncore_plan *plan = call->plan;
    for (int64_t i = 0; i < plan->config.num_layers * plan->directions; i++)
        for (int row = 0; row < plan->cell->param_count; row++) {
            if (plan->position[row] < 0) continue;
            const rnncore_param p =
                rc_describe_param(&plan->config, plan->cell, &plan->cell->params[row], i / plan->directions);
            const int64_t place = i * plan->param_count + plan->position[row];
            rc_models_array a = dense(call, params[place], p.rows * (p.columns ? p.columns : 1));
            a.written = is_written;
            call->arrays[call->count - call->params + place] = a;
        }
}

/* A list of `count` arrays and the parameters; NULL: no memory. */
static rc_models_array *list_arrays(rc_fleet_call *call, int64_t count, int with_params)
{
    const rnncore_plan *plan = call->plan;
    call->params = with_params ? plan->config.num_layers * plan->directions * plan->param_count : 0;
    call->count = count + call->params;
    call->arrays = rnncore_alloc((size_t)(call->count * (int64_t)sizeof *call->arrays));
    return call->arrays;
}

/* A dense (L*D, N, size) array of each model. */
static rc_models_array states(const rc_fleet_call *call, const void *data, int64_t batch, int64_t size)
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
    rc_fleet_call call = {.uses = uses, .weights = weights};
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
    status = rc_run_groups(&call, call.fleet.team);
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
    rc_fleet_call call = {.plan = plan};
    int64_t valid;
    const rnncore_fleet fleet = {.struct_size = sizeof fleet, .models = models};
    if (take_fleet(&call, plan, &fleet) || rc_check_lengths(steps, batch, NULL, &valid)) return 0;
    if (check_all_lengths(&call, steps, batch, lengths, &valid)) return 0;
    return (size_t)rc_place_tapes(&call, steps, batch, lengths, segments);
}

static rnncore_status check_forward(rc_fleet_call *call, const rnncore_forward_args *given, int64_t *valid)
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
    rc_fleet_call call = {.weights = (char *)(uintptr_t)weights};
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
    rc_fleet_header *header = a->tape;
    if (header) *header = (rc_fleet_header){call.fleet.models, a->steps, a->batch, a->segments};
    status = rc_run_groups(&call, a->team);
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

static rnncore_status check_backward(rc_fleet_call *call, const rnncore_backward_args *given, int64_t *valid)
{
    rnncore_backward_args *a = &call->backward;
    rnncore_status status = rc_take_backward(call->plan, call->weights, given, a, valid);
    if (!status) status = check_all_lengths(call, a->steps, a->batch, a->lengths, valid);
    if (status) return status;
    if (call->together > 1 && (a->backend != RNNCORE_FUSED || a->recurrent_dropout > 0))
        return RNNCORE_ERROR_UNSUPPORTED;
    const rc_fleet_header *header = a->tape;
    if (header->models != call->fleet.models || header->steps != a->steps || header->batch != a->batch)
        return RNNCORE_ERROR_ARGUMENT;
    return RNNCORE_OK;
}

static rnncore_status run_backward(const rnncore_plan *plan, const void *weights, const rnncore_backward_args *args,
                                   const rnncore_fleet *fleet, rc_fpenv outside)
{
    rc_fleet_call call = {.weights = (char *)(uintptr_t)weights};
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
    status = rc_run_groups(&call, a->team);
    if (status != RNNCORE_ERROR_MEMORY) ((rc_fleet_header *)a->tape)->models = -1; /* used up */
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
