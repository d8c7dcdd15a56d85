/* SPDX-License-Identifier: MIT
 * Where the core's memory comes from. */
#include "arena.h"

#include <stdlib.h>

#include "tuning.h"
#if defined(__linux__)
#include <sys/mman.h>
#endif

void *rnncore_alloc(size_t bytes)
{
    void *memory = NULL;
    const size_t alignment = bytes >= RC_HUGE_PAGE ? RC_HUGE_PAGE : RC_ALIGN;
    if (posix_memalign(&memory, alignment, bytes ? bytes : 1)) return NULL;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (bytes >= RC_HUGE_PAGE) (void)madvise(memory, bytes / RC_HUGE_PAGE * RC_HUGE_PAGE, MADV_HUGEPAGE);  /* a hint */
#endif
    return memory;
}

void rnncore_free(void *memory) { free(memory); }
