/* SPDX-License-Identifier: MIT
 *
 * Kernels of a fleet: a lane is a model. An element is a vector, one value of each of RC_LANES models, and a block of units is
 * one unit; so rows of elements need no padding, the planes of a row lie side by side, and gate math, which is the same in every
 * lane, is that of cells/. Every chain has the order that it has in a model alone, so it has its bits.
 *
 * A matrix is packed [panel of columns][k][column] of elements, a column being a unit of a plane; the panels are as wide as
 * there are accumulators, and the last one is as wide as what is left. */
#ifndef RC_FLEET_H
#define RC_FLEET_H

#include "kernels.h"
#include "rows.h"

enum { RC_FLEET_COLUMNS = RC_REGISTERS == 32 ? 24 : 12, RC_FLEET_OUTER = RC_REGISTERS == 32 ? 4 : 2 };

/* -- Products ---------------------------------------------------------------------------------------------------------- */

/* Columns [0, V) of one row: out = init + in . w, where w has `width` columns. V is a constant where this is inlined. */
RC_INLINE void fleet_columns(const int V, int64_t k, const real *in, const real *w, int64_t width, const real *init,
                             real *out)
{
    vec acc[RC_FLEET_COLUMNS];
#pragma GCC unroll 24
    for (int v = 0; v < V; v++) acc[v] = v_load(init + v * RC_LANES);
    for (int64_t i = 0; i < k; i++, in += RC_LANES, w += width * RC_LANES) {
        vec x = v_load(in);
#pragma GCC unroll 24
        for (int v = 0; v < V; v++) acc[v] = v_fma(x, v_load(w + v * RC_LANES), acc[v]);
    }
#pragma GCC unroll 24
    for (int v = 0; v < V; v++) v_store(out + v * RC_LANES, acc[v]);
}

/* The columns of one panel of one row, in pieces of the largest size that fits. */
static void fleet_panel(int64_t k, const real *in, const real *w, int64_t width, const real *init, real *out)
{
    int64_t left = width;
#define X(V) \
    for (; left >= V; left -= V, w += V * RC_LANES, init += V * RC_LANES, out += V * RC_LANES) \
        fleet_columns(V, k, in, w, width, init, out);
#if RC_REGISTERS == 32
    X(24)
    X(16)
#else
    X(12)
#endif
    X(8) X(4) X(2) X(1)
#undef X
}

/* Blocks are always all of them: a fleet's threads share models. */
static void fleet_product(const rc_product *p)
{
    const int64_t columns = p->mat->planes * (p->block_end - p->block_begin), k = p->mat->k;
    const real *w = p->mat->w, *init = p->init;
    real *out = p->out;
    for (int64_t c = 0; c < columns; c += RC_FLEET_COLUMNS) {
        const int64_t width = columns - c < RC_FLEET_COLUMNS ? columns - c : RC_FLEET_COLUMNS;
        for (int64_t r = 0; r < p->rows; r++)
            fleet_panel(k, k ? p->in[r] : NULL, w + c * k * RC_LANES, width, init + (r * p->init_row + c) * RC_LANES,
                        out + (r * p->out_row + c) * RC_LANES);
    }
    if (p->tail && p->rows > 0)
        p->tail(p->tail_args, p->first_row, p->rows, p->block_begin, p->block_end - p->block_begin);
}

/* -- Weight gradients -------------------------------------------------------------------------------------------------- */

RC_INLINE void fleet_outer_tile(const int R, const int U, const rc_outer *o, int64_t unit, int64_t column, real *out)
{
    vec acc[RC_FLEET_OUTER * RC_FLEET_OUTER];
    const int64_t row = o->out_row * RC_LANES;
#pragma GCC unroll 16
    for (int i = 0; i < R * U; i++) acc[i] = o->add ? v_load(out + i / U * row + i % U * RC_LANES) : v_zero();
    for (int64_t t = 0; t < o->tokens; t++) {
        const real *gates = (const real *)o->gates[t] + unit * RC_LANES;
        const real *in = (const real *)o->in[t] + column * RC_LANES;
        vec x[RC_FLEET_OUTER];
#pragma GCC unroll 4
        for (int u = 0; u < U; u++) x[u] = v_load(in + u * RC_LANES);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            vec g = v_load(gates + r * RC_LANES);
#pragma GCC unroll 4
            for (int u = 0; u < U; u++) acc[r * U + u] = v_fma(g, x[u], acc[r * U + u]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < R * U; i++) v_store(out + i / U * row + i % U * RC_LANES, acc[i]);
}

/* R units of a plane from `unit` on, whose results begin at out, and all columns. */
RC_INLINE void fleet_outer_rows(const int R, const rc_outer *o, int64_t unit, real *out)
{
    int64_t c = 0;
    for (; c + RC_FLEET_OUTER <= o->columns; c += RC_FLEET_OUTER)
        fleet_outer_tile(R, RC_FLEET_OUTER, o, unit, c, out + c * RC_LANES);
    for (; c < o->columns; c++) fleet_outer_tile(R, 1, o, unit, c, out + c * RC_LANES);
}

static void fleet_outer(const rc_outer *o)
{
    for (int i = 0; i < o->planes; i++) {
        const rc_outer_plane *plane = &o->plane[i];
        real *out = plane->out;
        int64_t u = 0;
        for (; u + RC_FLEET_OUTER <= plane->units; u += RC_FLEET_OUTER)
            fleet_outer_rows(RC_FLEET_OUTER, o, plane->first + u, out + u * o->out_row * RC_LANES);
        for (; u < plane->units; u++) fleet_outer_rows(1, o, plane->first + u, out + u * o->out_row * RC_LANES);
    }
}

/* -- Packing ----------------------------------------------------------------------------------------------------------- */

/* Where a column of a packed matrix begins; its next k is *step further. */
static real *fleet_column(real *w, int64_t column, int64_t columns, int64_t k, int64_t *step)
{
    const int64_t first = column / RC_FLEET_COLUMNS * RC_FLEET_COLUMNS, left = columns - first;
    *step = (left < RC_FLEET_COLUMNS ? left : RC_FLEET_COLUMNS) * RC_LANES;
    return w + (first * k + column - first) * RC_LANES;
}

static const real *fleet_row(const rc_matrix *m, int n, int64_t unit)
{
    return (const real *)m->data + (m->gate[n] * m->units + unit) * m->k * RC_LANES;
}

static void fleet_pack(const rc_mat *mat, const rc_matrix *m)
{
    int64_t step;
    for (int n = 0; n < m->planes; n++)
        for (int64_t u = 0; u < m->units; u++) {
            const real *row = fleet_row(m, n, u);
            real *to = fleet_column((real *)(uintptr_t)mat->w, n * m->units + u, m->planes * m->units, m->k, &step);
            for (int64_t k = 0; k < m->k; k++, to += step, row += RC_LANES) v_store(to, v_load(row));
        }
}

static void fleet_pack_transposed(void *out, const rc_matrix *m)
{
    int64_t step;
    for (int64_t k = 0; k < m->k; k++) {
        real *to = fleet_column(out, k, m->k, m->planes * m->units, &step);
        for (int n = 0; n < m->planes; n++)
            for (int64_t u = 0; u < m->units; u++, to += step) v_store(to, v_load(fleet_row(m, n, u) + k * RC_LANES));
    }
}

static void fleet_pack_rows(void *out, const rc_matrix *m)
{
    const size_t plane = (size_t)(m->units * m->k * RC_LANES) * sizeof(real);
    for (int n = 0; n < m->planes; n++) memcpy((char *)out + (size_t)n * plane, fleet_row(m, n, 0), plane);
}

/* -- Rows -------------------------------------------------------------------------------------------------------------- */

static void fleet_add(void *out, const void *a, int64_t n) { rc_add(out, a, n * RC_LANES); }

static void fleet_add_rows(void *out, const void *const *rows, int64_t count, int64_t first, int64_t n)
{
    rc_add_rows(out, rows, count, first * RC_LANES, n * RC_LANES);
}

static void fleet_add_products(void *out, const void *const *a, int64_t first_a, const void *const *b, int64_t first_b,
                               int64_t count, int64_t n)
{
    rc_add_products(out, a, first_a * RC_LANES, b, first_b * RC_LANES, count, n * RC_LANES);
}

/* Rows become columns. */
RC_INLINE void fleet_transpose(vec *rows)
{
#pragma GCC unroll 4
    for (int width = 1; width < RC_LANES; width *= 2) {
        vec next[RC_LANES];
#pragma GCC unroll 16
        for (int i = 0; i < RC_LANES; i++) next[i] = v_zip(rows[i / 2], rows[i / 2 + RC_LANES / 2], i % 2);
#pragma GCC unroll 16
        for (int i = 0; i < RC_LANES; i++) rows[i] = next[i];
    }
}

/* n values of each of some models, a model's dense and `stride` bytes after the one before, become n elements; lanes without a
 * model get zeros. */
static void fleet_join(void *out, const void *in, int64_t stride, int64_t models, int64_t n)
{
    real *to = out;
    int64_t i = 0;
    for (; i + RC_LANES <= n; i += RC_LANES, to += RC_LANES * RC_LANES) {
        vec rows[RC_LANES];
#pragma GCC unroll 16
        for (int m = 0; m < RC_LANES; m++)
            rows[m] = m < models ? v_load((const real *)((const char *)in + m * stride) + i) : v_zero();
        fleet_transpose(rows);
#pragma GCC unroll 16
        for (int m = 0; m < RC_LANES; m++) v_store(to + m * RC_LANES, rows[m]);
    }
    memset(to, 0, (size_t)((n - i) * RC_LANES) * sizeof(real));
    for (; i < n; i++, to += RC_LANES)
        for (int64_t m = 0; m < models; m++) to[m] = ((const real *)((const char *)in + m * stride))[i];
}

/* The reverse. */
static void fleet_part(void *out, int64_t stride, const void *in, int64_t models, int64_t n)
{
    const real *from = in;
    int64_t i = 0;
    for (; i + RC_LANES <= n; i += RC_LANES, from += RC_LANES * RC_LANES) {
        vec rows[RC_LANES];
#pragma GCC unroll 16
        for (int m = 0; m < RC_LANES; m++) rows[m] = v_load(from + m * RC_LANES);
        fleet_transpose(rows);
#pragma GCC unroll 16
        for (int m = 0; m < RC_LANES; m++)
            if (m < models) v_store((real *)((char *)out + m * stride) + i, rows[m]);
    }
    for (; i < n; i++, from += RC_LANES)
        for (int64_t m = 0; m < models; m++) ((real *)((char *)out + m * stride))[i] = from[m];
}

#endif
