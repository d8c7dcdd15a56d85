/* SPDX-License-Identifier: MIT
 * See workspace.h. */
#include "workspace.h"

#include <string.h>

#include "../base/tuning.h"

void rc_workspace_take(rc_workspace *ws, rc_arena *arena, const rnncore_plan *plan, int64_t rows, int64_t slices)
{
    for (int i = 0; i < 2; i++) {
        ws->h[i] = rc_arena_take(arena, rows, rc_widest_row(plan) * plan->elem);
        ws->in_h[i] = rc_arena_take(arena, rows, sizeof(void *));
    }
    ws->c = rc_arena_take(arena, rows, plan->ld * plan->elem);
    ws->mid = rc_arena_take(arena, rows, plan->ld * plan->elem);
    ws->in_mid = rc_arena_take(arena, rows * slices, sizeof(void *));
    ws->raw_c = plan->config.zoneout_c > 0 ? rc_arena_take(arena, rows, plan->ld * plan->elem) : NULL;
    ws->numbers = plan->cell->norm_count ? rc_arena_take(arena, rows * slices, RC_NORM_NUMBERS * plan->elem) : NULL;
    ws->mask = NULL;
}

void rc_workspace_take_masks(rc_workspace *ws, rc_arena *arena, const rnncore_plan *plan, int64_t rows)
{
    ws->mask = rc_arena_take(arena, rows, plan->out_ld * plan->elem);
    for (int i = 0; i < 2; i++) ws->dropped[i] = rc_arena_take(arena, rows, plan->out_ld * plan->elem);
}

void rc_workspace_take_forward(rc_workspace *ws, rc_arena *arena, const rnncore_plan *plan, int64_t rows, int64_t steps,
                               int64_t slices, int64_t most_steps)
{
    const int64_t row_bytes = plan->gates_ld * plan->elem;
    int64_t in_size = plan->config.input_size;
    if (plan->config.num_layers > 1 && rc_input_size(plan, 1) > in_size) in_size = rc_input_size(plan, 1);
    rc_workspace_take(ws, arena, plan, rows, slices);
    const int64_t tokens = RC_CHUNK_BYTES / row_bytes > RC_CHUNK_TOKENS ? RC_CHUNK_BYTES / row_bytes : RC_CHUNK_TOKENS;
    ws->chunk = tokens / (rows ? rows : 1);
    if (ws->chunk < 1) ws->chunk = 1;
    if (ws->chunk > most_steps) ws->chunk = most_steps;
    if (ws->chunk > steps) ws->chunk = steps;
    ws->in = rc_arena_take(arena, ws->chunk * rows, sizeof(void *));
    ws->gates = rc_arena_take(arena, ws->chunk * rows, row_bytes);
    ws->x = rc_arena_take(arena, ws->chunk * rows, in_size * plan->elem);
}

void rc_workspace_take_backward(rc_workspace *ws, rc_arena *arena, const rnncore_plan *plan, int64_t rows,
                                int64_t slices)
{
    rc_workspace_take(ws, arena, plan, rows, slices);
    ws->in = rc_arena_take(arena, rows * slices, sizeof(void *));
    ws->dh = rc_arena_take(arena, rows, rc_widest_row(plan) * plan->elem);
    ws->dc = rc_arena_take(arena, rows, plan->ld * plan->elem);
    ws->zero = rc_arena_take(arena, 1, rc_widest_row(plan) * plan->elem);
    ws->kept[RC_ZONE_H] = plan->config.zoneout > 0 ? rc_arena_take(arena, rows, plan->out_ld * plan->elem) : NULL;
    ws->kept[RC_ZONE_C] = plan->config.zoneout_c > 0 ? rc_arena_take(arena, rows, plan->ld * plan->elem) : NULL;
}

void rc_load_state(const rc_batch *batch, char *to, int64_t ld, const char *dense, int64_t size, int64_t elem)
{
    memset(to, 0, (size_t)(batch->rows * ld * elem));
    for (int64_t j = 0; dense && j < batch->rows; j++)
        memcpy(to + j * ld * elem, dense + rc_batch_row(batch, j) * size * elem, (size_t)(size * elem));
}

void rc_store_state(const rc_batch *batch, const char *from, int64_t ld, char *dense, int64_t size, int64_t elem,
                    int64_t first, int64_t last)
{
    for (int64_t j = first; dense && j < last; j++)
        memcpy(dense + rc_batch_row(batch, j) * size * elem, from + j * ld * elem, (size_t)(size * elem));
}

void rc_norm_rows(const rnncore_plan *plan, int norm, const rc_cell_args *args, int64_t rows)
{
    const rc_norm *n = &plan->cell->norm[norm];
    const rc_term *term = n->term < 0 ? NULL : &plan->term[n->term];
    const int64_t plane = plan->ld * plan->elem, row = term ? args->ldg * plan->elem : plane;
    const char *values = term ? (const char *)args->gates + term->first * plane : args->c;
    char *numbers = (char *)args->numbers + 2 * norm * plan->elem;
    for (int64_t r = 0; r < rows; r++)
        plan->kernels->norm_stats(numbers + r * RC_NORM_NUMBERS * plan->elem, values + r * row, term ? term->planes : 1,
                                  plan->ld, plan->hidden);
}
