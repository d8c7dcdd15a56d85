/* SPDX-License-Identifier: MIT
 * Where the core's memory comes from. */
#include "arena.h"

#include "os.h"
#include "tuning.h"

void *rnncore_alloc(size_t bytes)
{
    const int huge = bytes >= RC_HUGE_PAGE;
    return rc_os_alloc(bytes ? bytes : 1, huge ? RC_HUGE_PAGE : RC_ALIGN, huge);
}

void rnncore_free(void *memory) { rc_os_free(memory); }
