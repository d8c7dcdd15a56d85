/* SPDX-License-Identifier: MIT
 * What the core asks of a compiler beside C11. */
#ifndef RC_COMPILER_H
#define RC_COMPILER_H

/* The pause between two looks at a flag: a sibling thread runs meanwhile. */
static inline void rc_cpu_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
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
