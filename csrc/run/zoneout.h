/* SPDX-License-Identifier: MIT
 *
 * Zoneout (Krueger et al. 2017): a unit keeps its value of the step before with probability p. With a tape by masks that
 * are counted, not stored: element (time * N + row) * features + unit of a stream per layer, direction and part of the
 * state, as dropout.py has it. Without one, by the expectation. */
#ifndef RC_ZONEOUT_H
#define RC_ZONEOUT_H

#include "batch.h"
#include "../model/plan.h"

enum { RC_ZONE_H, RC_ZONE_C, RC_ZONES }; /* parts of the state */

/* Masks of a call for one part of the batch, one layer and direction. */
typedef struct rc_zoneout {
    const rnncore_plan *plan;
    const rc_batch *batch;
    int direction;
    int64_t total; /* rows of the call */
    uint64_t key[RC_ZONES];
} rc_zoneout;

rc_zoneout rc_zoneout_of(const rnncore_plan *plan, const rc_batch *batch, int64_t total, uint64_t call_key,
                         int64_t layer, int direction);

static inline double rc_zone_p(const rnncore_plan *plan, int zone)
{
    return zone == RC_ZONE_H ? plan->config.zoneout : plan->config.zoneout_c;
}
static inline int rc_zones(const rnncore_plan *plan) { return plan->config.zoneout > 0 || plan->config.zoneout_c > 0; }

/* State of a step: out = prev or next for units [begin, end) of slots 0 ... rows-1, whose rows have `ld` elements; out may be
 * one of them. `masks` NULL: the expectation. */
void rc_zone_step(const rnncore_plan *plan, const rc_zoneout *masks, int zone, int64_t step, int64_t rows,
                  int64_t begin, int64_t end, char *out, const char *prev, const char *next);

/* The reverse: `d`, the gradient of out, becomes that of next; `kept` gets that of prev. */
void rc_zone_back(const rc_zoneout *masks, int zone, int64_t step, int64_t rows, int64_t begin, int64_t end, char *d,
                  char *kept);

#endif
