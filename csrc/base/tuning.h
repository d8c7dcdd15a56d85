/* SPDX-License-Identifier: MIT
 * Every number that was chosen by measurement or by a machine's size: value, reason, how to measure again. */
#ifndef RC_TUNING_H
#define RC_TUNING_H

/* Bytes of a huge page on x86-64 and AArch64 Linux. Pieces this large ask for them: 4 KB pages cost up to 30 % of the
 * read bandwidth at 1.5 MB of weights. */
#define RC_HUGE_PAGE ((size_t)2 << 20)

/* Rows of gates of a multiple of this many bytes are made a cache line longer: in an L1 of 64 sets every fourth row, at
 * most, would fall into the same set, and the products over tokens read one line of each of 128 rows. */
#define RC_ALIASING_BYTES 1024

/* Bytes of pre-activations that one thread holds between the input product and the time loop. Half of a small (512 KB)
 * L2, so they are still there when the time loop reads them. */
#define RC_CHUNK_BYTES ((int64_t)256 << 10)

/* Fewest tokens of a chunk: what reading W_ih from far away costs is shared by so many. */
#define RC_CHUNK_TOKENS 96

/* Fewest floating-point operations per thread worth waking a thread for: about 10 us of work at 50 GFLOP/s against a few
 * us to wake a thread that sleeps. */
#define RC_MIN_FLOPS_PER_THREAD 500000.0
#define RC_FLOPS_PER_SECOND 5e10

/* Tokens that a weight gradient adds at a time: a panel of their inputs (64 x 256 bytes) and their gates stay in L1 while the
 * units pass, beside whatever a neighbour on the core needs (96 and 128 are as fast on a core of one's own, and 10 % slower on
 * a shared one). And bytes of the rows of a gradient that one piece of work adds to, over all tokens, at most half of L2: they
 * stay there. (Half as many: LSTM, H = 200, forward and backward 1 to 2 % longer, as each piece copies the inputs.) */
#define RC_OUTER_TOKENS 64
#define RC_OUTER_BYTES ((int64_t)512 << 10)

/* Parts of a core's L2, as 1/n of it. On one thread backward multiplies a few steps at a time when all gates exceed the first
 * part and the weight gradients do not exceed the second; those steps have gates of the third. (L2 of 2 MB, LSTM and GRU: 5 to 7 %
 * of backward at H = 64, 3 % at H = 128; with the 4 MB of weight gradients of H = 256 it loses 3 %.) */
#define RC_CACHED_GATES 2
#define RC_CACHED_WEIGHTS 4
#define RC_SEGMENT_GATES 8

/* Tokens of one piece of the input gradients: many rows for each weight that is read, results (of 256 floats 192 KB) that
 * stay in L2, and pieces enough to share out. */
#define RC_INPUT_TOKENS 192

/* Pieces that the weight gradients of a layer are cut into, for each thread, beside the smaller ones of its input's gradient:
 * each piece copies all panels of inputs once more (backward at H = 64 with 4: GRU 7 %, RNN 18 % longer). */
#define RC_PIECES_PER_THREAD 2

/* Elements of one piece of an optimiser's step (three or four arrays of 64 KB stay in L2 between norm and update of small
 * models), and pieces per thread worth waking one: about 10 us. */
#define RC_UPDATE_SIZE 16384
#define RC_UPDATE_PIECES 2

/* Floating-point operations of the steps between two looks at the clock for a caller who may end the call (20 us; a look takes
 * 25 ns), and blocks of RC_OUTER_TOKENS between two in a weight gradient. A question rests for so many times as long as the last
 * one took: Python's waits for the interpreter's lock, up to 5 ms while other threads hold it, and may cost 2 %. */
#define RC_LOOK_FLOPS 1e6
#define RC_LOOK_BLOCKS 16
#define RC_ASK_REST 50.0

/* How a thread waits for another one: so many looks at once, then pauses up to RC_SPIN_PAUSES (some 50 us), then yields.
 * Between calls a thread stays awake for RC_LINGER_PAUSES (some 200 us) and then sleeps: waking it costs the next call 30 to
 * 50 us of its help, spinning for ever starves other processes. */
#define RC_SPIN_HOT 300
#define RC_SPIN_PAUSES 2000
#define RC_LINGER_PAUSES 8000

/* Pauses (about 2 us) that a crew waits for threads that are awake to join before a round. And how long it waits at the
 * start of a call for threads that sleep: this part of what the call is expected to take on one thread, if that is long
 * enough for a thread to wake up (30 to 50 us), and not for ever. LSTM, H = 512, T = 100, two threads, calls 60 us apart:
 * 5.0 ms, and 7.5 ms when the first round goes on without the thread that wakes up. */
#define RC_MUSTER_SPINS 64
#define RC_WAKE_SECONDS 0.00005
#define RC_PATIENCE 0.1
#define RC_MOST_PATIENCE 0.0003

/* Seconds that the leader of a crew may wait for threads that do not run, beside half of the time it worked, before it goes
 * on alone; and the longest time for which calls are not shared after that. A time slice of the system is about 3 ms, an
 * interrupt or a hypervisor's hiccup 0.1 ms. */
#define RC_WAIT_GRACE 0.0005
#define RC_MOST_ALONE 0.5

/* Bytes of a new state, and of a step's gate gradients, that a thread asks the other cores for right after they have met. */
#define RC_ASK_BYTES 4096
#define RC_ASK_GATES_BYTES 16384

/* States of sequences that lie anywhere in memory: rows ahead of which one is asked for, and bytes of it; what follows in order the
 * core sees coming. (100 000 LSTM, H = 64, batches of 256: 12 % of a step instead of 16; bench/sessions.py.) */
#define RC_GATHER_AHEAD 8
#define RC_GATHER_BYTES 1024

/* Steps of a round when threads share units: so late a thread joins that was asleep when the call began. */
#define RC_CREW_STEPS 32

/* An L2 cache where the system does not tell. Recurrent weights that fit in it stay there while a core walks the steps;
 * larger ones are better shared out by units (each core keeps its own half near) unless every thread has so many rows that
 * the weights are used often enough. */
#define RC_L2_BYTES ((int64_t)1 << 20)
#define RC_MANY_ROWS 24

/* Where the weights do fit, so few rows for each thread are better shared out by units, if the weights are so many: six
 * rows cost little more than three (LSTM, H = 256, one core: 13, 21, 30, 32, 38, 44 us a step for 1 to 6 rows), so half of
 * the units of six are less work. (Two threads against rows: LSTM, H = 200, N = 3 and 5: 20 to 25 % faster; GRU, H = 256, N = 5: 25 %; RNN,
 * H = 200, N = 4: even; N = 7 and 8: even to 10 % slower; GRU, H = 96: slower.) With a tape, whose weight gradients want the
 * rows' gates, so few rows go by units where the weights do not fit (LSTM, H = 512, forward and backward: N = 2 1.5 times as
 * fast, N = 8 no difference). */
#define RC_FEW_ROWS 3
#define RC_FEW_ROWS_WEIGHTS 50000

/* Bytes of weights of one tile of one row when the weights are larger than L2 and walked back and forth: with tiles of 64 to
 * 256 KB, 4 MB are read 1.4 times as fast as one way through (2 MB L2), with 512 KB no faster. */
#define RC_WALK_BYTES (128 << 10)

/* Input and recurrent weights beyond 1/n of L2 do not both stay there beside gates and inputs, so the tiles of the input
 * product ask for the next ones ahead: 0.88 and 0.93 of the peak at H = 256, 96 tokens. */
#define RC_STAYING_WEIGHTS 2

/* Steps of a chunk when layers run behind each other on several threads: how late each one starts. */
#define RC_WAVE_STEPS 8

/* What each thread costs the others that share a time step with it, as multiply-adds: its flag and its part of the state. So n
 * threads take work / n + n times this, which is least at the root of their quotient, and two are worth it from 20000 on. (T = 100,
 * one row, two threads against one: GRU, H = 64 and LSTM, H = 64 lose 0 to 15 %, RNN, H = 128 is even, LSTM, H = 96 wins 28 %.
 * bench/scaling.py measures more of them.) */
#define RC_MEETING_WORK 5000

/* Threads that meet at once: each reads the flags of all others. More meet in several rounds, as 64 lines of 64 readers each would
 * take as long as a step. */
#define RC_MEET 8

/* Multiply-adds of vectors, a row, that folding the last units of a matrix must leave out to be worth copies of two blocks. And
 * vectors that it may fill beside the planes: so many tiles there are. */
#define RC_FOLDING_WORK 128
#define RC_MOST_FOLDED 2

/* Packing a parameter takes about as long as so many multiply-adds with it; whether a fleet's is worth threads. */
#define RC_PACK_TOKENS 8

/* Inputs from which on W_ih may become integers: below, coding a row takes as long as its product, and what users hand over is of
 * any scale. */
#define RC_LEAST_CODED_INPUTS 32

/* Inputs up to which it may: two planes of codes of a row fit into a block of the stack. */
#define RC_MOST_CODED_INPUTS 16384

#endif
