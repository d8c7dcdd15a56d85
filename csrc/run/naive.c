/* SPDX-License-Identifier: MIT
 *
 * The reference loop that defines the last bit: unpacked parameters, one row, one unit, one chain after the other. It shares
 * only the tables and the gate math of the cells (in plain C) with the fast path: no packing, tiles, chunks, parts or threads. */
#include <math.h>
#include <string.h>

#include "../base/arena.h"
#include "../base/fma.h"
#include "../base/fpenv.h"
#include "../model/weights.h"
#include "call.h"
#include "share.h"
#include "workspace.h"

/* Memory of one row: pre-activations, states, and the row's outputs of the layers in turn. */
typedef struct naive {
    const rnncore_plan *plan; /* on the scalar instruction set: lanes are units, nothing is padded */
    const rnncore_forward_args *args;
    const void *const *params;
    char *gates, *start, *h, *c, *mid;
    char *h_prev, *c_prev; /* the state before a step */
    char *numbers;         /* of layer normalisations */
    char *zero;            /* [gates]: vectors that are left out */
    char *row;             /* [widest]: a row of a matrix, rounded as it is stored */
    int32_t *codes;        /* [widest]: an operand as integers */
    char *x, *y;           /* [T][widest] */
    int64_t layer;
    int direction;
    rc_stop stop;
} naive;

static void lay_out(naive *n, rc_arena *arena)
{
    const rnncore_plan *plan = n->plan;
    const int64_t out = plan->directions * plan->out, planes = plan->cell->planes;
    const int64_t widest = out > plan->config.input_size ? out : plan->config.input_size;
    n->gates = rc_arena_take(arena, planes * plan->hidden, plan->elem);
    n->start = rc_arena_take(arena, planes * plan->hidden, plan->elem);
    n->h = rc_arena_take(arena, plan->hidden, plan->elem);
    n->c = rc_arena_take(arena, plan->hidden, plan->elem);
    n->mid = rc_arena_take(arena, plan->hidden, plan->elem);
    n->h_prev = rc_arena_take(arena, plan->hidden, plan->elem);
    n->c_prev = rc_arena_take(arena, plan->hidden, plan->elem);
    n->numbers = rc_arena_take(arena, RC_NORM_NUMBERS, plan->elem);
    n->zero = rc_arena_take(arena, plan->cell->gates * plan->hidden, plan->elem);
    n->row = rc_arena_take(arena, widest > plan->hidden ? widest : plan->hidden, plan->elem);
    n->codes = rc_arena_take(arena, widest > plan->hidden ? widest : plan->hidden, sizeof *n->codes);
    const int64_t steps = n->args->batch ? n->args->steps : 0;
    n->x = rc_arena_take(arena, steps, widest * plan->elem);
    n->y = rc_arena_take(arena, steps, widest * plan->elem);
}

static const char *param(const naive *n, int row)
{
    return rc_param_of(n->plan, (void *const *)n->params, n->layer, n->direction, row);
}

/* An operand as integers of 8 bits, or 16, and what one is worth (see simd/codes.h). */
static float code_operand(const naive *n, const float *in, int64_t k, float least, int32_t *codes)
{
    const float most = n->plan->config.store == RNNCORE_STORE_INT8 ? 127 : 127 * 256;
    float range = least > 0x1p-96f ? least : 0x1p-96f;
    for (int64_t i = 0; i < k; i++) {
        if (!isfinite(in[i])) range = (float)NAN;
        else if (fabsf(in[i]) > range) range = fabsf(in[i]);
    }
    for (int64_t i = 0; i < k; i++) codes[i] = isnan(range) ? 0 : (int32_t)nearbyint((double)in[i] * (most / range));
    return range / most;
}

/* The same for a row of a matrix that already holds multiples of its scale. */
static float weight_worth(const float *row, int64_t k)
{
    float largest = 0;
    for (int64_t i = 0; i < k; i++)
        if (isnan(row[i]) || fabsf(row[i]) > largest) largest = fabsf(row[i]);
    return largest / 127;
}

/* *out += worth of the row * worth of the operand * their exact product; operands of 16 bits in two halves, the lower first. */
static void add_integers(const naive *n, float *out, const float *in, int64_t k, float least)
{
    const float *row = (const float *)n->row;
    const float scale = weight_worth(row, k), worth = code_operand(n, in, k, least, n->codes);
    const int halves = n->plan->config.store == RNNCORE_STORE_INT8 ? 1 : 2;
    for (int half = 0; half < halves; half++) {
        int64_t sum = 0;
        for (int64_t i = 0; i < k; i++) {
            const int32_t lower = halves == 1 ? n->codes[i] : ((n->codes[i] + 128) & 255) - 128;
            const int32_t code = half ? (n->codes[i] - lower) / 256 : lower;
            sum += code * (scale > 0 ? (int64_t)nearbyintf(row[i] / scale) : 0);
        }
        *out = rc_fmaf((float)sum, (half ? 256 * worth : worth) * scale, *out);
    }
}

/* A chain with a row of a matrix, whose values are what the plan's store holds. */
static void chain(const naive *n, int term, char *out, const char *row, const char *in, int64_t k)
{
    static const int8_t first[] = {0};
    const rnncore_store store = rc_term_store(n->plan, term, k);
    n->plan->kernels->pack_rows(n->row, &(rc_matrix){row, 1, k, 1, first, store, k});
    if (rc_store_is_integer(store))
        add_integers(n, (float *)out, (const float *)in, k, (float)rc_term_least(n->plan, term));
    else n->plan->kernels->chain(out, n->row, in, k);
}

/* Continues the chains of a term's units in `out`, plane after plane. */
static void add_term(const naive *n, int index, char *out, const char *in)
{
    const rc_term *term = &n->plan->term[index];
    const int64_t units = rc_term_units(n->plan, index), k = rc_term_k(n->plan, index, n->layer);
    const int64_t elem = n->plan->elem;
    const char *matrix = param(n, term->param);
    for (int p = 0; p < term->planes; p++)
        for (int64_t u = 0; u < units; u++)
            chain(n, index, out + (p * units + u) * elem, matrix + (term->gate[p] * units + u) * k * elem, in, k);
}

static char *planes_of(const naive *n, int index)
{
    return n->gates + n->plan->term[index].first * n->plan->hidden * n->plan->elem;
}

static void run_op(const naive *n, const rc_op *op, const rc_cell_args *args)
{
    const rnncore_plan *plan = n->plan;
    switch (op->kind) {
    case RC_OP_PRODUCT:
        add_term(n, op->index, planes_of(n, op->index),
                 plan->term[op->index].operand == RC_OPERAND_H ? n->h_prev : n->mid);
        break;
    case RC_OP_PROJECT:
        memset(n->h, 0, (size_t)(plan->out * plan->elem));
        add_term(n, op->index, n->h, n->mid);
        break;
    case RC_OP_ZONE:
        if (op->index == RC_ZONE_H) plan->kernels->blend(n->h, n->h_prev, n->h, plan->out, plan->config.zoneout);
        else plan->kernels->blend(n->c, n->c_prev, n->c, plan->hidden, plan->config.zoneout_c);
        break;
    case RC_OP_NORM: rc_norm_rows(plan, op->index, args, 1); break;
    default: break; /* math alone; dropout is of training */
    }
    if (op->math) op->math(args, 0, 1, 0, plan->hidden);
}

static void step(const naive *n, const void *const *vector, const char *x)
{
    const rnncore_plan *plan = n->plan;
    const rc_cell_args args = {
        .ld = plan->hidden,
        .ldg = plan->gates_ld,
        .gates = n->gates,
        .h_prev = n->h_prev,
        .c_prev = n->c_prev,
        .h = plan->config.proj_size ? n->mid : n->h,
        .c = n->c,
        .mid = n->mid,
        .options = &plan->options[n->direction],
        .vector = vector,
        .numbers = n->numbers,
    };
    memcpy(n->h_prev, n->h, (size_t)(plan->out * plan->elem));
    memcpy(n->c_prev, n->c, (size_t)(plan->hidden * plan->elem));
    memcpy(n->gates, n->start, (size_t)(plan->cell->planes * plan->hidden * plan->elem));
    add_term(n, 0, n->gates, x);
    for (const rc_op *op = plan->forward; op->kind; op++) run_op(n, op, &args);
}

static void load(char *to, const char *from, int64_t row, int64_t size, int64_t elem)
{
    if (from) memcpy(to, from + row * size * elem, (size_t)(size * elem));
    else memset(to, 0, (size_t)(size * elem));
}

static void run_layer(naive *n, int64_t row, int64_t length)
{
    const rnncore_plan *plan = n->plan;
    const rnncore_forward_args *a = n->args;
    const int64_t in_row = rc_input_size(plan, n->layer) * plan->elem, elem = plan->elem,
                  out_row = plan->directions * plan->out * elem;
    const void *vector[RC_MAX_PARAMS];
    memset(n->zero, 0, (size_t)(plan->cell->gates * plan->hidden * plan->elem));
    for (int i = 0; i < plan->cell->param_count; i++) {
        vector[i] = param(n, i);
        if (!vector[i] && plan->position[i] >= 0) vector[i] = n->zero;
    }
    rc_fill_start(plan, n->start, plan->hidden, n->params, n->layer, n->direction);
    load(n->h, rc_state_of(plan, a->h0, a->batch, plan->out, n->layer, n->direction), row, plan->out, elem);
    load(n->c, rc_state_of(plan, a->c0, a->batch, plan->hidden, n->layer, n->direction), row, plan->hidden, elem);
    for (int64_t s = 0; s < length && !rc_stop_ask(&n->stop); s++) {
        const int64_t time = n->direction ? length - 1 - s : s;
        step(n, vector, n->x + time * in_row);
        memcpy(n->y + time * out_row + n->direction * plan->out * elem, n->h, (size_t)(plan->out * elem));
    }
    char *h_n = rc_state_of(plan, a->h_n, a->batch, plan->out, n->layer, n->direction);
    char *c_n = rc_state_of(plan, a->c_n, a->batch, plan->hidden, n->layer, n->direction);
    if (h_n) memcpy(h_n + row * plan->out * elem, n->h, (size_t)(plan->out * elem));
    if (c_n) memcpy(c_n + row * plan->hidden * elem, n->c, (size_t)(plan->hidden * elem));
}

static void run_row(naive *n, int64_t row)
{
    const rnncore_plan *plan = n->plan;
    const rnncore_forward_args *a = n->args;
    const rc_rows x = rc_array_rows(&a->x, 0), y = rc_array_rows(&a->y, 0);
    const int64_t length = a->lengths ? a->lengths[row] : a->steps, elem = plan->elem;
    const int64_t in = plan->config.input_size, out = plan->directions * plan->out;
    for (int64_t t = 0; t < length; t++)
        rc_copy(n->x + t * in * elem, elem, x.data + t * x.step + row * x.row, x.feature, in, elem);
    for (n->layer = 0; n->layer < plan->config.num_layers; n->layer++) {
        for (n->direction = 0; n->direction < plan->directions; n->direction++) run_layer(n, row, length);
        memcpy(n->x, n->y, (size_t)(length * out * elem));
    }
    memset(n->y + length * out * elem, 0, (size_t)((a->steps - length) * out * elem));
    for (int64_t t = 0; t < a->steps; t++)
        rc_copy(y.data + t * y.step + row * y.row, y.feature, n->y + t * out * elem, elem, out, elem);
}

static rnncore_status run_rows(naive *n)
{
    rc_arena counting = rc_arena_counting();
    lay_out(n, &counting);
    const size_t bytes = rc_arena_bytes(&counting);
    if (!bytes) return RNNCORE_ERROR_OVERFLOW;
    void *memory = rnncore_alloc(bytes);
    if (!memory) return RNNCORE_ERROR_MEMORY;
    rc_arena arena = rc_arena_over(memory, bytes);
    lay_out(n, &arena);
    for (int64_t row = 0; row < n->args->batch && !rc_stopped(&n->stop); row++) run_row(n, row);
    rnncore_free(memory);
    return rc_stopped(&n->stop) ? RNNCORE_CANCELLED : RNNCORE_OK;
}

static rnncore_status run_naive(const rnncore_plan *plan, const void *const *params, const rnncore_forward_args *given,
                                rc_fpenv outside)
{
    int64_t valid;
    rnncore_forward_args args;
    rnncore_status status = rc_take_forward(plan, given, &args, &valid);
    if (status) return status;
    if (!params || !rc_check_params(plan, params)) return RNNCORE_ERROR_ARGUMENT;
    rnncore_config config = plan->config;
    rnncore_plan *scalar;
    config.isa = "scalar";
    status = rnncore_plan_create(&config, &scalar);
    if (status) return status;
    status = run_rows(&(naive){.plan = scalar,
                               .args = &args,
                               .params = params,
                               .stop = {args.cancel, args.cancel_context, args.cancel_every, 0, outside, 0}});
    rnncore_plan_destroy(scalar);
    return status;
}

rnncore_status rnncore_forward_naive(const rnncore_plan *plan, const void *const *params,
                                     const rnncore_forward_args *args)
{
    const rc_fpenv outside = rc_fpenv_enter();
    const rnncore_status status = run_naive(plan, params, args, outside);
    rc_fpenv_leave(outside);
    return status;
}
