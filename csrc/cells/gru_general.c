/* SPDX-License-Identifier: MIT
 *
 * GRU with any activations s_k of its gates (slopes s_k', 0 beyond the clip). Reset after the recurrent product:
 *
 *   F1  r    = s_r(b_ih[r] + b_hh[r] + W_ih[r] x_t + W_hh[r] h_{t-1})
 *   F2  z    = s_z(b_ih[z] + b_hh[z] + W_ih[z] x_t + W_hh[z] h_{t-1})
 *   F3  q    = b_hh[n] + W_hh[n] h_{t-1}
 *   F4  n    = s_n(b_ih[n] + W_ih[n] x_t + r * q)
 *   F5  h_t  = (1 - z) * n + z * h_{t-1}
 *
 *   B5  dn       = dh_t * (1 - z)   dz        = dh_t * (h_{t-1} - n)          dh_{t-1} = dh_t * z
 *   B4  da[n]    = dn * s_n'        dq        = da[n] * r                     dr = da[n] * q
 *   B3  dh_{t-1} += W_hh[n]^T dq    dW_hh[n] += dq h_{t-1}^T                  db_hh[n] += dq
 *   B2  da[z]    = dz * s_z'
 *   B1  da[r]    = dr * s_r'
 *       dx_t     = W_ih^T da        dh_{t-1} += W_hh[r,z]^T da[r,z]
 *       dW_ih   += da x_t^T         dW_hh[r,z] += da[r,z] h_{t-1}^T
 *       db_ih   += da               db_hh[r,z] += da[r,z]
 *
 * Reset before it:
 *
 *   F1  r    = s_r(b_ih[r] + b_hh[r] + W_ih[r] x_t + W_hh[r] h_{t-1})
 *   F2  z    = s_z(b_ih[z] + b_hh[z] + W_ih[z] x_t + W_hh[z] h_{t-1})
 *   F3  q    = r * h_{t-1}
 *   F4  n    = s_n(b_ih[n] + b_hh[n] + W_ih[n] x_t + W_hh[n] q)
 *   F5  h_t  = (1 - z) * n + z * h_{t-1}
 *
 *   B5  dn       = dh_t * (1 - z)   dz        = dh_t * (h_{t-1} - n)          dh_{t-1} = dh_t * z
 *   B4  da[n]    = dn * s_n'        dq        = W_hh[n]^T da[n]               dW_hh[n] += da[n] q^T
 *   B3  dr       = dq * h_{t-1}     dh_{t-1} += dq * r
 *   B2  da[z]    = dz * s_z'
 *   B1  da[r]    = dr * s_r'
 *       dx_t     = W_ih^T da        dh_{t-1} += W_hh[r,z]^T da[r,z]
 *       dW_ih   += da x_t^T         dW_hh[r,z] += da[r,z] h_{t-1}^T
 *       db_ih   += da               db_hh    += da
 *
 * Gates buffer as in gru.c. Saved for backward: the finished pre-activations of n r z, and q. */
#include "cell.h"

enum { GRU_R, GRU_Z, GRU_N }; /* places */

static void gru_general_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    const rc_options *s = p->options;
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u;
            vec r = gate_value(s, GRU_R, v_load(a + p->ld));     /* F1 */
            vec z = gate_value(s, GRU_Z, v_load(a + 2 * p->ld)); /* F2 */
            vec a_n = v_fma(r, v_load(a + 3 * p->ld), v_load(a));
            vec n = gate_value(s, GRU_N, a_n);                                               /* F4 */
            vec h = v_fma(z, v_sub(v_load((const real *)p->h_prev + r_ * p->ld + u), n), n); /* F5 */
            if (p->save) v_store(a, a_n);
            v_store((real *)p->h + r_ * p->ld + u, h);
        }
    }
}

static void gru_general_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    const rc_options *s = p->options;
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u, *dh_row = (real *)p->dh + r_ * p->ld + u;
            vec a_n = v_load(a), a_r = v_load(a + p->ld), a_z = v_load(a + 2 * p->ld), q = v_load(a + 3 * p->ld);
            vec r = gate_value(s, GRU_R, a_r), z = gate_value(s, GRU_Z, a_z), n = gate_value(s, GRU_N, a_n);
            vec h_prev = v_load((const real *)p->h_prev + r_ * p->ld + u), dh = v_load(dh_row);

            vec dz = v_mul(dh, v_sub(h_prev, n));                           /* B5 */
            vec da_n = v_mul(v_fnma(dh, z, dh), gate_slope(s, GRU_N, a_n)); /* B5, B4 */
            v_store(a, da_n);
            v_store(a + p->ld, v_mul(v_mul(da_n, q), gate_slope(s, GRU_R, a_r))); /* B4, B1 */
            v_store(a + 2 * p->ld, v_mul(dz, gate_slope(s, GRU_Z, a_z)));         /* B2 */
            v_store(a + 3 * p->ld, v_mul(da_n, r));                               /* B4 */
            v_store(dh_row, v_mul(dh, z));                                        /* B5 */
        }
    }
}

/* F1 and F3: the operand q of the product that n needs. */
static void gru_general_reset(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            vec r = gate_value(p->options, GRU_R, v_load((const real *)p->gates + r_ * p->ldg + p->ld + u)); /* F1 */
            v_store((real *)p->scratch + r_ * p->ld + u,
                    v_mul(r, v_load((const real *)p->h_prev + r_ * p->ld + u))); /* F3 */
        }
    }
}

/* F2, F4 and F5: z, n and the new state. */
static void gru_general_update(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            const real *a = (const real *)p->gates + r_ * p->ldg + u;
            vec n = gate_value(p->options, GRU_N, v_load(a));             /* F4 */
            vec z = gate_value(p->options, GRU_Z, v_load(a + 2 * p->ld)); /* F2 */
            v_store((real *)p->h + r_ * p->ld + u,
                    v_fma(z, v_sub(v_load((const real *)p->h_prev + r_ * p->ld + u), n), n)); /* F5 */
        }
    }
}

/* Reverses gru_general_update: da[n] and da[z]; dh stays for the second half. */
static void gru_general_update_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    const rc_options *s = p->options;
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u, *dh_row = (real *)p->dh + r_ * p->ld + u;
            vec a_n = v_load(a), a_z = v_load(a + 2 * p->ld), dh = v_load(dh_row);
            vec n = gate_value(s, GRU_N, a_n), z = gate_value(s, GRU_Z, a_z);
            vec h_prev = v_load((const real *)p->h_prev + r_ * p->ld + u);

            vec dz = v_mul(dh, v_sub(h_prev, n));                            /* B5 */
            v_store(a, v_mul(v_fnma(dh, z, dh), gate_slope(s, GRU_N, a_n))); /* B5, B4 */
            v_store(a + 2 * p->ld, v_mul(dz, gate_slope(s, GRU_Z, a_z)));    /* B2 */
            v_store(dh_row, v_mul(dh, z));                                   /* B5 */
        }
    }
}

/* Reverses gru_general_reset; scratch holds dq. */
static void gru_general_reset_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + p->ld + u, *dh_row = (real *)p->dh + r_ * p->ld + u;
            vec a_r = v_load(a), dq = v_load((const real *)p->scratch + r_ * p->ld + u);
            vec h_prev = v_load((const real *)p->h_prev + r_ * p->ld + u);

            v_store(a, v_mul(v_mul(dq, h_prev), gate_slope(p->options, GRU_R, a_r)));       /* B3, B1 */
            v_store(dh_row, v_fma(dq, gate_value(p->options, GRU_R, a_r), v_load(dh_row))); /* B3 */
        }
    }
}

static const rc_cell gru_general_cell = {
    .gates = 3,
    .slots = 4,
    .ih_slots = 3,
    .ih_gate = {2, 0, 1},
    .phases = 1,
    .phase = {{.first_slot = 1,
               .slots = 3,
               .gate = {0, 1, 2},
               .forward = gru_general_forward,
               .backward = gru_general_backward}},
};

static const rc_cell gru_reset_before_general_cell = {
    .gates = 3,
    .slots = 3,
    .ih_slots = 3,
    .ih_gate = {2, 0, 1},
    .phases = 2,
    .phase = {{.first_slot = 1,
               .slots = 2,
               .gate = {0, 1},
               .forward = gru_general_reset,
               .backward = gru_general_reset_backward},
              {.first_slot = 0,
               .slots = 1,
               .gate = {2},
               .forward = gru_general_update,
               .backward = gru_general_update_backward}},
};
