/* SPDX-License-Identifier: MIT
 * See blas.h; and the CBLAS of a build with RNNCORE_BLAS=system as an rnncore_blas. */
#include "blas.h"

/* A row-major matrix is its transpose to Fortran, so C^T = op(B)^T . op(A)^T is what is asked for. A BLAS counts in int: the
 * callers cut m and n into pieces of a layer's sizes (below 2^28 each) and k into RC_OUTER_TOKENS, RC_INPUT_TOKENS or a
 * layer's sizes. */
void rc_gemm_run(const rnncore_config *config, const rc_gemm *g)
{
    const char *first = g->transpose_b ? "T" : "N", *second = g->transpose_a ? "T" : "N";
    const int m = (int)g->n, n = (int)g->m, k = (int)g->k, lda = (int)g->ldb, ldb = (int)g->lda, ldc = (int)g->ldc;
    const float one = 1, beta = (float)g->beta;
    const double one_f64 = 1, beta_f64 = g->beta;
    if (config->dtype == RNNCORE_FLOAT32)
        config->blas->sgemm(first, second, &m, &n, &k, &one, g->b, &lda, g->a, &ldb, &beta, g->c, &ldc);
    else config->blas->dgemm(first, second, &m, &n, &k, &one_f64, g->b, &lda, g->a, &ldb, &beta_f64, g->c, &ldc);
}

#if RNNCORE_BLAS_SYSTEM
enum { COLUMN_MAJOR = 102, NO_TRANS = 111, TRANS = 112 };
void cblas_sgemm(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha, const float *a, int lda,
                 const float *b, int ldb, float beta, float *c, int ldc);
void cblas_dgemm(int order, int transpose_a, int transpose_b, int m, int n, int k, double alpha, const double *a,
                 int lda, const double *b, int ldb, double beta, double *c, int ldc);

static int transpose_of(const char *letter) { return *letter == 'N' ? NO_TRANS : TRANS; }

static void sgemm(const char *transpose_a, const char *transpose_b, const int *m, const int *n, const int *k,
                  const float *alpha, const float *a, const int *lda, const float *b, const int *ldb, const float *beta,
                  float *c, const int *ldc)
{
    cblas_sgemm(COLUMN_MAJOR, transpose_of(transpose_a), transpose_of(transpose_b), *m, *n, *k, *alpha, a, *lda, b,
                *ldb, *beta, c, *ldc);
}

static void dgemm(const char *transpose_a, const char *transpose_b, const int *m, const int *n, const int *k,
                  const double *alpha, const double *a, const int *lda, const double *b, const int *ldb,
                  const double *beta, double *c, const int *ldc)
{
    cblas_dgemm(COLUMN_MAJOR, transpose_of(transpose_a), transpose_of(transpose_b), *m, *n, *k, *alpha, a, *lda, b,
                *ldb, *beta, c, *ldc);
}

const rnncore_blas *rnncore_system_blas(void)
{
    static const rnncore_blas system = {sgemm, dgemm};
    return &system;
}
#else
const rnncore_blas *rnncore_system_blas(void) { return NULL; }
#endif
