/* SPDX-License-Identifier: MIT
 * See plan.h. */
#include "plan.h"

#include <math.h>

#include "../base/arena.h"
#include "../base/fpenv.h"
#include "../base/os.h"
#include "../base/sized.h"
#include "../base/tuning.h"
#include "../isa/find.h"

/* -- Options --------------------------------------------------------------------------------------------------------- */

/* Where a cell's own function is affine, it is the identity. */
static int is_usual_affine(const rnncore_activation *a)
{
    return a->function != RNNCORE_AFFINE || (a->alpha == 1 && a->beta == 0);
}

/* Fills in the plan's options; whether they ask for more than the usual functions. */
static int resolve_options(rnncore_plan *plan, const rc_cell *usual)
{
    const rnncore_config *c = &plan->config;
    int any = c->peepholes || c->clip > 0;
    for (int d = 0; d < 2; d++) {
        plan->options[d].coupled = c->coupled;
        plan->options[d].clip = c->clip > 0 ? c->clip : (double)INFINITY;
        for (int i = 0; i < RNNCORE_PLACES; i++) {
            rnncore_activation *own = &plan->options[d].activations[i];
            *own = c->activations[d][i];
            if (own->function == RNNCORE_USUAL) *own = (rnncore_activation){usual->usual[i], 1, 0};
            any |= own->function != usual->usual[i] || !is_usual_affine(own);
        }
    }
    return any;
}

static void number_params(rnncore_plan *plan)
{
    for (int i = 0; i < plan->cell->param_count; i++)
        plan->position[i] = rc_has_param(&plan->config, plan->cell, &plan->cell->params[i]) ? plan->param_count++ : -1;
}

/* -- Terms and programs ------------------------------------------------------------------------------------------------ */

static int find_param(const rc_cell *cell, rc_when when)
{
    for (int i = 0; i < cell->param_count; i++)
        if (cell->params[i].when == when) return i;
    return -1;
}

static void list_terms(rnncore_plan *plan)
{
    for (int i = 0; i < plan->cell->term_count; i++) {
        plan->term[i] = plan->cell->term[i];
        plan->has_mid |= plan->term[i].operand == RC_OPERAND_MID;
    }
    plan->term_count = plan->cell->term_count;
    const int x_planes = plan->term[RC_TERM_X].planes,
              last = plan->term[RC_TERM_H].first + plan->term[RC_TERM_H].planes;
    if (plan->term[RC_TERM_H].first < x_planes && last > x_planes) plan->fill = last - x_planes;
    if (!plan->config.proj_size) return;
    const int projection = find_param(plan->cell, RC_WITH_PROJECTION);
    plan->term[plan->term_count++] =
        (rc_term){.param = (int8_t)projection, .bias = -1, .operand = RC_OPERAND_MID, .planes = 1};
    plan->has_mid = 1;
}

int64_t rc_term_k(const rnncore_plan *plan, int term, int64_t layer)
{
    if (term == 0) return rc_input_size(plan, layer);
    return plan->term[term].operand == RC_OPERAND_H ? plan->out : plan->hidden;
}

rnncore_store rc_term_store(const rnncore_plan *plan, int term, int64_t k)
{
    const rnncore_store store = plan->config.store;
    return term == RC_TERM_X && rc_store_is_integer(store) && k < RC_LEAST_CODED_INPUTS ? RNNCORE_STORE_REAL : store;
}

double rc_term_least(const rnncore_plan *plan, int term)
{
    const rc_operand operand = (rc_operand)plan->term[term].operand;
    const int projected = operand == RC_OPERAND_H && plan->config.proj_size;
    return operand != RC_OPERAND_X && plan->is_bounded && !projected ? 1 : 0;
}

/* Adds an operation; what reads whole rows makes the threads meet after the one before. */
static void add(rc_op *program, int *count, rc_op op)
{
    if (op.whole && *count) program[*count - 1].meet = 1;
    program[(*count)++] = op;
}

/* Whether a later operation of the cell reads mid, which recurrent dropout then acts on. */
static int feeds_product(const rc_op *op) { return op->kind == RC_OP_MATH && op[1].kind == RC_OP_PRODUCT; }

static void write_forward(rnncore_plan *plan)
{
    int n = 0;
    for (const rc_op *op = plan->cell->forward; op->kind; op++) {
        add(plan->forward, &n, *op);
        if (feeds_product(op)) add(plan->forward, &n, (rc_op){.kind = RC_OP_DROP, .index = RC_DROP_MID});
    }
    if (plan->config.zoneout_c > 0) add(plan->forward, &n, (rc_op){.kind = RC_OP_ZONE, .index = RC_ZONE_C});
    if (plan->config.proj_size)
        add(plan->forward, &n, (rc_op){.kind = RC_OP_PROJECT, .index = plan->term_count - 1, .whole = 1});
    if (plan->config.zoneout > 0) add(plan->forward, &n, (rc_op){.kind = RC_OP_ZONE, .index = RC_ZONE_H});
    add(plan->forward, &n, (rc_op){.kind = RC_OP_DROP, .index = RC_DROP_H});
    plan->forward[n - 1].meet = 1;
}

static void write_backward(rnncore_plan *plan)
{
    const int zones = plan->config.zoneout > 0 || plan->config.zoneout_c > 0;
    int n = 0;
    add(plan->backward, &n, (rc_op){.kind = RC_OP_GATHER});
    if (zones) add(plan->backward, &n, (rc_op){.kind = RC_OP_ZONE});
    if (plan->config.proj_size)
        add(plan->backward, &n, (rc_op){.kind = RC_OP_PROJECT, .index = plan->term_count - 1, .whole = 1});
    for (const rc_op *op = plan->cell->backward; op->kind; op++) add(plan->backward, &n, *op);
    if (zones) add(plan->backward, &n, (rc_op){.kind = RC_OP_KEEP});
    plan->backward[n - 1].meet = 1;
}

/* Gate math right behind a product runs on each finished tile: it goes into the product's operation. */
static void join_tails(rc_op *program)
{
    rc_op *to = program;
    for (const rc_op *op = program; op->kind; op++) {
        const int multiplies = to > program && (to[-1].kind == RC_OP_PRODUCT || to[-1].kind == RC_OP_PROJECT ||
                                                to[-1].kind == RC_OP_GATHER);
        if (op->kind == RC_OP_MATH && multiplies && !to[-1].math && !to[-1].meet) {
            to[-1].math = op->math;
            to[-1].meet = op->meet;
        } else {
            *to++ = *op;
        }
    }
    *to = (rc_op){.kind = RC_OP_END};
}

/* Whether tanh or a gate times tanh is all that reaches h. */
static int is_bounded(const rnncore_plan *plan)
{
    for (int d = 0; d < plan->directions; d++)
        for (int i = 0; i < RNNCORE_PLACES; i++) {
            const rnncore_function function = plan->options[d].activations[i].function;
            if (function != RNNCORE_USUAL && function != RNNCORE_SIGMOID && function != RNNCORE_TANH) return 0;
        }
    return 1;
}

/* -- The plan ---------------------------------------------------------------------------------------------------------- */

/* Elements of a row of planes: a cache line more where rows would share sets. */
static int64_t gates_row(const rnncore_plan *plan, int planes)
{
    const int64_t elements = planes * plan->ld;
    return elements * plan->elem % RC_ALIASING_BYTES ? elements : elements + RC_ALIGN / plan->elem;
}

static void set_sizes(rnncore_plan *plan)
{
    const rnncore_config *c = &plan->config;
    plan->directions = c->bidirectional ? 2 : 1;
    plan->elem =
        (c->dtype == RNNCORE_FLOAT32 ? (int64_t)sizeof(float) : (int64_t)sizeof(double)) * plan->kernels->models;
    plan->hidden = c->hidden_size;
    plan->out = rc_config_output(c);
    plan->ld = rc_round_up(plan->hidden, plan->kernels->lanes);
    plan->out_ld = rc_round_up(plan->out, plan->kernels->lanes);
    plan->blocks = plan->ld / plan->kernels->lanes;
    plan->out_blocks = plan->out_ld / plan->kernels->lanes;
    plan->gates_ld = gates_row(plan, plan->cell->planes);
    plan->record_ld = gates_row(plan, plan->cell->planes + plan->cell->back_planes);
    plan->l2_bytes = rc_os_l2_bytes() ? rc_os_l2_bytes() : RC_L2_BYTES;
}

/* Whether a lane may be a model: masks, norms and rounded matrices are of one model, and operations that are no product and no
 * gate math may look at other units. */
static int runs_in_lanes(const rnncore_config *c, const rc_cell *cell)
{
    for (const rc_op *op = cell->forward; op->kind; op++)
        if (op->kind != RC_OP_PRODUCT && op->kind != RC_OP_MATH) return 0;
    for (const rc_op *op = cell->backward; op->kind; op++)
        if (op->kind != RC_OP_PRODUCT && op->kind != RC_OP_MATH) return 0;
    return !cell->norm_count && !c->blas && c->store == RNNCORE_STORE_REAL && !(c->zoneout > 0) &&
           !(c->zoneout_c > 0) && !(c->dropout > 0 && c->num_layers > 1);
}

static rnncore_status make_plan(const rnncore_config *given, rnncore_plan **plan)
{
    rnncore_config own;
    const rnncore_config *config = &own;
    rnncore_status status = plan ? rc_take_config(&own, given) : RNNCORE_ERROR_ARGUMENT;
    if (!status) status = rc_check_config(config);
    if (status) return status;
    const rc_kernels *kernels = rc_find_kernels(config->isa, config->dtype);
    if (!kernels) return RNNCORE_ERROR_UNSUPPORTED;
    rnncore_plan *made = rnncore_alloc(sizeof *made);
    if (!made) return RNNCORE_ERROR_MEMORY;

    *made = (rnncore_plan){.config = *config, .kernels = kernels};
    made->cell = rc_find_cell(config, kernels, resolve_options(made, rc_find_cell(config, kernels, 0)));
    if (config->model_lanes && kernels->fleet && runs_in_lanes(config, made->cell)) made->kernels = kernels->fleet;
    made->config.isa = kernels->isa;
    made->config.cell = rc_find_name(config);
    if (config->blas) {
        made->blas = *config->blas;
        made->config.blas = &made->blas;
    }
    set_sizes(made);
    made->is_bounded = is_bounded(made);
    number_params(made);
    list_terms(made);
    write_forward(made);
    write_backward(made);
    join_tails(made->forward);
    join_tails(made->backward);
    *plan = made;
    return RNNCORE_OK;
}

rnncore_status rnncore_plan_create(const rnncore_config *config, rnncore_plan **plan)
{
    const rc_fpenv outside = rc_fpenv_enter(); /* what is zero for a call, as a subnormal clip, is for its plan, too */
    const rnncore_status status = make_plan(config, plan);
    rc_fpenv_leave(outside);
    return status;
}

void rnncore_plan_destroy(rnncore_plan *plan) { rnncore_free(plan); }

const char *rnncore_plan_isa(const rnncore_plan *plan) { return plan ? plan->kernels->isa : NULL; }

/* -- Parameters -------------------------------------------------------------------------------------------------------- */

int rnncore_param_count(const rnncore_plan *plan) { return plan ? plan->param_count : 0; }

rnncore_status rnncore_param_get(const rnncore_plan *plan, int64_t layer, int index, rnncore_param *param)
{
    if (!plan || !rc_in_range(layer, 0, plan->config.num_layers - 1)) return RNNCORE_ERROR_ARGUMENT;
    for (int i = 0; index >= 0 && i < plan->cell->param_count; i++)
        if (plan->position[i] == index) {
            const rnncore_param own = rc_describe_param(&plan->config, plan->cell, &plan->cell->params[i], layer);
            return RC_GIVE(param, &own, optional);
        }
    return RNNCORE_ERROR_ARGUMENT;
}

int rc_check_params(const rnncore_plan *plan, const void *const *params)
{
    for (int64_t i = 0; i < plan->config.num_layers * plan->directions; i++, params += plan->param_count)
        for (int row = 0; row < plan->cell->param_count; row++)
            if (plan->position[row] >= 0 && !plan->cell->params[row].optional && !params[plan->position[row]]) return 0;
    return 1;
}
