/* SPDX-License-Identifier: MIT
 *
 * Packing of parameters, once per weight set:
 *
 *   pack             [block of units][k / group][gate][lane][group]   what tile.h streams; all gates of a unit side by side;
 *                    folded blocks as product.h has them
 *   pack_transposed  [block of k][gate plane, unit][lane]   the same for the transposed product of backward
 *   pack_rows        [gate plane, unit][k]              plain rows in plane order, for BLAS
 *
 * The first as the matrix's store has it, the others with the values that it holds. */
#ifndef RC_PACK_H
#define RC_PACK_H

#include "store.h"

static int64_t padded(int64_t units) { return (units + RC_LANES - 1) / RC_LANES * RC_LANES; }

static int64_t row_step(const rc_matrix *m) { return m->row ? m->row : m->k; }

static const real *matrix_row(const rc_matrix *m, int n, int64_t unit)
{
    return (const real *)m->data + (m->gate[n] * m->units + unit) * row_step(m);
}

/* RC_PACK_DEPTH values of k at a time: a cache line of the block is written whole while it is near, a line of the rows read
 * once. Rows lie too far apart for the hardware to guess the next one, so it is asked for ahead. */
enum { RC_PACK_DEPTH = RC_LANES < 8 ? 8 : RC_LANES, RC_PACK_AHEAD = 16 };

/* Whether rows become lanes square by square. */
#if RC_F32 && !RC_ISA_SCALAR
enum { RC_SQUARES = 1 };

/* RC_LANES values of each of `lanes` rows become vectors, `step` apart, whose lanes the rows are; others are zero. Two halves are
 * merged value by value, as often as lanes double. */
RC_INLINE void pack_square(real *out, int64_t step, const real *row, int64_t row_length, int64_t lanes)
{
    vec a[RC_LANES], b[RC_LANES];
#pragma GCC unroll 16
    for (int i = 0; i < RC_LANES; i++) a[i] = i < lanes ? v_load(row + i * row_length) : v_zero();
    for (int n = 1; n < RC_LANES; n *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < RC_LANES / 2; i++) {
            b[2 * i] = v_zip(a[i], a[i + RC_LANES / 2], 0);
            b[2 * i + 1] = v_zip(a[i], a[i + RC_LANES / 2], 1);
        }
#pragma GCC unroll 16
        for (int i = 0; i < RC_LANES; i++) a[i] = b[i];
    }
#pragma GCC unroll 16
    for (int i = 0; i < RC_LANES; i++) v_store(out + i * step, a[i]);
}
#else
enum { RC_SQUARES = 0 };
#endif

/* Where the units of a block go, in groups of lanes: unit u of gate n is number begin + n * gate + u of the block; vectors of units lie
 * `vector` apart, groups of k `step`. */
typedef struct pack_block {
    char *out;
    int64_t first, lanes; /* units */
    int64_t begin, gate, vector, step;
    int64_t padded; /* bytes from `out` on that not all get a value */
} pack_block;

__attribute__((noinline)) static pack_block find_block(const rc_mat *mat, const rc_matrix *m, int64_t number,
                                                       int64_t group)
{
    const int64_t groups = (m->k + group - 1) / group,
                  bytes = rc_store_bytes(m->store, m->k, m->planes * RC_LANES, sizeof(real));
    const int64_t first = number * RC_LANES, whole = mat->units / RC_LANES - 2;
    pack_block b = {
        .out = (char *)(uintptr_t)mat->w + number * bytes,
        .first = first,
        .lanes = m->units - first < RC_LANES ? m->units - first : RC_LANES,
        .gate = RC_LANES,
        .vector = RC_LANES,
        .step = m->planes * RC_LANES,
    };
    if (b.lanes < RC_LANES || m->k % group) b.padded = bytes;
    if (!mat->folded || number < whole) return b;
    b.vector = groups * RC_LANES;
    b.step = RC_LANES;
    b.padded = number == whole ? 2 * bytes : 0;
    if (number == whole) return b;
    b.out -= bytes;
    b.begin = m->planes * RC_LANES;
    b.gate = mat->folded;
    return b;
}

/* Units of one vector: rows from `row` on, k0 <= k < end. The first ones of a vector come first: what is left
 * of it is theirs, too, until others come. */
RC_INLINE void pack_corner(const rnncore_store S, char *out, int64_t place, int64_t step, const real *scale,
                           const rc_matrix *m, const real *row, int64_t lanes, int64_t k0, int64_t end)
{
    const int64_t group = rc_store_form_of(S).group, length = row_step(m);
#if RC_F32 && !RC_ISA_SCALAR
    if (S == RNNCORE_STORE_REAL && place % RC_LANES == 0 && (end - k0) % RC_LANES == 0) {
        for (int64_t lane = 0; end < m->k && lane < lanes; lane++) __builtin_prefetch(row + lane * length + end);
        for (int64_t k = k0; k < end; k += RC_LANES)
            pack_square((real *)out + k * step + place, step, row + k, length, lanes);
        return;
    }
#endif
    for (int64_t lane = 0; lane < lanes; lane++, row += length) {
        if (end < m->k) __builtin_prefetch(row + end);
        for (int64_t k = k0; k < end; k++)
            store_put(S, out, (k / group * step + place + lane) * group + k % group, row[k], scale ? scale[lane] : 1);
    }
}

/* One gate of a block. */
RC_INLINE void pack_gate(const rnncore_store S, const pack_block *b, const real *scale, const rc_matrix *m, int n,
                         int64_t k0, int64_t end)
{
    const int64_t begin = b->begin + n * b->gate;
    for (int64_t lane = 0, lanes; lane < b->lanes; lane += lanes) {
        const int64_t vector = (begin + lane) / RC_LANES, in_vector = (begin + lane) % RC_LANES;
        lanes = b->lanes - lane < RC_LANES - in_vector ? b->lanes - lane : RC_LANES - in_vector;
        pack_corner(S, b->out, vector * b->vector + in_vector, b->step, scale ? scale + lane : NULL, m,
                    matrix_row(m, n, b->first + lane), lanes, k0, end);
    }
}

#if RC_F32
/* Scales and offsets of the units of one gate of a block; padded ones have zeros. */
static void pack_scales(float *scale, int32_t *offset, const rc_matrix *m, int n, int64_t first, int64_t lanes)
{
    const float *row = matrix_row(m, n, first);
    memset(scale, 0, RC_LANES * sizeof *scale);
    memset(offset, 0, RC_LANES * sizeof *offset);
    for (int64_t lane = 0; lane < lanes; lane++, row += m->k) {
        scale[lane] = weight_scale(row, m->k);
        for (int64_t k = 0; k < m->k; k++) offset[lane] -= 128 * weight_code(row[k], scale[lane]);
    }
}
#endif

/* S is a constant where this is inlined. */
RC_INLINE void pack_as(const rnncore_store S, const rc_mat *mat, const rc_matrix *m)
{
    for (int64_t number = 0; number < mat->units / RC_LANES; number++) {
        const pack_block b = find_block(mat, m, number, rc_store_form_of(S).group);
        const int filled =
            RC_SQUARES && S == RNNCORE_STORE_REAL && m->k % RC_LANES == 0 && !mat->folded; /* by squares */
        if (b.padded && !filled) memset(b.out, 0, (size_t)b.padded);
        real *scale = mat->scale ? (real *)(uintptr_t)mat->scale + b.first : NULL;
#if RC_F32
        for (int n = 0; scale && n < m->planes; n++)
            pack_scales(scale + n * mat->units, (int32_t *)(uintptr_t)mat->offset + n * mat->units + b.first, m, n,
                        b.first, b.lanes);
#endif
        for (int64_t k = 0; k < m->k; k += RC_PACK_DEPTH) {
            const int64_t end = k + RC_PACK_DEPTH < m->k ? k + RC_PACK_DEPTH : m->k;
            for (int n = 0; n < m->planes; n++) pack_gate(S, &b, scale ? scale + n * mat->units : NULL, m, n, k, end);
        }
    }
}

static void rc_pack(const rc_mat *mat, const rc_matrix *m)
{
    switch (m->store) {
#define X(store) \
    case RNNCORE_STORE_##store: pack_as(RNNCORE_STORE_##store, mat, m); return;
        STORES(X)
#undef X
    default: return; /* the plan has no other */
    }
}

/* Values [from, from + n) of a row of `k`, as the store holds them. */
static void copy_rounded(real *to, const real *row, int64_t from, int64_t n, int64_t k, rnncore_store store)
{
    if (store == RNNCORE_STORE_REAL) {
        memcpy(to, row + from, (size_t)n * sizeof(real));
        return;
    }
    const real scale = store_scale(store, row, k);
    for (int64_t i = 0; i < n; i++) to[i] = store_round(store, row[from + i], scale);
}

static void rc_pack_transposed(void *out, const rc_matrix *m)
{
    const int64_t ld = padded(m->units);
    for (int64_t first = 0; first < m->k; first += RC_LANES) {
        const int64_t lanes = m->k - first < RC_LANES ? m->k - first : RC_LANES;
        real *to = (real *)out + first * m->planes * ld;
        for (int n = 0; n < m->planes; n++) {
            const real *row = matrix_row(m, n, 0) + first;
            for (int64_t u = 0; u < m->units; u++, row += m->k, to += RC_LANES) {
                if (u + RC_PACK_AHEAD < m->units) __builtin_prefetch(row + RC_PACK_AHEAD * m->k);
                if (lanes == RC_LANES && m->store == RNNCORE_STORE_REAL) {
                    v_store(to, v_load(row));
                } else {
                    memset(to, 0, RC_LANES * sizeof(real));
                    copy_rounded(to, row - first, first, lanes, m->k, m->store);
                }
            }
            memset(to, 0, (size_t)((ld - m->units) * RC_LANES) * sizeof(real));
            to += (ld - m->units) * RC_LANES;
        }
    }
}

static void rc_pack_rows(void *out, const rc_matrix *m)
{
    const int64_t ld = padded(m->units);
    memset(out, 0, (size_t)(m->planes * ld * m->k) * sizeof(real));
    for (int n = 0; n < m->planes; n++)
        for (int64_t u = 0; u < m->units; u++)
            copy_rounded((real *)out + (n * ld + u) * m->k, matrix_row(m, n, u), 0, m->k, m->k, m->store);
}

#endif
