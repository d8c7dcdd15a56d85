/* SPDX-License-Identifier: MIT
 * See gemm.h. RNNCORE_BLAS_VENDORED: the private OpenBLAS with scipy_ names; RNNCORE_BLAS_SYSTEM: any CBLAS; else a loop. */
#include "blas.h"

#if RNNCORE_BLAS_VENDORED || RNNCORE_BLAS_SYSTEM
#if RNNCORE_BLAS_VENDORED
#define CBLAS(name) scipy_cblas_##name
void scipy_openblas_set_num_threads(int threads);
#else
#define CBLAS(name) cblas_##name
#endif

enum { CBLAS_ROW_MAJOR = 101, CBLAS_NO_TRANS = 111, CBLAS_TRANS = 112 };
void CBLAS(sgemm)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha, const float *a,
                  int lda, const float *b, int ldb, float beta, float *c, int ldc);
void CBLAS(dgemm)(int order, int transpose_a, int transpose_b, int m, int n, int k, double alpha, const double *a,
                  int lda, const double *b, int ldb, double beta, double *c, int ldc);

/* CBLAS counts in int. The callers cut m and n into pieces of a layer's sizes (below 2^28 each) and k into
 * RC_OUTER_TOKENS, RC_INPUT_TOKENS or a layer's sizes. */
void rc_gemm_run(rnncore_dtype dtype, const rc_gemm *g)
{
    const int ta = g->transpose_a ? CBLAS_TRANS : CBLAS_NO_TRANS, tb = g->transpose_b ? CBLAS_TRANS : CBLAS_NO_TRANS;
    if (dtype == RNNCORE_FLOAT32)
        CBLAS(sgemm)(CBLAS_ROW_MAJOR, ta, tb, (int)g->m, (int)g->n, (int)g->k, 1.0f, g->a, (int)g->lda, g->b,
                     (int)g->ldb, (float)g->beta, g->c, (int)g->ldc);
    else
        CBLAS(dgemm)(CBLAS_ROW_MAJOR, ta, tb, (int)g->m, (int)g->n, (int)g->k, 1.0, g->a, (int)g->lda, g->b,
                     (int)g->ldb, (double)g->beta, g->c, (int)g->ldc);
}

#if RNNCORE_BLAS_VENDORED
const char *rnncore_blas_name(void) { return "openblas (vendored)"; }
void rc_blas_init(void) { scipy_openblas_set_num_threads(1); }
#else
const char *rnncore_blas_name(void) { return "system"; }
void rc_blas_init(void) {} /* the process's own BLAS: its threads are the user's choice */
#endif

#else
/* Row by row of C, so that the inner loop runs along contiguous rows whenever B is not transposed. */
#define GEMM_LOOP(real) \
    do { \
        const real *a = g->a, *b = g->b; \
        real *c = g->c; \
        for (int64_t i = 0; i < g->m; i++) { \
            for (int64_t j = 0; !g->beta && j < g->n; j++) c[i * g->ldc + j] = 0; \
            for (int64_t k = 0; k < g->k; k++) { \
                const real x = g->transpose_a ? a[k * g->lda + i] : a[i * g->lda + k]; \
                for (int64_t j = 0; j < g->n; j++) \
                    c[i * g->ldc + j] += x * (g->transpose_b ? b[j * g->ldb + k] : b[k * g->ldb + j]); \
            } \
        } \
    } while (0)

void rc_gemm_run(rnncore_dtype dtype, const rc_gemm *g)
{
    if (dtype == RNNCORE_FLOAT32) GEMM_LOOP(float);
    else GEMM_LOOP(double);
}

const char *rnncore_blas_name(void) { return "none"; }
void rc_blas_init(void) {}
#endif
