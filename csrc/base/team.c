/* SPDX-License-Identifier: MIT
 *
 * The thread team: see team.h. Waiting spins on plain loads, then with pauses, then yields the core or sleeps.
 *
 * Memory order: the caller writes the work, then opens the door (release); a thread that takes a seat acquires it. A thread
 * that leaves releases `left`; the caller acquires it before it returns. Sleepers are counted before they look at the
 * generation a last time, and the caller looks at the count after it raised the generation, both sequentially consistent,
 * so no wake-up is lost. */
#include "team.h"

#include "arena.h"
#include "fpenv.h"
#include "os.h"
#include "tuning.h"
#include "wait.h"

/* The door of a call, one word so that nobody takes a seat of another call: its seats, the caller's included, above the
 * count of those taken beside the caller's; 0 when it is closed. */
enum { DOOR_SEATS_SHIFT = 32 };

static inline int joined_of(uint64_t door) { return (int)(uint32_t)door; }

struct rnncore_team {
    _Alignas(RC_ALIGN) atomic_uint generation; /* raised with every call */
    atomic_int stop;
    _Alignas(RC_ALIGN) _Atomic uint64_t door;
    rc_work_fn *work;
    void *context;
    _Alignas(RC_ALIGN) atomic_int left;
    _Alignas(RC_ALIGN) atomic_int sleepers;
    rc_mutex busy; /* one call at a time; guards what follows */
    rc_mutex sleep;
    rc_condition wake;
    int max_threads, started;
    double alone_until, penalty; /* seconds: when crews may work again, and how long the last such pause was */
    int64_t owner;               /* the process whose threads these are */
    rc_thread *threads;
};

/* -- Threads ----------------------------------------------------------------------------------------------------------- */

/* Waits for a call other than the one seen; *looks counts those since the last call that this thread was part of. */
static void wait_for_call(rnncore_team *team, unsigned seen, int *looks)
{
    while (atomic_load_explicit(&team->generation, memory_order_acquire) == seen) {
        if (*looks < RC_LINGER_PAUSES) {
            rc_pause((*looks)++);
            continue;
        }
        rc_mutex_lock(&team->sleep);
        atomic_fetch_add(&team->sleepers, 1);
        while (atomic_load(&team->generation) == seen) rc_condition_wait(&team->wake, &team->sleep);
        atomic_fetch_sub(&team->sleepers, 1);
        rc_mutex_unlock(&team->sleep);
    }
}

/* So many sleepers as a call of `threads` threads has seats for beside those that are awake: a large team sleeps through small
 * calls. */
static void wake_sleepers(rnncore_team *team, int threads)
{
    const int asleep = atomic_load(&team->sleepers), awake = team->started - asleep; /* the caller is awake */
    if (asleep == 0 || threads <= awake) return;
    rc_mutex_lock(&team->sleep);
    for (int i = awake; i < threads; i++) rc_condition_wake(&team->wake);
    rc_mutex_unlock(&team->sleep);
}

/* A seat in the running call, or 0: there is none, or all are taken. */
static int take_seat(rnncore_team *team)
{
    uint64_t door = atomic_load_explicit(&team->door, memory_order_acquire);
    while (joined_of(door) + 1 < (int64_t)(door >> DOOR_SEATS_SHIFT))
        if (atomic_compare_exchange_weak_explicit(&team->door, &door, door + 1, memory_order_acq_rel,
                                                  memory_order_acquire))
            return joined_of(door) + 1;
    return 0;
}

static void *thread_main(void *argument)
{
    rnncore_team *team = argument;
    unsigned seen = 0;
    int looks = 0;
    for (;;) {
        wait_for_call(team, seen, &looks);
        if (atomic_load(&team->stop)) return NULL;
        seen = atomic_load_explicit(&team->generation, memory_order_acquire);
        const int seat = take_seat(team);
        if (!seat) continue;
        const rc_fpenv outside = rc_fpenv_enter(); /* a thread is born with that of whoever started it */
        team->work(team->context, &(rc_worker){team, seat, NULL});
        rc_fpenv_leave(outside);
        looks = 0;
        seen = atomic_load_explicit(&team->generation, memory_order_acquire); /* of the call just left */
        atomic_fetch_add_explicit(&team->left, 1, memory_order_release);
    }
}

static void start_threads(rnncore_team *team, int wanted)
{
    if (team->owner != rc_os_process()) { /* a forked child: the threads stayed with the parent */
        team->owner = rc_os_process();
        team->started = 1;
        atomic_store(&team->sleepers, 0);
        rc_mutex_init(&team->sleep);
        rc_condition_init(&team->wake);
    }
    for (; team->started < wanted; team->started++)
        if (!rc_thread_start(&team->threads[team->started], thread_main, team)) return;
}

void rc_team_run(rnncore_team *team, int threads, rc_work_fn *work, void *context, rc_stop *stop)
{
    if (team && threads > team->max_threads) threads = team->max_threads;
    if (!team || threads <= 1 || !rc_mutex_try(&team->busy)) {
        work(context, &(rc_worker){NULL, 0, stop});
        return;
    }
    start_threads(team, threads);
    team->work = work;
    team->context = context;
    atomic_store_explicit(&team->left, 0, memory_order_relaxed);
    atomic_store_explicit(&team->door, (uint64_t)threads << DOOR_SEATS_SHIFT, memory_order_release);
    atomic_fetch_add(&team->generation, 1);
    wake_sleepers(team, threads);

    work(context, &(rc_worker){team, 0, stop});
    const int joined = joined_of(atomic_exchange_explicit(&team->door, 0, memory_order_acq_rel));
    for (int i = 0; atomic_load_explicit(&team->left, memory_order_acquire) < joined; i++) rc_pause_or_yield(i);
    rc_mutex_unlock(&team->busy);
}

rnncore_status rnncore_team_create(int max_threads, rnncore_team **team)
{
    if (max_threads < 1 || !team) return RNNCORE_ERROR_ARGUMENT;
    rnncore_team *made = rnncore_alloc(sizeof *made);
    rc_thread *threads = rnncore_alloc((size_t)max_threads * sizeof *threads);
    if (!made || !threads) {
        rnncore_free(made);
        rnncore_free(threads);
        return RNNCORE_ERROR_MEMORY;
    }
    *made = (rnncore_team){.max_threads = max_threads, .started = 1, .owner = rc_os_process(), .threads = threads};
    rc_mutex_init(&made->busy);
    rc_mutex_init(&made->sleep);
    rc_condition_init(&made->wake);
    *team = made;
    return RNNCORE_OK;
}

void rnncore_team_destroy(rnncore_team *team)
{
    if (!team) return;
    if (team->owner == rc_os_process()) {
        atomic_store(&team->stop, 1);
        atomic_fetch_add(&team->generation, 1);
        wake_sleepers(team, team->started);
        for (int i = 1; i < team->started; i++) rc_thread_join(&team->threads[i]);
        rc_condition_destroy(&team->wake);
        rc_mutex_destroy(&team->sleep);
        rc_mutex_destroy(&team->busy);
    }
    rnncore_free(team->threads);
    rnncore_free(team);
}

/* -- Items ------------------------------------------------------------------------------------------------------------- */

void rc_items_run(rc_items *items, int64_t count, rc_item_fn *item, void *context, const rc_worker *worker)
{
    int64_t i;
    while ((i = atomic_fetch_add_explicit(&items->next, 1, memory_order_relaxed)) < count) {
        item(context, i, worker);
        atomic_fetch_add_explicit(&items->done, 1, memory_order_acq_rel);
    }
    for (int n = 0; atomic_load_explicit(&items->done, memory_order_acquire) < count; n++) {
        rc_pause_or_yield(n);
        if (worker->stop && n >= RC_SPIN_PAUSES) (void)rc_stop_ask(worker->stop); /* those at work will see it */
    }
}

/* -- Crews ------------------------------------------------------------------------------------------------------------- */

typedef struct crew_seat {
    /* Twice the number of rounds of syncs this thread has reached, odd when it knows that the leader goes on alone after this one. */
    _Alignas(RC_ALIGN) _Atomic uint64_t reached;
    _Atomic uint64_t finished; /* the last round this thread has left; it reads nothing of that round any more */
} crew_seat;

struct rc_crew {
    _Alignas(RC_ALIGN) _Atomic uint64_t round; /* rounds begun * RC_CREW_SEATS + threads in this one */
    rc_round_fn *work;                         /* of the round; stable while it has members */
    void *context;
    uint64_t tick; /* rounds of syncs before the round */
    atomic_int closed;
    rnncore_team *team;
    int threads, walkers;  /* that take items; that share steps */
    int stalled, alone;    /* the leader's: goes on alone in this call; does not try */
    double opened, waited; /* seconds: when the call began, and how much of it the leader has waited */
    double patience;       /* seconds after that for which it waits for threads to join */
    crew_seat seat[RC_CREW_SEATS];
};

rc_crew *rc_crew_create(int threads, int walkers, double patience)
{
    rc_crew *crew = walkers > 1 ? rnncore_alloc(sizeof *crew) : NULL;
    if (!crew) return NULL;
    if (threads >= RC_CREW_SEATS) threads = RC_CREW_SEATS - 1;
    *crew = (rc_crew){.threads = threads, .walkers = walkers < threads ? walkers : threads, .patience = patience};
    return crew;
}

void rc_crew_destroy(rc_crew *crew) { rnncore_free(crew); }

/* No more rounds for the others: they leave the call instead of waiting on a core that somebody wants. */
static void dismiss(rc_crew *crew) { atomic_store_explicit(&crew->closed, 1, memory_order_release); }

void rc_crew_open(rc_crew *crew, const rc_worker *leader)
{
    crew->team = leader->team;
    crew->opened = crew->team ? rc_os_seconds() : 0;
    crew->alone = !crew->team || crew->opened < crew->team->alone_until;
    if (crew->alone) dismiss(crew);
}

/* Waiting has cost more than a second thread can give: its work is at most as much again as the leader's own. */
static int waits_too_long(const rc_crew *crew)
{
    const double worked = rc_os_seconds() - crew->opened - crew->waited;
    return crew->waited > RC_WAIT_GRACE + 0.5 * worked;
}

/* A stall means that other processes want the cores. The leader works alone for as long as it was kept waiting, and twice
 * as long as the last time while stalls follow each other: all in all it loses no more than half of the time. */
void rc_crew_close(rc_crew *crew)
{
    rnncore_team *team = crew->team;
    if (team && !crew->alone) {
        const double next = 2 * team->penalty > crew->waited ? 2 * team->penalty : crew->waited;
        team->penalty = crew->stalled ? next < RC_MOST_ALONE ? next : RC_MOST_ALONE : team->penalty / 2;
        team->alone_until = crew->stalled ? rc_os_seconds() + team->penalty : 0;
    }
    dismiss(crew);
}

/* Waits until *value is at least `least` and returns it. A wait of more than a few looks is added to *waited (NULL: not). */
static uint64_t wait_for(const _Atomic uint64_t *value, uint64_t least, double *waited)
{
    uint64_t seen;
    double began = 0;
    for (int i = 0; (seen = atomic_load_explicit(value, memory_order_acquire)) < least; i++) {
        if (i == RC_SPIN_PAUSES && waited) began = rc_os_seconds();
        rc_pause_or_yield(i);
    }
    if (began > 0) *waited += rc_os_seconds() - began;
    return seen;
}

/* Threads for the next round: those that have joined the call, `most` at most. Gives threads that are awake a moment to come, and those that
 * sleep the time that the call has for them. */
static int muster(const rc_crew *crew, int most)
{
    rnncore_team *team = crew->team;
    if (!team || crew->stalled || crew->alone) return 1;
    for (int i = 0;; i++) {
        const int here = 1 + joined_of(atomic_load_explicit(&team->door, memory_order_acquire));
        if (here >= most) return most;
        if (i >= RC_MUSTER_SPINS ||
            team->started - atomic_load_explicit(&team->sleepers, memory_order_relaxed) < most) {
            if (rc_os_seconds() >= crew->opened + crew->patience) return here;
            if (i % RC_MUSTER_SPINS == RC_MUSTER_SPINS - 1) rc_os_yield(); /* it may have woken up on this core */
        }
        rc_pause(RC_SPIN_HOT);
    }
}

static void run_round(rc_crew *crew, int most, rc_round_fn *round, void *context)
{
    const int count = crew ? muster(crew, most) : 1;
    rc_slice slice = {.index = 0, .count = count, .crew = crew, .tick = crew ? crew->tick : 0};
    if (count == 1) {
        round(context, &slice);
        return;
    }
    const uint64_t begun = atomic_load_explicit(&crew->round, memory_order_relaxed) / RC_CREW_SEATS;
    const uint64_t number = (begun + 1) * RC_CREW_SEATS + (uint64_t)count;
    crew->work = round;
    crew->context = context;
    atomic_store_explicit(&crew->round, number, memory_order_release);
    round(context, &slice);
    for (int i = 1; i < count; i++) wait_for(&crew->seat[i].finished, number, &crew->waited);
    crew->tick = slice.tick;
}

void rc_crew_round(rc_crew *crew, rc_round_fn *round, void *context)
{
    run_round(crew, crew ? crew->walkers : 1, round, context);
}

typedef struct crew_items {
    rc_items *list;
    int64_t count;
    rc_item_fn *item;
    void *context;
    rc_stop *stop; /* the leader's */
} crew_items;

static void round_of_items(void *context, rc_slice *slice)
{
    const crew_items *items = context;
    const rc_worker worker = {NULL, slice->index, slice->index == 0 ? items->stop : NULL};
    rc_items_run(items->list, items->count, items->item, items->context, &worker);
}

void rc_crew_items(rc_crew *crew, rc_items *items, int64_t count, rc_item_fn *item, void *context,
                   const rc_worker *leader)
{
    run_round(crew, crew->threads, round_of_items, &(crew_items){items, count, item, context, leader->stop});
}

void rc_crew_follow(rc_crew *crew, const rc_worker *worker)
{
    uint64_t seen = 0;
    for (int i = 0; !atomic_load_explicit(&crew->closed, memory_order_acquire); i++) {
        const uint64_t round = atomic_load_explicit(&crew->round, memory_order_acquire);
        if (round == seen || (uint64_t)worker->seat >= round % RC_CREW_SEATS) {
            rc_pause_or_yield(i);
            continue;
        }
        seen = round;
        i = 0;
        rc_slice slice = {
            .index = worker->seat, .count = (int)(round % RC_CREW_SEATS), .crew = crew, .tick = crew->tick};
        crew->work(crew->context, &slice);
        atomic_store_explicit(&crew->seat[worker->seat].finished, round, memory_order_release);
    }
}

void rc_slice_dismiss(rc_slice *slice)
{
    if (slice->count > 1) slice->crew->stalled = 1;
}

/* Threads meet in rounds: in the first one each waits for the RC_MEET - 1 before it in the circle, in the next one for as many that
 * are RC_MEET apart, and so on, so that each hears of all. Few threads need one round. The leader's news that it goes on alone
 * travels with it; a thread that has gone on to the next sync has heard that it does not. */
int rc_slice_sync(rc_slice *slice)
{
    rc_crew *crew = slice->crew;
    const int count = slice->count, leads = slice->index == 0;
    if (count == 1) return 1;
    uint64_t last = slice->tick;
    for (int apart = 1; apart < count; apart *= RC_MEET) last++;
    uint64_t goes_alone = leads && crew->stalled;
    const double before = leads ? crew->waited : 0;
    for (int apart = 1; apart < count; apart *= RC_MEET) {
        const uint64_t tick = ++slice->tick;
        atomic_store_explicit(&crew->seat[slice->index].reached, 2 * tick + goes_alone, memory_order_release);
        for (int i = apart; i < count && i < RC_MEET * apart; i += apart) {
            const int other = slice->index >= i ? slice->index - i : slice->index - i + count;
            const uint64_t reached = wait_for(&crew->seat[other].reached, 2 * tick, leads ? &crew->waited : NULL);
            if (reached / 2 <= last) goes_alone |= reached & 1;
        }
    }
    if (!leads) return !goes_alone;
    /* A leader that goes alone stays alone: the others leave the call. */
    if (!goes_alone && crew->waited > before) crew->stalled = waits_too_long(crew);
    if (goes_alone) {
        slice->count = 1;
        dismiss(crew);
    }
    return 1;
}
