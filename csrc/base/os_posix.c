/* SPDX-License-Identifier: MIT
 * See os.h: POSIX, with what Linux has beside it. */
#include "cpu.h"
#include "os.h"

#if !defined(__wasm__) && !defined(_WIN32)
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/auxv.h>
#include <sys/mman.h>
#endif

void *rc_os_alloc(size_t bytes, size_t alignment, int huge)
{
    void *memory = NULL;
    if (posix_memalign(&memory, alignment, bytes)) return NULL;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (huge) (void)madvise(memory, bytes / alignment * alignment, MADV_HUGEPAGE); /* a hint */
#else
    (void)huge;
#endif
    return memory;
}

void rc_os_free(void *memory) { free(memory); }

double rc_os_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void rc_os_yield(void) { (void)sched_yield(); }

int64_t rc_os_l2_bytes(void)
{
#if defined(_SC_LEVEL2_CACHE_SIZE)
    const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (bytes > 0) return bytes;
#endif
    return 0;
}

int64_t rc_os_process(void) { return getpid(); }

#if defined(__aarch64__)
int rc_cpu_has_dot(void)
{
#if defined(HWCAP_ASIMDDP)
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
    return 0;
#endif
}
#endif

void rc_mutex_init(rc_mutex *mutex) { pthread_mutex_init(mutex, NULL); }
void rc_mutex_destroy(rc_mutex *mutex) { pthread_mutex_destroy(mutex); }
void rc_mutex_lock(rc_mutex *mutex) { pthread_mutex_lock(mutex); }
int rc_mutex_try(rc_mutex *mutex) { return pthread_mutex_trylock(mutex) == 0; }
void rc_mutex_unlock(rc_mutex *mutex) { pthread_mutex_unlock(mutex); }

void rc_condition_init(rc_condition *condition) { pthread_cond_init(condition, NULL); }
void rc_condition_destroy(rc_condition *condition) { pthread_cond_destroy(condition); }
void rc_condition_wait(rc_condition *condition, rc_mutex *mutex) { pthread_cond_wait(condition, mutex); }
void rc_condition_wake(rc_condition *condition) { pthread_cond_signal(condition); }

int rc_thread_start(rc_thread *thread, void *(*main)(void *), void *argument)
{
    return pthread_create(thread, NULL, main, argument) == 0;
}

void rc_thread_join(rc_thread *thread) { pthread_join(*thread, NULL); }
#endif
