/* SPDX-License-Identifier: MIT
 *
 * GRU (Cho 2014). Reset after the recurrent product (reset_after=True, PyTorch's form):
 *
 *   F1  r    = sigmoid(b_ih[r] + b_hh[r] + W_ih[r] x_t + W_hh[r] h_{t-1})
 *   F2  z    = sigmoid(b_ih[z] + b_hh[z] + W_ih[z] x_t + W_hh[z] h_{t-1})
 *   F3  q    = b_hh[n] + W_hh[n] h_{t-1}
 *   F4  n    = tanh(b_ih[n] + W_ih[n] x_t + r * q)
 *   F5  h_t  = (1 - z) * n + z * h_{t-1}
 *
 *   B5  dn       = dh_t * (1 - z)   dz        = dh_t * (h_{t-1} - n)          dh_{t-1} = dh_t * z
 *   B4  da[n]    = dn * (1 - n^2)   dq        = da[n] * r                     dr = da[n] * q
 *   B3  dh_{t-1} += W_hh[n]^T dq    dW_hh[n] += dq h_{t-1}^T                  db_hh[n] += dq
 *   B2  da[z]    = dz * z * (1 - z)
 *   B1  da[r]    = dr * r * (1 - r)
 *       dx_t     = W_ih^T da        dh_{t-1} += W_hh[r,z]^T da[r,z]
 *       dW_ih   += da x_t^T         dW_hh[r,z] += da[r,z] h_{t-1}^T
 *       db_ih   += da               db_hh[r,z] += da[r,z]
 *
 * Reset before it (reset_after=False, ONNX's default form):
 *
 *   F1  r    = sigmoid(b_ih[r] + b_hh[r] + W_ih[r] x_t + W_hh[r] h_{t-1})
 *   F2  z    = sigmoid(b_ih[z] + b_hh[z] + W_ih[z] x_t + W_hh[z] h_{t-1})
 *   F3  q    = r * h_{t-1}
 *   F4  n    = tanh(b_ih[n] + b_hh[n] + W_ih[n] x_t + W_hh[n] q)
 *   F5  h_t  = (1 - z) * n + z * h_{t-1}
 *
 *   B5  dn       = dh_t * (1 - z)   dz        = dh_t * (h_{t-1} - n)          dh_{t-1} = dh_t * z
 *   B4  da[n]    = dn * (1 - n^2)   dq        = W_hh[n]^T da[n]               dW_hh[n] += da[n] q^T
 *   B3  dr       = dq * h_{t-1}     dh_{t-1} += dq * r
 *   B2  da[z]    = dz * z * (1 - z)
 *   B1  da[r]    = dr * r * (1 - r)
 *       dx_t     = W_ih^T da        dh_{t-1} += W_hh[r,z]^T da[r,z]
 *       dW_ih   += da x_t^T         dW_hh[r,z] += da[r,z] h_{t-1}^T
 *       db_ih   += da               db_hh    += da
 *
 * Gates buffer: planes n r z q (n r z when before), so that what meets x (n r z) and what meets h (r z q) are neighbours.
 * Saved for backward: all planes; h_{t-1} is the output before. */
#include "cell.h"

static void gru_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u;
            vec r = v_sigmoid(v_load(a + p->ld));                                            /* F1 */
            vec z = v_sigmoid(v_load(a + 2 * p->ld));                                        /* F2 */
            vec n = v_tanh(v_fma(r, v_load(a + 3 * p->ld), v_load(a)));                      /* F4 */
            vec h = v_fma(z, v_sub(v_load((const real *)p->h_prev + r_ * p->ld + u), n), n); /* F5 */
            if (p->save) {
                v_store(a, n);
                v_store(a + p->ld, r);
                v_store(a + 2 * p->ld, z);
            }
            v_store((real *)p->h + r_ * p->ld + u, h);
        }
    }
}

static void gru_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u, *dh_row = (real *)p->dh + r_ * p->ld + u;
            vec n = v_load(a), r = v_load(a + p->ld), z = v_load(a + 2 * p->ld), q = v_load(a + 3 * p->ld);
            vec h_prev = v_load((const real *)p->h_prev + r_ * p->ld + u), dh = v_load(dh_row);

            vec dz = v_mul(dh, v_sub(h_prev, n));          /* B5 */
            vec dn = v_mul(v_fnma(dh, z, dh), v_dtanh(n)); /* B5, B4 */
            vec dr = v_mul(dn, q);                         /* B4 */
            v_store(a, dn);
            v_store(a + p->ld, v_mul(dr, v_dsigmoid(r)));     /* B1 */
            v_store(a + 2 * p->ld, v_mul(dz, v_dsigmoid(z))); /* B2 */
            v_store(a + 3 * p->ld, v_mul(dn, r));             /* B4 */
            v_store(dh_row, v_mul(dh, z));                    /* B5 */
        }
    }
}

/* F1 to F3: r and z, and the operand q of the product that n needs. */
static void gru_before_reset(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u;
            vec r = v_sigmoid(v_load(a + p->ld));     /* F1 */
            vec z = v_sigmoid(v_load(a + 2 * p->ld)); /* F2 */
            v_store(a + p->ld, r);
            v_store(a + 2 * p->ld, z);
            v_store((real *)p->scratch + r_ * p->ld + u,
                    v_mul(r, v_load((const real *)p->h_prev + r_ * p->ld + u))); /* F3 */
        }
    }
}

/* F4 and F5: n and the new state. */
static void gru_before_update(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u;
            vec n = v_tanh(v_load(a)), z = v_load(a + 2 * p->ld);                            /* F4 */
            vec h = v_fma(z, v_sub(v_load((const real *)p->h_prev + r_ * p->ld + u), n), n); /* F5 */
            if (p->save) v_store(a, n);
            v_store((real *)p->h + r_ * p->ld + u, h);
        }
    }
}

/* Reverses gru_before_update: dn and dz; dh stays for the second half. */
static void gru_before_update_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u, *dh_row = (real *)p->dh + r_ * p->ld + u;
            vec n = v_load(a), z = v_load(a + 2 * p->ld), dh = v_load(dh_row);
            vec h_prev = v_load((const real *)p->h_prev + r_ * p->ld + u);

            vec dz = v_mul(dh, v_sub(h_prev, n));             /* B5 */
            v_store(a, v_mul(v_fnma(dh, z, dh), v_dtanh(n))); /* B5, B4 */
            v_store(a + 2 * p->ld, v_mul(dz, v_dsigmoid(z))); /* B2 */
            v_store(dh_row, v_mul(dh, z));                    /* B5 */
        }
    }
}

/* Reverses gru_before_reset; scratch holds dq. */
static void gru_before_reset_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u, *dh_row = (real *)p->dh + r_ * p->ld + u;
            vec r = v_load(a + p->ld), dq = v_load((const real *)p->scratch + r_ * p->ld + u);
            vec h_prev = v_load((const real *)p->h_prev + r_ * p->ld + u);

            vec dr = v_mul(dq, h_prev);                    /* B3 */
            v_store(a + p->ld, v_mul(dr, v_dsigmoid(r)));  /* B1 */
            v_store(dh_row, v_fma(dq, r, v_load(dh_row))); /* B3 */
        }
    }
}

static const rc_cell gru_cell = {
    .gates = 3,
    .slots = 4,
    .ih_slots = 3,
    .ih_gate = {2, 0, 1},
    .phases = 1,
    .phase = {{.first_slot = 1, .slots = 3, .gate = {0, 1, 2}, .forward = gru_forward, .backward = gru_backward}},
};

static const rc_cell gru_reset_before_cell = {
    .gates = 3,
    .slots = 3,
    .ih_slots = 3,
    .ih_gate = {2, 0, 1},
    .phases = 2,
    .phase = {{.first_slot = 1,
               .slots = 2,
               .gate = {0, 1},
               .forward = gru_before_reset,
               .backward = gru_before_reset_backward},
              {.first_slot = 0,
               .slots = 1,
               .gate = {2},
               .forward = gru_before_update,
               .backward = gru_before_update_backward}},
};
