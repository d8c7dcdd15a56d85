/* SPDX-License-Identifier: MIT
 *
 * What forward leaves for backward. The record has one row per token of all that a step makes; the tape is one block of memory
 * with the record and what it starts from. Compact buffers have one row per token. */
#ifndef RC_RECORD_H
#define RC_RECORD_H

#include "../base/arena.h"
#include "../model/plan.h"

/* What steps make, a row per token; parts that the plan's cells and options do not have are NULL. */
typedef struct rc_record {
    char *gates; /* [record_ld] */
    char *c;     /* [ld], cells with c */
    char *mid;   /* [ld], the operand of a second product: o * tanh(c) of a projection, r * h_{t-1} */
    char *raw_c; /* [ld], with zoneout of c: c before it, as the cell gave it */
} rc_record;

rc_record rc_record_take(rc_arena *arena, const rnncore_plan *plan, int64_t rows);

/* From row `row` on. */
rc_record rc_record_at(const rnncore_plan *plan, const rc_record *record, int64_t row);

/* Zeroes the padded lanes of `rows` rows. They hold 0 * x, which is NaN where x is infinite, and backward multiplies them by the
 * zeros of padded weights. */
void rc_record_clear_padding(const rnncore_plan *plan, const rc_record *record, int64_t rows);

typedef struct rc_tape_header {
    int64_t steps, batch, valid, parts;
    int64_t segments; /* 0: everything is recorded; else what backward computes again, piece by piece */
} rc_tape_header;

/* Of a tape that backward must not take: its call was ended early. */
static const rc_tape_header rc_no_tape = {.steps = -1};

/* Buffers of one layer; [d] of one direction. Rows of x and y are in time order, those of the record in the direction's own. */
typedef struct rc_tape {
    rc_tape_header *header;
    char *x;             /* [valid][input size]: the layer's input */
    char *y;             /* [valid][D*O]: its output before dropout */
    char *h0[2], *c0[2]; /* [N][O], [N][H] */
    rc_record record[2]; /* [valid]; nothing with segments */
    char *marks[2];      /* [segments - 1][N][H]: c before the first step of each segment but the first */
} rc_tape;

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
