/* SPDX-License-Identifier: MIT
 *
 * Floats as integers times a scale.
 *
 *   weights    of a row of a matrix: code = round(w / scale), scale = max |w| / 127, cut to 17 bits: so code * scale is exact, and
 *              codes and scale of what they stand for are themselves
 *   operands   of a row of a product: code = round(v * (M / range)), worth range / M, where range = max(least, max |v|) and M is
 *              127, or 127 * 256 for two planes of codes, the upper one worth 256 of the lower
 *
 * Rounding is to nearest, ties to even. A row with a NaN or an infinity is worth NaN. */
#ifndef RC_CODES_H
#define RC_CODES_H

#include "../base/half.h"
#include "dot.h"
#include "kernels.h"

/* Adding this to a small number leaves its nearest integer in the lowest bits. */
#define RC_ROUNDER 0x1.8p23f

/* The last k values, k >= 1, of which some may be ones before: where it does not matter that they come twice. */
RC_INLINE vec last_values(const float *row, int64_t k)
{
    if (k >= RC_LANES) return v_load(row + k - RC_LANES);
    float few[RC_LANES] = {0};
    memcpy(few, row, (size_t)k * sizeof(float));
    return v_load(few);
}

/* The largest |v| of a row, NaN if one of them is no finite number: without their signs floats are in the order of their bits. */
static float row_range(const float *row, int64_t k)
{
    ints largest = i_bits(v_abs(last_values(row, k)));
    for (int64_t i = 0; i <= k - RC_LANES; i += RC_LANES) largest = i_max(i_bits(v_abs(v_load(row + i))), largest);
    const float found = rc_bits_float((uint32_t)i_largest(largest));
    return isfinite(found) ? found : NAN;
}

/* -- Weights ----------------------------------------------------------------------------------------------------------- */

static float weight_scale(const float *row, int64_t k) { return rc_scale_of(row_range(row, k)); }

static int8_t weight_code(float w, float scale)
{
    const float rounded = w / scale + RC_ROUNDER;
    return isnan(scale) ? 0 : (int8_t)(uint8_t)rc_float_bits(rounded);
}

/* -- Operands ---------------------------------------------------------------------------------------------------------- */

/* Codes of a vector, in one plane or two; sign is 0x80 for operands + 128. */
RC_INLINE void put_codes(int8_t *upper, int8_t *lower, vec v, vec times, vec sign)
{
    const vec rounder = v_set1(RC_ROUNDER), code = v_fma(v, times, rounder);
    if (!lower) {
        v_store_codes(upper, v_flip(code, sign));
        return;
    }
    const vec whole = v_sub(code, rounder); /* a quarter breaks the ties, of which one would give a lower code of 128 */
    const vec part = v_fma(v_add(whole, v_set1(0.25f)), v_set1(0x1p-8f), rounder);
    v_store_codes(upper, v_flip(part, sign));
    v_store_codes(lower, v_flip(v_fnma(v_sub(part, rounder), v_set1(256), v_add(whole, rounder)), sign));
}

/* Writes the codes of a row, and up to a whole vector of those of zeros, and gives what one (of the lower plane) is worth. */
static float code_row(int8_t *upper, int8_t *lower, const float *row, int64_t k, float least, int offset)
{
    const float most = lower ? RC_MOST_CODE * 256 : RC_MOST_CODE, own = row_range(row, k);
    const float range = own > least || isnan(own) ? own : least > RC_LEAST_RANGE ? least : RC_LEAST_RANGE;
    const vec times = v_set1(isnan(own) ? 0 : most / range), sign = v_set1(rc_bits_float(offset ? 0x80 : 0));
    int64_t i = 0;
    for (; i <= k - RC_LANES; i += RC_LANES)
        put_codes(upper + i, lower ? lower + i : NULL, v_load(row + i), times, sign);
    /* Groups are of four, and on some instruction sets a vector is less. */
    for (int64_t rest = i; rest < k || rest % 4; rest += RC_LANES)
        put_codes(upper + rest, lower ? lower + rest : NULL, v_zero(), v_zero(), sign);
    const int64_t last = k >= RC_LANES ? k - RC_LANES : 0;
    if (i < k) put_codes(upper + last, lower ? lower + last : NULL, last_values(row, k), times, sign);
    return range / most;
}

#endif
