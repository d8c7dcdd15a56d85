/* SPDX-License-Identifier: MIT
 *
 * The operating system, as far as the core needs one: memory, a clock, caches, threads. One file per system implements it
 * (os_posix.c, os_wasm.c, os_win32.c: each is empty on the other systems); nothing else includes a header of a system. */
#ifndef RC_OS_H
#define RC_OS_H

#include <stddef.h>
#include <stdint.h>
#if !defined(_WIN32)
#include <pthread.h>
#endif

/* Memory aligned to `alignment`, a power of two; NULL when there is none. `huge`: on huge pages where the system has them. */
void *rc_os_alloc(size_t bytes, size_t alignment, int huge);
void rc_os_free(void *memory);

double rc_os_seconds(void);   /* of a clock that only goes forward */
void rc_os_yield(void);       /* another thread may have this core */
int64_t rc_os_l2_bytes(void); /* of a core's second cache; 0: the system does not tell */
int64_t rc_os_process(void);  /* number of this process: another one in a forked child */

/* On Windows the same as SRWLOCK, CONDITION_VARIABLE and HANDLE, without the thousands of names of windows.h. */
#if defined(_WIN32)
typedef struct rc_mutex {
    void *lock;
} rc_mutex;
typedef struct rc_condition {
    void *condition;
} rc_condition;
typedef struct rc_thread {
    void *handle;
    void *(*main)(void *);
    void *argument;
} rc_thread;
#else
typedef pthread_mutex_t rc_mutex;
typedef pthread_cond_t rc_condition;
typedef pthread_t rc_thread;
#endif

void rc_mutex_init(rc_mutex *mutex);
void rc_mutex_destroy(rc_mutex *mutex);
void rc_mutex_lock(rc_mutex *mutex);
int rc_mutex_try(rc_mutex *mutex); /* whether it is locked now, by this thread */
void rc_mutex_unlock(rc_mutex *mutex);

void rc_condition_init(rc_condition *condition);
void rc_condition_destroy(rc_condition *condition);
void rc_condition_wait(rc_condition *condition, rc_mutex *mutex);
void rc_condition_wake(rc_condition *condition); /* one that waits */

/* Whether it runs; *thread stays where it is until it has been joined. */
int rc_thread_start(rc_thread *thread, void *(*main)(void *), void *argument);
void rc_thread_join(rc_thread *thread);

#endif
