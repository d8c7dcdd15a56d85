/* SPDX-License-Identifier: MIT
 *
 * A cell is a table and a short program: its parameters, the planes of its gates, which matrix fills which planes, and the
 * operations of one step, forward and backward. Packing, checks, files, gradients and the time loop walk these; none of them
 * knows a cell.
 *
 * Per valid step and row there is one row of `gates`: `planes` planes of ld (H rounded up to whole vectors) values. The
 * input's term and the biases fill it with pre-activations; then, per time step, the program adds recurrent terms and turns
 * finished planes into gate values and a new state. Backward walks the same rows in reverse and leaves gate gradients in them.
 * Padded units hold zeros all the way, as their weights are zeros, or, where a function does not give 0 for 0, values that
 * nobody reads. */
#ifndef RC_CELL_H
#define RC_CELL_H

#include <stdint.h>

#include "../simd/kernels.h"

enum { RC_MAX_PARAMS = 12, RC_MAX_TERMS = 4, RC_MAX_VECTORS = 8, RC_MAX_NORMS = 3, RC_MAX_GATES = 4 };

/* -- Parameters ------------------------------------------------------------------------------------------------------ */

typedef enum rc_axis { RC_NO_AXIS, RC_AXIS_I, RC_AXIS_H, RC_AXIS_O } rc_axis; /* I: of the layer; O: P or H */
typedef enum rc_when { RC_ALWAYS, RC_WITH_PROJECTION, RC_WITH_PEEPHOLES, RC_WITH_NORM } rc_when;
enum { RC_ALL_GATES = 0, RC_GATES_BUT_ONE = -1 }; /* row blocks beside a plain count */

typedef struct rc_param {
    const char *name;
    int blocks;            /* of `rows` rows each */
    rc_axis rows, columns; /* no columns: a vector */
    rc_when when;
    int optional; /* may be left out: zeros */
} rc_param;

/* -- Terms: what is multiplied with what, forward and in the gradients ------------------------------------------------- */

typedef enum rc_operand {
    RC_OPERAND_X,        /* the layer's input */
    RC_OPERAND_H,        /* h_{t-1} */
    RC_OPERAND_MID,      /* what the cell's math leaves in mid: r * h_{t-1}, or o * tanh(c_t) for a projection */
    RC_OPERAND_C_BEFORE, /* element by element: c_{t-1} */
    RC_OPERAND_C_AFTER,  /* the same of c_t, as the cell gave it */
    RC_OPERAND_PLANES,   /* the same of other planes, from `with` on */
    RC_OPERAND_ONE       /* nothing: the sum of the planes */
} rc_operand;

/* The first terms of every cell. */
enum { RC_TERM_X, RC_TERM_H };

/* Planes first ... first+planes-1 are the row blocks gate[] of a parameter times the operand. Of bytes, as every kernel set has
 * the tables of all cells. */
typedef struct rc_term {
    int8_t param, bias; /* rows of the table; bias -1: none */
    int8_t operand;     /* an rc_operand */
    int8_t first, planes;
    int8_t gate[RC_MAX_GATES];
    int8_t with;
} rc_term;

/* A layer normalisation: of the planes of a term, or of c. In backward the cell leaves the gradients of its result, and the
 * normalised values, in planes from d and u on. */
typedef struct rc_norm {
    int term; /* -1: c */
    int d, u;
    int gain; /* row of the table of parameters */
} rc_norm;

/* Numbers of a row that norms leave for gate math: of norm i {mean, 1 / deviation} at 2 * i, and in backward its sums at
 * RC_NORM_SUMS + 2 * i. */
enum { RC_NORM_SUMS = 2 * RC_MAX_NORMS, RC_NORM_NUMBERS = 16 };

/* -- The program of a step --------------------------------------------------------------------------------------------- */

typedef enum rc_op_kind {
    RC_OP_END,
    RC_OP_PRODUCT, /* a term's product with its matrix; in backward, of the planes' gradients with the transposed one, into mid */
    RC_OP_MATH,      /* gate math; right behind a product it runs on each tile as soon as that is finished */
    RC_OP_NORM,      /* the numbers of a normalisation */
    RC_OP_NORM_BACK, /* backward: its sums */
    /* What the plan puts around a cell's own operations: */
    RC_OP_PROJECT, /* h = W_hr mid; in backward, dh of the cell's result */
    RC_OP_ZONE,    /* zoneout of h or c; in backward, what stays for the cell's result */
    RC_OP_KEEP,    /* backward: the gradients that went around the cell */
    RC_OP_DROP,    /* recurrent dropout of h or mid */
    RC_OP_GATHER   /* backward: all that reaches h_t */
} rc_op_kind;

typedef struct rc_op {
    rc_op_kind kind;
    int index; /* of the term or the norm, or which part of the state */
    rc_cell_fn *math;
    int whole; /* reads units that other threads have made: they meet before it */
    int meet;  /* threads meet after it; set by the plan */
} rc_op;

/* Rows of a cell's program. */
#define RC_PRODUCT(term) {.kind = RC_OP_PRODUCT, .index = (term)}
#define RC_PRODUCT_OF_MID(term) {.kind = RC_OP_PRODUCT, .index = (term), .whole = 1}
#define RC_MATH(function) {.kind = RC_OP_MATH, .math = (function)}
#define RC_MATH_WHOLE(function) {.kind = RC_OP_MATH, .math = (function), .whole = 1}
#define RC_NORM(norm) {.kind = RC_OP_NORM, .index = (norm)}
#define RC_NORM_WHOLE(norm) {.kind = RC_OP_NORM, .index = (norm), .whole = 1}
#define RC_NORM_BACK(norm) {.kind = RC_OP_NORM_BACK, .index = (norm)}
#define RC_NORM_BACK_WHOLE(norm) {.kind = RC_OP_NORM_BACK, .index = (norm), .whole = 1}
#define RC_END {.kind = RC_OP_END}

/* -- A cell ------------------------------------------------------------------------------------------------------------ */

/* Buffers of one time step; row r of a buffer starts at r * ld (gates: r * ldg). Pointers a cell does not use are NULL.
 * h_prev and c_prev may alias h and c only in the same place (a unit reads its old value before it writes). */
typedef struct rc_cell_args {
    int64_t ld, ldg; /* in values: a fleet's elements are as many as it has models */
    void *gates;     /* forward: pre-activations in, gate values out; backward: gate values in, gradients out */
    const void *h_prev, *c_prev;
    void *h, *c;   /* new state; in backward c is read */
    void *mid;     /* [rows][ld]: the operand of a second product; in backward its gradient */
    void *dh, *dc; /* backward: gradient of h and c in; of what reaches h_prev, c_prev directly out */
    int save;      /* forward: leave for backward what it needs */
    const rc_options *options;
    const void *const *vector; /* by row of the table: [blocks][ld], or NULL */
    void *numbers;             /* [rows][RC_NORM_NUMBERS] of norms */
} rc_cell_args;

typedef struct rc_cell {
    int gates;                              /* row blocks of the matrices */
    rnncore_function usual[RNNCORE_PLACES]; /* functions of the places; RNNCORE_USUAL: no such place */
    int has_c;
    int reads_h; /* backward reads h_{t-1} beside products */
    const rc_param *params;
    int param_count;
    int planes;      /* of a row of gates, as forward fills them */
    int back_planes; /* more of them that backward needs, recorded with the others */
    int term_count, vector_count, norm_count;
    rc_term term[RC_MAX_TERMS];     /* matrices */
    rc_term vector[RC_MAX_VECTORS]; /* gradients element by element */
    rc_norm norm[RC_MAX_NORMS];
    const rc_op *forward, *backward;
} rc_cell;

/* Ways to compile a cell: the usual functions; those of the options; without a gate f. */
enum { RC_FORM_USUAL, RC_FORM_ANY, RC_FORM_COUPLED, RC_FORMS };

#endif
