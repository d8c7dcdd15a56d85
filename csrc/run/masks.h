/* SPDX-License-Identifier: MIT
 *
 * Dropout between layers, recurrent dropout and zoneout (Krueger et al. 2017). All masks are counted, not stored: an element's
 * fate is a hash of the call's key, the stream of its layer and direction, and its coordinates, as spec/masks.py has it. */
#ifndef RC_MASKS_H
#define RC_MASKS_H

#include "../base/splitmix.h"
#include "../base/team.h"
#include "batch.h"
#include "workspace.h"

/* What the masks of a call follow from. With keys of rows, a row's masks are those of a call of this row alone. */
typedef struct rc_keys {
    uint64_t call;
    const uint64_t *rows; /* [total], or NULL */
    int64_t total;        /* rows of the call */
} rc_keys;

/* The dropout of the output of layer `below`, tokens of one part: out = mask * in / (1 - p), dense rows of `size`. */
void rc_drop_tokens(const rnncore_plan *plan, const rc_batch *batch, const rc_keys *keys, int64_t below, char *out,
                    const char *in, int64_t size);

/* The same of the gradient of one row at one time. */
void rc_drop_row(const rnncore_plan *plan, const rc_keys *keys, int64_t below, int64_t time, int64_t row, char *values,
                 int64_t size);

/* -- Recurrent dropout of one layer and direction; p 0: none ---------------------------------------------------------- */

typedef struct rc_drop {
    double p;
    rc_keys keys;
    uint64_t stream;
} rc_drop;

rc_drop rc_drop_of(const rnncore_plan *plan, double p, rc_keys keys, int64_t layer, int direction);

/* Draws the masks of a part's rows; `start_dropped` also points the operands of the next step's product at h * mask. */
void rc_draw_masks(const rnncore_plan *plan, const rc_batch *batch, const rc_drop *drop, rc_workspace *ws);
void rc_start_dropped(const rnncore_plan *plan, const rc_batch *batch, rc_workspace *ws, int current);

/* to = from * mask, units [begin, end) of all rows. */
void rc_drop_units(const rnncore_plan *plan, const rc_workspace *ws, char *to, const char *from, int64_t rows,
                   int64_t begin, int64_t end);

/* -- Zoneout of one part of the batch, one layer and direction: with a tape by masks, else by the expectation ------------ */

typedef struct rc_zoneout {
    const rnncore_plan *plan;
    const rc_batch *batch;
    int direction;
    rc_keys keys;
    uint64_t stream[RC_ZONES];
} rc_zoneout;

rc_zoneout rc_zoneout_of(const rnncore_plan *plan, const rc_batch *batch, rc_keys keys, int64_t layer, int direction);

/* State of a step: out = prev or next for units [begin, end) of slots 0 ... rows-1; out may be one of them. `masks` NULL: the
 * expectation. */
void rc_zone_step(const rnncore_plan *plan, const rc_zoneout *masks, int zone, int64_t step, int64_t rows,
                  int64_t begin, int64_t end, char *out, const char *prev, const char *next);

/* The reverse: `d`, the gradient of out, becomes that of next; `kept` gets that of prev. */
void rc_zone_back(const rc_zoneout *masks, int zone, int64_t step, int64_t rows, int64_t begin, int64_t end, char *d,
                  char *kept);

#endif
