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
#include "../base/tuning.h"

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
    const int V = U * G;                      /* weight vectors per k */
    if (R * V > tile_accumulators(S)) return; /* no product is cut into these */
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

/* Consecutive parts of sizes within one of each other: the first `larger` of them have size + 1. In 32 bits, as a division
 * of 64 takes longer than a small tile. */
typedef struct cut {
    int parts, size, larger;
} cut;

static inline cut cut_evenly(int total, int most)
{
    if (total <= most) return (cut){1, total, 0};
    const int parts = (total + most - 1) / most;
    return (cut){parts, total / parts, total % parts};
}

static inline int cut_begin(const cut *c, int i) { return i * c->size + (i < c->larger ? i : c->larger); }
static inline int cut_size(const cut *c, int i) { return c->size + (i < c->larger); }

/* total / gates, by constants. */
RC_INLINE int over_gates(const int total, int gates)
{
    if (gates == 1) return total;
    if (gates == 2) return total / 2;
    return gates == 3 ? total / 3 : total / 4;
}

/* The largest tile: as many accumulators as there are registers for, rows before blocks (an input that is broadcast is reused
 * by all blocks, a weight by all rows; weights are what is far away). With one or two gates and blocks for it, 6 x 4 beats 8 x 3,
 * and with 12 accumulators 6 x 2 beats 8 x 1 and 3 x 4. */
RC_INLINE cut cut_rows(int rows, int blocks, int gates, const int accumulators)
{
    if (gates < 3 && blocks * gates >= 4) return cut_evenly(rows, accumulators / (accumulators < 24 ? 2 : 4));
    const int most = over_gates(accumulators, gates);
    return cut_evenly(rows, most < RC_TILE_ROWS ? most : RC_TILE_ROWS);
}

/* One row streams its weights once: a few streams read at once are faster than many (RNN, H = 512: 13.1 us a step with 16
 * streams, 9.0 with 8; GRU 34.4 with 24 accumulators, 32.2 with 12). Where a cache does not hold them all, what the last
 * walk left in it is found again only if the tiles are small against it. */
RC_INLINE cut cut_blocks(const rc_product *p, int blocks, int rows, int64_t w_block, const int accumulators)
{
    const int least = accumulators < 12 ? accumulators : 12;
    const int held = (rows == 1 && p->mat->planes > 1 ? least : accumulators) / (p->mat->planes * rows);
    const int most = held < RC_TILE_BLOCKS ? held : RC_TILE_BLOCKS;
    if (rows == 1 && p->large && p->mat->k) {
        const int64_t few = RC_WALK_BYTES / w_block;
        if (few < most) return cut_evenly(blocks, few > 1 ? (int)few : 1);
    }
    return cut_evenly(blocks, most);
}

/* The first two tiles of rows ask for half of the next blocks' weights each, if those come from far away; else what they
 * ask for is what they read. */
static const char *next_weights(const rc_product *p, const cut *by_blocks, int part, const char *w, int64_t w_block)
{
    const int next = p->reverse ? part - 1 : part + 1;
    if (!p->large || next < 0 || next >= by_blocks->parts) return w;
    return (const char *)p->mat->w + (p->block_begin + cut_begin(by_blocks, next)) * w_block;
}

typedef tile_fn *const tile_table[RC_TILE_ROWS][RC_TILE_BLOCKS]; /* of each number of planes; all count from 1 */

/* S is a constant where this is inlined. `worth`: of the codes of each row, with a store of integers. */
RC_INLINE void run_product(const rnncore_store S, const tile_table *tiles, const rc_product *p, const real *worth)
{
    const int blocks = (int)(p->block_end - p->block_begin);
    if (p->rows <= 0 || blocks <= 0) return;
    const int64_t w_block = rc_store_bytes(S, p->mat->k, p->mat->planes * RC_LANES, sizeof(real));
    const int accumulators = tile_accumulators(S);
    const cut by_rows = cut_rows((int)p->rows, blocks, p->mat->planes, accumulators);
    const cut by_blocks = cut_blocks(p, blocks, by_rows.size + (by_rows.larger > 0), w_block, accumulators);
    for (int j = 0; j < by_blocks.parts; j++) {
        const int part = p->reverse ? by_blocks.parts - 1 - j : j, u = cut_size(&by_blocks, part);
        const int64_t b = p->block_begin + cut_begin(&by_blocks, part);
        const char *w = (const char *)p->mat->w + b * w_block, *next = next_weights(p, &by_blocks, part, w, w_block);
        for (int i = 0; i < by_rows.parts; i++) {
            const int row = cut_begin(&by_rows, i), n = cut_size(&by_rows, i);
            const rc_tile t = {
                .k = p->mat->k,
                .in = (const real *const *)p->in + row,
                .w = w,
                .ahead = i < 2 ? next + i * (u * w_block / 2) : w,
                .w_block = w_block,
                .init = (const real *)p->init + row * p->init_row + b * RC_LANES,
                .out = (real *)p->out + row * p->out_row + b * RC_LANES,
                .init_row = p->init_row,
                .out_row = p->out_row,
                .plane = p->plane,
                .worth = worth ? worth + row : NULL,
                .scale = worth ? (const real *)p->mat->scale + b * RC_LANES : NULL,
                .offset = worth ? p->mat->offset + b * RC_LANES : NULL,
                .units = p->mat->units,
            };
            tiles[p->mat->planes - 1][n - 1][u - 1](&t);
            if (p->tail) p->tail(p->tail_args, p->first_row + row, n, b, u);
        }
    }
}

#endif
