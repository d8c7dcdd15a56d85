/* SPDX-License-Identifier: MIT
 *
 * Work on plain rows: sums, products, one chain, and dropout and zoneout with masks from a counter. */
#ifndef RC_ROWS_H
#define RC_ROWS_H

#include <stdint.h>

#include "../base/splitmix.h"

static void rc_add(void *out, const void *a, int64_t n)
{
    for (int64_t i = 0; i < n; i++) ((real *)out)[i] += ((const real *)a)[i];
}

static void rc_multiply(void *out, const void *a, const void *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) ((real *)out)[i] = ((const real *)a)[i] * ((const real *)b)[i];
}

static void rc_add_product(void *out, const void *a, const void *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) ((real *)out)[i] += ((const real *)a)[i] * ((const real *)b)[i];
}

/* *out = *out + a . b as one in-order chain of fused multiply-adds: the bit contract in one line. */
static void rc_chain(void *out, const void *a, const void *b, int64_t n)
{
    vec sum = v_set1(*(real *)out);
    for (int64_t i = 0; i < n; i++) sum = v_fma(v_set1(((const real *)a)[i]), v_set1(((const real *)b)[i]), sum);
    real lanes[RC_LANES];
    v_store(lanes, sum);
    *(real *)out = lanes[0];
}

/* Vectors whose sums are in flight at once: one chain of additions alone waits for each of them, four times as long. */
enum { RC_SUMS = 8 };

RC_INLINE void add_row_vectors(const int V, real *sum, const void *const *rows, int64_t count, int64_t first)
{
    vec acc[RC_SUMS];
#pragma GCC unroll 8
    for (int v = 0; v < V; v++) acc[v] = v_load(sum + v * RC_LANES);
    for (int64_t r = 0; r < count; r++) {
        const real *row = (const real *)rows[r] + first;
#pragma GCC unroll 8
        for (int v = 0; v < V; v++) acc[v] = v_add(acc[v], v_load(row + v * RC_LANES));
    }
#pragma GCC unroll 8
    for (int v = 0; v < V; v++) v_store(sum + v * RC_LANES, acc[v]);
}

static void rc_add_rows(void *out, const void *const *rows, int64_t count, int64_t first, int64_t n)
{
    real *sum = out;
    int64_t i = 0;
    for (; i + RC_SUMS * RC_LANES <= n; i += RC_SUMS * RC_LANES)
        add_row_vectors(RC_SUMS, sum + i, rows, count, first + i);
    for (; i + RC_LANES <= n; i += RC_LANES) add_row_vectors(1, sum + i, rows, count, first + i);
    for (int64_t r = 0; r < count; r++) rc_add(sum + i, (const real *)rows[r] + first + i, n - i);
}

static void rc_add_products(void *out, const void *const *a, int64_t first_a, const void *const *b, int64_t first_b,
                            int64_t count, int64_t n)
{
    real *sum = out;
    const int64_t whole = n / RC_LANES * RC_LANES;
    for (int64_t i = 0; i < whole; i += RC_LANES) {
        vec acc = v_load(sum + i);
        for (int64_t r = 0; r < count; r++)
            acc = v_fma(v_load((const real *)a[r] + first_a + i), v_load((const real *)b[r] + first_b + i), acc);
        v_store(sum + i, acc);
    }
    if (whole == n) return;
    vec acc = v_load_first(sum + whole, n - whole);
    for (int64_t r = 0; r < count; r++)
        acc = v_fma(v_load_first((const real *)a[r] + first_a + whole, n - whole),
                    v_load_first((const real *)b[r] + first_b + whole, n - whole), acc);
    v_store_first(sum + whole, acc, n - whole);
}

/* Draws of 53 bits below it have probability p. Signed, as vectors compare. */
static int64_t threshold_of(double p) { return (int64_t)ceil(p * 9007199254740992.0); /* 2^53 */ }

RC_INLINE int is_drawn(uint64_t counter, int64_t threshold)
{
    return (int64_t)(rc_splitmix64_mix(counter) >> 11) < threshold;
}

/* Inverted dropout: keeps a value when its 53 random bits are not below p, and multiplies it by 1 / (1 - p); what is dropped
 * is multiplied by 0, so NaN stays NaN. a NULL: of ones. */
static void rc_dropout(void *out, const void *a, int64_t n, uint64_t key, uint64_t first, double p)
{
    const int64_t threshold = threshold_of(p);
    const real scale = (real)(1.0 / (1.0 - p));
    uint64_t counter = rc_splitmix64_counter(key, first);
    RC_INDEPENDENT
    for (int64_t i = 0; i < n; i++, counter += RC_SPLITMIX_STEP) {
        const real factor = is_drawn(counter, threshold) ? 0 : scale;
        ((real *)out)[i] = a ? ((const real *)a)[i] * factor : factor;
    }
}

/* prev with probability p, else next. out may be one of them. */
static void rc_zoneout_mask(void *out, const void *prev, const void *next, int64_t n, uint64_t key, uint64_t first,
                            double p)
{
    const int64_t threshold = threshold_of(p);
    uint64_t counter = rc_splitmix64_counter(key, first);
    RC_INDEPENDENT
    for (int64_t i = 0; i < n; i++, counter += RC_SPLITMIX_STEP) {
        const real was = ((const real *)prev)[i], is = ((const real *)next)[i]; /* both, or it is no vector */
        ((real *)out)[i] = is_drawn(counter, threshold) ? was : is;
    }
}

/* p * prev + (1 - p) * next: factors, products and sum are rounded one by one. out may be one of them. */
static void rc_blend(void *out, const void *prev, const void *next, int64_t n, double p)
{
    const real keep = (real)p, take = (real)(1.0 - p);
    for (int64_t i = 0; i < n; i++) ((real *)out)[i] = keep * ((const real *)prev)[i] + take * ((const real *)next)[i];
}

/* d, the gradient of what zoneout gave, becomes that of next; kept gets that of prev. */
static void rc_unzone(void *d, void *kept, int64_t n, uint64_t key, uint64_t first, double p)
{
    const int64_t threshold = threshold_of(p);
    uint64_t counter = rc_splitmix64_counter(key, first);
    RC_INDEPENDENT
    for (int64_t i = 0; i < n; i++, counter += RC_SPLITMIX_STEP) {
        const int zoned = is_drawn(counter, threshold);
        const real all = ((real *)d)[i];
        ((real *)kept)[i] = zoned ? all : 0; /* both are written, whatever is drawn, or it is no vector */
        ((real *)d)[i] = zoned ? 0 : all;
    }
}

#endif
