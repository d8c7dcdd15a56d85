/* SPDX-License-Identifier: MIT
 *
 * Scratch memory of a run of one layer, one direction, the rows of one part: padded states, rows of whole vectors, filled from
 * and stored to the caller's dense ones; and the buffers of the time loops. */
#ifndef RC_WORKSPACE_H
#define RC_WORKSPACE_H

#include "batch.h"
#include "record.h"

typedef struct rc_workspace {
    char *h[2];           /* [rows][out_ld]: state before and after a step */
    char *c, *mid;        /* [rows][ld] */
    char *raw_c;          /* NULL, or [rows][ld]: c before zoneout */
    const void **in_h[2]; /* [rows]: rows of h */
    const void **in_mid;  /* [slices][rows]: rows of mid, a copy for each thread */
    const void **in;      /* forward [chunk tokens], backward [slices][rows]: rows of a product's operand */
    int64_t chunk;        /* forward: steps of a chunk */
    char *gates, *x;      /* forward: [chunk tokens][gates_ld], [chunk tokens][input size] gathered input */
    char *dh, *dc, *zero; /* backward: [rows][ld], [rows][ld], one row of zeros */
    char *kept
        [RC_ZONES]; /* backward, NULL or [rows][out_ld], [rows][ld]: gradients that zoneout hands to h_{t-1}, c_{t-1} */
    char *numbers;  /* [slices][rows][RC_NORM_NUMBERS] of layer normalisations; NULL without */
    char *mask;     /* NULL, or [rows][out_ld]: recurrent dropout, slot by slot */
    char *dropped[2]; /* [rows][out_ld]: h * mask, what in_h points to then; backward's products go to the first */
} rc_workspace;

/* Takes the memory that every run needs, or also that of a forward or backward sequence. */
void rc_workspace_take(rc_workspace *ws, rc_arena *arena, const rnncore_plan *plan, int64_t rows, int64_t slices);
void rc_workspace_take_forward(rc_workspace *ws, rc_arena *arena, const rnncore_plan *plan, int64_t rows, int64_t steps,
                               int64_t slices, int64_t most_steps); /* of a chunk */
void rc_workspace_take_backward(rc_workspace *ws, rc_arena *arena, const rnncore_plan *plan, int64_t rows,
                                int64_t slices);
void rc_workspace_take_masks(rc_workspace *ws, rc_arena *arena, const rnncore_plan *plan, int64_t rows);

/* The numbers of a normalisation, of all rows: mean and 1 / deviation. Each slice has its own. */
void rc_norm_rows(const rnncore_plan *plan, int norm, const rc_cell_args *args, int64_t rows);

static inline int64_t rc_widest_row(const rnncore_plan *plan)
{
    return plan->out_ld > plan->ld ? plan->out_ld : plan->ld;
}

static inline void rc_point_rows(const void **to, const char *base, int64_t rows, int64_t row_bytes)
{
    for (int64_t r = 0; r < rows; r++) to[r] = base + r * row_bytes;
}

/* Fills padded rows [rows][ld] with the dense initial states of the part's rows; NULL: zeros. */
void rc_load_state(const rc_batch *batch, char *to, int64_t ld, const char *dense, int64_t size, int64_t elem);

/* The reverse for slots [first, last). */
void rc_store_state(const rc_batch *batch, const char *from, int64_t ld, char *dense, int64_t size, int64_t elem,
                    int64_t first, int64_t last);

#endif
