/* SPDX-License-Identifier: MIT
 *
 * A call of a fleet: its models by the group, each group a call of forward.c or backward.c on one thread. A group is one model,
 * which reads and writes the caller's arrays where they are; or, with lanes for models, as many as an element holds, whose
 * arrays are joined before the call and parted after it. */
#ifndef RC_GROUPS_H
#define RC_GROUPS_H

#include "../base/arena.h"
#include "../base/stop.h"
#include "../base/team.h"
#include "../model/weights.h"

#include "share.h"

/* An array of all models, (M, a, b, c) from `data` on, strides in bytes; data NULL: none. Where groups have more than one model
 * their joined arrays stand `at` bytes into a thread's memory. */
typedef struct rc_models_array {
    char *data;
    int64_t model, size[3], stride[3];
    int written; /* by the call; else read */
    int64_t at;
} rc_models_array;

/* Arrays of a call by their places; parameters or gradients follow those of backward, or are alone. */
enum { X, Y, H0, C0, H_N, C_N, FORWARD_ARRAYS };
enum { DY, DH_N, DC_N, DX, DH0, DC0, BACKWARD_ARRAYS };

typedef struct rc_fleet_call {
    const rnncore_plan *plan;
    rnncore_fleet fleet;
    int64_t together, groups, real; /* models of a group; bytes of a value */
    char *weights;
    int64_t weights_bytes; /* of a group */
    int uses;              /* of weights to be packed */
    rnncore_forward_args forward;
    rnncore_backward_args backward;
    rc_models_array *arrays;
    int64_t count, params; /* of arrays; of those that are parameters, the last ones */
    int64_t *tape_at;      /* [groups + 1]: bytes before each tape */
    char *own;             /* [threads][own_bytes]: joined arrays, and from table_at on a table of parameters */
    int64_t own_bytes, table_at;
    int threads;
    rc_items items;
    rc_stop stop;
    atomic_int status; /* of a group that failed */
} rc_fleet_call;

/* What a fleet's tape begins with. */
typedef struct rc_fleet_header {
    int64_t models, steps, batch, segments;
} rc_fleet_header;

/* Valid steps of a group's models, or -1 where their lengths differ. */
int64_t rc_group_steps(const rc_fleet_call *call, int64_t index, int64_t steps, int64_t batch, const int64_t *lengths);

/* Bytes of all tapes, and, where the call has memory for that, the bytes before each one; 0 where they are too many. */
int64_t rc_place_tapes(rc_fleet_call *call, int64_t steps, int64_t batch, const int64_t *lengths, int64_t segments);

/* Runs all groups of a call whose arrays are listed. */
rnncore_status rc_run_groups(rc_fleet_call *call, rnncore_team *team);

#endif
