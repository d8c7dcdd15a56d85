/* SPDX-License-Identifier: MIT
 * See zoneout.h. */
#include "zoneout.h"

#include "../base/splitmix.h"

rc_zoneout rc_zoneout_of(const rnncore_plan *plan, const rc_batch *batch, int64_t total, uint64_t call_key,
                         int64_t layer, int direction)
{
    const uint64_t number = (uint64_t)(layer * plan->directions + direction);
    return (rc_zoneout){
        plan,
        batch,
        direction,
        total,
        {rc_splitmix64(call_key, ((uint64_t)1 << 34) + number), rc_splitmix64(call_key, ((uint64_t)1 << 35) + number)}};
}

static int64_t features(const rnncore_plan *plan, int zone) { return zone == RC_ZONE_H ? plan->out : plan->hidden; }
static int64_t row_size(const rnncore_plan *plan, int zone) { return zone == RC_ZONE_H ? plan->out_ld : plan->ld; }

/* Number of a slot's first unit in the mask stream. */
static uint64_t first_element(const rc_zoneout *masks, int zone, int64_t step, int64_t slot)
{
    const int64_t time = rc_batch_time(masks->batch, masks->direction, step, slot);
    return (uint64_t)((time * masks->total + rc_batch_row(masks->batch, slot)) * features(masks->plan, zone));
}

void rc_zone_step(const rnncore_plan *plan, const rc_zoneout *masks, int zone, int64_t step, int64_t rows,
                  int64_t begin, int64_t end, char *out, const char *prev, const char *next)
{
    const double p = rc_zone_p(plan, zone);
    for (int64_t j = 0; j < rows; j++) {
        const int64_t at = (j * row_size(plan, zone) + begin) * plan->elem;
        if (masks)
            plan->kernels->zoneout(out + at, prev + at, next + at, end - begin, masks->key[zone],
                                   first_element(masks, zone, step, j) + (uint64_t)begin, p);
        else plan->kernels->blend(out + at, prev + at, next + at, end - begin, p);
    }
}

void rc_zone_back(const rc_zoneout *masks, int zone, int64_t step, int64_t rows, int64_t begin, int64_t end, char *d,
                  char *kept)
{
    const rnncore_plan *plan = masks->plan;
    for (int64_t j = 0; j < rows; j++) {
        const int64_t at = (j * row_size(plan, zone) + begin) * plan->elem;
        plan->kernels->unzone(d + at, kept + at, end - begin, masks->key[zone],
                              first_element(masks, zone, step, j) + (uint64_t)begin, rc_zone_p(plan, zone));
    }
}
