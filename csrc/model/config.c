/* SPDX-License-Identifier: MIT
 * See config.h. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "../base/sized.h"
#include "../base/tuning.h"
#include "../isa/find.h"

/* Sizes up to here leave room for every product of two of them times a small factor in 63 bits. */
static const int64_t largest_size = (int64_t)1 << 28;
static const int64_t most_layers = 65536;

const char *rnncore_cell_name(int index)
{
    const rc_cell_row *rows = rc_find_kernels("scalar", RNNCORE_FLOAT32)->cells;
    for (int i = 0; i < index && rows->name; i++) rows++;
    return index < 0 ? NULL : rows->name;
}

static const rc_cell_row *find_row(const rnncore_config *config, const rc_kernels *kernels)
{
    const rc_cell_row *row = kernels->cells;
    while (row->name && (!config->cell || strcmp(row->name, config->cell))) row++;
    return row;
}

const char *rc_find_name(const rnncore_config *config)
{
    return find_row(config, rc_find_kernels("scalar", config->dtype))->name;
}

const rc_cell *rc_find_cell(const rnncore_config *config, const rc_kernels *kernels, int any)
{
    const int form = config->coupled ? RC_FORM_COUPLED : any ? RC_FORM_ANY : RC_FORM_USUAL;
    const rc_cell_row *row = find_row(config, kernels);
    return row->name ? row->forms[form] : NULL;
}

const rc_cell *rc_find_table(const rnncore_config *config)
{
    return rc_find_cell(config, rc_find_kernels("scalar", config->dtype), 0);
}

/* -- Parameters ------------------------------------------------------------------------------------------------------ */

int64_t rc_config_output(const rnncore_config *config)
{
    return config->proj_size ? config->proj_size : config->hidden_size;
}

int64_t rc_config_input(const rnncore_config *config, int64_t layer)
{
    return layer == 0 ? config->input_size : (1 + config->bidirectional) * rc_config_output(config);
}

int rc_has_param(const rnncore_config *config, const rc_cell *cell, const rc_param *param)
{
    switch (param->when) {
    case RC_WITH_PROJECTION: return config->proj_size > 0;
    case RC_WITH_PEEPHOLES: return config->peepholes;
    case RC_WITH_NORM: return cell->norm_count > 0;
    default: return 1;
    }
}

static int64_t axis(const rnncore_config *config, rc_axis axis, int64_t layer)
{
    switch (axis) {
    case RC_AXIS_I: return rc_config_input(config, layer);
    case RC_AXIS_H: return config->hidden_size;
    case RC_AXIS_O: return rc_config_output(config);
    default: return 0;
    }
}

rnncore_param rc_describe_param(const rnncore_config *config, const rc_cell *cell, const rc_param *param, int64_t layer)
{
    const int blocks = param->blocks > 0 ? param->blocks : cell->gates + param->blocks;
    return (rnncore_param){
        .name = param->name,
        .rows = blocks * axis(config, param->rows, layer),
        .columns = axis(config, param->columns, layer),
        .optional = param->optional,
    };
}

/* -- Checks ---------------------------------------------------------------------------------------------------------- */

/* Whether the activations of a direction are functions that exist, at places that the cell has. */
static int are_functions(const rnncore_config *c, const rc_cell *cell, int direction)
{
    for (int i = 0; i < RNNCORE_PLACES; i++) {
        const rnncore_activation *a = &c->activations[direction][i];
        const int absent = cell->usual[i] == RNNCORE_USUAL || direction > c->bidirectional;
        if (!rc_in_range(a->function, RNNCORE_USUAL, absent ? RNNCORE_USUAL : RNNCORE_FUNCTION_COUNT - 1)) return 0;
        if (!isfinite(a->alpha) || !isfinite(a->beta)) return 0;
    }
    return 1;
}

/* Whether the cell has a parameter that an option asks for. */
static int has_option(const rc_cell *cell, rc_when when)
{
    for (int i = 0; i < cell->param_count; i++)
        if (cell->params[i].when == when) return 1;
    return 0;
}

static int are_options(const rnncore_config *c, const rc_cell *cell)
{
    return rc_in_range(c->peepholes, 0, has_option(cell, RC_WITH_PEEPHOLES)) && c->clip >= 0 && isfinite(c->clip) &&
           rc_is_probability(c->zoneout) && rc_is_probability(c->zoneout_c) && (cell->has_c || c->zoneout_c == 0) &&
           are_functions(c, cell, 0) && are_functions(c, cell, 1) && (!c->blas || (c->blas->sgemm && c->blas->dgemm));
}

rnncore_status rc_check_config(const rnncore_config *c)
{
    if (!rc_in_range(c->dtype, RNNCORE_FLOAT32, RNNCORE_FLOAT64) || !rc_in_range(c->bidirectional, 0, 1) ||
        !rc_in_range(c->coupled, 0, 1) || !rc_in_range(c->model_lanes, 0, 1) || !rc_is_probability(c->dropout))
        return RNNCORE_ERROR_ARGUMENT;
    if (!rc_in_range(c->store, RNNCORE_STORE_REAL, c->dtype == RNNCORE_FLOAT32 ? RNNCORE_STORE_COUNT - 1 : 0))
        return RNNCORE_ERROR_ARGUMENT;
    const rc_cell *cell = rc_find_table(c);
    if (!cell || !are_options(c, cell)) return RNNCORE_ERROR_ARGUMENT;
    if (c->input_size < 1 || c->hidden_size < 1 || c->num_layers < 1) return RNNCORE_ERROR_SHAPE;
    if (rc_store_is_integer(c->store) &&
        (c->input_size > RC_MOST_CODED_INPUTS || c->hidden_size > RC_MOST_CODED_INPUTS / 2))
        return RNNCORE_ERROR_SHAPE;
    if (c->input_size > largest_size || c->hidden_size > largest_size || c->num_layers > most_layers)
        return RNNCORE_ERROR_OVERFLOW;
    if (c->proj_size && !has_option(cell, RC_WITH_PROJECTION)) return RNNCORE_ERROR_ARGUMENT;
    if (!rc_in_range(c->proj_size, 0, c->hidden_size - 1)) return RNNCORE_ERROR_SHAPE;
    return RNNCORE_OK;
}

rnncore_status rc_take_config(rnncore_config *mine, const rnncore_config *theirs)
{
    return RC_TAKE(mine, theirs, blas);
}

rnncore_status rc_give_config(rnncore_config *theirs, const rnncore_config *mine)
{
    return RC_GIVE(theirs, mine, blas);
}
