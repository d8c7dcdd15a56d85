/* SPDX-License-Identifier: MIT
 * Products of dense row-major matrices by a BLAS that the caller brought. */
#ifndef RC_BLAS_H
#define RC_BLAS_H

#include "../include/rnncore.h"

/* C (m, n) = beta * C + op(A) (m, k) . op(B) (k, n), beta 0 or 1; lda, ldb, ldc are the row lengths as stored. */
typedef struct rc_gemm {
    int transpose_a, transpose_b;
    int64_t m, n, k;
    const void *a, *b;
    void *c;
    int64_t lda, ldb, ldc;
    int beta;
} rc_gemm;

/* By the BLAS and in the type of a plan's config. */
void rc_gemm_run(const rnncore_config *config, const rc_gemm *g);

#endif
