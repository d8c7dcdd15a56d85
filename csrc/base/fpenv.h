/* SPDX-License-Identifier: MIT
 *
 * The floating-point environment of a call: round to nearest, nothing traps, and subnormal numbers are zeros of their sign, as
 * operands and as results. Processors take ten to a hundred times as long for them, and one that flushed and one that did
 * not would give different bits. Every door of the library enters it and puts the caller's back, exception flags included; a
 * thread of a team enters it for each job. */
#ifndef RC_FPENV_H
#define RC_FPENV_H

#include <stdint.h>

typedef struct rc_fpenv {
    uint64_t word;
} rc_fpenv;

/* The "memory" keeps loads of operands and stores of results on their side. Elsewhere (WebAssembly, RISC-V) there is nothing
 * to choose: subnormal numbers are numbers there. */
#if defined(__x86_64__)
#define RC_FPENV_FLUSHES 1
enum { RC_FPENV_OURS = 0x1f80 | 0x8000 | 0x0040 }; /* all exceptions masked, flush to zero, denormals are zeros */

static inline rc_fpenv rc_fpenv_now(void)
{
    uint32_t word;
    __asm__ __volatile__("stmxcsr %0" : "=m"(word) : : "memory");
    return (rc_fpenv){word};
}

static inline void rc_fpenv_set(rc_fpenv env)
{
    const uint32_t word = (uint32_t)env.word;
    __asm__ __volatile__("ldmxcsr %0" : : "m"(word) : "memory");
}
#elif defined(__aarch64__)
#define RC_FPENV_FLUSHES 1
enum { RC_FPENV_OURS = 1 << 24 }; /* FZ: both; no alternate handling, NaNs keep their payload */

static inline rc_fpenv rc_fpenv_now(void)
{
    uint64_t word;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(word) : : "memory");
    return (rc_fpenv){word};
}

static inline void rc_fpenv_set(rc_fpenv env) { __asm__ __volatile__("msr fpcr, %0" : : "r"(env.word) : "memory"); }
#else
#define RC_FPENV_FLUSHES 0
enum { RC_FPENV_OURS = 0 };
static inline rc_fpenv rc_fpenv_now(void) { return (rc_fpenv){0}; }
static inline void rc_fpenv_set(rc_fpenv env) { (void)env; }
#endif

/* Enters the library's environment; gives the one that was there, for rc_fpenv_leave. */
static inline rc_fpenv rc_fpenv_enter(void)
{
    const rc_fpenv outside = rc_fpenv_now();
    rc_fpenv_set((rc_fpenv){RC_FPENV_OURS});
    return outside;
}

static inline void rc_fpenv_leave(rc_fpenv outside) { rc_fpenv_set(outside); }

#endif
