/* SPDX-License-Identifier: MIT
 *
 * A file of one layer, checked as a whole before anything is taken from it. */
#ifndef RC_FILE_H
#define RC_FILE_H

#include "../model/config.h"

/* How the values of an array are stored. */
typedef enum rc_kind { RC_KIND_F32, RC_KIND_F64, RC_KIND_BF16, RC_KIND_F16, RC_KIND_I8 } rc_kind;

typedef struct rc_file {
    const char *header, *data;
    int64_t header_bytes, data_bytes;
    rnncore_config config;
    const rc_cell *cell; /* its table */
    int has_bias;
    int compact; /* matrices are what the config's store packs */
} rc_file;

typedef struct rc_tensor {
    int row, place; /* of the cell's table; among the parameters that the layer has */
    int64_t layer;
    int direction;
    int64_t rows, columns; /* columns 0: one axis */
    rc_kind kind;
    int is_scale; /* of the rows of a matrix of codes */
} rc_tensor;

rnncore_status rc_file_open(rc_file *file, const void *memory, size_t bytes);

/* Parameters of a layer and direction that callers hand over. */
int rc_file_params(const rc_file *file);

/* How a row of the cell's table with so many columns is stored. */
rc_kind rc_file_kind(const rc_file *file, int row, int64_t columns);

/* Whether the arrays are those of the config; with `params`, cleared, where they are, and in `scales` where those of codes are. A
 * name that comes twice finds its place taken; without them the count and the first call to come find what is missing. */
int rc_file_arrays(const rc_file *file, const void **params, const void **scales);

#endif
