/* SPDX-License-Identifier: MIT
 * Every number that was chosen by measurement or by a machine's size: value, reason, how to measure again. */
#ifndef RC_TUNING_H
#define RC_TUNING_H

/* Bytes of a huge page on x86-64 and AArch64 Linux. Pieces this large ask for them: 4 KB pages cost up to 30 % of the
 * read bandwidth at 1.5 MB of weights. */
#define RC_HUGE_PAGE ((size_t)2 << 20)

/* Bytes of pre-activations that one thread holds between the input product and the time loop. Half of a small (512 KB)
 * L2, so they are still there when the time loop reads them. */
#define RC_CHUNK_BYTES ((int64_t)256 << 10)

/* Fewest floating-point operations per thread worth waking a thread for: about 10 us of work at 50 GFLOP/s against a few
 * us to wake a thread that sleeps. */
#define RC_MIN_FLOPS_PER_THREAD 500000.0

/* Rows (steps x batch) of one gradient product. Large enough for the BLAS to reach its peak, small enough for the
 * gathered operands to stay in L2: 512 rows of 256 floats are 512 KB. */
#define RC_GRADIENT_ROWS 512

/* Pause instructions a thread of the team spins for work (or for the others) before it sleeps, and how many of them before
 * it begins to yield the core: about 1 us, then up to some 50 us. Sleeping at once costs 30 us per call, spinning for ever
 * starves other processes. */
#define RC_SPIN_PAUSES 2000
#define RC_SPIN_HOT 32

#endif
