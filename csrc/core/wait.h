/* SPDX-License-Identifier: MIT
 * How a thread waits for another that is at work. */
#ifndef RC_WAIT_H
#define RC_WAIT_H

#include <sched.h>

#include "tuning.h"

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

#endif
