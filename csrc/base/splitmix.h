/* SPDX-License-Identifier: MIT
 *
 * SplitMix64 (Steele, Lea, Flood 2014) as a counter: element i of the stream `key` is mix(key + (i + 1) * golden), so any
 * element can be had without those before it, and a mask does not depend on threads, batches or order. */
#ifndef RC_SPLITMIX_H
#define RC_SPLITMIX_H

#include <stdint.h>

#define RC_SPLITMIX_STEP 0x9E3779B97F4A7C15u

/* Of element i; that of the next one is RC_SPLITMIX_STEP more. */
static inline uint64_t rc_splitmix64_counter(uint64_t key, uint64_t i) { return key + (i + 1) * RC_SPLITMIX_STEP; }

static inline uint64_t rc_splitmix64_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline uint64_t rc_splitmix64(uint64_t key, uint64_t i)
{
    return rc_splitmix64_mix(rc_splitmix64_counter(key, i));
}

#endif
