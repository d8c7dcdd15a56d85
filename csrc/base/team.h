/* SPDX-License-Identifier: MIT
 *
 * The persistent thread team: one fork and join per library call. Threads join a running call when they get to it, so
 * nothing ever waits for a thread that the system has not let run: work is cut into items or rounds that whoever is there
 * takes, and results never depend on who was. */
#ifndef RC_TEAM_H
#define RC_TEAM_H

#include <stdatomic.h>

#include "../include/rnncore.h"
#include "stop.h"

typedef struct rc_crew rc_crew;

/* One thread's view of a running call. */
typedef struct rc_worker {
    rnncore_team *team; /* NULL: alone */
    int seat;           /* 0: the caller, else the order of joining */
    rc_stop *stop;      /* the caller's, to ask while it waits; NULL for the others */
} rc_worker;

typedef void rc_work_fn(void *context, const rc_worker *worker);

/* Runs work(context) on the caller and on up to threads - 1 others that join while it runs; returns when all have left.
 * A team that is busy with another call, or NULL, leaves the caller alone. stop NULL: the call cannot end early. */
void rc_team_run(rnncore_team *team, int threads, rc_work_fn *work, void *context, rc_stop *stop);

/* -- Items: a list of independent pieces; each is done once, by whoever comes first ---------------------------------- */

typedef struct rc_items {
    _Atomic int64_t next, done; /* both 0 before the first thread comes */
} rc_items;

typedef void rc_item_fn(void *context, int64_t i, const rc_worker *worker);

/* Takes items and calls item(context, i, worker) until all `count` are taken, then waits until all are done. */
void rc_items_run(rc_items *items, int64_t count, rc_item_fn *item, void *context, const rc_worker *worker);

/* -- Crews: threads that walk the steps of one sequence together, each with a slice of the units --------------------- */

enum { RC_CREW_SEATS = 64 };

/* A thread's share of a round; the round asks again after every rc_slice_sync. */
typedef struct rc_slice {
    int index, count;
    rc_crew *crew;
    uint64_t tick;
} rc_slice;

typedef void rc_round_fn(void *context, rc_slice *slice);

/* `walkers`: how many of the threads share steps; all take items. `patience`: seconds that the first round may wait for threads
 * that sleep. NULL: there is one walker, or no memory; the leader is alone, then. */
rc_crew *rc_crew_create(int threads, int walkers, double patience);
void rc_crew_destroy(rc_crew *crew);
void rc_crew_open(rc_crew *crew, const rc_worker *leader); /* before the first round */

/* The leader: runs round(context) on itself and on the others that are there. With crew NULL: on itself. */
void rc_crew_round(rc_crew *crew, rc_round_fn *round, void *context);

/* The same of items: a round in which its threads take them. */
void rc_crew_items(rc_crew *crew, rc_items *items, int64_t count, rc_item_fn *item, void *context,
                   const rc_worker *leader);

/* The leader, after the last round. The others: take part in rounds until then. */
void rc_crew_close(rc_crew *crew);
void rc_crew_follow(rc_crew *crew, const rc_worker *worker);

/* Waits until all threads of the round have come here. Returns 0 when this thread must leave the round: another was kept
 * from running for so long that the leader goes on alone (its slice is everything then). */
int rc_slice_sync(rc_slice *slice);

/* The leader, in a round: from the next sync on it goes alone, and the others leave the call. */
void rc_slice_dismiss(rc_slice *slice);

/* This slice's range of `total` blocks. Small steps are alone, and would feel the divisions. */
static inline int64_t rc_slice_begin(const rc_slice *s, int64_t total)
{
    return s->count == 1 ? 0 : total * s->index / s->count;
}
static inline int64_t rc_slice_end(const rc_slice *s, int64_t total)
{
    return s->count == 1 ? total : total * (s->index + 1) / s->count;
}

#endif
