/* SPDX-License-Identifier: MIT
 * See weights.h. */
#include "weights.h"

#include <string.h>

#include "../base/arena.h"
#include "../base/fpenv.h"
#include "../base/tuning.h"

/* The header of packed weights; its own 64 bytes keep what follows aligned. */
typedef struct weights_header {
    int uses;
} weights_header;

/* -- Layout ------------------------------------------------------------------------------------------------------------ */

static const char *take(rc_arena *arena, const rnncore_plan *plan, int wanted, int64_t elements)
{
    return wanted ? rc_arena_take(arena, elements, plan->elem) : NULL;
}

/* Units of the last block of a matrix, if its planes are to share vectors (see simd/product.h): that must leave out products which
 * take longer than the copies, and those of integers, four values of k at once, do not. */
static int folded_units(const rnncore_plan *plan, int planes, int64_t units, int64_t k, rnncore_store store)
{
    const int64_t lanes = plan->kernels->lanes, last = units % lanes;
    const int64_t vectors = (planes * last + lanes - 1) / lanes;
    const int fits = units > lanes && vectors <= RC_MOST_FOLDED && !rc_store_is_integer(store);
    return fits && (planes - vectors) * k >= RC_FOLDING_WORK ? (int)last : 0;
}

/* A term's matrix as forward multiplies with it. */
static rc_mat take_forward(rc_arena *arena, const rnncore_plan *plan, int wanted, int term, int64_t k, int64_t units)
{
    const int planes = plan->term[term].planes;
    rc_mat mat = {.k = k, .units = units, .planes = planes, .store = rc_term_store(plan, term, k)};
    mat.folded = folded_units(plan, planes, rc_term_units(plan, term), k, mat.store);
    if (!wanted) return mat;
    mat.w = rc_arena_take(arena, rc_mat_bytes(&mat, k, plan->elem), 1);
    if (rc_store_is_integer(mat.store)) {
        mat.scale = rc_arena_take(arena, planes * units, sizeof(float));
        mat.offset = rc_arena_take(arena, planes * units, sizeof(int32_t));
    }
    return mat;
}

static rc_packed take_term(rc_arena *arena, const rnncore_plan *plan, int uses, int term, int64_t layer)
{
    const int64_t lanes = plan->kernels->lanes, k = rc_term_k(plan, term, layer);
    const int64_t units = rc_round_up(rc_term_units(plan, term), lanes), columns = rc_round_up(k, lanes);
    const int planes = plan->term[term].planes;
    return (rc_packed){
        .forward = take_forward(arena, plan, uses & RNNCORE_PACK_FORWARD, term, k, units),
        .backward = {.w = take(arena, plan, uses & RNNCORE_PACK_BACKWARD, planes * units * columns),
                     .k = planes * units,
                     .units = columns,
                     .planes = 1},
        .rows = take(arena, plan, uses & RNNCORE_PACK_BLAS, planes * units * k),
    };
}

/* Whether a parameter goes to gate math as it is: it is no matrix of a term and no bias. */
static int is_vector(const rnncore_plan *plan, int row)
{
    for (int i = 0; i < plan->term_count; i++)
        if (plan->term[i].param == row || plan->term[i].bias == row) return 0;
    return plan->position[row] >= 0;
}

static int64_t blocks_of(const rnncore_plan *plan, int row)
{
    return rc_describe_param(&plan->config, plan->cell, &plan->cell->params[row], 0).rows / plan->hidden;
}

/* Lays out one layer and direction. With an arena that only counts, the pointers are NULL. */
static rc_weights lay_out(const rnncore_plan *plan, int uses, int64_t layer, rc_arena *arena)
{
    rc_weights w = {.start = take(arena, plan, 1, plan->cell->planes * plan->ld)};
    for (int row = 0; row < plan->cell->param_count; row++)
        if (is_vector(plan, row)) w.vector[row] = take(arena, plan, 1, blocks_of(plan, row) * plan->ld);
    for (int i = 0; i < plan->term_count; i++) w.term[i] = take_term(arena, plan, uses, i, layer);
    return w;
}

rnncore_status rc_check_uses(const rnncore_plan *plan, int uses)
{
    const int known = RNNCORE_PACK_FORWARD | RNNCORE_PACK_BACKWARD | RNNCORE_PACK_BLAS;
    if (uses == 0 || (uses & ~known) != 0) return RNNCORE_ERROR_ARGUMENT;
    const int has_blas = plan->config.blas && !rc_store_is_integer(plan->config.store);
    return (uses & RNNCORE_PACK_BLAS) && !has_blas ? RNNCORE_ERROR_UNSUPPORTED : RNNCORE_OK;
}

size_t rnncore_weights_bytes(const rnncore_plan *plan, int uses)
{
    if (!plan || rc_check_uses(plan, uses)) return 0;
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

/* -- Packing ----------------------------------------------------------------------------------------------------------- */

void rc_fill_start(const rnncore_plan *plan, char *start, int64_t ld, const void *const *params, int64_t layer,
                   int direction)
{
    const size_t row = (size_t)(plan->hidden * plan->elem);
    memset(start, 0, (size_t)(plan->cell->planes * ld * plan->elem));
    for (int i = 0; i < plan->cell->term_count; i++) {
        const rc_term *term = &plan->term[i];
        const char *bias = rc_param_of(plan, (void *const *)params, layer, direction, term->bias);
        for (int p = 0; bias && p < term->planes; p++) {
            char *to = start + (term->first + p) * ld * plan->elem;
            const char *from = bias + (size_t)term->gate[p] * row;
            if (i == 0) memcpy(to, from, row);
            else plan->kernels->add(to, from, plan->hidden);
        }
    }
}

static void pack_term(const rnncore_plan *plan, const rc_packed *to, int term, const void *data, int64_t layer)
{
    const rc_kernels *kernels = plan->kernels;
    const rc_term *t = &plan->term[term];
    const int64_t k = rc_term_k(plan, term, layer);
    const rc_matrix matrix = {.data = data,
                              .units = rc_term_units(plan, term),
                              .k = k,
                              .planes = t->planes,
                              .gate = t->gate,
                              .store = rc_term_store(plan, term, k)};
    if (to->forward.w) kernels->pack(&to->forward, &matrix);
    if (to->backward.w) kernels->pack_transposed((void *)(uintptr_t)to->backward.w, &matrix);
    if (to->rows) kernels->pack_rows((void *)(uintptr_t)to->rows, &matrix);
}

static void pack_layer(const rnncore_plan *plan, const void *const *params, int64_t layer, int direction,
                       const rc_weights *w)
{
    static const int8_t all[] = {0, 1, 2, 3};
    void *const *from = (void *const *)params;
    rc_fill_start(plan, (char *)(uintptr_t)w->start, plan->ld, params, layer, direction);
    for (int i = 0; i < plan->term_count; i++)
        pack_term(plan, &w->term[i], i, rc_param_of(plan, from, layer, direction, plan->term[i].param), layer);
    for (int row = 0; row < plan->cell->param_count; row++) {
        const rc_matrix vector = {rc_param_of(plan, from, layer, direction, row),
                                  plan->hidden,
                                  1,
                                  (int)blocks_of(plan, row),
                                  all,
                                  RNNCORE_STORE_REAL,
                                  1};
        void *to = (void *)(uintptr_t)w->vector[row];
        if (to && vector.data) plan->kernels->pack_rows(to, &vector);
        else if (to) memset(to, 0, (size_t)(vector.planes * plan->ld * plan->elem));
    }
}

rnncore_status rnncore_weights_pack(const rnncore_plan *plan, int uses, const void *const *params, void *weights)
{
    if (!plan || !params || !weights || !rc_check_params(plan, params)) return RNNCORE_ERROR_ARGUMENT;
    const rnncore_status status = rc_check_uses(plan, uses);
    if (status) return status;
    const rc_fpenv outside = rc_fpenv_enter(); /* sums of biases are rounded */
    ((weights_header *)weights)->uses = uses;
    for (int64_t i = 0; i < plan->config.num_layers * plan->directions; i++) {
        const int64_t layer = i / plan->directions;
        const int direction = (int)(i % plan->directions);
        const rc_weights w = rc_weights_of(plan, weights, layer, direction);
        pack_layer(plan, params, layer, direction, &w);
    }
    rc_fpenv_leave(outside);
    return RNNCORE_OK;
}
