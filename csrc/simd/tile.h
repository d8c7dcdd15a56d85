/* SPDX-License-Identifier: MIT
 *
 * The packed product: out = init + in . W, every sum one in-order chain of fused multiply-adds over k.
 *
 * W is packed [block][k / group][gate][lane][group] (see pack.h): one lane is one output unit, one register is one gate of a block, so
 * the accumulators are the pre-activations and nothing is ever summed across lanes. A tile is R rows x U blocks x G gates
 * of accumulators; its shape changes speed, never a bit of the result. */
#ifndef RC_TILE_H
#define RC_TILE_H

#include "kernels.h"
#include "store.h"

/* Accumulators of a tile: what the registers hold beside the broadcast inputs and the weights. */
enum { RC_TILE_ACCUMULATORS = RC_REGISTERS == 32 ? 24 : RC_REGISTERS == 16 ? 12 : 4 };
enum { RC_TILE_ROWS = RC_REGISTERS >= 16 ? 8 : 4, RC_TILE_BLOCKS = RC_TILE_ROWS, RC_TILE_GATES = 4 };

/* Those of a store: with 16 registers two of bfloat16's are for a mask and a vector of pairs. (With 12, four of them went through
 * memory in each step, which took twice as long: batches of LSTM and GRU.) */
RC_INLINE int tile_accumulators(const rnncore_store S)
{
    return S == RNNCORE_STORE_BFLOAT16 && RC_TILE_ACCUMULATORS == 12 ? 10 : RC_TILE_ACCUMULATORS;
}

typedef struct rc_tile {
    int64_t k;             /* length of the chains */
    const real *const *in; /* [R] rows of the left operand */
    const char *w;         /* first block */
    int64_t w_block;       /* bytes from one block to the next */
    const real *init;      /* what the chains start from: [R][..G planes..][U * lanes] */
    real *out;
    int64_t init_row, out_row; /* elements from one row to the next */
    int64_t plane;             /* elements from one gate to the next, in init and out */
    const real *worth, *scale; /* of integers: of the rows; of the units of the first plane */
    const int32_t *offset;
    int64_t units;     /* elements from one gate to the next, in scale and offset */
    const char *ahead; /* what the next tiles need, as long as half of the weights: asked for on the way */
} rc_tile;

/* Tiles of many rows have time to ask for weights ahead; those of few rows read as fast as they can anyway. */
enum { RC_AHEAD_ROWS = 4 };

/* Value i of the groups: acc += in[..][k] * w. All but k are constants where this is inlined. */
RC_INLINE void tile_step(const rnncore_store S, const int R, const int V, const int G, const int i, const char *w,
                         int64_t w_block, const real *const *in, int64_t k, vec *acc)
{
    const int64_t bytes = RC_LANES * store_bytes(S) * rc_store_form_of(S).group;
    if (R < V) { /* hold the R inputs, stream the weights */
        vec b[RC_TILE_ROWS];
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) b[r] = v_set1(in[r][k]);
#pragma GCC unroll 24
        for (int v = 0; v < V; v++) {
            vec weight = store_load(S, w + (v / G) * w_block + (v % G) * bytes, i);
#pragma GCC unroll 8
            for (int r = 0; r < R; r++) acc[r * V + v] = v_fma(b[r], weight, acc[r * V + v]);
        }
    } else { /* hold the V weights, stream the inputs */
        vec weight[RC_TILE_ACCUMULATORS];
#pragma GCC unroll 24
        for (int v = 0; v < V; v++) weight[v] = store_load(S, w + (v / G) * w_block + (v % G) * bytes, i);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
            vec b = v_set1(in[r][k]);
#pragma GCC unroll 24
            for (int v = 0; v < V; v++) acc[r * V + v] = v_fma(b, weight[v], acc[r * V + v]);
        }
    }
}

/* The last k of chains of odd length, where groups are of two: one loop for all tiles. */
__attribute__((noinline, unused)) static void tile_rest(rnncore_store S, int rows, int blocks, int gates,
                                                        const rc_tile *t)
{
    const int64_t bytes = RC_LANES * store_bytes(S) * 2, last = t->k / 2 * gates * bytes;
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < blocks * gates; i++) {
            real *out = t->out + r * t->out_row + (i % gates) * t->plane + (i / gates) * RC_LANES;
            const char *w = t->w + (i / gates) * t->w_block + last + (i % gates) * bytes;
            v_store(out, v_fma(v_set1(t->in[r][t->k - 1]), store_load(S, w, 0), v_load(out)));
        }
}

/* S, R, U and G are constants where this is inlined: the loops over them unroll and acc lives in registers. */
RC_INLINE void tile_product(const rnncore_store S, const int R, const int U, const int G, const rc_tile *t)
{
    const int V = U * G;                                /* weight vectors per k */
    if (R * V > tile_accumulators(S)) __builtin_trap(); /* no product is cut into these */
    const int group = rc_store_form_of(S).group;
    const int64_t bytes = RC_LANES * store_bytes(S) * group; /* of a vector of groups */
    vec acc[RC_TILE_ACCUMULATORS];
    const real *in[RC_TILE_ROWS];

#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
        in[r] = t->in[r];
#pragma GCC unroll 24
        for (int v = 0; v < V; v++)
            acc[r * V + v] = v_load(t->init + r * t->init_row + (v % G) * t->plane + (v / G) * RC_LANES);
    }

    /* Blocks share one pointer: beside those of up to eight rows, one each would not stay in registers. */
    const char *w = t->w, *ahead = t->ahead;
    const int64_t w_block = t->w_block;
    int64_t k = 0;
    for (; k <= t->k - group; k += group) {
        if (R >= RC_AHEAD_ROWS) {
#pragma GCC unroll 8
            for (int64_t i = 0; i < V * bytes / 2; i += RC_CACHE_LINE) __builtin_prefetch(ahead + i, 0, 2);
            ahead += V * bytes / 2;
        }
#pragma GCC unroll 2
        for (int i = 0; i < group; i++) tile_step(S, R, V, G, i, w, w_block, in, k + i, acc);
        w += G * bytes;
    }

    real *const out = t->out;
    const int64_t out_row = t->out_row, plane = t->plane;
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 24
        for (int v = 0; v < V; v++) v_store(out + r * out_row + (v % G) * plane + (v / G) * RC_LANES, acc[r * V + v]);
    }
    if (group > 1 && k < t->k) tile_rest(S, R, U, G, t);
}

typedef void tile_fn(const rc_tile *t);

#endif
