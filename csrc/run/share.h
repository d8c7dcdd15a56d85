/* SPDX-License-Identifier: MIT
 * What forward and backward over a stack of layers share: how a call is shared out between threads, and its states. */
#ifndef RC_STACK_H
#define RC_STACK_H

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

/* Seconds that the first step of such work may wait for threads that sleep. */
double rc_patience(const rnncore_plan *plan, int64_t tokens);

/* Depends on the request only, not on the threads that turn up; backward goes by the parts of its forward call. */
rc_strategy rc_choose_strategy(const rnncore_plan *plan, const rnncore_forward_args *args, int64_t valid);

/* The dense state of `layer` and `direction` inside an (L*D, N, size) array, or NULL. */
static inline char *rc_state_of(const rnncore_plan *plan, const void *states, int64_t batch, int64_t size,
                                int64_t layer, int direction)
{
    return states ? (char *)(uintptr_t)states + (layer * plan->directions + direction) * batch * size * plan->elem
                  : NULL;
}

static inline rc_rows rc_compact_rows(void *data, int64_t size, int64_t column, int64_t elem)
{
    return (rc_rows){
        .data = data ? (char *)data + column * elem : NULL, .row = size * elem, .feature = elem, .compact = 1};
}

static inline rc_rows rc_array_rows(const rnncore_array *a, int64_t column)
{
    return (rc_rows){.data = (char *)a->data + column * a->stride[2],
                     .step = a->stride[0],
                     .row = a->stride[1],
                     .feature = a->stride[2]};
}

/* Copies all tokens of a part from a strided array to compact, dense rows of `size`; zeroes an array's padding. */
void rc_gather_tokens(const rc_batch *batch, char *compact, const rnncore_array *array, int64_t size, int64_t elem);
void rc_zero_padding(const rc_batch *batch, const rnncore_array *array, int64_t steps, int64_t size, int64_t elem);

/* The dropout of the output of layer `below`, tokens of one part: out = mask * in / (1 - p), dense rows of `size`. */
void rc_drop_tokens(const rnncore_plan *plan, const rc_batch *batch, int64_t total_batch, uint64_t call_key,
                    int64_t below, char *out, const char *in, int64_t size);

#endif
