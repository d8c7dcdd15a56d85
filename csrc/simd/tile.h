/* SPDX-License-Identifier: MIT
 *
 * The packed product: out = init + in . W, every sum one in-order chain of fused multiply-adds over k.
 *
 * W is packed [block][k][gate][lane] (see pack.h): one lane is one output unit, one register is one gate of a block, so
 * the accumulators are the pre-activations and nothing is ever summed across lanes. A tile is R rows x U blocks x G gates
 * of accumulators; its shape changes speed, never a bit of the result. */
#ifndef RC_TILE_H
#define RC_TILE_H

#include "../core/kernels.h"

/* Accumulators of a tile: what the registers hold beside the broadcast inputs and the weights. The preprocessor needs
 * the choice too, for tile_shapes.def. */
#if RC_ISA_AVX512 || RC_ISA_NEON
#define RC_ACCUMULATORS_24 1
#endif
enum { RC_TILE_ACCUMULATORS = RC_REGISTERS == 32 ? 24 : 12 };
enum { RC_TILE_ROWS = 8, RC_TILE_BLOCKS = 16, RC_TILE_GATES = 4 };

typedef struct rc_tile {
    int64_t k;                        /* length of the chains */
    const real *const *in;            /* [R] rows of the left operand */
    const real *w;                    /* first block */
    int64_t w_block;                  /* elements from one block to the next */
    const real *init;                 /* what the chains start from: [R][..G planes..][U * lanes] */
    real *out;
    int64_t init_row, out_row;        /* elements from one row to the next */
    int64_t plane;                    /* elements from one gate to the next, in init and out */
} rc_tile;

/* R, U and G are constants where this is inlined: the loops over them unroll and acc lives in registers. */
RC_INLINE void tile_product(const int R, const int U, const int G, const rc_tile *t)
{
    const int V = U * G;              /* weight vectors per k */
    vec acc[RC_TILE_ACCUMULATORS];
    const real *in[RC_TILE_ROWS], *w[RC_TILE_BLOCKS];

#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
        in[r] = t->in[r];
#pragma GCC unroll 24
        for (int v = 0; v < V; v++)
            acc[r * V + v] = v_load(t->init + r * t->init_row + (v % G) * t->plane + (v / G) * RC_LANES);
    }
#pragma GCC unroll 16
    for (int u = 0; u < U; u++) w[u] = t->w + u * t->w_block;

    for (int64_t k = 0; k < t->k; k++) {
        if (R < V) {                  /* hold the R inputs, stream the weights */
            vec b[RC_TILE_ROWS];
#pragma GCC unroll 8
            for (int r = 0; r < R; r++) b[r] = v_set1(in[r][k]);
#pragma GCC unroll 24
            for (int v = 0; v < V; v++) {
                vec weight = v_load(w[v / G] + (v % G) * RC_LANES);
#pragma GCC unroll 8
                for (int r = 0; r < R; r++) acc[r * V + v] = v_fma(b[r], weight, acc[r * V + v]);
            }
        } else {                      /* hold the V weights, stream the inputs */
            vec weight[RC_TILE_ACCUMULATORS];
#pragma GCC unroll 24
            for (int v = 0; v < V; v++) weight[v] = v_load(w[v / G] + (v % G) * RC_LANES);
#pragma GCC unroll 8
            for (int r = 0; r < R; r++) {
                vec b = v_set1(in[r][k]);
#pragma GCC unroll 24
                for (int v = 0; v < V; v++) acc[r * V + v] = v_fma(b, weight[v], acc[r * V + v]);
            }
        }
#pragma GCC unroll 16
        for (int u = 0; u < U; u++) w[u] += G * RC_LANES;
    }

#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 24
        for (int v = 0; v < V; v++)
            v_store(t->out + r * t->out_row + (v % G) * t->plane + (v / G) * RC_LANES, acc[r * V + v]);
    }
}

typedef void tile_fn(const rc_tile *t);

#define T(G, R, U) static void tile_##G##x##R##x##U(const rc_tile *t) { tile_product(R, U, G, t); }
#include "tile_shapes.def"
#undef T

static tile_fn *const tiles[RC_TILE_GATES + 1][RC_TILE_ROWS + 1][RC_TILE_BLOCKS + 1] = {
#define T(G, R, U) [G][R][U] = tile_##G##x##R##x##U,
#include "tile_shapes.def"
#undef T
};

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Part i of n parts of `total`, sizes within one of each other: *size gets its size, the result is its start. */
static int64_t share(int64_t total, int64_t n, int64_t i, int64_t *size)
{
    *size = total / n + (i < total % n);
    return i * (total / n) + (i < total % n ? i : total % n);
}

/* Rows and blocks of the largest tile: as many accumulators as there are registers, rows before blocks (an input that is
 * broadcast is reused by all blocks, a weight by all rows; weights are what is far away), both cut evenly. */
static void tile_shape(int64_t rows, int64_t blocks, int gates, int64_t *row_parts, int64_t *block_parts)
{
    int64_t most_rows = RC_TILE_ACCUMULATORS / gates;
    if (gates < 3 && blocks * gates >= 4) most_rows = RC_TILE_ACCUMULATORS / 4;      /* 6 x 4 beats 8 x 3 (12: 3 x 4) */
    if (most_rows > RC_TILE_ROWS) most_rows = RC_TILE_ROWS;
    *row_parts = ceil_div(rows, most_rows);
    int64_t most_blocks = RC_TILE_ACCUMULATORS / (gates * ceil_div(rows, *row_parts));
    if (most_blocks > RC_TILE_BLOCKS) most_blocks = RC_TILE_BLOCKS;
    *block_parts = ceil_div(blocks, most_blocks);
}

static void rc_product_run(const rc_product *p)
{
    const int64_t blocks = p->block_end - p->block_begin, w_block = p->k * p->gates * RC_LANES;
    int64_t row_parts, block_parts;
    if (p->rows <= 0 || blocks <= 0) return;
    tile_shape(p->rows, blocks, p->gates, &row_parts, &block_parts);
    for (int64_t j = 0; j < block_parts; j++) {
        int64_t u, b = p->block_begin + share(blocks, block_parts, p->reverse ? block_parts - 1 - j : j, &u);
        for (int64_t i = 0; i < row_parts; i++) {
            int64_t n, row = share(p->rows, row_parts, i, &n);
            rc_tile t = {
                .k = p->k, .in = (const real *const *)p->in + row, .w = (const real *)p->w + b * w_block,
                .w_block = w_block, .init = (const real *)p->init + row * p->init_row + b * RC_LANES,
                .out = (real *)p->out + row * p->out_row + b * RC_LANES, .init_row = p->init_row,
                .out_row = p->out_row, .plane = p->plane,
            };
            tiles[p->gates][n][u](&t);
            if (p->cell) p->cell(p->cell_args, row, n, b, u);
        }
    }
}

#endif
