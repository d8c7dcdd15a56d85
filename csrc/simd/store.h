/* SPDX-License-Identifier: MIT
 *
 * How the values of a packed matrix are stored (rnncore_store), and how they become lanes. A store is a row of STORES, its form
 * (rc_store_form_of in kernels.h), and its load and rounding here: tiles are compiled for each, cells never see it. What is
 * loaded is exact, and the chain of a pre-activation is the same: so the bits depend on the rounded values alone. */
#ifndef RC_STORE_H
#define RC_STORE_H

#include "kernels.h"
#include "../base/half.h"
#if RC_F32
#include "codes.h"
#endif

/* X(name): those that this element type has. */
#if RC_F32
#define STORES(X) X(REAL) X(BFLOAT16) X(FLOAT16) X(INT8) X(INT8X16)
#else
#define STORES(X) X(REAL)
#endif

RC_INLINE int64_t store_bytes(const rnncore_store store)
{
    const int bytes = rc_store_form_of(store).bytes;
    return bytes ? bytes : (int64_t)sizeof(real);
}

/* Vectors of the folded planes of a matrix, see product.h. */
RC_INLINE int folded_vectors(const rc_mat *mat) { return (mat->planes * mat->folded + RC_LANES - 1) / RC_LANES; }

/* The vector of value `i` of each lane's group, from w on. */
RC_INLINE vec store_load(const rnncore_store store, const char *w, const int i)
{
    (void)i; /* of groups of one */
    switch (store) {
#if RC_F32
    case RNNCORE_STORE_BFLOAT16: return i ? v_upper_halves(w) : v_lower_halves(w);
    case RNNCORE_STORE_FLOAT16: return v_load_float16(w);
#endif
    default: return v_load((const real *)w);
    }
}

/* What the values of a row of a matrix are stored by: the scale of integers. */
RC_INLINE real store_scale(const rnncore_store store, const real *row, int64_t k)
{
#if RC_F32
    if (rc_store_is_integer(store)) return weight_scale(row, k);
#endif
    (void)store, (void)row, (void)k;
    return 1;
}

/* Puts a value at an index of an array of stored ones. */
RC_INLINE void store_put(const rnncore_store store, void *w, int64_t index, real value, real scale)
{
    (void)scale;
    switch (store) {
#if RC_F32
    case RNNCORE_STORE_BFLOAT16: ((uint16_t *)w)[index] = rc_to_bfloat16(value); return;
    case RNNCORE_STORE_FLOAT16: ((uint16_t *)w)[index] = rc_to_float16(value); return;
    case RNNCORE_STORE_INT8:
    case RNNCORE_STORE_INT8X16: ((int8_t *)w)[index] = weight_code(value, scale); return;
#endif
    default: ((real *)w)[index] = value;
    }
}

/* What a store holds of a value. */
RC_INLINE real store_round(const rnncore_store store, real value, real scale)
{
    (void)scale;
    switch (store) {
#if RC_F32
    case RNNCORE_STORE_BFLOAT16: return rc_from_bfloat16(rc_to_bfloat16(value));
    case RNNCORE_STORE_FLOAT16: return rc_from_float16(rc_to_float16(value));
    case RNNCORE_STORE_INT8:
    case RNNCORE_STORE_INT8X16: return weight_code(value, scale) * scale;
#endif
    default: return value;
    }
}

#endif
