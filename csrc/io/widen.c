/* SPDX-License-Identifier: MIT
 *
 * Matrices of compact files as the float32 parameters that their store holds: codes times the scale of their row, and halves. */
#include "file.h"

#include <math.h>

#include "../base/fpenv.h"
#include "../base/half.h"

/* Codes and scales that are not their own, as rows of weights get them, are refused. */
static int widen_codes(float *to, const int8_t *from, const float *scale, int64_t rows, int64_t columns)
{
    for (int64_t r = 0; r < rows; r++, to += columns, from += columns) {
        int most = 0;
        for (int64_t k = 0; k < columns; k++) {
            const int size = from[k] < 0 ? -from[k] : from[k];
            most = size > most ? size : most;
            to[k] = (float)from[k] * scale[r];
        }
        const int own = isfinite(scale[r]) ? rc_scale_of((float)most * scale[r]) == scale[r] : isnan(scale[r]) && !most;
        if (!own || most > RC_MOST_CODE) return 0;
    }
    return 1;
}

static int widen(float *to, const void *from, rc_kind kind, const float *scale, int64_t rows, int64_t columns)
{
    const uint16_t *half = from;
    if (kind == RC_KIND_I8) return widen_codes(to, from, scale, rows, columns);
    for (int64_t i = 0; i < rows * columns; i++)
        to[i] = kind == RC_KIND_BF16 ? rc_from_bfloat16(half[i]) : rc_from_float16(half[i]);
    return 1;
}

/* Walks the matrices that are wider in memory than in the file; without `memory` their floats are counted alone. */
static int walk(const rc_file *file, float *memory, const void **params, const void *const *scales, int64_t *floats)
{
    const int directions = 1 + file->config.bidirectional;
    int64_t i = 0;
    *floats = 0;
    for (int64_t place = 0; place < file->config.num_layers * directions; place++)
        for (int row = 0; row < file->cell->param_count; row++) {
            const rc_param *param = &file->cell->params[row];
            if (!rc_has_param(&file->config, file->cell, param)) continue;
            const rnncore_param shape = rc_describe_param(&file->config, file->cell, param, place / directions);
            const rc_kind kind = rc_file_kind(file, row, shape.columns);
            if (kind >= RC_KIND_BF16) {
                float *to = memory ? memory + *floats : NULL;
                if (to && !widen(to, params[i], kind, scales[i], shape.rows, shape.columns)) return 0;
                if (to) params[i] = to;
                *floats += shape.rows * shape.columns;
            }
            i++;
        }
    return 1;
}

static int64_t count_params(const rc_file *file)
{
    return file->config.num_layers * (1 + file->config.bidirectional) * rc_file_params(file);
}

static size_t file_bytes(const void *file, size_t bytes)
{
    rc_file found;
    int64_t floats;
    if (rc_file_open(&found, file, bytes)) return 0;
    walk(&found, NULL, NULL, NULL, &floats);
    return floats ? (size_t)count_params(&found) * sizeof(void *) + (size_t)floats * sizeof(float) : 0;
}

static rnncore_status file_widen(const void *file, size_t bytes, void *memory, const void **params, int64_t count)
{
    rc_file found;
    int64_t floats;
    const rnncore_status status = rc_file_open(&found, file, bytes);
    if (status) return status;
    walk(&found, NULL, NULL, NULL, &floats);
    const int64_t all = count_params(&found);
    if (!params || count != all || (floats && !memory) || (uintptr_t)memory % sizeof(void *))
        return RNNCORE_ERROR_ARGUMENT;
    const void **scales = floats ? memory : NULL; /* before the floats */
    for (int64_t i = 0; i < all; i++) {
        params[i] = NULL;
        if (scales) scales[i] = NULL;
    }
    if (!rc_file_arrays(&found, params, scales)) return RNNCORE_ERROR_FORMAT;
    if (floats && !walk(&found, (float *)(scales + all), params, scales, &floats)) return RNNCORE_ERROR_FORMAT;
    return RNNCORE_OK;
}

size_t rnncore_file_bytes(const void *file, size_t bytes)
{
    const rc_fpenv outside = rc_fpenv_enter(); /* strtod rounds as the environment says */
    const size_t found = file_bytes(file, bytes);
    rc_fpenv_leave(outside);
    return found;
}

rnncore_status rnncore_file_widen(const void *file, size_t bytes, void *memory, const void **params, int64_t count)
{
    const rc_fpenv outside = rc_fpenv_enter();
    const rnncore_status status = file_widen(file, bytes, memory, params, count);
    rc_fpenv_leave(outside);
    return status;
}
