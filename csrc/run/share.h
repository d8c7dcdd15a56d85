/* SPDX-License-Identifier: MIT
 * How the work of a call is shared out between threads, and where the states of a layer are. */
#ifndef RC_SHARE_H
#define RC_SHARE_H

#include "../base/stop.h"
#include "batch.h"
#include "../model/plan.h"

/* What the threads of a call share out: rows (parts never look at each other), the directions of each layer, the layers
 * (each a chunk of steps behind the one below), or the units of each step. Results do not depend on it. */
typedef enum rc_split { RC_SPLIT_ROWS, RC_SPLIT_DIRECTIONS, RC_SPLIT_LAYERS, RC_SPLIT_UNITS } rc_split;

typedef struct rc_strategy {
    rc_split split;
    int threads;
    int64_t parts; /* of the rows */
} rc_strategy;

/* How many threads the forward work of so many tokens is worth waking. */
int rc_worth_threads(const rnncore_plan *plan, int64_t tokens, int threads);

/* How a thread of a call watches for its end while it walks steps of so many rows; `asker` is its worker's. */
rc_watch rc_watch_of(const rnncore_plan *plan, int64_t rows, rc_stop *stop, const rc_stop *asker);

/* Seconds that the first step of such work may wait for threads that sleep. */
double rc_patience(const rnncore_plan *plan, int64_t tokens);

/* Depends on the request only, not on the threads that turn up; backward goes by the parts of its forward call. */
rc_strategy rc_choose_strategy(const rnncore_plan *plan, const rnncore_forward_args *args, int64_t valid);

/* Backward: how many of its threads share the units of steps; 1 where each has a run of its own, or a step is not worth it. */
int rc_backward_units(const rnncore_plan *plan, const rnncore_backward_args *args, int64_t parts, int threads);

/* Ranges of the units of each weight gradient of a layer: as the request says, whatever threads turn up. */
int64_t rc_unit_ranges(const rnncore_plan *plan, int64_t layer, int threads);

/* Steps between the products over their tokens: so few, where a core's L2 does not hold all gates, that it still has those
 * of the steps; 0: all, which is better where the products would read and write as much of the weight gradients. */
int64_t rc_cached_steps(const rnncore_plan *plan, int64_t batch, int64_t valid, int threads);

/* The dense state of `layer` and `direction` inside an (L*D, N, size) array, or NULL. */
static inline char *rc_state_of(const rnncore_plan *plan, const void *states, int64_t batch, int64_t size,
                                int64_t layer, int direction)
{
    return states ? (char *)(uintptr_t)states + (layer * plan->directions + direction) * batch * size * plan->elem
                  : NULL;
}

#endif
