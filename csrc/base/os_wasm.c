/* SPDX-License-Identifier: MIT
 * See os.h: WebAssembly, where there is memory and one thread. A module imports nothing, so there is no clock either; only
 * threads that wait for each other look at it. */
#include "os.h"

#if defined(__wasm__)
#include <stdlib.h>

void *rc_os_alloc(size_t bytes, size_t alignment, int huge)
{
    (void)huge;
    if (bytes > SIZE_MAX - alignment) return NULL;
    return aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

void rc_os_free(void *memory) { free(memory); }

double rc_os_seconds(void) { return 0; }
void rc_os_yield(void) {}
int64_t rc_os_l2_bytes(void) { return 0; }
int64_t rc_os_process(void) { return 1; }

/* The one thread never finds a mutex locked, and never waits: nobody could wake it. */
void rc_mutex_init(rc_mutex *mutex) { (void)mutex; }
void rc_mutex_destroy(rc_mutex *mutex) { (void)mutex; }
void rc_mutex_lock(rc_mutex *mutex) { (void)mutex; }

int rc_mutex_try(rc_mutex *mutex)
{
    (void)mutex;
    return 1;
}

void rc_mutex_unlock(rc_mutex *mutex) { (void)mutex; }

void rc_condition_init(rc_condition *condition) { (void)condition; }
void rc_condition_destroy(rc_condition *condition) { (void)condition; }

void rc_condition_wait(rc_condition *condition, rc_mutex *mutex)
{
    (void)condition;
    (void)mutex;
}

void rc_condition_wake(rc_condition *condition) { (void)condition; }

int rc_thread_start(rc_thread *thread, void *(*main)(void *), void *argument)
{
    (void)thread;
    (void)main;
    (void)argument;
    return 0;
}

void rc_thread_join(rc_thread *thread) { (void)thread; }
#endif
