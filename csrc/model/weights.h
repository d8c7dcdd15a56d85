/* SPDX-License-Identifier: MIT
 *
 * Packed parameters: every matrix as the products want it, for forward, for backward, for BLAS; vectors as gate math reads
 * them. Packed once per change, never per call. */
#ifndef RC_WEIGHTS_H
#define RC_WEIGHTS_H

#include "plan.h"

/* A term's matrix: as forward multiplies with it, transposed, and as plain rows in plane order. */
typedef struct rc_packed {
    rc_mat forward, backward;
    const char *rows;
} rc_packed;

/* One layer and direction, inside packed weights. */
typedef struct rc_weights {
    rc_packed term[RC_MAX_TERMS];
    const char *start;                 /* [planes][ld]: what the chains begin with, the biases */
    const void *vector[RC_MAX_PARAMS]; /* by row of the cell's table: [blocks][ld] */
    const rc_options *options;         /* the plan's */
} rc_weights;

rc_weights rc_weights_of(const rnncore_plan *plan, const void *weights, int64_t layer, int direction);

/* What they were packed for; whether a plan has a combination of uses. */
int rc_weights_uses(const void *weights);
rnncore_status rc_check_uses(const rnncore_plan *plan, int uses);

/* Where chains begin: bias_ih for the planes that W_ih x goes to, bias_hh for those that a recurrent product ends in, their sum,
 * rounded once, where both meet; zeros without. [planes][ld] */
void rc_fill_start(const rnncore_plan *plan, char *start, int64_t ld, const void *const *params, int64_t layer,
                   int direction);

#endif
