/* SPDX-License-Identifier: MIT
 * See os.h: Windows, from Windows 7 on. */
#include "cpu.h"
#include "os.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <malloc.h>
#include <windows.h>

/* Large pages need a right that processes do not have: see the manual of VirtualAlloc. */
void *rc_os_alloc(size_t bytes, size_t alignment, int huge)
{
    (void)huge;
    return _aligned_malloc(bytes, alignment);
}

void rc_os_free(void *memory) { _aligned_free(memory); }

double rc_os_seconds(void)
{
    LARGE_INTEGER ticks, per_second;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&per_second);
    return (double)ticks.QuadPart / (double)per_second.QuadPart;
}

void rc_os_yield(void) { (void)SwitchToThread(); }

#if defined(__aarch64__)
int rc_cpu_has_dot(void) { return IsProcessorFeaturePresent(43) != 0; } /* PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE */
#endif

int64_t rc_os_l2_bytes(void)
{
    DWORD bytes = 0;
    int64_t found = 0;
    GetLogicalProcessorInformation(NULL, &bytes); /* how many it would be */
    SYSTEM_LOGICAL_PROCESSOR_INFORMATION *info = bytes ? malloc(bytes) : NULL;
    if (info && GetLogicalProcessorInformation(info, &bytes))
        for (size_t i = 0; i < bytes / sizeof *info && !found; i++)
            if (info[i].Relationship == RelationCache && info[i].Cache.Level == 2) found = info[i].Cache.Size;
    free(info);
    return found;
}

int64_t rc_os_process(void) { return (int64_t)GetCurrentProcessId(); }

static SRWLOCK *lock_of(rc_mutex *mutex) { return (SRWLOCK *)&mutex->lock; }
static CONDITION_VARIABLE *variable_of(rc_condition *condition) { return (CONDITION_VARIABLE *)&condition->condition; }

void rc_mutex_init(rc_mutex *mutex) { InitializeSRWLock(lock_of(mutex)); }
void rc_mutex_destroy(rc_mutex *mutex) { (void)mutex; } /* it holds nothing */
void rc_mutex_lock(rc_mutex *mutex) { AcquireSRWLockExclusive(lock_of(mutex)); }
int rc_mutex_try(rc_mutex *mutex) { return TryAcquireSRWLockExclusive(lock_of(mutex)) != 0; }
void rc_mutex_unlock(rc_mutex *mutex) { ReleaseSRWLockExclusive(lock_of(mutex)); }

void rc_condition_init(rc_condition *condition) { InitializeConditionVariable(variable_of(condition)); }
void rc_condition_destroy(rc_condition *condition) { (void)condition; }
void rc_condition_wait(rc_condition *condition, rc_mutex *mutex)
{
    SleepConditionVariableSRW(variable_of(condition), lock_of(mutex), INFINITE, 0);
}
void rc_condition_wake(rc_condition *condition) { WakeConditionVariable(variable_of(condition)); }

static DWORD WINAPI thread_main(void *argument)
{
    const rc_thread *thread = argument;
    thread->main(thread->argument);
    return 0;
}

int rc_thread_start(rc_thread *thread, void *(*main)(void *), void *argument)
{
    thread->main = main;
    thread->argument = argument;
    thread->handle = CreateThread(NULL, 0, thread_main, thread, 0, NULL);
    return thread->handle != NULL;
}

void rc_thread_join(rc_thread *thread)
{
    WaitForSingleObject(thread->handle, INFINITE);
    CloseHandle(thread->handle);
}
#endif
