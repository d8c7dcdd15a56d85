/* SPDX-License-Identifier: MIT
 *
 * SplitMix64 (Steele, Lea, Flood 2014) as a counter: element i of the stream `key` is mix(key + (i + 1) * golden), so any
 * element can be had without those before it, and a mask does not depend on threads, batches or order. */
#ifndef RC_SPLITMIX_H
#define RC_SPLITMIX_H

#include <stdint.h>

static inline uint64_t rc_splitmix64(uint64_t key, uint64_t i)
{
    uint64_t z = key + (i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

#endif
