/* SPDX-License-Identifier: MIT
 * See gradients.h. Weight gradients run over RC_OUTER_TOKENS tokens at a time, input gradients over RC_INPUT_TOKENS; rows
 * of operands are used where they are, except by BLAS, which needs them side by side. */
#include "products.h"

#include <string.h>

#include "../base/blas.h"
#include "../base/splitmix.h"
#include "share.h"

/* Where a walk over the tokens of a part stands. */
typedef struct cursor {
    int64_t step, slot;
} cursor;

static void advance(const rc_batch *batch, cursor *at)
{
    if (++at->slot >= rc_batch_active(batch, at->step)) {
        at->slot = 0;
        at->step++;
    }
}

/* The cursor at a token: the last step that does not begin after it. */
static cursor find(const rc_batch *batch, int64_t token)
{
    int64_t low = 0, high = batch->steps;
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        if (rc_batch_offset(batch, middle) <= token) low = middle;
        else high = middle;
    }
    return (cursor){low, token - rc_batch_offset(batch, low)};
}

static int64_t widest(const rnncore_plan *plan)
{
    int64_t most = rc_round_up(plan->config.input_size, plan->kernels->lanes);
    const int64_t out = rc_round_up(plan->directions * plan->out, plan->kernels->lanes);
    if (out > most) most = out;
    return plan->ld > most ? plan->ld : most;
}

/* -- Scratch memory of a thread ------------------------------------------------------------------------------------- */

typedef struct scratch {
    const void **gates, **rows; /* [RC_OUTER_TOKENS or RC_INPUT_TOKENS] */
    char *panel;                /* [RC_OUTER_TOKENS][RC_PANEL_BYTES] */
    char *zero;                 /* one row of zeros */
    char *result;               /* [RC_INPUT_TOKENS][widest] */
    char *gathered;             /* [tokens][widest], where operands are copied, for BLAS or through a mask */
    char *gathered_gates;       /* [tokens][gates_ld], for BLAS */
} scratch;

enum { MOST_TOKENS = RC_INPUT_TOKENS > RC_OUTER_TOKENS ? RC_INPUT_TOKENS : RC_OUTER_TOKENS };

static scratch lay_out(const rnncore_plan *plan, int gathers, rc_arena *arena)
{
    const int64_t row = widest(plan) * plan->elem, gates_row = plan->gates_ld * plan->elem;
    const int64_t gathered = gathers ? MOST_TOKENS : 0;
    return (scratch){
        .gates = rc_arena_take(arena, MOST_TOKENS, sizeof(void *)),
        .rows = rc_arena_take(arena, MOST_TOKENS, sizeof(void *)),
        .panel = rc_arena_take(arena, RC_OUTER_TOKENS, RC_PANEL_BYTES),
        .zero = rc_arena_take(arena, 1, row),
        .result = rc_arena_take(arena, RC_INPUT_TOKENS, row),
        .gathered = rc_arena_take(arena, gathered, row),
        .gathered_gates = rc_arena_take(arena, gathered, gates_row),
    };
}

static scratch scratch_of(const rnncore_plan *plan, int gathers, char *memory)
{
    rc_arena arena = rc_arena_over(memory, SIZE_MAX);
    return lay_out(plan, gathers, &arena);
}

int64_t rc_gradient_scratch_bytes(const rnncore_plan *plan, int gathers)
{
    rc_arena arena = rc_arena_counting();
    lay_out(plan, gathers, &arena);
    return (int64_t)rc_arena_bytes(&arena);
}

/* -- Weight gradients ----------------------------------------------------------------------------------------------- */

int rc_has_operand(const rnncore_plan *plan, rc_operand operand)
{
    switch (operand) {
    case RC_OPERAND_PHASE_1: return plan->cell->phases > 1;
    case RC_OPERAND_MID: return plan->config.proj_size > 0;
    case RC_OPERAND_C_BEFORE:
    case RC_OPERAND_C_AFTER: return plan->config.peepholes;
    default: return 1;
    }
}

/* One product of a source: `planes` planes of `units` gate gradients each, plane i for the rows of gate[i]; element by
 * element where there is one column per row. */
typedef struct product {
    const char *gates;
    int64_t gates_row, plane; /* elements from token to token, and from plane to plane */
    int held;                 /* whether gates are rows of the held steps */
    int planes;
    const int *gate;
    int64_t units, columns;
    int elementwise;
    char *weight, *bias;
} product;

static product describe(const rc_gradient_source *s, rc_operand operand)
{
    static const int only_gate[] = {0};
    const rnncore_plan *plan = s->plan;
    const rc_cell *cell = plan->cell;
    product p = {.gates = s->gates, .gates_row = plan->gates_ld, .plane = plan->ld, .held = 1, .units = plan->hidden};
    if (operand == RC_OPERAND_MID) {
        return (product){.gates = s->dh_out,
                         .gates_row = plan->out_ld,
                         .planes = 1,
                         .gate = only_gate,
                         .units = plan->out,
                         .columns = plan->hidden,
                         .weight = s->grads->weight_hr};
    }
    if (operand >= RC_OPERAND_C_BEFORE) { /* planes i f o of i f g o, or i o of i g o */
        static const int gates[] = {0, 1, 2};
        const int before = rc_peepholes(plan) - 1, after = operand == RC_OPERAND_C_AFTER;
        p.gates += after * (cell->slots - 1) * plan->ld * plan->elem;
        p.planes = after ? 1 : before;
        p.gate = after ? &gates[before] : gates;
        p.columns = 1;
        p.elementwise = 1;
        p.weight = s->grads->weight_peephole;
    } else if (operand == RC_OPERAND_X) {
        p.planes = cell->ih_slots;
        p.gate = cell->ih_gate;
        p.columns = s->in_size;
        p.weight = s->grads->weight_ih;
        p.bias = s->grads->bias_ih;
    } else {
        const rc_phase *phase = &cell->phase[operand - RC_OPERAND_PHASE_0];
        p.gates += phase->first_slot * plan->ld * plan->elem;
        p.planes = phase->slots;
        p.gate = phase->gate;
        p.columns = plan->out;
        p.weight = s->grads->weight_hh;
        p.bias = s->grads->bias_hh;
    }
    return p;
}

/* The operand's row of a token. */
static const void *operand_row(const rc_gradient_source *s, rc_operand operand, int64_t part, int64_t step,
                               int64_t slot, int64_t held_row)
{
    const rnncore_plan *plan = s->plan;
    const rc_batch *batch = &s->batch[part];
    const int64_t elem = plan->elem;
    if (operand == RC_OPERAND_X) {
        const rc_rows x = rc_compact_rows((void *)(uintptr_t)s->x, s->in_size, 0, elem);
        return rc_rows_at(&x, batch, rc_batch_time(batch, s->direction, step, slot), slot);
    }
    if (operand == RC_OPERAND_PHASE_0) {
        const rc_rows y =
            rc_compact_rows((void *)(uintptr_t)s->y, plan->directions * plan->out, s->direction * plan->out, elem);
        return rc_previous_h(batch, &y, s->h0, plan->out * elem, s->direction, step, slot);
    }
    if (operand == RC_OPERAND_C_BEFORE) {
        if (step == s->first && s->c_first) return s->c_first + rc_batch_row(batch, slot) * plan->hidden * elem;
        return s->c + (held_row - rc_batch_active(batch, step - 1)) * plan->ld * elem;
    }
    const char *c_after = s->next_c ? s->next_c : s->c;
    return (operand == RC_OPERAND_C_AFTER ? c_after : s->mid) + held_row * plan->ld * elem;
}

/* A copy of a row of h through the mask of its slot. */
static const void *dropped_row(const rc_gradient_source *s, const void *row, int64_t part, int64_t slot,
                               const scratch *own, int64_t token)
{
    const rnncore_plan *plan = s->plan;
    const char *mask = s->workspace[part * plan->directions + s->direction].mask + slot * plan->out_ld * plan->elem;
    char *copy = own->gathered + token * plan->out * plan->elem;
    plan->kernels->multiply(copy, row, mask, plan->out);
    return copy;
}

static void gather_rows(const void **rows, int64_t tokens, int64_t bytes, char *to)
{
    for (int64_t i = 0; i < tokens; i++)
        if (rows[i] != to + i * bytes) memcpy(to + i * bytes, rows[i], (size_t)bytes);
}

/* The units [begin, end), counted over all planes, that are of a plane: its [*first, *last). */
static int range_of(const product *p, int plane, int64_t begin, int64_t end, int64_t *first, int64_t *last)
{
    *first = begin - plane * p->units > 0 ? begin - plane * p->units : 0;
    *last = end - plane * p->units < p->units ? end - plane * p->units : p->units;
    return *first < *last;
}

static void add_bias(const rc_gradient_source *s, const product *p, int64_t begin, int64_t end, int64_t tokens,
                     const scratch *own, int add)
{
    int64_t first, last;
    for (int i = 0; p->bias && i < p->planes; i++) {
        if (!range_of(p, i, begin, end, &first, &last)) continue;
        char *bias = p->bias + (p->gate[i] * p->units + first) * s->plan->elem;
        if (!add) memset(bias, 0, (size_t)((last - first) * s->plan->elem));
        s->plan->kernels->add_rows(bias, own->gates, tokens, i * p->plane + first, last - first);
    }
}

static void add_elementwise(const rc_gradient_source *s, const product *p, int64_t begin, int64_t end, int64_t tokens,
                            const scratch *own, int add)
{
    int64_t first, last;
    for (int i = 0; i < p->planes; i++) {
        if (!range_of(p, i, begin, end, &first, &last)) continue;
        char *weight = p->weight + (p->gate[i] * p->units + first) * s->plan->elem;
        if (!add) memset(weight, 0, (size_t)((last - first) * s->plan->elem));
        s->plan->kernels->add_products(weight, own->gates, i * p->plane + first, own->rows, first, tokens,
                                       last - first);
    }
}

static void add_by_blas(const rc_gradient_source *s, const product *p, int64_t begin, int64_t end, int64_t tokens,
                        const scratch *own, int add)
{
    const int64_t elem = s->plan->elem;
    int64_t first, last;
    gather_rows(own->rows, tokens, p->columns * elem, own->gathered);
    gather_rows(own->gates, tokens, p->gates_row * elem, own->gathered_gates);
    for (int i = 0; i < p->planes; i++) {
        if (!range_of(p, i, begin, end, &first, &last)) continue;
        rc_gemm_run(&s->plan->config, &(rc_gemm){.transpose_a = 1,
                                                 .m = last - first,
                                                 .n = p->columns,
                                                 .k = tokens,
                                                 .a = own->gathered_gates + (i * p->plane + first) * elem,
                                                 .lda = p->gates_row,
                                                 .b = own->gathered,
                                                 .ldb = p->columns,
                                                 .c = p->weight + (p->gate[i] * p->units + first) * p->columns * elem,
                                                 .ldc = p->columns,
                                                 .beta = add});
    }
}

/* Units [begin, end), counted over all planes, over the tokens whose rows are in `own`. */
static void add_tokens(const rc_gradient_source *s, const product *p, int64_t begin, int64_t end, int64_t tokens,
                       const scratch *own, int add)
{
    add_bias(s, p, begin, end, tokens, own, add);
    if (p->elementwise) {
        add_elementwise(s, p, begin, end, tokens, own, add);
        return;
    }
    if (s->backend == RNNCORE_BLAS) {
        add_by_blas(s, p, begin, end, tokens, own, add);
        return;
    }
    rc_outer o = {
        .tokens = tokens,
        .columns = p->columns,
        .add = add,
        .gates = own->gates,
        .in = own->rows,
        .panel = own->panel,
        .out_row = p->columns,
    };
    int64_t first, last;
    for (int i = 0; i < p->planes; i++) {
        if (!range_of(p, i, begin, end, &first, &last)) continue;
        char *out = p->weight + (p->gate[i] * p->units + first) * p->columns * s->plan->elem;
        o.plane[o.planes++] = (rc_outer_plane){.first = i * p->plane + first, .units = last - first, .out = out};
    }
    s->plan->kernels->outer(&o);
}

/* No token at all: the gradient is zero. */
static void clear(const product *p, int64_t begin, int64_t end, int64_t elem)
{
    for (int64_t i = begin; i < end; i++) {
        const int64_t row = p->gate[i / p->units] * p->units + i % p->units;
        memset(p->weight + row * p->columns * elem, 0, (size_t)(p->columns * elem));
        if (p->bias) memset(p->bias + row * elem, 0, (size_t)elem);
    }
}

void rc_weight_gradient(const rc_gradient_source *s, rc_operand operand, int64_t range, int64_t ranges, int add,
                        char *memory)
{
    const product p = describe(s, operand);
    const scratch own = scratch_of(s->plan, s->backend == RNNCORE_BLAS || s->workspace, memory);
    const int masked = s->workspace && operand == RC_OPERAND_PHASE_0; /* that of phase 1 is recorded masked */
    const int64_t begin = p.planes * p.units * range / ranges, end = p.planes * p.units * (range + 1) / ranges;
    const int64_t row_bytes = p.gates_row * s->plan->elem;
    int64_t tokens = 0;
    for (int64_t step = s->last - 1; step >= s->first; step--) {
        for (int64_t part = 0; part < s->parts; part++) {
            const rc_batch *batch = &s->batch[part];
            const int64_t token = rc_batch_active(batch, step) ? rc_batch_offset(batch, step) : 0;
            const int64_t held = rc_held_row(s->batch, part, s->first, s->held) + token;
            const int64_t row = p.held ? held : batch->first_token + token;
            for (int64_t slot = 0; slot < rc_batch_active(batch, step); slot++) {
                own.gates[tokens] = p.gates + (row + slot) * row_bytes;
                own.rows[tokens] = operand_row(s, operand, part, step, slot, held + slot);
                if (masked) own.rows[tokens] = dropped_row(s, own.rows[tokens], part, slot, &own, tokens);
                if (++tokens < RC_OUTER_TOKENS) continue;
                add_tokens(s, &p, begin, end, tokens, &own, add);
                tokens = 0;
                add = 1;
            }
        }
    }
    if (tokens) add_tokens(s, &p, begin, end, tokens, &own, add);
    else if (!add) clear(&p, begin, end, s->plan->elem);
}

/* -- Input gradients ------------------------------------------------------------------------------------------------ */

/* result = gate gradients . W_ih */
static void multiply(const rc_input_task *t, int64_t size, int64_t ld, const scratch *own)
{
    const rnncore_plan *plan = t->plan;
    const rc_weights weights = rc_weights_of(plan, t->weights, t->layer, t->direction);
    const int64_t k = plan->cell->ih_slots * plan->ld, row = plan->gates_ld * plan->elem;
    if (t->backend == RNNCORE_BLAS) {
        rc_gemm_run(&plan->config, &(rc_gemm){.m = t->tokens,
                                              .n = size,
                                              .k = k,
                                              .a = t->gates,
                                              .lda = plan->gates_ld,
                                              .b = weights.ih_rows,
                                              .ldb = size,
                                              .c = own->result,
                                              .ldc = ld});
        return;
    }
    for (int64_t i = 0; i < t->tokens; i++) own->rows[i] = t->gates + i * row;
    plan->kernels->product(&(rc_product){.rows = t->tokens,
                                         .block_end = ld / plan->kernels->lanes,
                                         .k = k,
                                         .gates = 1,
                                         .in = own->rows,
                                         .w = weights.ih_t,
                                         .init = own->zero,
                                         .out = own->result,
                                         .out_row = ld});
}

/* Whether the other direction has been at the row of this step. */
static int comes_second(const rc_input_task *t, int64_t step, int64_t slot)
{
    const int64_t other = rc_batch_length(t->batch, slot) - 1 - step;
    const int64_t mine = step / t->segment_steps, others = other / t->segment_steps;
    return t->plan->directions == 2 && (others > mine || (others == mine && t->direction == 1));
}

/* out += row, element by element where the caller's features are apart. */
static void add_row(const rc_input_task *t, char *out, char *row, int64_t size)
{
    const int64_t elem = t->plan->elem;
    if (t->dx.feature == elem) {
        t->plan->kernels->add(out, row, size);
        return;
    }
    for (int64_t i = 0; i < size; i++) t->plan->kernels->add(out + i * t->dx.feature, row + i * elem, 1);
}

void rc_input_gradient(const rc_input_task *t, char *memory)
{
    const rnncore_plan *plan = t->plan;
    const scratch own = scratch_of(plan, t->backend == RNNCORE_BLAS, memory);
    const int64_t size = rc_input_size(plan, t->layer), ld = rc_round_up(size, plan->kernels->lanes);
    const uint64_t key = rc_splitmix64(t->dropout_key, (uint64_t)(t->layer - 1)); /* as rc_drop_tokens has it */
    memset(own.zero, 0, (size_t)(ld * plan->elem));
    multiply(t, size, ld, &own);
    cursor at = find(t->batch, t->first);
    for (int64_t i = 0; i < t->tokens; i++, advance(t->batch, &at)) {
        const int64_t time = rc_batch_time(t->batch, t->direction, at.step, at.slot);
        const int second = comes_second(t, at.step, at.slot);
        char *row = own.result + i * ld * plan->elem, *out = rc_rows_at(&t->dx, t->batch, time, at.slot);
        if (second) add_row(t, out, row, size);
        else rc_copy(out, t->dx.feature, row, plan->elem, size, plan->elem);
        if (rc_drops_input(plan, t->layer) && (second || plan->directions == 1)) { /* compact: above layer 0 */
            const int64_t index = time * t->total_batch + rc_batch_row(t->batch, at.slot);
            plan->kernels->dropout(out, out, size, key, (uint64_t)(index * size), plan->config.dropout);
        }
    }
}
