/* SPDX-License-Identifier: MIT
 *
 * The packed product of integer stores: out = init + worth(row) * scale(unit) * (codes of in . codes of W), rounded once for the
 * product of the two factors and once for all else. Rows become codes once, as many at a time as fit into a block of the stack;
 * tiles (tile_ints.inc) and their cuts are those of product.h. */
#ifndef RC_TILE_INT_H
#define RC_TILE_INT_H

#include "codes.h"
#include "product.h"

enum { RC_CODE_BYTES = 2 * RC_MOST_CODED_INPUTS, RC_CODE_ROWS = 64 }; /* of a block */

/* out = start + worth * scale * sum, for [rows][blocks * gates] sums; one loop for all tiles, whose code would be most of theirs. */
__attribute__((noinline)) static void finish_ints(int rows, int blocks, int gates, const rc_tile *t, const ints *sum)
{
    for (int r = 0; r < rows; r++) {
        const vec worth = v_set1(t->worth[r]);
        for (int u = 0; u < blocks; u++)
            for (int g = 0; g < gates; g++, sum++) {
                const int64_t unit = u * RC_LANES, place = r * t->out_row + g * t->plane + unit;
                const vec factor = v_mul(worth, v_load(t->scale + g * t->units + unit));
                const vec start = v_load(t->init + r * t->init_row + g * t->plane + unit);
                v_store(t->out + place, v_fma(i_to_real(*sum), factor, start));
            }
    }
}

/* One plane of codes of some rows. */
typedef struct code_block {
    int8_t *codes;
    float worth[RC_CODE_ROWS];
    const void *in[RC_CODE_ROWS];
} code_block;

/* Rows [first, first + rows) by one plane of codes. */
static void run_codes(const tile_table *tiles, const rc_product *p, const code_block *block, int64_t first,
                      int64_t rows)
{
    rc_product part = *p;
    part.rows = rows;
    part.first_row = p->first_row + first;
    part.in = block->in;
    part.init = (const float *)p->init + first * p->init_row;
    part.out = (float *)p->out + first * p->out_row;
    run_product(RNNCORE_STORE_INT8, tiles, &part, block->worth);
}

/* `offset`: the tiles want codes + 128. */
RC_INLINE void run_ints(const tile_table *tiles, const rc_product *p, const int planes, const int offset)
{
    _Alignas(64) int8_t memory[RC_CODE_BYTES];
    code_block upper, lower;
    const int64_t row_bytes = (p->mat->k + 63) / 64 * 64,
                  room = RC_CODE_BYTES / (planes * (row_bytes ? row_bytes : 64));
    const int64_t most = room < RC_CODE_ROWS ? room : RC_CODE_ROWS;
    for (int64_t first = 0; first < p->rows; first += most) {
        const int64_t rows = p->rows - first < most ? p->rows - first : most;
        for (int64_t r = 0; r < rows; r++) {
            int8_t *codes = memory + r * planes * row_bytes, *more = planes == 2 ? codes + row_bytes : NULL;
            upper.in[r] = codes;
            lower.in[r] = more;
            lower.worth[r] = code_row(codes, more, p->in[first + r], p->mat->k, (float)p->least, offset);
            upper.worth[r] = planes == 2 ? 256 * lower.worth[r] : lower.worth[r];
        }
        rc_product rest = *p;
        if (planes == 2) {
            rc_product start = *p;
            start.tail = NULL;
            run_codes(tiles, &start, &lower, first, rows);
            rest.init = p->out;
            rest.init_row = p->out_row;
        }
        run_codes(tiles, &rest, &upper, first, rows);
    }
}

#endif
