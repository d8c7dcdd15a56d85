/* SPDX-License-Identifier: MIT
 *
 * A bump allocator over one block of memory. The same layout code runs twice: over an arena that only counts (base NULL),
 * then over memory of the size it counted. Pieces are aligned to cache lines; sizes saturate instead of wrapping. */
#ifndef RC_ARENA_H
#define RC_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "../include/rnncore.h"

enum { RC_ALIGN = 64 };

typedef struct rc_arena {
    char *base;        /* NULL: only count */
    size_t used, size; /* used > size: overflow */
} rc_arena;

static inline rc_arena rc_arena_counting(void) { return (rc_arena){NULL, 0, SIZE_MAX / 2}; }
static inline rc_arena rc_arena_over(void *base, size_t size) { return (rc_arena){base, 0, size}; }

static inline void *rc_arena_take(rc_arena *arena, int64_t count, int64_t size)
{
    size_t bytes;
    char *piece = arena->base ? arena->base + arena->used : NULL;
    if (__builtin_mul_overflow(count, size, &bytes) || __builtin_add_overflow(bytes, RC_ALIGN - 1, &bytes) ||
        __builtin_add_overflow(arena->used, bytes / RC_ALIGN * RC_ALIGN, &arena->used))
        arena->used = SIZE_MAX;
    return piece;
}

/* What the layout needs, 0 when that overflowed. */
static inline size_t rc_arena_bytes(const rc_arena *arena) { return arena->used > arena->size ? 0 : arena->used; }

#endif
