/* SPDX-License-Identifier: MIT
 * How a thread waits for another that is at work. */
#ifndef RC_WAIT_H
#define RC_WAIT_H

#include "compiler.h"
#include "os.h"
#include "tuning.h"

/* The i-th look at a flag failed: at first look again at once, then pause. */
static inline void rc_pause(int i)
{
    if (i >= RC_SPIN_HOT) rc_cpu_pause();
}

/* The same inside a call: after a while the other thread may be waiting for this core. */
static inline void rc_pause_or_yield(int i)
{
    if (i < RC_SPIN_PAUSES) rc_pause(i);
    else rc_os_yield();
}

#endif
