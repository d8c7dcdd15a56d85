/* SPDX-License-Identifier: MIT
 * See gradients.h. Weight gradients run over RC_OUTER_TOKENS tokens at a time, input gradients over RC_INPUT_TOKENS; rows
 * of operands are used where they are, except by BLAS, which needs them side by side. */
#include "gradients.h"

#include <string.h>

#include "gemm.h"
#include "splitmix.h"
#include "stack.h"

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
    const void **rows;           /* [RC_OUTER_TOKENS or RC_INPUT_TOKENS] */
    char *zero;                  /* one row of zeros */
    char *result;                /* [RC_INPUT_TOKENS][widest] */
    char *gathered;              /* [tokens][widest or gates_ld], for BLAS */
} scratch;

enum { MOST_TOKENS = RC_INPUT_TOKENS > RC_OUTER_TOKENS ? RC_INPUT_TOKENS : RC_OUTER_TOKENS };

static scratch lay_out(const rnncore_plan *plan, rnncore_backend backend, rc_arena *arena)
{
    const int64_t row = widest(plan) * plan->elem, gates_row = plan->gates_ld * plan->elem;
    return (scratch){
        .rows = rc_arena_take(arena, MOST_TOKENS, sizeof(void *)),
        .zero = rc_arena_take(arena, 1, row),
        .result = rc_arena_take(arena, RC_INPUT_TOKENS, row),
        .gathered = backend == RNNCORE_BLAS ? rc_arena_take(arena, MOST_TOKENS, row > gates_row ? row : gates_row) : NULL,
    };
}

static scratch scratch_of(const rnncore_plan *plan, rnncore_backend backend, char *memory)
{
    rc_arena arena = rc_arena_over(memory, SIZE_MAX);
    return lay_out(plan, backend, &arena);
}

int64_t rc_gradient_scratch_bytes(const rnncore_plan *plan, rnncore_backend backend)
{
    rc_arena arena = rc_arena_counting();
    lay_out(plan, backend, &arena);
    return (int64_t)rc_arena_bytes(&arena);
}

/* -- Weight gradients ----------------------------------------------------------------------------------------------- */

int rc_has_operand(const rnncore_plan *plan, rc_operand operand)
{
    return operand == RC_OPERAND_PHASE_1 ? plan->cell->phases > 1
         : operand == RC_OPERAND_MID ? plan->config.proj_size > 0 : 1;
}

/* One product of a source: `planes` planes of `units` gate gradients each, plane i for the rows of gate[i]. */
typedef struct product {
    const char *gates;
    int64_t gates_row, plane;    /* elements from token to token, and from plane to plane */
    int planes;
    const int *gate;
    int64_t units, columns;
    char *weight, *bias;
} product;

static product describe(const rc_gradient_source *s, rc_operand operand)
{
    static const int only_gate[] = {0};
    const rnncore_plan *plan = s->plan;
    const rc_cell *cell = plan->cell;
    product p = {.gates = s->gates, .gates_row = plan->gates_ld, .plane = plan->ld, .units = plan->hidden};
    if (operand == RC_OPERAND_MID) {
        return (product){.gates = s->dh_out, .gates_row = plan->out_ld, .planes = 1, .gate = only_gate,
                         .units = plan->out, .columns = plan->hidden, .weight = s->grads->weight_hr};
    }
    if (operand == RC_OPERAND_X) {
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

/* The operand's rows of the next `tokens` tokens, in the direction's own order. */
static void point_operand(const rc_gradient_source *s, rc_operand operand, const rc_batch *batch, cursor *at,
                          int64_t token, int64_t tokens, const void **rows)
{
    const rnncore_plan *plan = s->plan;
    const int64_t elem = plan->elem, mid_row = plan->ld * elem;
    const rc_rows x = rc_compact_rows((void *)(uintptr_t)s->x, s->in_size, 0, elem);
    const rc_rows y = rc_compact_rows((void *)(uintptr_t)s->y, plan->directions * plan->out, s->direction * plan->out, elem);
    for (int64_t i = 0; i < tokens; i++, advance(batch, at)) {
        if (operand == RC_OPERAND_X)
            rows[i] = rc_rows_at(&x, batch, rc_batch_time(batch, s->direction, at->step, at->slot), at->slot);
        else if (operand == RC_OPERAND_PHASE_0)
            rows[i] = rc_previous_h(batch, &y, s->h0, plan->out * elem, s->direction, at->step, at->slot);
        else
            rows[i] = s->mid + (token + i) * mid_row;
    }
}

/* Units [first, last) of a plane, `tokens` tokens from `token` on; the first tokens of all overwrite. */
static void add_plane(const rc_gradient_source *s, const product *p, int plane, int64_t first, int64_t last,
                      int64_t token, int64_t tokens, const scratch *own, int is_first)
{
    const rnncore_plan *plan = s->plan;
    const int64_t elem = plan->elem, row = p->gate[plane] * p->units + first;
    const char *gates = p->gates + (token * p->gates_row + plane * p->plane + first) * elem;
    char *weight = p->weight + row * p->columns * elem;
    if (s->backend == RNNCORE_BLAS) {
        rc_gemm_run(plan->config.dtype, &(rc_gemm){
            .transpose_a = 1, .m = last - first, .n = p->columns, .k = tokens, .a = gates, .lda = p->gates_row,
            .b = own->gathered, .ldb = p->columns, .c = weight, .ldc = p->columns, .beta = !is_first});
    } else {
        plan->kernels->outer(&(rc_outer){
            .tokens = tokens, .units = last - first, .columns = p->columns, .add = !is_first, .gates = gates,
            .in = own->rows, .out = weight, .gates_row = p->gates_row, .out_row = p->columns});
    }
    if (!p->bias) return;
    if (is_first) memset(p->bias + row * elem, 0, (size_t)((last - first) * elem));
    plan->kernels->add_rows(p->bias + row * elem, gates, tokens, last - first, p->gates_row);
}

static void gather_rows(const void *const *rows, int64_t tokens, int64_t bytes, char *to)
{
    for (int64_t i = 0; i < tokens; i++) memcpy(to + i * bytes, rows[i], (size_t)bytes);
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

void rc_weight_gradient(const rc_gradient_source *s, rc_operand operand, int64_t range, int64_t ranges, char *memory)
{
    const product p = describe(s, operand);
    const scratch own = scratch_of(s->plan, s->backend, memory);
    const int64_t begin = p.planes * p.units * range / ranges, end = p.planes * p.units * (range + 1) / ranges;
    int is_first = 1;
    for (int64_t part = 0; part < s->parts; part++) {
        const rc_batch *batch = &s->batch[part];
        cursor at = {0, 0};
        for (int64_t done = 0; done < batch->tokens; done += RC_OUTER_TOKENS) {
            const int64_t left = batch->tokens - done, tokens = left < RC_OUTER_TOKENS ? left : RC_OUTER_TOKENS;
            const int64_t token = batch->first_token + done;
            point_operand(s, operand, batch, &at, token, tokens, own.rows);
            if (s->backend == RNNCORE_BLAS) gather_rows(own.rows, tokens, p.columns * s->plan->elem, own.gathered);
            for (int plane = (int)(begin / p.units); plane < p.planes && plane * p.units < end; plane++) {
                const int64_t first = begin - plane * p.units, last = end - plane * p.units;
                add_plane(s, &p, plane, first > 0 ? first : 0, last < p.units ? last : p.units, token, tokens, &own,
                          is_first);
            }
            is_first = 0;
        }
    }
    if (is_first) clear(&p, begin, end, s->plan->elem);
}

/* -- Input gradients ------------------------------------------------------------------------------------------------ */

/* The rows of a direction's gate gradients at the task's tokens. */
static void point_gates(const rc_input_task *t, int direction, cursor at, const void **rows)
{
    const int64_t row = t->plan->gates_ld * t->plan->elem;
    for (int64_t i = 0; i < t->tokens; i++, advance(t->batch, &at)) {
        const int64_t step = rc_batch_time(t->batch, direction, at.step, at.slot);      /* its own inverse */
        rows[i] = t->gates[direction] + (rc_batch_offset(t->batch, step) + at.slot) * row;
    }
}

/* result (+)= gate gradients . W_ih */
static void add_direction(const rc_input_task *t, int direction, int64_t size, int64_t ld, const scratch *own)
{
    const rnncore_plan *plan = t->plan;
    const rc_weights weights = rc_weights_of(plan, t->weights, t->layer, direction);
    const int64_t k = plan->cell->ih_slots * plan->ld;
    if (t->backend == RNNCORE_BLAS) {
        gather_rows(own->rows, t->tokens, k * plan->elem, own->gathered);
        rc_gemm_run(plan->config.dtype, &(rc_gemm){
            .m = t->tokens, .n = size, .k = k, .a = own->gathered, .lda = k, .b = weights.ih_rows, .ldb = size,
            .c = own->result, .ldc = ld, .beta = direction});
        return;
    }
    plan->kernels->product(&(rc_product){
        .rows = t->tokens, .block_end = ld / plan->kernels->lanes, .k = k, .gates = 1, .in = own->rows,
        .w = weights.ih_t, .init = direction ? own->result : own->zero, .init_row = direction ? ld : 0,
        .out = own->result, .out_row = ld});
}

void rc_input_gradient(const rc_input_task *t, char *memory)
{
    const rnncore_plan *plan = t->plan;
    const scratch own = scratch_of(plan, t->backend, memory);
    const int64_t size = rc_input_size(plan, t->layer), ld = rc_round_up(size, plan->kernels->lanes);
    const uint64_t key = rc_splitmix64(t->dropout_key, (uint64_t)(t->layer - 1));       /* as rc_drop_tokens has it */
    cursor at = find(t->batch, t->first);
    memset(own.zero, 0, (size_t)(ld * plan->elem));
    for (int d = 0; d < plan->directions; d++) {
        point_gates(t, d, at, own.rows);
        add_direction(t, d, size, ld, &own);
    }
    for (int64_t i = 0; i < t->tokens; i++, advance(t->batch, &at)) {
        char *row = own.result + i * ld * plan->elem;
        if (rc_drops_input(plan, t->layer)) {
            const int64_t index = at.step * t->total_batch + rc_batch_row(t->batch, at.slot);
            plan->kernels->dropout(row, row, size, key, (uint64_t)(index * size), plan->config.dropout);
        }
        rc_copy(rc_rows_at(&t->dx, t->batch, at.step, at.slot), t->dx.feature, row, plan->elem, size, plan->elem);
    }
}
