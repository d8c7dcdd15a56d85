/* SPDX-License-Identifier: MIT
 *
 * A call that its caller may end early. Only the calling thread asks him, in his floating-point environment and not more often
 * than he wants; the other threads see what he said. All of them look between steps, so that no wait is left without its end. */
#ifndef RC_STOP_H
#define RC_STOP_H

#include <stdatomic.h>
#include <stdint.h>

#include "fpenv.h"

typedef struct rc_stop {
    int (*cancel)(void *context); /* NULL: nobody to ask */
    void *context;
    double every, next; /* seconds between two questions, and of the clock, when the next one is due (0: no look yet) */
    rc_fpenv outside;
    atomic_int stopped;
} rc_stop;

static inline int rc_stopped(const rc_stop *stop) { return atomic_load_explicit(&stop->stopped, memory_order_relaxed); }

/* Whether the call is to end: asks, if it is time. For the calling thread alone. */
int rc_stop_ask(rc_stop *stop);

/* How a thread that walks steps looks: at one step of mask + 1, a power of two, and as the calling thread or as another. */
typedef struct rc_watch {
    rc_stop *stop;
    int asks;
    int64_t mask;
} rc_watch;

static inline int rc_watch_ends(const rc_watch *watch, int64_t step)
{
    if (step & watch->mask) return 0;
    return watch->asks ? rc_stop_ask(watch->stop) : rc_stopped(watch->stop);
}

#endif
