/* SPDX-License-Identifier: MIT
 * Dealing rows to threads, and copying strided rows: see batch.h. */
#include "batch.h"

#include <string.h>

static void deal_even(rc_batch *parts, int64_t count, int64_t steps, int64_t batch)
{
    int64_t row = 0;
    for (int64_t p = 0; p < count; p++) {
        const int64_t rows = batch / count + (p < batch % count);
        parts[p] = (rc_batch){
            .rows = rows, .steps = steps, .first_row = row, .first_token = row * steps, .tokens = rows * steps};
        row += rows;
    }
}

/* Rows by falling length, equal lengths in order: a counting sort. `starts` has steps + 2 entries. */
static void sort_rows(int64_t *sorted, int64_t *starts, int64_t steps, int64_t batch, const int64_t *lengths)
{
    memset(starts, 0, (size_t)(steps + 2) * sizeof *starts);
    for (int64_t i = 0; i < batch; i++) starts[steps - lengths[i] + 1]++;
    for (int64_t s = 0; s <= steps; s++) starts[s + 1] += starts[s];
    for (int64_t i = 0; i < batch; i++) sorted[starts[steps - lengths[i]]++] = i;
}

/* Counts of one part, whose rows and lengths are filled in. */
static void count_tokens(rc_batch *part, int64_t first_token)
{
    int64_t alive = part->rows;
    part->offset[0] = 0;
    for (int64_t s = 0; s < part->steps; s++) {
        while (alive && part->length[alive - 1] <= s) alive--;
        part->active[s] = alive;
        part->offset[s + 1] = part->offset[s] + alive;
    }
    part->first_token = first_token;
    part->tokens = part->offset[part->steps];
}

rc_batch *rc_batch_deal(rc_arena *arena, int64_t steps, int64_t batch, const int64_t *lengths, int64_t count)
{
    rc_batch *parts = rc_arena_take(arena, count, sizeof *parts);
    if (!batch) steps = 0; /* however many steps: nobody walks them */
    if (!lengths) {
        if (arena->base) deal_even(parts, count, steps, batch);
        return parts;
    }
    int64_t *rows = rc_arena_take(arena, batch, 3 * sizeof *rows);
    int64_t *counts = rc_arena_take(arena, count * (2 * steps + 1) + steps + 2, sizeof *counts);
    if (!arena->base) return NULL;

    int64_t *sorted = rows + 2 * batch, token = 0;
    sort_rows(sorted, counts, steps, batch, lengths);
    for (int64_t p = 0; p < count; p++) {
        rc_batch *part = &parts[p];
        *part = (rc_batch){.row = rows, .length = rows + batch, .active = counts, .offset = counts + steps};
        for (int64_t i = p; i < batch; i += count, part->rows++) {
            part->row[part->rows] = sorted[i];
            part->length[part->rows] = lengths[sorted[i]];
        }
        part->steps = part->rows ? part->length[0] : 0;
        count_tokens(part, token);
        token += part->tokens;
        rows += part->rows;
        counts += 2 * steps + 1;
    }
    return parts;
}

void rc_copy(char *out, int64_t out_stride, const char *in, int64_t in_stride, int64_t n, int64_t elem)
{
    if (out_stride == elem && in_stride == elem) {
        memcpy(out, in, (size_t)(n * elem));
        return;
    }
    for (int64_t i = 0; i < n; i++) memcpy(out + i * out_stride, in + i * in_stride, (size_t)elem);
}

void rc_zero(char *out, int64_t out_stride, int64_t n, int64_t elem)
{
    if (out_stride == elem) {
        memset(out, 0, (size_t)(n * elem));
        return;
    }
    for (int64_t i = 0; i < n; i++) memset(out + i * out_stride, 0, (size_t)elem);
}

void rc_gather_tokens(const rc_batch *batch, char *compact, const rnncore_array *array, int64_t size, int64_t elem)
{
    const rc_rows rows = rc_array_rows(array, 0);
    for (int64_t t = 0; t < batch->steps; t++) {
        const int64_t active = rc_batch_active(batch, t);
        const int64_t at_once = rc_rows_together(&rows, batch, active, size, elem), n = at_once * size;
        for (int64_t j = 0; j < active; j += at_once, compact += n * elem)
            rc_copy(compact, elem, rc_rows_at(&rows, batch, t, j), rows.feature, n, elem);
    }
}

void rc_zero_padding(const rc_batch *batch, const rnncore_array *array, int64_t steps, int64_t size, int64_t elem)
{
    const rc_rows rows = rc_array_rows(array, 0);
    for (int64_t t = 0; batch->length && t < steps; t++)
        for (int64_t j = rc_batch_active(batch, t); j < batch->rows; j++)
            rc_zero(rc_rows_at(&rows, batch, t, j), rows.feature, size, elem);
}
