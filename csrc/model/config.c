/* SPDX-License-Identifier: MIT
 * See config.h. */
#include "config.h"

#include <math.h>

/* Sizes up to here leave room for every product of two of them times a small factor in 63 bits. */
static const int64_t largest_size = (int64_t)1 << 28;
static const int64_t most_layers = 65536;
/* Whether the activations of a direction are functions that exist, at places that the cell has. */
static int are_functions(const rnncore_config *c, int direction)
{
    static const int places[RC_CELLS] = {1, 1, 5, 3, 3};
    for (int i = 0; i < RNNCORE_PLACES; i++) {
        const rnncore_activation *a = &c->activations[direction][i];
        const int absent = i >= places[c->cell] || (c->coupled && i == 1) || direction > c->bidirectional;
        if (!rc_in_range(a->function, RNNCORE_USUAL, absent ? RNNCORE_USUAL : RNNCORE_SOFTPLUS)) return 0;
        if (!isfinite(a->alpha) || !isfinite(a->beta)) return 0;
    }
    return 1;
}

static int are_options(const rnncore_config *c)
{
    const int most = c->cell == RNNCORE_LSTM; /* who may have peepholes, coupled gates and c */
    return rc_in_range(c->peepholes, 0, most) && rc_in_range(c->coupled, 0, most) && c->clip >= 0 &&
           isfinite(c->clip) && rc_is_probability(c->zoneout) && rc_is_probability(c->zoneout_c) &&
           (most || c->zoneout_c == 0) && are_functions(c, 0) && are_functions(c, 1) &&
           (!c->blas || (c->blas->sgemm && c->blas->dgemm));
}

rnncore_status rc_check_config(const rnncore_config *c)
{
    if (!rc_in_range(c->cell, 0, RC_CELLS - 1) || !rc_in_range(c->dtype, RNNCORE_FLOAT32, RNNCORE_FLOAT64) ||
        !rc_in_range(c->bidirectional, 0, 1) || !rc_is_probability(c->dropout) || !are_options(c))
        return RNNCORE_ERROR_ARGUMENT;
    if (c->input_size < 1 || c->hidden_size < 1 || c->num_layers < 1) return RNNCORE_ERROR_SHAPE;
    if (c->input_size > largest_size || c->hidden_size > largest_size || c->num_layers > most_layers)
        return RNNCORE_ERROR_OVERFLOW;
    if (c->proj_size && c->cell != RNNCORE_LSTM) return RNNCORE_ERROR_ARGUMENT;
    if (!rc_in_range(c->proj_size, 0, c->hidden_size - 1)) return RNNCORE_ERROR_SHAPE;
    return RNNCORE_OK;
}

rnncore_status rc_check_uses(const rnncore_config *c, int uses)
{
    const int known = RNNCORE_PACK_FORWARD | RNNCORE_PACK_BACKWARD | RNNCORE_PACK_BLAS;
    if (uses == 0 || (uses & ~known) != 0) return RNNCORE_ERROR_ARGUMENT;
    return (uses & RNNCORE_PACK_BLAS) && !c->blas ? RNNCORE_ERROR_UNSUPPORTED : RNNCORE_OK;
}
