/* SPDX-License-Identifier: MIT
 *
 * GRU (Cho 2014). Reset after the recurrent product (PyTorch's nn.GRU, cuDNN, Keras 3's default):
 *
 *   r  = sigmoid(W_ir x + b_ir + W_hr h_prev + b_hr)       reset gate
 *   z  = sigmoid(W_iz x + b_iz + W_hz h_prev + b_hz)       update gate
 *   q  = W_hn h_prev + b_hn
 *   n  = tanh(W_in x + b_in + r * q)                       new gate
 *   h' = (1 - z) * n + z * h_prev
 *
 * Reset before it (the paper, ONNX's default):   n = tanh(W_in x + b_in + W_hn (r * h_prev) + b_hn)
 *
 * Gates buffer: planes n r z q (n r z when before), so that what meets x (n r z) and what meets h_prev (r z q) are
 * neighbours. Saved for backward: all planes and h_prev. */
#include "cell.h"

static void gru_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u;
            vec r = v_sigmoid(v_load(a + p->ld));
            vec z = v_sigmoid(v_load(a + 2 * p->ld));
            vec n = v_tanh(v_fma(r, v_load(a + 3 * p->ld), v_load(a)));
            vec h = v_fma(z, v_sub(v_load((const real *)p->h_prev + r_ * p->ld + u), n), n);
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

            vec dz = v_mul(dh, v_sub(h_prev, n));                               /* h' = (1 - z) * n + z * h_prev */
            vec dn = v_mul(v_fnma(dh, z, dh), v_dtanh(n));                      /* n  = tanh(...) */
            vec dr = v_mul(dn, q);                                              /* n  = tanh(... + r * q) */
            v_store(a, dn);
            v_store(a + p->ld, v_mul(dr, v_dsigmoid(r)));                       /* r  = sigmoid(...) */
            v_store(a + 2 * p->ld, v_mul(dz, v_dsigmoid(z)));                   /* z  = sigmoid(...) */
            v_store(a + 3 * p->ld, v_mul(dn, r));                               /* n  = tanh(... + r * q) */
            v_store(dh_row, v_mul(dh, z));                                      /* h' = (1 - z) * n + z * h_prev */
        }
    }
}

/* r and z, and the operand r * h_prev of the product that n needs. */
static void gru_before_reset(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u;
            vec r = v_sigmoid(v_load(a + p->ld));
            vec z = v_sigmoid(v_load(a + 2 * p->ld));
            v_store(a + p->ld, r);
            v_store(a + 2 * p->ld, z);
            v_store((real *)p->scratch + r_ * p->ld + u, v_mul(r, v_load((const real *)p->h_prev + r_ * p->ld + u)));
        }
    }
}

/* n and the new state. */
static void gru_before_update(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u;
            vec n = v_tanh(v_load(a)), z = v_load(a + 2 * p->ld);
            vec h = v_fma(z, v_sub(v_load((const real *)p->h_prev + r_ * p->ld + u), n), n);
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

            vec dz = v_mul(dh, v_sub(h_prev, n));                               /* h' = (1 - z) * n + z * h_prev */
            v_store(a, v_mul(v_fnma(dh, z, dh), v_dtanh(n)));                   /* n  = tanh(...) */
            v_store(a + 2 * p->ld, v_mul(dz, v_dsigmoid(z)));                   /* z  = sigmoid(...) */
            v_store(dh_row, v_mul(dh, z));                                      /* h' = (1 - z) * n + z * h_prev */
        }
    }
}

/* Reverses gru_before_reset; scratch holds the gradient of r * h_prev, W_hn^T dn. */
static void gru_before_reset_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u, *dh_row = (real *)p->dh + r_ * p->ld + u;
            vec r = v_load(a + p->ld), drh = v_load((const real *)p->scratch + r_ * p->ld + u);
            vec h_prev = v_load((const real *)p->h_prev + r_ * p->ld + u);

            vec dr = v_mul(drh, h_prev);                                        /* r * h_prev */
            v_store(a + p->ld, v_mul(dr, v_dsigmoid(r)));                       /* r  = sigmoid(...) */
            v_store(dh_row, v_fma(drh, r, v_load(dh_row)));                     /* r * h_prev */
        }
    }
}

static const rc_cell gru_cell = {
    .gates = 3, .slots = 4, .ih_slots = 3, .ih_gate = {2, 0, 1}, .phases = 1,
    .phase = {{ .first_slot = 1, .slots = 3, .gate = {0, 1, 2}, .forward = gru_forward, .backward = gru_backward }},
};

static const rc_cell gru_reset_before_cell = {
    .gates = 3, .slots = 3, .ih_slots = 3, .ih_gate = {2, 0, 1}, .phases = 2,
    .phase = {{ .first_slot = 1, .slots = 2, .gate = {0, 1}, .forward = gru_before_reset,
                .backward = gru_before_reset_backward },
              { .first_slot = 0, .slots = 1, .gate = {2}, .forward = gru_before_update,
                .backward = gru_before_update_backward }},
};
