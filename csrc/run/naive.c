/* SPDX-License-Identifier: MIT
 *
 * The reference loop that defines the last bit: unpacked parameters, one row, one unit, one chain after the other. It shares
 * only the gate math of the cells (in plain C) with the fast path: no packing, tiles, chunks, parts or threads. */
#include <string.h>

#include "../base/arena.h"
#include "../isa/find.h"
#include "call.h"
#include "share.h"

/* Memory of one row: pre-activations, states, and the row's outputs of the layers in turn. */
typedef struct naive {
    const rnncore_plan *plan;
    const rc_kernels *kernels;
    const rc_cell *cell;
    const rnncore_forward_args *args;
    char *gates, *bias, *h, *c, *mid;
    char *h_prev, *c_prev; /* the state before a step, for zoneout */
    char *x, *y;           /* [T][widest] */
} naive;

static void lay_out(naive *n, rc_arena *arena)
{
    const rnncore_plan *plan = n->plan;
    const int64_t out = plan->directions * plan->out;
    const int64_t widest = out > plan->config.input_size ? out : plan->config.input_size;
    n->gates = rc_arena_take(arena, n->cell->slots * plan->hidden, plan->elem);
    n->bias = rc_arena_take(arena, n->cell->slots * plan->hidden, plan->elem);
    n->h = rc_arena_take(arena, plan->hidden, plan->elem);
    n->c = rc_arena_take(arena, plan->hidden, plan->elem);
    n->mid = rc_arena_take(arena, plan->hidden, plan->elem);
    n->h_prev = rc_arena_take(arena, plan->hidden, plan->elem);
    n->c_prev = rc_arena_take(arena, plan->hidden, plan->elem);
    const int64_t steps = n->args->batch ? n->args->steps : 0;
    n->x = rc_arena_take(arena, steps, widest * plan->elem);
    n->y = rc_arena_take(arena, steps, widest * plan->elem);
}

/* Continues the chains of planes first ... first+count-1 with in . (rows of the gates) of `matrix`. */
static void add_product(const naive *n, int first, int count, const int *gate, const void *matrix, const char *in,
                        int64_t k)
{
    const int64_t hidden = n->plan->hidden, elem = n->plan->elem;
    for (int s = 0; s < count; s++)
        for (int64_t u = 0; u < hidden; u++)
            n->kernels->chain(n->gates + ((first + s) * hidden + u) * elem,
                              (const char *)matrix + (gate[s] * hidden + u) * k * elem, in, k);
}

static void step(const naive *n, const rnncore_params *params, const rc_options *options, const char *x,
                 int64_t in_size)
{
    const rnncore_plan *plan = n->plan;
    const int projected = plan->config.proj_size > 0;
    const rc_cell_args args = {
        .ld = plan->hidden,
        .ldg = n->cell->slots * plan->hidden,
        .gates = n->gates,
        .h_prev = n->h,
        .c_prev = n->c,
        .h = projected ? n->mid : n->h,
        .c = n->c,
        .scratch = n->mid,
        .options = options,
        .peephole = params->weight_peephole, /* lanes are units: nothing is padded */
    };
    memcpy(n->h_prev, n->h, (size_t)(plan->out * plan->elem));
    memcpy(n->c_prev, n->c, (size_t)(plan->hidden * plan->elem));
    memcpy(n->gates, n->bias, (size_t)(n->cell->slots * plan->hidden * plan->elem));
    add_product(n, 0, n->cell->ih_slots, n->cell->ih_gate, params->weight_ih, x, in_size);
    for (int i = 0; i < n->cell->phases; i++) {
        const rc_phase *p = &n->cell->phase[i];
        add_product(n, p->first_slot, p->slots, p->gate, params->weight_hh, i == 0 ? n->h : n->mid, plan->out);
        p->forward(&args, 0, 1, 0, plan->hidden);
    }
    for (int64_t u = 0; projected && u < plan->out; u++) {
        memset(n->h + u * plan->elem, 0, (size_t)plan->elem);
        n->kernels->chain(n->h + u * plan->elem, (const char *)params->weight_hr + u * plan->hidden * plan->elem,
                          n->mid, plan->hidden);
    }
    if (plan->config.zoneout > 0) n->kernels->blend(n->h, n->h_prev, n->h, plan->out, plan->config.zoneout);
    if (plan->config.zoneout_c > 0) n->kernels->blend(n->c, n->c_prev, n->c, plan->hidden, plan->config.zoneout_c);
}

static void load(char *to, const char *from, int64_t row, int64_t size, int64_t elem)
{
    if (from) memcpy(to, from + row * size * elem, (size_t)(size * elem));
    else memset(to, 0, (size_t)(size * elem));
}

static void run_layer(const naive *n, const rnncore_params *params, int64_t layer, int direction, int64_t row,
                      int64_t length)
{
    const rnncore_plan *plan = n->plan;
    const rnncore_forward_args *a = n->args;
    const int64_t in_size = rc_input_size(plan, layer), elem = plan->elem,
                  out_row = plan->directions * plan->out * elem;
    n->kernels->pack_bias(n->bias, n->cell, plan->hidden, params->bias_ih, params->bias_hh);
    load(n->h, rc_state_of(plan, a->h0, a->batch, plan->out, layer, direction), row, plan->out, elem);
    load(n->c, rc_state_of(plan, a->c0, a->batch, plan->hidden, layer, direction), row, plan->hidden, elem);
    for (int64_t s = 0; s < length; s++) {
        const int64_t time = direction ? length - 1 - s : s;
        step(n, params, &plan->options[direction], n->x + time * in_size * elem, in_size);
        memcpy(n->y + time * out_row + direction * plan->out * elem, n->h, (size_t)(plan->out * elem));
    }
    char *h_n = rc_state_of(plan, a->h_n, a->batch, plan->out, layer, direction);
    char *c_n = rc_state_of(plan, a->c_n, a->batch, plan->hidden, layer, direction);
    if (h_n) memcpy(h_n + row * plan->out * elem, n->h, (size_t)(plan->out * elem));
    if (c_n) memcpy(c_n + row * plan->hidden * elem, n->c, (size_t)(plan->hidden * elem));
}

static void run_row(naive *n, const rnncore_params *params, int64_t row)
{
    const rnncore_plan *plan = n->plan;
    const rnncore_forward_args *a = n->args;
    const rc_rows x = rc_array_rows(&a->x, 0), y = rc_array_rows(&a->y, 0);
    const int64_t length = a->lengths ? a->lengths[row] : a->steps, elem = plan->elem;
    const int64_t in = plan->config.input_size, out = plan->directions * plan->out;
    for (int64_t t = 0; t < length; t++)
        rc_copy(n->x + t * in * elem, elem, x.data + t * x.step + row * x.row, x.feature, in, elem);
    for (int64_t layer = 0; layer < plan->config.num_layers; layer++) {
        for (int d = 0; d < plan->directions; d++)
            run_layer(n, &params[layer * plan->directions + d], layer, d, row, length);
        memcpy(n->x, n->y, (size_t)(length * out * elem));
    }
    memset(n->y + length * out * elem, 0, (size_t)((a->steps - length) * out * elem));
    for (int64_t t = 0; t < a->steps; t++)
        rc_copy(y.data + t * y.step + row * y.row, y.feature, n->y + t * out * elem, elem, out, elem);
}

rnncore_status rnncore_forward_naive(const rnncore_plan *plan, const rnncore_params *params,
                                     const rnncore_forward_args *args)
{
    int64_t valid;
    rnncore_status status = rc_check_forward(plan, args, &valid);
    if (status) return status;
    if (!params || !rc_check_params(plan, params)) return RNNCORE_ERROR_ARGUMENT;
    naive n = {.plan = plan, .kernels = rc_find_kernels("scalar", plan->config.dtype), .args = args};
    const rc_kernels *own = plan->kernels;
    n.cell = plan->cell == own->coupled                      ? n.kernels->coupled
             : plan->cell == own->general[plan->config.cell] ? n.kernels->general[plan->config.cell]
                                                             : n.kernels->cell[plan->config.cell];
    rc_arena counting = rc_arena_counting();
    lay_out(&n, &counting);
    const size_t bytes = rc_arena_bytes(&counting);
    if (!bytes) return RNNCORE_ERROR_OVERFLOW;
    void *memory = rnncore_alloc(bytes);
    if (!memory) return RNNCORE_ERROR_MEMORY;
    rc_arena arena = rc_arena_over(memory, bytes);
    lay_out(&n, &arena);
    for (int64_t row = 0; row < args->batch; row++) run_row(&n, params, row);
    rnncore_free(memory);
    return RNNCORE_OK;
}
