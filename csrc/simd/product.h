/* SPDX-License-Identifier: MIT
 *
 * A product cut into tiles (tile.h), tile by tile, each with the gate math behind it. What is cut where changes speed, never a bit
 * of the result.
 *
 * Folded blocks: where the last units fill only a part of a vector, a vector for each plane would be mostly padding (LSTM,
 * H = 100: 28 vectors of weights where 25 would do). So the planes of these units lie side by side in `folded_vectors`, and those of
 * the block before, as one row of a tile alone is slow, join them: [vector][k / group][lane][group], blocks of one plane. Their
 * tiles work on copies of what the chains start from. */
#ifndef RC_PRODUCT_H
#define RC_PRODUCT_H

#include "tile.h"
#include "../base/tuning.h"

/* -- Cuts -------------------------------------------------------------------------------------------------------------- */

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

/* -- Whole blocks ------------------------------------------------------------------------------------------------------ */

typedef tile_fn *const tile_table[RC_TILE_ROWS][RC_TILE_BLOCKS]; /* of each number of planes; all count from 1 */

/* Blocks [p->block_begin, p->block_begin + blocks), none of them folded. `worth`: of the codes of each row, with a store of
 * integers. */
RC_INLINE void run_blocks(const tile_table *tiles, const rc_product *p, int blocks, int64_t w_block,
                          const int accumulators, const real *worth)
{
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

/* -- Folded blocks ----------------------------------------------------------------------------------------------------- */

/* The last two blocks, a row of which is [planes][lanes] of the first, then [planes][last] of the second. */
typedef struct folding {
    int planes, last;          /* units of the second block */
    int has_first, has_second; /* another thread may have one of them */
} folding;

/* Of a row; a vector more for what the last plane's reaches beyond its units. */
enum { RC_FOLDED_ROW = (RC_TILE_GATES + RC_MOST_FOLDED + 1) * RC_LANES };

/* Ascending, as each plane ends with padding that the next one overwrites. */
__attribute__((noinline, unused)) static void fold_row(const folding *f, real *to, const real *from, int64_t plane)
{
    real *second = to + f->planes * RC_LANES;
    for (int g = 0; g < f->planes; g++, from += plane) {
        if (f->has_first) v_store(to + g * RC_LANES, v_load(from));
        if (f->has_second) v_store(second + g * f->last, v_load(from + RC_LANES));
    }
}

__attribute__((noinline, unused)) static void unfold_row(const folding *f, real *to, const real *from, int64_t plane)
{
    const real *second = from + f->planes * RC_LANES;
    for (int g = 0; g < f->planes; g++, to += plane) {
        if (f->has_first) v_store(to, v_load(from + g * RC_LANES));
        if (f->has_second) v_store(to + RC_LANES, v_first(v_load(second + g * f->last), f->last));
    }
}

/* Those of the folded blocks that are the product's. */
__attribute__((noinline, unused)) static void run_folded(const tile_table *tiles, const rc_product *p, int64_t w_block,
                                                         int accumulators)
{
    const rc_mat *mat = p->mat;
    const int64_t b = mat->units / RC_LANES - 2, first = b * RC_LANES;
    const int vectors = mat->planes + folded_vectors(mat), most = accumulators / vectors;
    const folding f = {mat->planes, mat->folded, p->block_begin <= b, p->block_end > b + 1};
    const cut by_rows = cut_evenly((int)p->rows, most < RC_TILE_ROWS ? most : RC_TILE_ROWS);
    _Alignas(64) real values[RC_TILE_ROWS * RC_FOLDED_ROW];
    if (!f.has_first || !f.has_second) memset(values, 0, sizeof values); /* the tile multiplies all of it */
    rc_tile t = {
        .k = mat->k,
        .w = (const char *)mat->w + b * w_block,
        .w_block = w_block / mat->planes,
        .init = values,
        .out = values,
        .init_row = RC_FOLDED_ROW,
        .out_row = RC_FOLDED_ROW,
    };
    t.ahead = t.w;
    for (int i = 0; i < by_rows.parts; i++) {
        const int row = cut_begin(&by_rows, i), n = cut_size(&by_rows, i);
        const real *init = (const real *)p->init + row * p->init_row + first;
        real *out = (real *)p->out + row * p->out_row + first;
        t.in = (const real *const *)p->in + row;
        for (int r = 0; r < n; r++) fold_row(&f, values + r * RC_FOLDED_ROW, init + r * p->init_row, p->plane);
        tiles[0][n - 1][vectors - 1](&t);
        for (int r = 0; r < n; r++) unfold_row(&f, out + r * p->out_row, values + r * RC_FOLDED_ROW, p->plane);
        if (p->tail) p->tail(p->tail_args, p->first_row + row, n, b + !f.has_first, f.has_first + f.has_second);
    }
}

/* S is a constant where this is inlined. */
RC_INLINE void run_product(const rnncore_store S, const tile_table *tiles, const rc_product *p, const real *worth)
{
    const int64_t w_block = rc_store_bytes(S, p->mat->k, p->mat->planes * RC_LANES, sizeof(real));
    const int64_t whole = p->mat->units / RC_LANES - 2; /* blocks that are not folded */
    const int folds = RC_LANES > 1 && !rc_store_is_integer(S) && p->mat->folded && p->block_end > whole;
    const int blocks = (int)((folds ? whole : p->block_end) - p->block_begin);
    if (p->rows <= 0 || p->block_end <= p->block_begin) return;
    if (folds && p->reverse) run_folded(tiles, p, w_block, tile_accumulators(S));
    if (blocks > 0) run_blocks(tiles, p, blocks, w_block, tile_accumulators(S), worth);
    if (folds && !p->reverse) run_folded(tiles, p, w_block, tile_accumulators(S));
}

#endif
