/* SPDX-License-Identifier: MIT
 * Big products on dense row-major matrices: CBLAS, or a plain loop in a build without one. */
#ifndef RC_GEMM_H
#define RC_GEMM_H

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

void rc_gemm_run(rnncore_dtype dtype, const rc_gemm *g);

/* One thread per call: the team is what splits work, and two pools on one machine fight. */
void rc_blas_init(void);

#endif
