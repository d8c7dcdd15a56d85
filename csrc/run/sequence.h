/* SPDX-License-Identifier: MIT
 *
 * The time loops: one layer, one direction, the rows of one part of the batch, over all steps. */
#ifndef RC_SEQUENCE_H
#define RC_SEQUENCE_H

#include "../base/stop.h"
#include "step.h"

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
    rc_record record; /* the tape's, from this part's first token on; nothing without one or with segments */
    char *marks;      /* NULL, or c before every mark_every-th step but the first: [marks][N][H] */
    int64_t mark_every, mark_row, mark_bytes;
    rc_drop drop;
    rc_zoneout zoneout; /* with a tape */
    int has_tape;
    const _Atomic int64_t *ready; /* steps that the layer below has done, while both run; NULL: all */
    _Atomic int64_t *done;        /* the same of this layer, for the one above; or NULL */
    rnncore_backend backend;
    rc_watch watch;
    rc_workspace *ws;
} rc_forward_run;

/* Both passes: nothing more of the run is done after its call was ended, and what it has written is of no use. */
void rc_forward_sequence(const rc_forward_run *run, rc_crew *crew); /* crew NULL: on this thread */

/* Backward over a part, segment by segment from the last: `again` fills the record of the steps [first, last) from inputs,
 * outputs and c_first; `steps` turns the gates into gradients. Parts with fewer steps skip what they do not have. */
void rc_backward_begin(const rc_backward_run *run);
void rc_backward_again(const rc_backward_run *run, int64_t first, int64_t last, rc_crew *crew);
void rc_backward_steps(const rc_backward_run *run, int64_t first, int64_t last, rc_crew *crew);
void rc_backward_end(const rc_backward_run *run);

#endif
