/* SPDX-License-Identifier: MIT
 * The persistent thread team. One fork and join per library call; inside a call threads meet at barriers on flags. */
#ifndef RC_TEAM_H
#define RC_TEAM_H

#include "../include/rnncore.h"

/* One thread's view of a running call. */
typedef struct rc_worker {
    rnncore_team *team;          /* NULL: alone */
    int thread, threads;
} rc_worker;

typedef void rc_work_fn(void *context, const rc_worker *worker);

/* Runs work(context) on `threads` threads, the caller being thread 0, and returns when all are done. Fewer threads run it,
 * down to the caller alone, when the team is NULL, smaller, busy with another call, or cannot start a thread: the work
 * must ask worker->threads, and its results must not depend on it. */
void rc_team_run(rnncore_team *team, int threads, rc_work_fn *work, void *context);

/* Returns when all threads of the call have arrived; what they wrote before is visible after. */
void rc_team_barrier(const rc_worker *worker);

#endif
