/* SPDX-License-Identifier: MIT
 *
 * The product behind weight gradients: out[unit][column] (+)= sum over tokens of gates[token][unit] * in[token][column],
 * each sum one in-order chain of fused multiply-adds, so how the work is cut changes speed, never a bit.
 *
 * One lane is one column, as the gradients are stored; a tile is R units x U vectors of columns. Rows come through
 * pointers, whatever order the tokens have. The panel of U vectors is copied side by side first, so that it stays in L1
 * while the units pass: rows of 1 or 4 KB, as they stand, would share a few sets of it. The gates that the next tile of units
 * needs, far apart in memory, are asked for one tile ahead. */
#ifndef RC_OUTER_H
#define RC_OUTER_H

#include "kernels.h"
#include "tile.h"

/* Beside the accumulators a tile holds its U vectors and one broadcast. */
enum { RC_OUTER_ROWS = 8, RC_OUTER_VECTORS = RC_REGISTERS == 32 ? 4 : 2 };
enum { RC_OUTER_WIDE_ROWS = 6 }; /* rows of tiles wider than one vector; one vector alone needs 8 chains */

typedef struct outer_tile {
    int64_t tokens, unit, out_row;
    int add;
    const real *const *gates;
    const real *panel; /* [tokens][U * lanes] */
    real *out;
} outer_tile;

RC_INLINE void outer_product(const int R, const int U, const outer_tile *t)
{
    vec acc[RC_OUTER_WIDE_ROWS * RC_OUTER_VECTORS + RC_OUTER_ROWS];

#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
        for (int u = 0; u < U; u++) {
            const real *out = t->out + r * t->out_row + u * RC_LANES;
            acc[r * U + u] = t->add ? v_load(out) : v_zero();
        }
    }
    const real *in = t->panel;
    for (int64_t k = 0; k < t->tokens; k++, in += U * RC_LANES) {
        const real *gates = t->gates[k] + t->unit;
        vec x[RC_OUTER_VECTORS];
        __builtin_prefetch(gates + R);
#pragma GCC unroll 4
        for (int u = 0; u < U; u++) x[u] = v_load(in + u * RC_LANES);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
            vec g = v_set1(gates[r]);
#pragma GCC unroll 4
            for (int u = 0; u < U; u++) acc[r * U + u] = v_fma(g, x[u], acc[r * U + u]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
        for (int u = 0; u < U; u++) v_store(t->out + r * t->out_row + u * RC_LANES, acc[r * U + u]);
    }
}

typedef void outer_fn(const outer_tile *t);

#define ROWS_6(X, U) X(1, U) X(2, U) X(3, U) X(4, U) X(5, U) X(6, U)
#if RC_REGISTERS == 32
#define OUTER_SHAPES(X) ROWS_6(X, 1) X(7, 1) X(8, 1) ROWS_6(X, 2) ROWS_6(X, 3) ROWS_6(X, 4)
#else
#define OUTER_SHAPES(X) ROWS_6(X, 1) X(7, 1) X(8, 1) ROWS_6(X, 2)
#endif
#define X(R, U) \
    static void outer_##R##x##U(const outer_tile *t) { outer_product(R, U, t); }
OUTER_SHAPES(X)
#undef X

static outer_fn *const outers[RC_OUTER_ROWS + 1][RC_OUTER_VECTORS + 1] = {
#define X(R, U) [R][U] = outer_##R##x##U,
    OUTER_SHAPES(X)
#undef X
};

/* A panel whose last vector is not full: the tile works on a copy of its results, of which whole columns go back. */
static void outer_edge(outer_fn *run, const outer_tile *t, int64_t rows, int64_t columns)
{
    real copy[RC_OUTER_ROWS * RC_OUTER_VECTORS * RC_LANES] = {0};
    outer_tile edge = *t;
    edge.out = copy;
    edge.out_row = RC_OUTER_VECTORS * RC_LANES;
    for (int64_t r = 0; t->add && r < rows; r++)
        memcpy(copy + r * edge.out_row, t->out + r * t->out_row, (size_t)columns * sizeof(real));
    run(&edge);
    for (int64_t r = 0; r < rows; r++)
        memcpy(t->out + r * t->out_row, copy + r * edge.out_row, (size_t)columns * sizeof(real));
}

static int64_t pieces(int64_t total, int64_t most) { return (total + most - 1) / most; }

/* Where piece i of `count` pieces of `total` begins; their sizes are within one of each other. */
static int64_t piece_begin(int64_t total, int64_t count, int64_t i)
{
    const int64_t longer = total % count;
    return i * (total / count) + (i < longer ? i : longer);
}

/* Columns [column, column + size) of all inputs side by side, zeros up to `width`, which is whole vectors. */
static void pack_panel(const rc_outer *o, int64_t column, int64_t size, int64_t width)
{
    real *to = o->panel;
    const int64_t whole = size / RC_LANES * RC_LANES;
    for (int64_t k = 0; k < o->tokens; k++, to += width) {
        const real *in = (const real *)o->in[k] + column;
        for (int64_t i = 0; i < whole; i += RC_LANES) v_store(to + i, v_load(in + i));
        if (whole == width) continue;
        v_store(to + whole, v_zero());
        memcpy(to + whole, in + whole, (size_t)(size - whole) * sizeof(real));
    }
}

/* The tiles of one plane over a panel, `size` of whose `width` vectors are columns. */
static void plane_tiles(const rc_outer *o, const rc_outer_plane *plane, int64_t column, int64_t size, int64_t width)
{
    const int64_t stacks = pieces(plane->units, width == 1 ? RC_OUTER_ROWS : RC_OUTER_WIDE_ROWS);
    for (int64_t i = 0; i < stacks; i++) {
        const int64_t unit = piece_begin(plane->units, stacks, i);
        const int64_t rows = piece_begin(plane->units, stacks, i + 1) - unit;
        const outer_tile t = {
            .tokens = o->tokens,
            .unit = plane->first + unit,
            .out_row = o->out_row,
            .add = o->add,
            .gates = (const real *const *)o->gates,
            .panel = o->panel,
            .out = (real *)plane->out + unit * o->out_row + column,
        };
        outer_fn *run = outers[rows][width];
        if (size < width * RC_LANES) outer_edge(run, &t, rows, size);
        else run(&t);
    }
}

static void rc_outer_run(const rc_outer *o)
{
    const int64_t vectors = pieces(o->columns, RC_LANES), panels = pieces(vectors, RC_OUTER_VECTORS);
    for (int64_t p = 0; p < panels; p++) {
        const int64_t first = piece_begin(vectors, panels, p), width = piece_begin(vectors, panels, p + 1) - first;
        const int64_t column = first * RC_LANES, left = o->columns - column;
        const int64_t size = left < width * RC_LANES ? left : width * RC_LANES;
        pack_panel(o, column, size, width * RC_LANES);
        for (int i = 0; i < o->planes; i++) plane_tiles(o, &o->plane[i], column, size, width);
    }
}

#endif
