/* SPDX-License-Identifier: MIT
 * How a thread waits for another that is at work. */
#ifndef RC_WAIT_H
#define RC_WAIT_H

#include <sched.h>
#include <time.h>

#include "tuning.h"

/* Of a clock that only goes forward. */
static inline double rc_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The i-th look at a flag failed: at first look again at once, then pause (and let a sibling thread run). */
static inline void rc_pause(int i)
{
    if (i < RC_SPIN_HOT) return;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* The same inside a call: after a while the other thread may be waiting for this core. */
static inline void rc_pause_or_yield(int i)
{
    if (i < RC_SPIN_PAUSES) rc_pause(i);
    else (void)sched_yield();
}

/* Hints that a cache line will be read or written soon. (With the compiler's builtins alone in a function, GCC 12 takes its
 * calls for useless and drops them; and without a flag it makes no prefetchw, which no 64-bit x86 faults on.) */
static inline void rc_ask_to_read(const void *line)
{
    __builtin_prefetch(line);
    __asm__ __volatile__("");
}

static inline void rc_ask_to_write(const void *line)
{
#if defined(__x86_64__)
    __asm__ __volatile__("prefetchw %0" : : "m"(*(const char *)line));
#else
    __builtin_prefetch(line, 1);
    __asm__ __volatile__("");
#endif
}

#endif
