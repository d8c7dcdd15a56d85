/* SPDX-License-Identifier: MIT
 *
 * The plan: sizes checked once, kernels and the cell's form chosen, its terms and the program of a step with all that the
 * config puts around them. Immutable after creation. */
#ifndef RC_PLAN_H
#define RC_PLAN_H

#include "../cells/cell.h"
#include "config.h"

enum { RC_ZONE_H, RC_ZONE_C, RC_ZONES }; /* parts of the state, which zoneout acts on */
enum { RC_DROP_H, RC_DROP_MID };         /* operands, which recurrent dropout acts on */
enum { RC_MAX_OPS = 16 };

struct rnncore_plan {
    rnncore_config config;
    rnncore_blas blas; /* where config.blas points, unless it is NULL */
    const rc_kernels *kernels;
    const rc_cell *cell;
    rc_options options[2]; /* of each direction, for cells with options */
    int directions;
    int64_t elem;               /* bytes of an element */
    int64_t hidden, out;        /* H, and O = P or H */
    int64_t ld, out_ld;         /* H and O rounded up to whole vectors */
    int64_t blocks, out_blocks; /* the same in vectors */
    int64_t gates_ld; /* elements of a row of gates, and of a recorded one, which has more planes in some cells */
    int64_t record_ld;
    int fill;         /* planes beside those of x that a recurrent term continues */
    int64_t l2_bytes; /* of this machine's cores */

    int param_count,
        position[RC_MAX_PARAMS]; /* of the rows of the cell's table in what callers hand over; -1: not there */
    int term_count;              /* the cell's, and with a projection one more */
    rc_term term[RC_MAX_TERMS];
    int is_bounded;                                  /* no unit of h leaves [-1, 1] by itself */
    int has_mid;                                     /* whether a term reads mid */
    rc_op forward[RC_MAX_OPS], backward[RC_MAX_OPS]; /* a step's program, up to RC_OP_END */
};

static inline int64_t rc_round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

/* Features of what layer `layer` reads. */
static inline int64_t rc_input_size(const rnncore_plan *plan, int64_t layer)
{
    return layer == 0 ? plan->config.input_size : plan->directions * plan->out;
}

/* Columns of the recurrent matrices; 0: the cell has none. */
static inline int64_t rc_recurrent_columns(const rnncore_plan *plan)
{
    return plan->cell->term_count > RC_TERM_H ? plan->out : 0;
}

/* Units of a term's row blocks, and length of its chains. */
static inline int64_t rc_term_units(const rnncore_plan *plan, int term)
{
    return term < plan->cell->term_count ? plan->hidden : plan->out;
}
int64_t rc_term_k(const rnncore_plan *plan, int term, int64_t layer);

/* How a term's matrix of chains of length `k` is stored: integers want inputs enough to be worth their codes. */
rnncore_store rc_term_store(const rnncore_plan *plan, int term, int64_t k);

/* What codes of a term's operand tell apart even where all of it is small: 1 for an operand that no cell lets beyond it. */
double rc_term_least(const rnncore_plan *plan, int term);

/* A caller's pointer for a row of the cell's table, in the array of all of them; NULL where it has none. */
static inline void *rc_param_of(const rnncore_plan *plan, void *const *params, int64_t layer, int direction, int row)
{
    const int64_t first = (layer * plan->directions + direction) * plan->param_count;
    return row < 0 || plan->position[row] < 0 ? NULL : params[first + plan->position[row]];
}

/* Whether all pointers are there that may not be left out. */
int rc_check_params(const rnncore_plan *plan, const void *const *params);

#endif
