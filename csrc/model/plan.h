/* SPDX-License-Identifier: MIT
 *
 * The plan: sizes checked once, kernels chosen, and where every packed matrix lies. Immutable after creation. */
#ifndef RC_PLAN_H
#define RC_PLAN_H

#include "../cells/cell.h"
#include "../simd/kernels.h"

struct rnncore_plan {
    rnncore_config config;
    rnncore_blas blas; /* where config.blas points, unless it is NULL */
    const rc_kernels *kernels;
    const rc_cell *cell;
    rc_options options[2]; /* of each direction, for cells with options */
    int directions;
    int64_t elem;        /* bytes of an element */
    int64_t hidden, out; /* H, and O = P or H */
    int64_t ld, out_ld;  /* H and O rounded up to whole vectors */
    int64_t gates_ld;    /* elements of a row of gates: slots * ld, and a cache line more where rows would share sets */
    int64_t l2_bytes;    /* of this machine's cores */
};

/* Packed matrices of one layer and direction, as byte offsets into the weights or, after rc_weights_of, as pointers; NULL
 * where the cell, the options or the uses have none. */
typedef struct rc_weights {
    const char *bias;                   /* [slots * ld] */
    const char *ih, *hh[RC_MAX_PHASES]; /* forward products */
    const char *hr;
    const char *hh_t[RC_MAX_PHASES], *hr_t;                 /* transposed products of backward */
    const char *ih_t;                                       /* transposed, for dx */
    const char *ih_rows, *hh_rows[RC_MAX_PHASES], *hr_rows; /* rows in plane order, for the BLAS backend */
    const char *peephole;                                   /* [gates of a peephole][ld] */
    const rc_options *options;                              /* the plan's */
} rc_weights;

int64_t rc_input_size(const rnncore_plan *plan, int64_t layer); /* I, or D*O above layer 0 */

/* Gates with a peephole, of which the last one, o, sees c_t and the others c_{t-1}; 0 without peepholes. */
static inline int rc_peepholes(const rnncore_plan *plan) { return plan->config.peepholes ? plan->cell->gates - 1 : 0; }

/* Packed matrices of `layer` and `direction`. Every set of weights has room for all uses that were packed; `uses` is
 * stored in front of it. */
rc_weights rc_weights_of(const rnncore_plan *plan, const void *weights, int64_t layer, int direction);
int rc_weights_uses(const void *weights);

int rc_check_params(const rnncore_plan *plan, const rnncore_params *params);

static inline int64_t rc_round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

#endif
