/* SPDX-License-Identifier: MIT
 * See record.h. */
#include "record.h"

#include <string.h>

#include "call.h"

/* -- The record -------------------------------------------------------------------------------------------------------- */

rc_record rc_record_take(rc_arena *arena, const rnncore_plan *plan, int64_t rows)
{
    const int64_t row = plan->ld * plan->elem;
    rc_record r = {.gates = rc_arena_take(arena, rows, plan->record_ld * plan->elem)};
    if (plan->cell->has_c) r.c = rc_arena_take(arena, rows, row);
    if (plan->has_mid) r.mid = rc_arena_take(arena, rows, row);
    if (plan->config.zoneout_c > 0) r.raw_c = rc_arena_take(arena, rows, row);
    return r;
}

static char *move(char *base, int64_t bytes) { return base ? base + bytes : NULL; }

rc_record rc_record_at(const rnncore_plan *plan, const rc_record *r, int64_t row)
{
    const int64_t bytes = row * plan->ld * plan->elem;
    return (rc_record){
        .gates = move(r->gates, row * plan->record_ld * plan->elem),
        .c = move(r->c, bytes),
        .mid = move(r->mid, bytes),
        .raw_c = move(r->raw_c, bytes),
    };
}

static void clear_columns(char *rows, int64_t count, int64_t row_bytes, int64_t first, int64_t bytes)
{
    for (int64_t i = 0; rows && i < count; i++) memset(rows + i * row_bytes + first, 0, (size_t)bytes);
}

void rc_record_clear_padding(const rnncore_plan *plan, const rc_record *r, int64_t rows)
{
    const int64_t first = plan->hidden * plan->elem, row = plan->ld * plan->elem, bytes = row - first;
    if (!bytes) return;
    for (int plane = 0; plane < plan->cell->planes; plane++)
        clear_columns(r->gates, rows, plan->record_ld * plan->elem, plane * row + first, bytes);
    clear_columns(r->c, rows, row, first, bytes);
    clear_columns(r->raw_c, rows, row, first, bytes);
}

/* -- The tape ---------------------------------------------------------------------------------------------------------- */

int rc_drops_input(const rnncore_plan *plan, int64_t layer) { return layer > 0 && plan->config.dropout > 0; }

static char *take_marks(const rnncore_plan *plan, rc_arena *arena, int64_t batch, int64_t segments)
{
    int64_t rows;
    if (__builtin_mul_overflow(segments - 1, batch, &rows)) rows = INT64_MAX;
    return rc_arena_take(arena, rows, plan->hidden * plan->elem);
}

/* Lays out layers 0 ... last; the result is the last one's. */
static rc_tape lay_out(const rnncore_plan *plan, rc_arena *arena, int64_t batch, int64_t valid, int64_t segments,
                       int64_t last)
{
    const int64_t elem = plan->elem, out_row = plan->directions * plan->out * elem;
    rc_tape tape = {.header = rc_arena_take(arena, 1, sizeof(rc_tape_header))};
    for (int64_t layer = 0; layer <= last; layer++) {
        char *below = tape.y;
        tape.x = layer == 0                    ? rc_arena_take(arena, valid, plan->config.input_size * elem)
                 : rc_drops_input(plan, layer) ? rc_arena_take(arena, valid, out_row)
                                               : below;
        tape.y = rc_arena_take(arena, valid, out_row);
        for (int d = 0; d < plan->directions; d++) {
            tape.h0[d] = rc_arena_take(arena, batch, plan->out * elem);
            tape.c0[d] = plan->cell->has_c ? rc_arena_take(arena, batch, plan->hidden * elem) : NULL;
            if (!segments) tape.record[d] = rc_record_take(arena, plan, valid);
            else if (plan->cell->has_c) tape.marks[d] = take_marks(plan, arena, batch, segments);
        }
    }
    rc_arena_take(arena, 1, RC_ALIGN); /* rows of x, y and h0 are read in whole vectors */
    return tape;
}

rc_tape rc_tape_of(const rnncore_plan *plan, void *tape, int64_t batch, int64_t valid, int64_t layer)
{
    rc_arena arena = rc_arena_over(tape, SIZE_MAX);
    return lay_out(plan, &arena, batch, valid, ((const rc_tape_header *)tape)->segments, layer);
}

size_t rnncore_tape_bytes(const rnncore_plan *plan, int64_t steps, int64_t batch, int64_t valid, int64_t segments)
{
    int64_t most;
    if (!plan || rc_check_lengths(steps, batch, NULL, &most) || valid < 0 || valid > most) return 0;
    if (rc_check_segments(steps, segments)) return 0;
    rc_arena arena = rc_arena_counting();
    lay_out(plan, &arena, batch, valid, segments, plan->config.num_layers - 1);
    return rc_arena_bytes(&arena);
}
