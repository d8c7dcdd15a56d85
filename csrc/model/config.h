/* SPDX-License-Identifier: MIT
 * What a config may say, checked once against the cell's table, and which parameters follow from it. */
#ifndef RC_CONFIG_H
#define RC_CONFIG_H

#include "../cells/cell.h"

static inline int rc_in_range(int64_t value, int64_t low, int64_t high) { return low <= value && value <= high; }
static inline int rc_is_probability(double p) { return p >= 0 && p < 1; }

rnncore_status rc_check_config(const rnncore_config *config);

/* A copy of a caller's config, and a copy for a caller, in the size that it has there. */
rnncore_status rc_take_config(rnncore_config *mine, const rnncore_config *theirs);
rnncore_status rc_give_config(rnncore_config *theirs, const rnncore_config *mine);

/* The form of a config's cell in a kernel set; NULL when there is none. `any`: with functions of its own. */
const rc_cell *rc_find_cell(const rnncore_config *config, const rc_kernels *kernels, int any);

/* Its tables, for who runs nothing of it. */
const rc_cell *rc_find_table(const rnncore_config *config);

/* Its name, which stays when the caller's goes; NULL when there is no such cell. */
const char *rc_find_name(const rnncore_config *config);

/* I, or D*O above layer 0; O. */
int64_t rc_config_input(const rnncore_config *config, int64_t layer);
int64_t rc_config_output(const rnncore_config *config);

/* Whether layers have a row of the table, and its shape. */
int rc_has_param(const rnncore_config *config, const rc_cell *cell, const rc_param *param);
rnncore_param rc_describe_param(const rnncore_config *config, const rc_cell *cell, const rc_param *param,
                                int64_t layer);

#endif
