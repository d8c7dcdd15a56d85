/* SPDX-License-Identifier: MIT
 *
 * The thread team. A call publishes its work under a new generation number; workers that see a generation they have a
 * seat in run it and count themselves out. Waiting spins on plain loads, then with yields, then sleeps on a condition.
 *
 * Memory order: the caller writes the work, then releases `generation`; a worker acquires it. A worker releases `running`
 * when it is done; the caller acquires it. Sleepers are counted before they look at the flag a last time, and whoever
 * sets a flag looks at the count after, both sequentially consistent, so no wake-up is lost. */
#include "team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "arena.h"
#include "tuning.h"

struct rnncore_team {
    _Alignas(RC_ALIGN) atomic_uint generation;      /* of the published work; odd steps are not special */
    atomic_int seats;                               /* threads of that call, the caller included */
    rc_work_fn *work;
    void *context;
    atomic_int stop;
    _Alignas(RC_ALIGN) atomic_int running;          /* workers still at it */
    _Alignas(RC_ALIGN) atomic_int arrived;          /* barrier: threads there */
    _Alignas(RC_ALIGN) atomic_uint phase;           /* barrier: how often it opened */
    _Alignas(RC_ALIGN) atomic_int sleepers;
    pthread_mutex_t busy;                           /* one call at a time */
    pthread_mutex_t sleep;
    pthread_cond_t wake;
    int max_threads, started;                       /* guarded by busy */
    pid_t owner;                                    /* the process whose threads these are */
    pthread_t *threads;
};

typedef struct seat {
    rnncore_team *team;
    int thread;
    unsigned seen;               /* generation when the thread was started */
} seat;

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* Waits until *flag is not `old`. Threads inside a call keep spinning with yields (the others are at work, too);
 * between calls they sleep. */
static void wait_change(rnncore_team *team, atomic_uint *flag, unsigned old, int may_sleep)
{
    for (int i = 0; atomic_load_explicit(flag, memory_order_acquire) == old; i++) {
        if (i < RC_SPIN_PAUSES) {
            relax();
        } else if (!may_sleep) {
            sched_yield();
        } else {
            pthread_mutex_lock(&team->sleep);
            atomic_fetch_add(&team->sleepers, 1);
            while (atomic_load(flag) == old) pthread_cond_wait(&team->wake, &team->sleep);
            atomic_fetch_sub(&team->sleepers, 1);
            pthread_mutex_unlock(&team->sleep);
        }
    }
}

static void wake_sleepers(rnncore_team *team)
{
    if (atomic_load(&team->sleepers) == 0) return;
    pthread_mutex_lock(&team->sleep);
    pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->sleep);
}

static void *worker_main(void *argument)
{
    const seat mine = *(seat *)argument;
    rnncore_team *team = mine.team;
    unsigned seen = mine.seen;
    free(argument);
    for (;;) {
        wait_change(team, &team->generation, seen, 1);
        seen = atomic_load_explicit(&team->generation, memory_order_acquire);
        if (atomic_load_explicit(&team->stop, memory_order_relaxed)) return NULL;
        const int seats = atomic_load_explicit(&team->seats, memory_order_relaxed);
        if (mine.thread < seats) {
            team->work(team->context, &(rc_worker){team, mine.thread, seats});
            atomic_fetch_sub_explicit(&team->running, 1, memory_order_release);
        }
    }
}

/* Starts threads until there are `wanted` (or no more can be had); returns how many there are, the caller included. */
static int start_threads(rnncore_team *team, int wanted)
{
    if (team->owner != getpid()) {       /* a forked child: the threads stayed with the parent */
        team->owner = getpid();
        team->started = 1;
        atomic_store(&team->sleepers, 0);
        pthread_mutex_init(&team->sleep, NULL);
        pthread_cond_init(&team->wake, NULL);
    }
    for (; team->started < wanted; team->started++) {
        seat *new_seat = malloc(sizeof *new_seat);
        if (!new_seat) break;
        *new_seat = (seat){team, team->started, atomic_load(&team->generation)};
        if (pthread_create(&team->threads[team->started], NULL, worker_main, new_seat)) {
            free(new_seat);
            break;
        }
    }
    return team->started < wanted ? team->started : wanted;
}

void rc_team_run(rnncore_team *team, int threads, rc_work_fn *work, void *context)
{
    if (team && threads > team->max_threads) threads = team->max_threads;
    if (!team || threads <= 1 || pthread_mutex_trylock(&team->busy)) {
        work(context, &(rc_worker){NULL, 0, 1});
        return;
    }
    threads = start_threads(team, threads);
    team->work = work;
    team->context = context;
    atomic_store_explicit(&team->seats, threads, memory_order_relaxed);
    atomic_store_explicit(&team->running, threads - 1, memory_order_relaxed);
    atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
    atomic_fetch_add(&team->generation, 1);
    wake_sleepers(team);

    work(context, &(rc_worker){threads > 1 ? team : NULL, 0, threads});
    for (int i = 0; atomic_load_explicit(&team->running, memory_order_acquire) > 0; i++) {
        if (i < RC_SPIN_PAUSES) relax();
        else sched_yield();
    }
    pthread_mutex_unlock(&team->busy);
}

void rc_team_barrier(const rc_worker *worker)
{
    rnncore_team *team = worker->team;
    if (!team) return;
    const unsigned phase = atomic_load_explicit(&team->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) == worker->threads - 1) {
        atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&team->phase, phase + 1, memory_order_release);
    } else {
        wait_change(team, &team->phase, phase, 0);
    }
}

rnncore_status rnncore_team_create(int max_threads, rnncore_team **team)
{
    if (max_threads < 1 || !team) return RNNCORE_ERROR_ARGUMENT;
    rnncore_team *made = rc_alloc(sizeof *made);
    pthread_t *threads = calloc((size_t)max_threads, sizeof *threads);
    if (!made || !threads) {
        rc_free(made);
        free(threads);
        return RNNCORE_ERROR_MEMORY;
    }
    *made = (rnncore_team){.max_threads = max_threads, .started = 1, .owner = getpid(), .threads = threads};
    pthread_mutex_init(&made->busy, NULL);
    pthread_mutex_init(&made->sleep, NULL);
    pthread_cond_init(&made->wake, NULL);
    *team = made;
    return RNNCORE_OK;
}

void rnncore_team_destroy(rnncore_team *team)
{
    if (!team) return;
    if (team->owner == getpid()) {
        atomic_store(&team->stop, 1);
        atomic_fetch_add(&team->generation, 1);
        wake_sleepers(team);
        for (int i = 1; i < team->started; i++) pthread_join(team->threads[i], NULL);
    }
    free(team->threads);
    rc_free(team);
}
