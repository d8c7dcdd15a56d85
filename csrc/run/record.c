/* SPDX-License-Identifier: MIT
 * Layout of the tape: see tape.h. */
#include "record.h"

#include "../isa/find.h"
#include "call.h"

int rc_has_mid(const rnncore_plan *plan) { return plan->config.proj_size > 0 || plan->cell->phases > 1; }

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
            if (segments) {
                tape.marks[d] = plan->cell->has_c ? take_marks(plan, arena, batch, segments) : NULL;
                continue;
            }
            tape.gates[d] = rc_arena_take(arena, valid, plan->gates_ld * elem);
            tape.c[d] = plan->cell->has_c ? rc_arena_take(arena, valid, plan->ld * elem) : NULL;
            tape.mid[d] = rc_has_mid(plan) ? rc_arena_take(arena, valid, plan->ld * elem) : NULL;
            tape.next_c[d] = plan->config.zoneout_c > 0 ? rc_arena_take(arena, valid, plan->ld * elem) : NULL;
        }
    }
    rc_arena_take(arena, 1, RC_ALIGN); /* rows of x, y and h0 are read in whole vectors */
    return tape;
}

rnncore_status rnncore_dropout(rnncore_dtype dtype, void *out, const void *a, int64_t size, uint64_t key, double p)
{
    if (dtype != RNNCORE_FLOAT32 && dtype != RNNCORE_FLOAT64) return RNNCORE_ERROR_ARGUMENT;
    if (!out || !a || !(p >= 0 && p < 1)) return RNNCORE_ERROR_ARGUMENT;
    if (size < 0) return RNNCORE_ERROR_SHAPE;
    rc_find_kernels(NULL, dtype)->dropout(out, a, size, key, 0, p);
    return RNNCORE_OK;
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
