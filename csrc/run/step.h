/* SPDX-License-Identifier: MIT
 *
 * One time step of one layer and direction: the plan's program, forward and backward, on the units of one slice. */
#ifndef RC_STEP_H
#define RC_STEP_H

#include "../base/stop.h"
#include "../model/weights.h"
#include "masks.h"

/* -- Forward ----------------------------------------------------------------------------------------------------------- */

/* `rows` rows whose pre-activations (input product and bias) stand in to.gates: h[current] to h[1 - current]. */
typedef struct rc_step {
    const rnncore_plan *plan;
    const rc_weights *weights;
    rc_workspace *ws;
    int64_t rows;
    int current, reverse, save;
    int64_t ldg;  /* elements of a row of to.gates */
    rc_record to; /* the step's rows; c, mid and raw_c NULL: the workspace's */
    const char *c_prev;
    const rc_zoneout *zoneout; /* NULL: the expectation */
    int64_t step;              /* whose masks these are */
    rnncore_backend backend;
} rc_step;

/* This slice's units of a step. Returns 0 when the thread must leave (see rc_slice_sync); else all units are done. */
int rc_forward_step(const rc_step *step, rc_slice *slice);

/* Pre-activations of `tokens` rows of input: bias + W_ih x, this slice's units; rows of gates have ldg elements. */
void rc_input_product(const rnncore_plan *plan, const rc_weights *weights, rnncore_backend backend, int64_t tokens,
                      const void *const *in, char *gates, int64_t ldg, const rc_slice *slice);

/* -- Backward ---------------------------------------------------------------------------------------------------------- */

/* The record is that of a tape of everything, or of one segment that was computed again: token i of the part is row
 * `shift` + i. */
typedef struct rc_backward_run {
    const rnncore_plan *plan;
    const rc_batch *batch;
    rc_weights weights;
    int direction;
    rc_rows x, dy, y; /* the layer's input; gradients and values of the outputs, this direction's first column */
    const char *h0, *c0, *dh_n, *dc_n;
    char *dh0, *dc0;  /* or NULL */
    rc_record record; /* its gates become gradients */
    int64_t shift;
    char *dh_out;        /* [tokens][out_ld]: gradients of projected outputs, with a projection only */
    const char *c_first; /* (N, H): c before the first step of the segment; NULL: the rows of c have it */
    int64_t in_size;
    rc_drop drop;
    rc_zoneout zoneout;
    rnncore_backend backend;
    rc_watch watch;
    rc_workspace *ws, *again; /* `again`: of forward, for computing again */
} rc_backward_run;

/* A step's rows of the record. */
static inline rc_record rc_record_of_step(const rc_backward_run *run, int64_t step)
{
    return rc_record_at(run->plan, &run->record, run->shift + rc_batch_offset(run->batch, step));
}

/* Row of h that a token's step started from: the output at the time before, or the initial state. */
const char *rc_previous_h(const rc_batch *batch, const rc_rows *y, const char *h0, int64_t h0_row, int direction,
                          int64_t step, int64_t slot);
void rc_gather_previous_h(const rc_backward_run *run, int64_t step, int64_t rows, char *to, const rc_slice *slice);

/* This slice's units of the gate gradients of a step. `ready`: the gradients of its h are complete. `starts`: it is the first of
 * a segment whose c_first stands in the workspace. Returns 0 when the thread must leave; else all units are done. */
int rc_backward_step(const rc_backward_run *run, int64_t step, int ready, int starts, rc_slice *slice);

/* Completes the gradients of the h of a step while the gate gradients of the one after it are there; of the initial state. */
void rc_complete_gradients(const rc_backward_run *run, int64_t step, const rc_slice *slice);
void rc_complete_initial(const rc_backward_run *run, char *dh, const rc_slice *slice);

#endif
