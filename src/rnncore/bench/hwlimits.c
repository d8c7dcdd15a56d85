/* SPDX-License-Identifier: MIT
 *
 * Measures the machine's limits, see hwlimits.h. Threads are started once per measurement, meet before every trial, and
 * the best trial counts: other programs only ever make a trial slower, so the fastest one is nearest to the limit.
 * Compile with -O3 -ffp-contract=fast: the loops of hwlimits_body.inc are plain a * b + c. */
#define _GNU_SOURCE
#include "hwlimits.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum {
    LIMITS_INPUTS = 1024,         /* broadcast inputs, 4-8 KB: always in L1 */
    LIMITS_AHEAD = 4096,          /* bytes of prefetch in the second variant: about one L2 miss at L3 latency */
    LIMITS_HUGE = 2 << 20,        /* huge page size on x86-64 and most arm64 systems */
    LIMITS_TRIAL_BYTES = 8 << 20, /* read per trial and thread: 30 us from L1, so the clock's 50 ns do not count */
    LIMITS_TRIAL_ROUNDS = 20000,  /* rounds of multiply-adds per trial: about 60 us */
    LIMITS_TAIL_SAMPLES = 1 << 20,
    LIMITS_TAIL_ROUNDS = 700, /* dependent multiplications and additions, 4 cycles each: about 1 us */
    LIMITS_PINGS = 100,       /* round trips per trial: about 10 us, likely free of interruptions */
    LIMITS_SPINS = 2000,      /* plain spins before the processor is given away: 100 x a flag's way */
    LIMITS_MAX_THREADS = 1024
};

typedef struct limits_kernel {
    double (*fma)(int64_t rounds);
    double (*read)(const void *weights, const void *inputs, int64_t rows, int64_t passes);
    double (*read_ahead)(const void *weights, const void *inputs, int64_t rows, int64_t passes);
    int row_bytes; /* bytes of weights that one step of the loop reads */
    int row_fmas;  /* multiply-adds in one step of either loop */
} limits_kernel;

#if defined(__x86_64__)
#define NAME(x) avx512_f32_##x
#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,fma")))
#define REAL float
#define BYTES 64
#define ACCS 24
#include "hwlimits_body.inc"
#define NAME(x) avx512_f64_##x
#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,fma")))
#define REAL double
#define BYTES 64
#define ACCS 24
#include "hwlimits_body.inc"
#define NAME(x) avx2_f32_##x
#define TARGET __attribute__((target("avx2,fma")))
#define REAL float
#define BYTES 32
#define ACCS 12
#include "hwlimits_body.inc"
#define NAME(x) avx2_f64_##x
#define TARGET __attribute__((target("avx2,fma")))
#define REAL double
#define BYTES 32
#define ACCS 12
#include "hwlimits_body.inc"
#else
#define NAME(x) base_f32_##x
#define TARGET
#define REAL float
#define BYTES 16
#define ACCS 24
#include "hwlimits_body.inc"
#define NAME(x) base_f64_##x
#define TARGET
#define REAL double
#define BYTES 16
#define ACCS 24
#include "hwlimits_body.inc"
#endif

typedef struct limits_isa {
    const char *name;
    const limits_kernel *kernel[2]; /* float32, float64 */
} limits_isa;

static int isa_list(limits_isa list[3])
{
    int count = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        list[count++] = (limits_isa){"avx512", {&avx512_f32_kernel, &avx512_f64_kernel}};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        list[count++] = (limits_isa){"avx2", {&avx2_f32_kernel, &avx2_f64_kernel}};
#elif defined(__aarch64__)
    list[count++] = (limits_isa){"neon", {&base_f32_kernel, &base_f64_kernel}};
#else
    list[count++] = (limits_isa){"base", {&base_f32_kernel, &base_f64_kernel}};
#endif
    return count;
}

const char *limits_isa_name(int index)
{
    limits_isa list[3];
    const int count = isa_list(list);
    return index >= 0 && index < count ? list[index].name : NULL;
}

static const limits_kernel *find_kernel(const char *isa, int float64)
{
    limits_isa list[3];
    const int count = isa_list(list);
    for (int i = 0; isa && i < count; i++)
        if (strcmp(list[i].name, isa) == 0) return list[i].kernel[float64 != 0];
    return NULL;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *huge_alloc(int64_t bytes)
{
    const size_t size = ((size_t)bytes + LIMITS_HUGE - 1) / LIMITS_HUGE * LIMITS_HUGE;
    void *memory = aligned_alloc(LIMITS_HUGE, size);
#if defined(MADV_HUGEPAGE)
    if (memory)
        (void)madvise(memory, size, MADV_HUGEPAGE); /* a wish: without huge pages the figure is lower, not wrong */
#endif
    return memory;
}

/* -- A team that meets, works and takes the time ------------------------------------------------------------------ */

typedef struct limits_job limits_job;
typedef struct limits_worker {
    limits_job *job;
    pthread_t thread;
    double begin, end;            /* of the current trial */
    float *weights;               /* this thread's slice, first touched by it */
    double inputs[LIMITS_INPUTS]; /* read as REAL */
    double sink;                  /* sum of results: keeps the compiler from dropping the loops */
} limits_worker;

struct limits_job {
    const limits_kernel *kernel;
    int threads;
    int64_t rounds, rows, passes; /* rows > 0: reading, else multiply-adds */
    double (*read)(const void *weights, const void *inputs, int64_t rows, int64_t passes);
    double deadline, best; /* seconds: when to stop, and the fastest trial so far */
    atomic_int arrived, stop, failed;
    atomic_uint generation;
    limits_worker *workers;
};

/* Returns when all threads are here. Spins, since a sleep would let the clock frequency fall. */
static void meet(limits_job *job)
{
    const unsigned mine = atomic_load_explicit(&job->generation, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&job->arrived, 1, memory_order_acq_rel) == job->threads - 1) {
        atomic_store_explicit(&job->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&job->generation, mine + 1, memory_order_release);
        return;
    }
    for (int64_t spins = 0; atomic_load_explicit(&job->generation, memory_order_acquire) == mine; spins++)
        if (spins > LIMITS_SPINS) sched_yield();
}

/* Worker i works on the i-th of the processors that this process may use: two threads that start on one processor may stay
 * there for longer than a measurement takes. Where that cannot be asked for, the system decides. */
static void settle(const limits_worker *worker)
{
#if defined(__linux__)
    cpu_set_t all, one;
    if (worker->job->threads == 1 || sched_getaffinity(0, sizeof all, &all)) return;
    int wanted = (int)(worker - worker->job->workers) % CPU_COUNT(&all), cpu = 0;
    while (!CPU_ISSET(cpu, &all) || wanted-- > 0) cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    (void)sched_setaffinity(0, sizeof one, &one);
#else
    (void)worker;
#endif
}

static int prepare(limits_worker *worker)
{
    const limits_job *job = worker->job;
    if (job->rows == 0) return 0;
    const int64_t count = job->rows * job->kernel->row_bytes / (int64_t)sizeof(float);
    worker->weights = huge_alloc(count * (int64_t)sizeof(float));
    if (!worker->weights) return -1;
    for (int64_t i = 0; i < count; i++)
        worker->weights[i] = 0.01f * (float)(i % 97 + 1); /* a normal number also when read as half of a double */
    memset(worker->inputs, 0, sizeof worker->inputs);
    for (int i = 0; i < LIMITS_INPUTS * 2; i++) ((float *)worker->inputs)[i] = 0.5f;
    return 0;
}

static void trial(limits_worker *worker)
{
    const limits_job *job = worker->job;
    worker->begin = now();
    if (job->rows == 0) worker->sink += job->kernel->fma(job->rounds);
    else worker->sink += job->read(worker->weights, worker->inputs, job->rows, job->passes);
    worker->end = now();
}

static void judge(limits_job *job)
{
    double begin = job->workers[0].begin, end = job->workers[0].end;
    for (int t = 1; t < job->threads; t++) {
        begin = job->workers[t].begin < begin ? job->workers[t].begin : begin;
        end = job->workers[t].end > end ? job->workers[t].end : end;
    }
    if (job->best == 0 || end - begin < job->best) job->best = end - begin;
    if (now() > job->deadline) atomic_store(&job->stop, 1);
}

static void *work(void *argument)
{
    limits_worker *worker = argument;
    limits_job *job = worker->job;
    settle(worker);
    if (prepare(worker) != 0) atomic_store(&job->failed, 1);
    meet(job);
    while (!atomic_load(&job->stop) && !atomic_load(&job->failed)) {
        trial(worker);
        meet(job);
        if (worker == job->workers) judge(job);
        meet(job);
    }
    free(worker->weights);
    return NULL;
}

/* A thread that cannot be started shrinks the meeting, so that the others can leave. */
static limits_status run(limits_job *job, double seconds)
{
    job->workers = calloc((size_t)job->threads, sizeof *job->workers);
    if (!job->workers) return LIMITS_MEMORY;
    job->deadline = now() + seconds;
    int started = 0;
    for (int i = 0; i < job->threads; i++) job->workers[i].job = job;
    for (; started < job->threads; started++) {
        if (pthread_create(&job->workers[started].thread, NULL, work, &job->workers[started]) != 0) break;
    }
    const int missing = job->threads - started;
    if (missing > 0) {
        atomic_store(&job->failed, 1);
        atomic_fetch_add(&job->arrived, missing);
    }
    for (int t = 0; t < started; t++) pthread_join(job->workers[t].thread, NULL);
    free(job->workers);
    if (missing > 0) return LIMITS_THREAD;
    return atomic_load(&job->failed) ? LIMITS_MEMORY : LIMITS_OK;
}

limits_status limits_fma_peak(const char *isa, int float64, int threads, double seconds, double *gflops)
{
    const limits_kernel *kernel = find_kernel(isa, float64);
    if (!kernel || threads < 1 || threads > LIMITS_MAX_THREADS || !(seconds > 0)) return LIMITS_ARGUMENT;
    limits_job job = {.kernel = kernel, .threads = threads, .rounds = LIMITS_TRIAL_ROUNDS};
    const limits_status status = run(&job, seconds);
    if (status == LIMITS_OK) *gflops = 2e-9 * (double)kernel->row_fmas * (double)job.rounds * threads / job.best;
    return status;
}

limits_status limits_read_bandwidth(const char *isa, int float64, int64_t bytes, int threads, double seconds,
                                    double *gbytes)
{
    const limits_kernel *kernel = find_kernel(isa, float64);
    if (!kernel || threads < 1 || threads > LIMITS_MAX_THREADS || !(seconds > 0) || bytes < 1 || bytes > INT64_MAX / 2)
        return LIMITS_ARGUMENT;
    const int64_t slice = (bytes + threads - 1) / threads;
    const int64_t rows = (slice + kernel->row_bytes - 1) / kernel->row_bytes;
    const int64_t read = rows * kernel->row_bytes;
    double best = 0;
    for (int variant = 0; variant < 2; variant++) {
        limits_job job = {.kernel = kernel,
                          .threads = threads,
                          .rows = rows,
                          .passes = (LIMITS_TRIAL_BYTES + read - 1) / read,
                          .read = variant ? kernel->read_ahead : kernel->read};
        const limits_status status = run(&job, seconds / 2);
        if (status != LIMITS_OK) return status;
        const double rate = 1e-9 * (double)read * (double)job.passes * threads / job.best;
        best = rate > best ? rate : best;
    }
    *gbytes = best;
    return LIMITS_OK;
}

/* -- Flag latency ------------------------------------------------------------------------------------------------- */

typedef struct limits_flags {
    _Alignas(128) atomic_int ping; /* one flag per pair of cache lines: neighbours are fetched together */
    _Alignas(128) atomic_int pong;
} limits_flags;

static void await(atomic_int *flag, int value)
{
    for (int64_t spins = 0; atomic_load_explicit(flag, memory_order_acquire) != value; spins++)
        if (spins > LIMITS_SPINS) sched_yield();
}

static void *answer(void *argument)
{
    limits_flags *flags = argument;
    for (int value = 1;; value++) {
        int seen;
        for (int64_t spins = 0; (seen = atomic_load_explicit(&flags->ping, memory_order_acquire)) < value; spins++) {
            if (seen < 0) return NULL;
            if (spins > LIMITS_SPINS) sched_yield();
        }
        atomic_store_explicit(&flags->pong, value, memory_order_release);
    }
}

limits_status limits_flag_latency(double seconds, double *nanoseconds)
{
    if (!(seconds > 0)) return LIMITS_ARGUMENT;
    limits_flags flags;
    atomic_init(&flags.ping, 0);
    atomic_init(&flags.pong, 0);
    pthread_t thread;
    if (pthread_create(&thread, NULL, answer, &flags) != 0) return LIMITS_THREAD;
    const double deadline = now() + seconds;
    double best = 0;
    for (int value = 1; now() < deadline && value < INT32_MAX - LIMITS_PINGS;) {
        const double begin = now();
        for (int i = 0; i < LIMITS_PINGS; i++, value++) {
            atomic_store_explicit(&flags.ping, value, memory_order_release);
            await(&flags.pong, value);
        }
        const double elapsed = now() - begin;
        best = best == 0 || elapsed < best ? elapsed : best;
    }
    atomic_store_explicit(&flags.ping, -1, memory_order_release);
    pthread_join(thread, NULL);
    *nanoseconds = 1e9 * best / (2.0 * LIMITS_PINGS);
    return LIMITS_OK;
}

/* -- Tail --------------------------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

limits_status limits_tail(double seconds, double *median, double *p999)
{
    if (!(seconds > 0)) return LIMITS_ARGUMENT;
    double *samples = malloc(LIMITS_TAIL_SAMPLES * sizeof *samples);
    if (!samples) return LIMITS_MEMORY;
    const double deadline = now() + seconds;
    double end = 0;
    uint64_t chain = 1;
    int count = 0;
    while (count < LIMITS_TAIL_SAMPLES && (count == 0 || end < deadline)) {
        const double begin = now();
        for (int i = 0; i < LIMITS_TAIL_ROUNDS; i++) {
            chain = chain * 6364136223846793005u + 1442695040888963407u;
            __asm__ volatile("" : "+r"(chain)); /* the chain is neither dropped nor shortened */
        }
        end = now();
        samples[count++] = end - begin;
    }
    qsort(samples, (size_t)count, sizeof *samples, by_size);
    *median = 1e9 * samples[count / 2];
    *p999 = 1e9 * samples[(int)(0.999 * (count - 1))];
    free(samples);
    return LIMITS_OK;
}
