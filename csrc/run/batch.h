/* SPDX-License-Identifier: MIT
 *
 * Which rows are alive at which step. A call's N rows are dealt to parts, one per thread; a part runs without looking at
 * the others. The rows of a part stand in slots, longest first, so that the rows alive at step s are slots 0 ... active-1
 * and nothing is spent on padding. A token is a valid (step, slot); tokens are numbered step by step, and all compact
 * buffers have one row per token. */
#ifndef RC_BATCH_H
#define RC_BATCH_H

#include "../base/arena.h"

typedef struct rc_batch {
    int64_t rows, steps; /* slots; the longest length among them */
    int64_t first_row;   /* without lengths: slot j is row first_row + j, and all arrays are NULL */
    int64_t first_token,
        tokens;               /* where this part's tokens begin in the call's compact buffers, and how many they are */
    int64_t *row, *length;    /* [rows] of each slot */
    int64_t *active, *offset; /* [steps], [steps + 1]: slots alive at a step, tokens before it */
} rc_batch;

static inline int64_t rc_batch_row(const rc_batch *b, int64_t slot)
{
    return b->row ? b->row[slot] : b->first_row + slot;
}
static inline int64_t rc_batch_length(const rc_batch *b, int64_t slot)
{
    return b->length ? b->length[slot] : b->steps;
}
static inline int64_t rc_batch_active(const rc_batch *b, int64_t step)
{
    return step >= b->steps ? 0 : b->active ? b->active[step] : b->rows;
}
/* Tokens of this part before `step`. */
static inline int64_t rc_batch_offset(const rc_batch *b, int64_t step)
{
    return b->offset ? b->offset[step] : step * b->rows;
}

/* The time at which a direction visits a slot at its step: the reverse direction starts at the row's own end. */
static inline int64_t rc_batch_time(const rc_batch *b, int direction, int64_t step, int64_t slot)
{
    return direction ? rc_batch_length(b, slot) - 1 - step : step;
}

/* Deals `batch` rows to `parts` batches: neighbours without lengths; with lengths, in turn from the longest on. Takes its
 * arrays from the arena; with a counting arena only the memory is counted. */
rc_batch *rc_batch_deal(rc_arena *arena, int64_t steps, int64_t batch, const int64_t *lengths, int64_t parts);

/* Rows of features by (time, slot): a strided (T, N, features) array, or a compact buffer. Strides in bytes. */
typedef struct rc_rows {
    char *data; /* NULL: nothing there */
    int64_t step, row, feature;
    int compact; /* row of token i at i * row; `step` is unused */
} rc_rows;

static inline char *rc_rows_at(const rc_rows *rows, const rc_batch *b, int64_t time, int64_t slot)
{
    if (rows->compact) return rows->data + (b->first_token + rc_batch_offset(b, time) + slot) * rows->row;
    return rows->data + time * rows->step + rc_batch_row(b, slot) * rows->row;
}

/* How many of `rows` slots at one time lie side by side, `size` features each: all of them or 1. */
static inline int64_t rc_rows_together(const rc_rows *r, const rc_batch *b, int64_t rows, int64_t size, int64_t elem)
{
    return rows > 0 && !b->row && r->feature == elem && r->row == size * elem ? rows : 1;
}

/* Copies n elements of `elem` bytes between strided rows (strides in bytes), or makes them zero. */
void rc_copy(char *out, int64_t out_stride, const char *in, int64_t in_stride, int64_t n, int64_t elem);
void rc_zero(char *out, int64_t out_stride, int64_t n, int64_t elem);

static inline rc_rows rc_compact_rows(void *data, int64_t size, int64_t column, int64_t elem)
{
    return (rc_rows){
        .data = data ? (char *)data + column * elem : NULL, .row = size * elem, .feature = elem, .compact = 1};
}

static inline rc_rows rc_array_rows(const rnncore_array *a, int64_t column)
{
    return (rc_rows){.data = (char *)a->data + column * a->stride[2],
                     .step = a->stride[0],
                     .row = a->stride[1],
                     .feature = a->stride[2]};
}

/* Copies all tokens of a part from a strided array to compact, dense rows of `size`; zeroes an array's padding. */
void rc_gather_tokens(const rc_batch *batch, char *compact, const rnncore_array *array, int64_t size, int64_t elem);
void rc_zero_padding(const rc_batch *batch, const rnncore_array *array, int64_t steps, int64_t size, int64_t elem);

#endif
