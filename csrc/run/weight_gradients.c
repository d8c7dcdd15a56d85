/* SPDX-License-Identifier: MIT
 * Gradients of parameters, see gradients.h: RC_OUTER_TOKENS tokens at a time; rows of operands are used where they are, except by
 * BLAS, which needs them side by side. */
#include "gradient_scratch.h"

#include <string.h>

#include "../base/blas.h"

int64_t rc_gradient_scratch_bytes(const rnncore_plan *plan, int gathers)
{
    rc_arena arena = rc_arena_counting();
    rc_scratch_lay_out(plan, gathers, &arena);
    return (int64_t)rc_arena_bytes(&arena);
}

int rc_gradient_count(const rnncore_plan *plan)
{
    const rc_cell *cell = plan->cell;
    int count = plan->term_count;
    for (int i = 0; i < cell->vector_count; i++) count += plan->position[cell->vector[i].param] >= 0;
    return count;
}

/* The term of product `index`, and whether it is a vector's. */
static const rc_term *find_term(const rnncore_plan *plan, int index, int *elementwise)
{
    const rc_cell *cell = plan->cell;
    *elementwise = index >= plan->term_count;
    if (!*elementwise) return &plan->term[index];
    index -= plan->term_count;
    int i = 0;
    while (plan->position[cell->vector[i].param] < 0 || index-- > 0) i++;
    return &cell->vector[i];
}

/* One product of a source: `planes` planes of `units` gate gradients each, plane i for the rows of gate[i]; element by
 * element where there is one column per row. */
typedef struct product {
    rc_operand operand;
    int with; /* first plane of the operand, where it is planes */
    const char *gates;
    int64_t gates_row, plane; /* elements from token to token, and from plane to plane */
    int held;                 /* whether gates are rows of the held steps */
    int planes;
    const int8_t *gate;
    int64_t units, columns;
    int elementwise, masked;
    char *weight, *bias;
} product;

static product describe(const rc_gradient_source *s, int index)
{
    const rnncore_plan *plan = s->plan;
    int elementwise;
    const rc_term *term = find_term(plan, index, &elementwise);
    product p = {
        .operand = (rc_operand)term->operand,
        .with = term->with,
        .gates = s->record.gates + term->first * plan->ld * plan->elem,
        .gates_row = plan->record_ld,
        .plane = plan->ld,
        .held = 1,
        .planes = term->planes,
        .gate = term->gate,
        .units = elementwise ? plan->hidden : rc_term_units(plan, index),
        .columns = elementwise ? 1 : rc_term_k(plan, index, s->layer),
        .elementwise = elementwise,
        .masked = s->workspace && term->operand == RC_OPERAND_H, /* mid is recorded masked */
        .weight = rc_param_of(plan, s->grads, s->layer, s->direction, term->param),
        .bias = rc_param_of(plan, s->grads, s->layer, s->direction, term->bias),
    };
    if (term->operand == RC_OPERAND_ONE) { /* a sum, as that of a bias */
        p.bias = p.weight;
        p.weight = NULL;
    }
    if (index >= plan->cell->term_count && !elementwise) { /* the projection's gradients of outputs */
        p.gates = s->dh_out;
        p.gates_row = plan->out_ld;
        p.held = 0;
    }
    return p;
}

/* The operand's row of a token. */
static const void *operand_row(const rc_gradient_source *s, const product *p, int64_t part, int64_t step, int64_t slot,
                               int64_t held_row)
{
    const rnncore_plan *plan = s->plan;
    const rc_batch *batch = &s->batch[part];
    const int64_t elem = plan->elem;
    if (p->operand == RC_OPERAND_X) {
        const rc_rows x = rc_compact_rows((void *)(uintptr_t)s->x, rc_input_size(plan, s->layer), 0, elem);
        return rc_rows_at(&x, batch, rc_batch_time(batch, s->direction, step, slot), slot);
    }
    if (p->operand == RC_OPERAND_H) {
        const rc_rows y =
            rc_compact_rows((void *)(uintptr_t)s->y, plan->directions * plan->out, s->direction * plan->out, elem);
        return rc_previous_h(batch, &y, s->h0, plan->out * elem, s->direction, step, slot);
    }
    if (p->operand == RC_OPERAND_C_BEFORE) {
        if (step == s->first && s->c_first) return s->c_first + rc_batch_row(batch, slot) * plan->hidden * elem;
        return s->record.c + (held_row - rc_batch_active(batch, step - 1)) * plan->ld * elem;
    }
    const rc_record at = rc_record_at(plan, &s->record, held_row);
    if (p->operand == RC_OPERAND_PLANES) return at.gates + p->with * plan->ld * elem;
    return p->operand == RC_OPERAND_MID ? at.mid : at.raw_c ? at.raw_c : at.c;
}

/* A copy of a row of h through the mask of its slot. */
static const void *dropped_row(const rc_gradient_source *s, const void *row, int64_t part, int64_t slot,
                               const rc_scratch *own, int64_t token)
{
    const rnncore_plan *plan = s->plan;
    const char *mask = s->workspace[part * plan->directions + s->direction].mask + slot * plan->out_ld * plan->elem;
    char *copy = own->gathered + token * plan->out * plan->elem;
    plan->kernels->multiply(copy, row, mask, plan->out);
    return copy;
}

/* `bytes` of each row, `to_row` bytes from one to the next. */
static void gather_rows(const void **rows, int64_t tokens, int64_t bytes, char *to, int64_t to_row)
{
    for (int64_t i = 0; i < tokens; i++)
        if (rows[i] != to + i * to_row) memcpy(to + i * to_row, rows[i], (size_t)bytes);
}

/* The units [begin, end), counted over all planes, that are of a plane: its [*first, *last). */
static int range_of(const product *p, int plane, int64_t begin, int64_t end, int64_t *first, int64_t *last)
{
    *first = begin - plane * p->units > 0 ? begin - plane * p->units : 0;
    *last = end - plane * p->units < p->units ? end - plane * p->units : p->units;
    return *first < *last;
}

static void add_bias(const rc_gradient_source *s, const product *p, int64_t begin, int64_t end, int64_t tokens,
                     const rc_scratch *own, int add)
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
                            const rc_scratch *own, int add)
{
    int64_t first, last;
    for (int i = 0; i < p->planes; i++) {
        if (!range_of(p, i, begin, end, &first, &last)) continue;
        char *weight = p->weight + (p->gate[i] * p->units + first) * s->plan->elem;
        if (!add) memset(weight, 0, (size_t)((last - first) * s->plan->elem));
        const int64_t of_operand = p->operand == RC_OPERAND_PLANES ? i * p->plane : 0;
        s->plan->kernels->add_products(weight, own->gates, i * p->plane + first, own->rows, of_operand + first, tokens,
                                       last - first);
    }
}

static void add_by_blas(const rc_gradient_source *s, const product *p, int64_t begin, int64_t end, int64_t tokens,
                        const rc_scratch *own, int add)
{
    const int64_t elem = s->plan->elem;
    int64_t first, last;
    const int64_t columns = p->columns * elem, gates = ((p->planes - 1) * p->plane + p->units) * elem;
    gather_rows(own->rows, tokens, columns, own->gathered, columns);
    gather_rows(own->gates, tokens, gates, own->gathered_gates, p->gates_row * elem);
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
                       const rc_scratch *own, int add)
{
    add_bias(s, p, begin, end, tokens, own, add);
    if (!p->weight) return;
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
        if (p->weight) memset(p->weight + row * p->columns * elem, 0, (size_t)(p->columns * elem));
        if (p->bias) memset(p->bias + row * elem, 0, (size_t)elem);
    }
}

/* Token `slot` of a part at a step goes into row `tokens` of the scratch memory. */
static void take_token(const rc_gradient_source *s, const product *p, int64_t step, int64_t part, int64_t slot,
                       int64_t tokens, const rc_scratch *own)
{
    const rc_batch *batch = &s->batch[part];
    const int64_t token = rc_batch_offset(batch, step) + slot;
    const int64_t held = rc_held_row(s->batch, part, s->first, s->held) + token;
    const int64_t row = p->held ? held : batch->first_token + token;
    own->gates[tokens] = p->gates + row * p->gates_row * s->plan->elem;
    own->rows[tokens] = operand_row(s, p, part, step, slot, held);
    if (p->masked) own->rows[tokens] = dropped_row(s, own->rows[tokens], part, slot, own, tokens);
}

/* A step's tokens come in the order of the call's rows, or with lengths of the rows by length, whatever the parts: without
 * lengths the parts are neighbours, with them rows are dealt to the parts in turn. */
void rc_weight_gradient(const rc_gradient_source *s, int index, int64_t range, int64_t ranges, int add, char *memory)
{
    const product p = describe(s, index);
    const rc_scratch own = rc_scratch_of(s->plan, s->backend == RNNCORE_BLAS || s->workspace, memory);
    const int64_t begin = p.planes * p.units * range / ranges, end = p.planes * p.units * (range + 1) / ranges;
    const int dealt = s->batch[0].row != NULL;
    int64_t tokens = 0, blocks = 0;
    for (int64_t step = s->last - 1; step >= s->first; step--) {
        const int64_t outer = dealt ? rc_batch_active(&s->batch[0], step) : s->parts;
        for (int64_t i = 0; i < outer; i++) {
            const int64_t inner = dealt ? s->parts : rc_batch_active(&s->batch[i], step);
            for (int64_t k = 0; k < inner; k++) {
                const int64_t part = dealt ? k : i, slot = dealt ? i : k;
                if (slot >= rc_batch_active(&s->batch[part], step)) break;
                take_token(s, &p, step, part, slot, tokens, &own);
                if (++tokens < RC_OUTER_TOKENS) continue;
                if (rc_watch_ends(&s->watch, blocks++)) return;
                add_tokens(s, &p, begin, end, tokens, &own, add);
                tokens = 0;
                add = 1;
            }
        }
    }
    if (tokens) add_tokens(s, &p, begin, end, tokens, &own, add);
    else if (!add) clear(&p, begin, end, s->plan->elem);
}
