/* SPDX-License-Identifier: MIT
 *
 * Plans and packed weights: the sizes of a stack of layers, checked once, and the layout of its packed parameters. */
#include "plan.h"

#include <math.h>
#include <string.h>

#include "../base/arena.h"
#include "../base/os.h"
#include "../base/tuning.h"
#include "../isa/find.h"
#include "config.h"

/* The functions that a cell has where the config says nothing. */
static rnncore_function usual(rnncore_cell cell, int place)
{
    static const rnncore_function functions[RC_CELLS][RNNCORE_PLACES] = {
        [RNNCORE_RNN_TANH] = {RNNCORE_TANH},
        [RNNCORE_RNN_RELU] = {RNNCORE_RELU},
        [RNNCORE_LSTM] = {RNNCORE_SIGMOID, RNNCORE_SIGMOID, RNNCORE_TANH, RNNCORE_SIGMOID, RNNCORE_TANH},
        [RNNCORE_GRU] = {RNNCORE_SIGMOID, RNNCORE_SIGMOID, RNNCORE_TANH},
        [RNNCORE_GRU_RESET_BEFORE] = {RNNCORE_SIGMOID, RNNCORE_SIGMOID, RNNCORE_TANH},
    };
    return functions[cell][place];
}

/* Fills in the plan's options; whether they ask for more than the cell as it is. */
static int resolve_options(rnncore_plan *plan)
{
    const rnncore_config *c = &plan->config;
    int general = c->peepholes || c->coupled || c->clip > 0;
    for (int d = 0; d < 2; d++) {
        plan->options[d].coupled = c->coupled;
        plan->options[d].clip = c->clip > 0 ? c->clip : (double)INFINITY;
        for (int i = 0; i < RNNCORE_PLACES; i++) {
            const rnncore_activation *wanted = &c->activations[d][i];
            plan->options[d].activations[i] = *wanted;
            if (wanted->function == RNNCORE_USUAL) plan->options[d].activations[i].function = usual(c->cell, i);
            general |= plan->options[d].activations[i].function != usual(c->cell, i);
        }
    }
    return general;
}

rnncore_status rnncore_plan_create(const rnncore_config *config, rnncore_plan **plan)
{
    if (!config || !plan) return RNNCORE_ERROR_ARGUMENT;
    rnncore_status status = rc_check_config(config);
    if (status) return status;
    const rc_kernels *kernels = rc_find_kernels(config->isa, config->dtype);
    if (!kernels) return RNNCORE_ERROR_UNSUPPORTED;

    rnncore_plan made = {.config = *config, .kernels = kernels, .cell = kernels->cell[config->cell]};
    made.config.isa = kernels->isa;
    if (resolve_options(&made)) made.cell = config->coupled ? kernels->coupled : kernels->general[config->cell];
    made.directions = config->bidirectional ? 2 : 1;
    made.elem = config->dtype == RNNCORE_FLOAT32 ? sizeof(float) : sizeof(double);
    made.hidden = config->hidden_size;
    made.out = config->proj_size ? config->proj_size : config->hidden_size;
    made.ld = rc_round_up(made.hidden, kernels->lanes);
    made.out_ld = rc_round_up(made.out, kernels->lanes);
    made.gates_ld = made.cell->slots * made.ld;
    if (made.gates_ld * made.elem % RC_ALIASING_BYTES == 0) made.gates_ld += RC_ALIGN / made.elem;
    made.l2_bytes = rc_os_l2_bytes() ? rc_os_l2_bytes() : RC_L2_BYTES;

    rnncore_plan *kept = rnncore_alloc(sizeof made);
    if (!kept) return RNNCORE_ERROR_MEMORY;
    *kept = made;
    if (config->blas) {
        kept->blas = *config->blas;
        kept->config.blas = &kept->blas;
    }
    *plan = kept;
    return RNNCORE_OK;
}

void rnncore_plan_destroy(rnncore_plan *plan) { rnncore_free(plan); }

const char *rnncore_plan_isa(const rnncore_plan *plan) { return plan ? plan->kernels->isa : NULL; }

int64_t rc_input_size(const rnncore_plan *plan, int64_t layer)
{
    return layer == 0 ? plan->config.input_size : plan->directions * plan->out;
}

/* The header of packed weights; its own 64 bytes keep what follows aligned. */
typedef struct weights_header {
    int uses;
} weights_header;

static const char *take(rc_arena *arena, const rnncore_plan *plan, int wanted, int64_t elements)
{
    return wanted ? rc_arena_take(arena, elements, plan->elem) : NULL;
}

/* Lays out one layer and direction. With an arena that only counts, the pointers are NULL. */
static rc_weights lay_out(const rnncore_plan *plan, int uses, int64_t layer, rc_arena *arena)
{
    const rc_cell *cell = plan->cell;
    const int64_t in = rc_input_size(plan, layer), ld = plan->ld, out = plan->out, out_ld = plan->out_ld;
    const int projected = plan->config.proj_size > 0;
    const int forward = uses & RNNCORE_PACK_FORWARD, backward = uses & RNNCORE_PACK_BACKWARD;
    const int blas = uses & RNNCORE_PACK_BLAS;
    rc_weights w = {0};

    w.bias = take(arena, plan, 1, cell->slots * ld);
    w.peephole = take(arena, plan, rc_peepholes(plan), rc_peepholes(plan) * ld);
    w.ih = take(arena, plan, forward, cell->ih_slots * ld * in);
    w.ih_t = take(arena, plan, backward, cell->ih_slots * ld * rc_round_up(in, plan->kernels->lanes));
    w.ih_rows = take(arena, plan, blas, cell->ih_slots * ld * in);
    for (int p = 0; p < cell->phases; p++) {
        const int64_t columns = cell->phase[p].slots * ld;
        w.hh[p] = take(arena, plan, forward, columns * out);
        w.hh_t[p] = take(arena, plan, backward, columns * out_ld);
        w.hh_rows[p] = take(arena, plan, blas, columns * out);
    }
    w.hr = take(arena, plan, forward && projected, out_ld * plan->hidden);
    w.hr_t = take(arena, plan, backward && projected, out_ld * ld);
    w.hr_rows = take(arena, plan, blas && projected, out_ld * plan->hidden);
    return w;
}

size_t rnncore_weights_bytes(const rnncore_plan *plan, int uses)
{
    if (!plan || rc_check_uses(&plan->config, uses)) return 0;
    rc_arena arena = rc_arena_counting();
    rc_arena_take(&arena, 1, sizeof(weights_header));
    for (int64_t i = 0; i < plan->config.num_layers * plan->directions; i++)
        lay_out(plan, uses, i / plan->directions, &arena);
    return rc_arena_bytes(&arena);
}

rc_weights rc_weights_of(const rnncore_plan *plan, const void *weights, int64_t layer, int direction)
{
    rc_arena arena = rc_arena_over((void *)(uintptr_t)weights, SIZE_MAX), one = rc_arena_counting();
    const int uses = rc_weights_uses(weights);
    rc_weights w = {0};
    rc_arena_take(&arena, 1, sizeof(weights_header));
    if (layer > 0) { /* past layer 0, then past layers of one size */
        for (int d = 0; d < plan->directions; d++) lay_out(plan, uses, 0, &arena);
        lay_out(plan, uses, 1, &one);
        arena.used += (size_t)((layer - 1) * plan->directions) * one.used;
    }
    for (int d = 0; d <= direction; d++) w = lay_out(plan, uses, layer, &arena);
    w.options = &plan->options[direction];
    return w;
}

int rc_weights_uses(const void *weights) { return ((const weights_header *)weights)->uses; }

int rc_check_params(const rnncore_plan *plan, const rnncore_params *params)
{
    for (int64_t i = 0; i < plan->config.num_layers * plan->directions; i++)
        if (!params[i].weight_ih || !params[i].weight_hh || !params[i].weight_hr != !plan->config.proj_size ||
            !params[i].weight_peephole != !plan->config.peepholes)
            return 0;
    return 1;
}

static void pack_matrices(const rnncore_plan *plan, const rnncore_params *params, int64_t layer, const rc_weights *w)
{
    static const int first_gate[] = {0}, peephole_gates[] = {0, 1, 2};
    const rc_kernels *k = plan->kernels;
    const rc_cell *cell = plan->cell;
    const rc_matrix ih = {params->weight_ih, plan->hidden, rc_input_size(plan, layer), cell->ih_slots, cell->ih_gate};
    const rc_matrix hr = {params->weight_hr, plan->out, plan->hidden, 1, first_gate};
    const rc_matrix peephole = {params->weight_peephole, plan->hidden, 1, rc_peepholes(plan), peephole_gates};

    k->pack_bias((void *)w->bias, cell, plan->hidden, params->bias_ih, params->bias_hh);
    if (w->ih) k->pack((void *)w->ih, &ih);
    if (w->ih_t) k->pack_transposed((void *)w->ih_t, &ih);
    if (w->ih_rows) k->pack_rows((void *)w->ih_rows, &ih);
    for (int p = 0; p < cell->phases; p++) {
        const rc_matrix hh = {params->weight_hh, plan->hidden, plan->out, cell->phase[p].slots, cell->phase[p].gate};
        if (w->hh[p]) k->pack((void *)w->hh[p], &hh);
        if (w->hh_t[p]) k->pack_transposed((void *)w->hh_t[p], &hh);
        if (w->hh_rows[p]) k->pack_rows((void *)w->hh_rows[p], &hh);
    }
    if (w->peephole) k->pack_rows((void *)w->peephole, &peephole);
    if (w->hr) k->pack((void *)w->hr, &hr);
    if (w->hr_t) k->pack_transposed((void *)w->hr_t, &hr);
    if (w->hr_rows) k->pack_rows((void *)w->hr_rows, &hr);
}

rnncore_status rnncore_weights_pack(const rnncore_plan *plan, int uses, const rnncore_params *params, void *weights)
{
    if (!plan || !params || !weights || !rc_check_params(plan, params)) return RNNCORE_ERROR_ARGUMENT;
    const rnncore_status status = rc_check_uses(&plan->config, uses);
    if (status) return status;
    ((weights_header *)weights)->uses = uses;
    for (int64_t i = 0; i < plan->config.num_layers * plan->directions; i++) {
        const int64_t layer = i / plan->directions;
        const rc_weights w = rc_weights_of(plan, weights, layer, (int)(i % plan->directions));
        pack_matrices(plan, &params[i], layer, &w);
    }
    return RNNCORE_OK;
}
