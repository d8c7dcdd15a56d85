/* SPDX-License-Identifier: MIT
 *
 * The tape: what forward records for backward, in one block of memory. Compact buffers have one row per token. */
#ifndef RC_TAPE_H
#define RC_TAPE_H

#include "../base/arena.h"
#include "../model/plan.h"

typedef struct rc_tape_header {
    int64_t steps, batch, valid, parts;
    int64_t segments; /* 0: everything is recorded; else what backward computes again, piece by piece */
} rc_tape_header;

/* Buffers of one layer; [d] of one direction. Rows of x, y and dropped are in time order, the others in the direction's own
 * order. */
typedef struct rc_tape {
    rc_tape_header *header;
    char *x;             /* [valid][input size]: the layer's input */
    char *y;             /* [valid][D*O]: its output before dropout */
    char *h0[2], *c0[2]; /* [N][O], [N][H] */
    char *gates[2];      /* [valid][gates_ld]; these four are NULL with segments */
    char *c[2];          /* [valid][ld], cells with c */
    char *mid[2];        /* [valid][ld], the operand of a second product: o * tanh(c') of a projection, r * h_prev */
    char *next_c[2];     /* [valid][ld], with zoneout of c: c before it */
    char *marks[2];      /* [segments - 1][N][H]: c before the first step of each segment but the first */
} rc_tape;

/* Whether the layer computes a second product from an intermediate value. */
int rc_has_mid(const rnncore_plan *plan);

/* Whether dropout acts on the input of `layer`. */
int rc_drops_input(const rnncore_plan *plan, int64_t layer);

/* Steps of a segment; the last one may have fewer. */
static inline int64_t rc_segment_steps(int64_t steps, int64_t segments)
{
    return segments > 0 ? (steps + segments - 1) / segments : steps;
}

/* The header must have been written. */
rc_tape rc_tape_of(const rnncore_plan *plan, void *tape, int64_t batch, int64_t valid, int64_t layer);

#endif
