/* SPDX-License-Identifier: MIT
 *
 * The contract between a cell and the time loop.
 *
 * Per valid step and row there is one row of `gates`: `slots` planes of ld (H rounded up to whole vectors) values. The
 * input product and the bias fill it with pre-activations; then, per time step, each phase of the cell adds a recurrent
 * product to some of the planes and turns the finished tile into gate values and a new state. Backward walks the same
 * rows in reverse and leaves gate gradients in them. Cells with options (<cell>_general.c) keep the finished pre-activations
 * instead of the gate values: slopes of all functions follow from them. Padded units hold zeros all the way, as their weights are
 * zeros, or, where a function does not give 0 for 0, values that nobody reads. */
#ifndef RC_CELL_H
#define RC_CELL_H

#include <stdint.h>

#include "../simd/kernels.h"

enum { RC_MAX_SLOTS = 4, RC_MAX_PHASES = 2 };

/* Buffers of one time step; row r of a buffer starts at r * ld (gates: r * ldg). Pointers a cell does not use are NULL.
 * h_prev and c_prev may alias h and c only in the same place (a unit reads its old value before it writes). */
typedef struct rc_cell_args {
    int64_t ld, ldg;
    void *gates; /* forward: pre-activations in, gate values out; backward: gate values in, gradients out */
    const void *h_prev, *c_prev;
    void *h, *c;   /* new state; in backward c is read */
    void *scratch; /* [rows][ld], for cells of two phases: the operand of the second product */
    void *dh, *dc; /* backward: gradient of h and c in; of what reaches h_prev, c_prev directly out */
    int save;      /* forward: write gate values back for backward */
    const struct rc_options *options; /* of cells with options, as is the next */
    const void *peephole;             /* [gates of a peephole][ld], or NULL */
} rc_cell_args;

/* A product with W_hh: planes first_slot ... first_slot+slots-1 belong to the gates (row blocks of weight_hh) gate[]. */
typedef struct rc_phase {
    int first_slot, slots;
    int gate[RC_MAX_SLOTS];
    rc_cell_fn *forward, *backward;
} rc_phase;

typedef struct rc_cell {
    int gates; /* row blocks of the parameters */
    int slots; /* planes of the gates buffer */
    int has_c;
    int ih_slots; /* planes 0 ... ih_slots-1 receive W_ih x of the gates ih_gate[] */
    int ih_gate[RC_MAX_SLOTS];
    int phases; /* the operand of phase 0 is h_prev, of phase 1 it is scratch */
    rc_phase phase[RC_MAX_PHASES];
} rc_cell;

#endif
