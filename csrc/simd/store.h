/* SPDX-License-Identifier: MIT
 *
 * How the values of a packed matrix are stored (rc_store), and how they become lanes. A store is a row of STORES, its size, its
 * load and its packing here: tiles are compiled for each, cells never see it. What is loaded is exact, and the chain of a
 * pre-activation is the same: so the bits depend on the values alone. */
#ifndef RC_STORE_H
#define RC_STORE_H

#include "kernels.h"

#define STORES(X) X(REAL)

RC_INLINE int64_t store_bytes(const rc_store store)
{
    switch (store) {
    default: return sizeof(real);
    }
}

/* A vector of values from w on. */
RC_INLINE vec store_load(const rc_store store, const char *w)
{
    switch (store) {
    default: return v_load((const real *)w);
    }
}

#endif
