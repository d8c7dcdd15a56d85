/* SPDX-License-Identifier: MIT
 *
 * The time loops: one layer, one direction, the rows of one part of the batch, over all steps. */
#ifndef RC_SEQUENCE_H
#define RC_SEQUENCE_H

#include "batch.h"
#include "../model/plan.h"
#include "../base/splitmix.h"
#include "record.h"
#include "../base/team.h"
#include "zoneout.h"

/* Scratch memory of one run. */
typedef struct rc_workspace {
    char *h[2];           /* [rows][out_ld]: state before and after a step */
    char *c, *mid;        /* [rows][ld] */
    char *next_c;         /* NULL, or [rows][ld]: c before zoneout */
    const void **in_h[2]; /* [rows]: rows of h */
    const void **in_mid;  /* [slices][rows]: rows of mid, a copy for each thread */
    const void **in;      /* forward [chunk tokens], backward [slices][rows]: rows of a product's operand */
    int64_t chunk;        /* forward: steps of a chunk */
    char *gates, *x;      /* forward: [chunk tokens][gates_ld], [chunk tokens][input size] gathered input */
    char *dh, *dc, *zero; /* backward: [rows][ld], [rows][ld], one row of zeros */
    char *kept
        [RC_ZONES]; /* backward, NULL or [rows][out_ld], [rows][ld]: gradients that zoneout hands to h_{t-1}, c_{t-1} */
    char *mask;     /* NULL, or [rows][out_ld]: recurrent dropout, slot by slot */
    char *dropped[2]; /* [rows][out_ld]: h * mask, what in_h points to then; backward's products go to the first */
} rc_workspace;

/* Recurrent dropout of one layer and direction; p 0: none. */
typedef struct rc_drop {
    double p;
    uint64_t key;
} rc_drop;

static inline rc_drop rc_drop_of(const rnncore_plan *plan, double p, uint64_t call_key, int64_t layer, int direction)
{
    const uint64_t number = (uint64_t)(layer * plan->directions + direction);
    return (rc_drop){p, rc_splitmix64(call_key, ((uint64_t)1 << 32) + number)}; /* as dropout.py has it */
}

/* Takes the memory that every run needs, or also that of a forward or backward sequence. */
void rc_workspace_take(rc_workspace *ws, rc_arena *arena, const rnncore_plan *plan, int64_t rows, int64_t slices);
void rc_workspace_take_forward(rc_workspace *ws, rc_arena *arena, const rnncore_plan *plan, int64_t rows, int64_t steps,
                               int64_t slices, int64_t most_steps); /* of a chunk */
void rc_workspace_take_backward(rc_workspace *ws, rc_arena *arena, const rnncore_plan *plan, int64_t rows,
                                int64_t slices);
void rc_workspace_take_masks(rc_workspace *ws, rc_arena *arena, const rnncore_plan *plan, int64_t rows);

/* Draws the masks of a part's rows; `start_dropped` also points the operands of the next step's product at h * mask. */
void rc_draw_masks(const rnncore_plan *plan, const rc_batch *batch, const rc_drop *drop, rc_workspace *ws);
void rc_start_dropped(const rnncore_plan *plan, const rc_batch *batch, rc_workspace *ws, int current);

typedef struct rc_forward_run {
    const rnncore_plan *plan;
    const rc_batch *batch;
    rc_weights weights;
    int direction;
    int64_t in_size;
    rc_rows x;
    rc_rows y[2];        /* where outputs go, this direction's first column; y[1] may be nothing */
    const char *h0, *c0; /* [N][O], [N][H] by row, or NULL */
    char *h_n, *c_n;
    char *gates, *c, *mid; /* the tape's buffers from this part's first token on, or NULL, as is the next */
    char *next_c;
    char *marks; /* NULL, or c before every mark_every-th step but the first: [marks][N][H] */
    int64_t mark_every, mark_row, mark_bytes;
    rc_drop drop;
    rc_zoneout zoneout;           /* with a tape */
    int records;                  /* whether there is a tape */
    const _Atomic int64_t *ready; /* steps that the layer below has done, while both run; NULL: all */
    _Atomic int64_t *done;        /* the same of this layer, for the one above; or NULL */
    rnncore_backend backend;
    rc_workspace *ws;
} rc_forward_run;

/* The gates, c and mid of a run are those of a tape of everything, or of one segment that was computed again: token i of
 * the part is row `shift` + i. */
typedef struct rc_backward_run {
    const rnncore_plan *plan;
    const rc_batch *batch;
    rc_weights weights;
    int direction;
    rc_rows x, dy, y; /* the layer's input; gradients and values of the outputs, this direction's first column */
    const char *h0, *c0, *dh_n, *dc_n;
    char *dh0, *dc0;       /* or NULL */
    char *gates, *c, *mid; /* gates become gradients */
    char *next_c;          /* NULL, or c before zoneout */
    int64_t shift;
    char *dh_out;        /* [tokens][out_ld]: gradients of projected outputs, with a projection only */
    const char *c_first; /* (N, H): c before the first step of the segment; NULL: the rows of c have it */
    int64_t in_size;
    rc_drop drop;
    rc_zoneout zoneout;
    rnncore_backend backend;
    rc_workspace *ws, *again; /* `again`: of forward, for computing again */
} rc_backward_run;

void rc_forward_sequence(const rc_forward_run *run, rc_crew *crew); /* crew NULL: on this thread */

/* Backward over a part, segment by segment from the last: `again` fills gates, c and mid of the steps [first, last) from
 * inputs, outputs and c_first; `steps` turns the gates into gradients. Parts with fewer steps skip what they do not have. */
void rc_backward_begin(const rc_backward_run *run);
void rc_backward_again(const rc_backward_run *run, int64_t first, int64_t last, rc_crew *crew);
void rc_backward_steps(const rc_backward_run *run, int64_t first, int64_t last, rc_crew *crew);
void rc_backward_end(const rc_backward_run *run);

/* Row of h that a token's step started from: the output at the time before, or the initial state. */
const char *rc_previous_h(const rc_batch *batch, const rc_rows *y, const char *h0, int64_t h0_row, int direction,
                          int64_t step, int64_t slot);

/* One step of `rows` rows whose pre-activations (input product and bias) stand in `gates`: h[cur] to h[1 - cur]. */
typedef struct rc_step {
    const rnncore_plan *plan;
    const rc_weights *weights;
    rc_workspace *ws;
    int64_t rows;
    int current, reverse, save;
    char *gates, *mid;
    const char *c_prev;
    char *c, *next_c;          /* next_c NULL: the workspace's */
    const rc_zoneout *zoneout; /* NULL: the expectation */
    int64_t step;              /* whose masks these are */
    rnncore_backend backend;
} rc_step;

/* This slice's units of a step. Returns 0 when the thread must leave (see rc_slice_sync); else all units are done. */
int rc_forward_step(const rc_step *step, rc_slice *slice);

/* Pre-activations of `tokens` rows of input: bias + W_ih x, this slice's units. */
void rc_input_product(const rnncore_plan *plan, const rc_weights *weights, rnncore_backend backend, int64_t in_size,
                      int64_t tokens, const void *const *in, char *gates, const rc_slice *slice);

#endif
