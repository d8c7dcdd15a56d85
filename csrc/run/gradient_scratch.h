/* SPDX-License-Identifier: MIT
 * The scratch memory of a thread that computes big products of backward. */
#ifndef RC_GRADIENT_SCRATCH_H
#define RC_GRADIENT_SCRATCH_H

#include "gradients.h"

/* Values of the longest row of an operand or a result, in whole vectors. */
static inline int64_t rc_widest(const rnncore_plan *plan)
{
    int64_t most = rc_round_up(plan->config.input_size, plan->kernels->lanes);
    const int64_t out = rc_round_up(plan->directions * plan->out, plan->kernels->lanes);
    if (out > most) most = out;
    return plan->ld > most ? plan->ld : most;
}

typedef struct rc_scratch {
    const void **gates, **rows; /* [RC_OUTER_TOKENS or RC_INPUT_TOKENS] */
    char *panel;                /* [RC_OUTER_TOKENS][RC_PANEL_BYTES] */
    char *zero;                 /* one row of zeros */
    char *result;               /* [RC_INPUT_TOKENS][widest] */
    char *gathered;             /* [tokens][widest], where operands are copied, for BLAS or through a mask */
    char *gathered_gates;       /* [tokens][gates_ld], for BLAS */
} rc_scratch;

enum { RC_MOST_TOKENS = RC_INPUT_TOKENS > RC_OUTER_TOKENS ? RC_INPUT_TOKENS : RC_OUTER_TOKENS };

static inline rc_scratch rc_scratch_lay_out(const rnncore_plan *plan, int gathers, rc_arena *arena)
{
    const int64_t row = rc_widest(plan) * plan->elem, gates_row = plan->record_ld * plan->elem;
    const int64_t gathered = gathers ? RC_MOST_TOKENS : 0;
    return (rc_scratch){
        .gates = rc_arena_take(arena, RC_MOST_TOKENS, sizeof(void *)),
        .rows = rc_arena_take(arena, RC_MOST_TOKENS, sizeof(void *)),
        .panel = rc_arena_take(arena, RC_OUTER_TOKENS, RC_PANEL_BYTES),
        .zero = rc_arena_take(arena, 1, row),
        .result = rc_arena_take(arena, RC_INPUT_TOKENS, row),
        .gathered = rc_arena_take(arena, gathered, row),
        .gathered_gates = rc_arena_take(arena, gathered, gates_row),
    };
}

static inline rc_scratch rc_scratch_of(const rnncore_plan *plan, int gathers, char *memory)
{
    rc_arena arena = rc_arena_over(memory, SIZE_MAX);
    return rc_scratch_lay_out(plan, gathers, &arena);
}

#endif
