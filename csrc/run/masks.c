/* SPDX-License-Identifier: MIT
 * See masks.h. The numbers of the streams are those of spec/masks.py. */
#include "masks.h"

#include <string.h>

#include "../base/fpenv.h"
#include "../isa/find.h"

/* -- Places in the streams --------------------------------------------------------------------------------------------- */

/* Where the `size` features of a row at a time begin. */
typedef struct place {
    uint64_t key, first;
} place;

static place place_of(const rc_keys *keys, uint64_t stream, int64_t time, int64_t row, int64_t size)
{
    const uint64_t key = keys->rows ? keys->rows[row] : keys->call;
    const int64_t token = keys->rows ? time : time * keys->total + row;
    return (place){rc_splitmix64(key, stream), (uint64_t)token * (uint64_t)size};
}

/* -- Dropout between layers -------------------------------------------------------------------------------------------- */

void rc_drop_tokens(const rnncore_plan *plan, const rc_batch *batch, const rc_keys *keys, int64_t below, char *out,
                    const char *in, int64_t size)
{
    const int64_t row_bytes = size * plan->elem;
    for (int64_t t = 0; t < batch->steps; t++) {
        for (int64_t j = 0; j < rc_batch_active(batch, t); j++, out += row_bytes, in += row_bytes) {
            const place at = place_of(keys, (uint64_t)below, t, rc_batch_row(batch, j), size);
            plan->kernels->dropout(out, in, size, at.key, at.first, plan->config.dropout);
        }
    }
}

void rc_drop_row(const rnncore_plan *plan, const rc_keys *keys, int64_t below, int64_t time, int64_t row, char *values,
                 int64_t size)
{
    const place at = place_of(keys, (uint64_t)below, time, row, size);
    plan->kernels->dropout(values, values, size, at.key, at.first, plan->config.dropout);
}

rnncore_status rnncore_dropout(rnncore_dtype dtype, void *out, const void *a, int64_t size, uint64_t key, double p)
{
    if (dtype != RNNCORE_FLOAT32 && dtype != RNNCORE_FLOAT64) return RNNCORE_ERROR_ARGUMENT;
    if (!out || !a || !(p >= 0 && p < 1)) return RNNCORE_ERROR_ARGUMENT;
    if (size < 0) return RNNCORE_ERROR_SHAPE;
    const rc_fpenv outside = rc_fpenv_enter();
    rc_find_kernels(NULL, dtype)->dropout(out, a, size, key, 0, p);
    rc_fpenv_leave(outside);
    return RNNCORE_OK;
}

/* -- Recurrent dropout ------------------------------------------------------------------------------------------------- */

rc_drop rc_drop_of(const rnncore_plan *plan, double p, rc_keys keys, int64_t layer, int direction)
{
    return (rc_drop){p, keys, ((uint64_t)1 << 32) + (uint64_t)(layer * plan->directions + direction)};
}

void rc_draw_masks(const rnncore_plan *plan, const rc_batch *batch, const rc_drop *drop, rc_workspace *ws)
{
    const int64_t row_bytes = plan->out_ld * plan->elem;
    memset(ws->mask, 0, (size_t)(batch->rows * row_bytes));
    for (int64_t j = 0; j < batch->rows; j++) {
        const place at = place_of(&drop->keys, drop->stream, 0, rc_batch_row(batch, j), plan->out);
        plan->kernels->dropout(ws->mask + j * row_bytes, NULL, plan->out, at.key, at.first, drop->p);
    }
}

void rc_drop_units(const rnncore_plan *plan, const rc_workspace *ws, char *to, const char *from, int64_t rows,
                   int64_t begin, int64_t end)
{
    for (int64_t j = 0; j < rows; j++) {
        const int64_t at = (j * plan->out_ld + begin) * plan->elem;
        plan->kernels->multiply(to + at, from + at, ws->mask + at, end - begin);
    }
}

void rc_start_dropped(const rnncore_plan *plan, const rc_batch *batch, rc_workspace *ws, int current)
{
    const int64_t row_bytes = plan->out_ld * plan->elem;
    for (int i = 0; i < 2; i++) {
        memset(ws->dropped[i], 0, (size_t)(batch->rows * row_bytes));
        rc_point_rows(ws->in_h[i], ws->dropped[i], batch->rows, row_bytes);
    }
    rc_drop_units(plan, ws, ws->dropped[current], ws->h[current], batch->rows, 0, plan->out);
}

/* -- Zoneout ----------------------------------------------------------------------------------------------------------- */

rc_zoneout rc_zoneout_of(const rnncore_plan *plan, const rc_batch *batch, rc_keys keys, int64_t layer, int direction)
{
    const uint64_t number = (uint64_t)(layer * plan->directions + direction);
    return (rc_zoneout){plan, batch, direction, keys, {((uint64_t)1 << 34) + number, ((uint64_t)1 << 35) + number}};
}

static double zone_p(const rnncore_plan *plan, int zone)
{
    return zone == RC_ZONE_H ? plan->config.zoneout : plan->config.zoneout_c;
}
static int64_t features(const rnncore_plan *plan, int zone) { return zone == RC_ZONE_H ? plan->out : plan->hidden; }
static int64_t row_size(const rnncore_plan *plan, int zone) { return zone == RC_ZONE_H ? plan->out_ld : plan->ld; }

/* Where a slot's units from `begin` on are in the mask stream. */
static place place_in_zone(const rc_zoneout *masks, int zone, int64_t step, int64_t slot, int64_t begin)
{
    const int64_t time = rc_batch_time(masks->batch, masks->direction, step, slot);
    const int64_t row = rc_batch_row(masks->batch, slot);
    place at = place_of(&masks->keys, masks->stream[zone], time, row, features(masks->plan, zone));
    at.first += (uint64_t)begin;
    return at;
}

void rc_zone_step(const rnncore_plan *plan, const rc_zoneout *masks, int zone, int64_t step, int64_t rows,
                  int64_t begin, int64_t end, char *out, const char *prev, const char *next)
{
    const double p = zone_p(plan, zone);
    for (int64_t j = 0; j < rows; j++) {
        const int64_t at = (j * row_size(plan, zone) + begin) * plan->elem;
        if (masks) {
            const place of = place_in_zone(masks, zone, step, j, begin);
            plan->kernels->zoneout(out + at, prev + at, next + at, end - begin, of.key, of.first, p);
        } else plan->kernels->blend(out + at, prev + at, next + at, end - begin, p);
    }
}

void rc_zone_back(const rc_zoneout *masks, int zone, int64_t step, int64_t rows, int64_t begin, int64_t end, char *d,
                  char *kept)
{
    const rnncore_plan *plan = masks->plan;
    for (int64_t j = 0; j < rows; j++) {
        const int64_t at = (j * row_size(plan, zone) + begin) * plan->elem;
        const place of = place_in_zone(masks, zone, step, j, begin);
        plan->kernels->unzone(d + at, kept + at, end - begin, of.key, of.first, zone_p(plan, zone));
    }
}
