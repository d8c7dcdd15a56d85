/* SPDX-License-Identifier: MIT
 *
 * What this machine can do at best: multiply-add rate, read bandwidth of packed weights, flag latency,
 * tails of short calls. Plain C with POSIX threads and GCC/Clang vector extensions; knows nothing of Python or of the rnncore core, so that
 * the limit does not share a mistake with what it judges. Every function returns a status and writes only on success. */
#ifndef RNNCORE_BENCH_LIMITS_H
#define RNNCORE_BENCH_LIMITS_H

#include <stdint.h>

typedef enum limits_status { LIMITS_OK = 0, LIMITS_ARGUMENT, LIMITS_MEMORY, LIMITS_THREAD } limits_status;

/* Names of the instruction sets compiled in that this CPU runs, widest first; NULL past the end. */
const char *limits_isa_name(int index);

/* GFLOP/s of independent fused multiply-adds in registers, all `threads` together (a multiply-add is 2 FLOP). */
limits_status limits_fma_peak(const char *isa, int float64, int threads, double seconds, double *gflops);

/* GB/s of reading `bytes` of weights over and over, each element feeding one multiply-add with a broadcast input: the
 * recurrent product at batch 1 without anything else. Each thread owns bytes / threads. 0.1 GB/s = 1e8 bytes/s. */
limits_status limits_read_bandwidth(const char *isa, int float64, int64_t bytes, int threads, double seconds,
                                    double *gbytes);

/* Nanoseconds from a store on one core until a thread spinning on another core sees it: half of a round trip. */
limits_status limits_flag_latency(double seconds, double *nanoseconds);

/* Nanoseconds that a loop of about a microsecond takes that touches no memory: the median, and what one in a thousand exceeds.
 * No call of that length can have a shorter tail here. */
limits_status limits_tail(double seconds, double *median, double *p999);

#endif
