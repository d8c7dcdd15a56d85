/* SPDX-License-Identifier: MIT
 * Padded states of the time loops: rows of whole vectors, filled from and stored to the caller's dense ones. */
#ifndef RC_STATE_H
#define RC_STATE_H

#include <string.h>

#include "batch.h"
#include "../model/plan.h"

static inline int64_t widest_row(const rnncore_plan *plan) { return plan->out_ld > plan->ld ? plan->out_ld : plan->ld; }

static inline void point_rows(const void **to, const char *base, int64_t rows, int64_t row_bytes)
{
    for (int64_t r = 0; r < rows; r++) to[r] = base + r * row_bytes;
}

/* Fills padded rows [rows][ld] with the dense initial states of the part's rows; NULL: zeros. */
static inline void load_state(const rc_batch *batch, char *to, int64_t ld, const char *dense, int64_t size,
                              int64_t elem)
{
    memset(to, 0, (size_t)(batch->rows * ld * elem));
    for (int64_t j = 0; dense && j < batch->rows; j++)
        memcpy(to + j * ld * elem, dense + rc_batch_row(batch, j) * size * elem, (size_t)(size * elem));
}

/* The reverse of load_state for slots [first, last). */
static inline void store_state(const rc_batch *batch, const char *from, int64_t ld, char *dense, int64_t size,
                               int64_t elem, int64_t first, int64_t last)
{
    for (int64_t j = first; dense && j < last; j++)
        memcpy(dense + rc_batch_row(batch, j) * size * elem, from + j * ld * elem, (size_t)(size * elem));
}

/* Zeroes the padded lanes of recorded gates and of c before and after zoneout. They hold 0 * x, which is NaN where x is
 * infinite, and backward multiplies them by the zeros of padded weights. */
static inline void clear_padding(const rnncore_plan *plan, int64_t rows, char *gates, char *c, char *next_c)
{
    const int64_t elem = plan->elem, first = plan->hidden * elem, bytes = (plan->ld - plan->hidden) * elem;
    for (int64_t i = 0; bytes && i < rows; i++)
        for (int plane = 0; plane < plan->cell->slots; plane++)
            memset(gates + (i * plan->gates_ld + plane * plan->ld) * elem + first, 0, (size_t)bytes);
    for (int64_t i = 0; bytes && c && i < rows; i++) memset(c + i * plan->ld * elem + first, 0, (size_t)bytes);
    for (int64_t i = 0; bytes && next_c && i < rows; i++)
        memset(next_c + i * plan->ld * elem + first, 0, (size_t)bytes);
}

#endif
