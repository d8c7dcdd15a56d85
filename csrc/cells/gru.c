/* SPDX-License-Identifier: MIT
 *
 * GRU (Cho 2014) with any activations s_k of its gates (usually sigmoid for r and z, tanh for n). s_k' is the slope; with a clip
 * both see min(max(a, -clip), clip), and beyond it the slope is 0. Reset after the recurrent product (reset_after=True, PyTorch's
 * form):
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
 * Reset before it (reset_after=False, ONNX's default form):
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
 * Gates buffer: planes n r z q (n r z when before), so that what meets x (n r z) and what meets h (r z q) are neighbours.
 * Saved for backward: q and, of n r z, the finished pre-activations, or where the slopes follow from them the values; h_{t-1} is
 * the output before. */
#include "cell.h"

enum { GRU_R, GRU_Z, GRU_N }; /* places */

/* any: with the functions of the options; else the usual cell. */
RC_INLINE void gru_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                           const int any)
{
    const rc_options *s = p->options;
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID, tanh = any ? RNNCORE_USUAL : RNNCORE_TANH;
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u;
            vec a_r = v_load(a + p->ld), r = gate_value(s, sigmoid, GRU_R, a_r);                       /* F1 */
            vec a_z = v_load(a + 2 * p->ld), z = gate_value(s, sigmoid, GRU_Z, a_z);                   /* F2 */
            vec a_n = v_fma(r, v_load(a + 3 * p->ld), v_load(a)), n = gate_value(s, tanh, GRU_N, a_n); /* F4 */
            vec h = v_fma(z, v_sub(v_load((const real *)p->h_prev + r_ * p->ld + u), n), n);           /* F5 */
            if (p->save) {
                v_store(a, gate_saved(tanh, a_n, n));
                v_store(a + p->ld, gate_saved(sigmoid, a_r, r));
                v_store(a + 2 * p->ld, gate_saved(sigmoid, a_z, z));
            }
            v_store((real *)p->h + r_ * p->ld + u, h);
        }
    }
}

RC_INLINE void gru_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                            const int any)
{
    const rc_options *s = p->options;
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID, tanh = any ? RNNCORE_USUAL : RNNCORE_TANH;
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u, *dh_row = (real *)p->dh + r_ * p->ld + u;
            vec a_n = v_load(a), a_r = v_load(a + p->ld), a_z = v_load(a + 2 * p->ld), q = v_load(a + 3 * p->ld);
            vec n = gate_again(s, tanh, GRU_N, a_n), r = gate_again(s, sigmoid, GRU_R, a_r);
            vec z = gate_again(s, sigmoid, GRU_Z, a_z);
            vec h_prev = v_load((const real *)p->h_prev + r_ * p->ld + u), dh = v_load(dh_row);

            vec dz = v_mul(dh, v_sub(h_prev, n));                         /* B5 */
            vec da_n = gate_back(s, tanh, GRU_N, a_n, v_fnma(dh, z, dh)); /* B5, B4 */
            vec dr = v_mul(da_n, q);                                      /* B4 */
            v_store(a, da_n);
            v_store(a + p->ld, gate_back(s, sigmoid, GRU_R, a_r, dr));     /* B1 */
            v_store(a + 2 * p->ld, gate_back(s, sigmoid, GRU_Z, a_z, dz)); /* B2 */
            v_store(a + 3 * p->ld, v_mul(da_n, r));                        /* B4 */
            v_store(dh_row, v_mul(dh, z));                                 /* B5 */
        }
    }
}

/* F1 to F3, reset before: r and z, and the operand q of the product that n needs. */
RC_INLINE void gru_reset(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks, const int any)
{
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID;
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u;
            vec r = gate_value(p->options, sigmoid, GRU_R, v_load(a + p->ld)); /* F1 */
            if (!any) {
                v_store(a + p->ld, r);
                v_store(a + 2 * p->ld, gate_value(p->options, sigmoid, GRU_Z, v_load(a + 2 * p->ld))); /* F2 */
            }
            v_store((real *)p->scratch + r_ * p->ld + u,
                    v_mul(r, v_load((const real *)p->h_prev + r_ * p->ld + u))); /* F3 */
        }
    }
}

/* F4 and F5: n and the new state. */
RC_INLINE void gru_update(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                          const int any)
{
    const rc_options *s = p->options;
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID, tanh = any ? RNNCORE_USUAL : RNNCORE_TANH;
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u;
            vec a_n = v_load(a), n = gate_value(s, tanh, GRU_N, a_n);                        /* F4 */
            vec z = gate_again(s, sigmoid, GRU_Z, v_load(a + 2 * p->ld));                    /* F2 */
            vec h = v_fma(z, v_sub(v_load((const real *)p->h_prev + r_ * p->ld + u), n), n); /* F5 */
            if (p->save) v_store(a, gate_saved(tanh, a_n, n));
            v_store((real *)p->h + r_ * p->ld + u, h);
        }
    }
}

/* Reverses gru_update: da[n] and da[z]; dh stays for the second half. */
RC_INLINE void gru_update_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                                   const int any)
{
    const rc_options *s = p->options;
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID, tanh = any ? RNNCORE_USUAL : RNNCORE_TANH;
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u, *dh_row = (real *)p->dh + r_ * p->ld + u;
            vec a_n = v_load(a), a_z = v_load(a + 2 * p->ld), dh = v_load(dh_row);
            vec n = gate_again(s, tanh, GRU_N, a_n), z = gate_again(s, sigmoid, GRU_Z, a_z);
            vec h_prev = v_load((const real *)p->h_prev + r_ * p->ld + u);

            vec dz = v_mul(dh, v_sub(h_prev, n));                          /* B5 */
            v_store(a, gate_back(s, tanh, GRU_N, a_n, v_fnma(dh, z, dh))); /* B5, B4 */
            v_store(a + 2 * p->ld, gate_back(s, sigmoid, GRU_Z, a_z, dz)); /* B2 */
            v_store(dh_row, v_mul(dh, z));                                 /* B5 */
        }
    }
}

/* Reverses gru_reset; scratch holds dq. */
RC_INLINE void gru_reset_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                                  const int any)
{
    const rc_options *s = p->options;
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID;
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + p->ld + u, *dh_row = (real *)p->dh + r_ * p->ld + u;
            vec a_r = v_load(a), dq = v_load((const real *)p->scratch + r_ * p->ld + u);
            vec h_prev = v_load((const real *)p->h_prev + r_ * p->ld + u);

            vec dr = v_mul(dq, h_prev);                                                     /* B3 */
            v_store(a, gate_back(s, sigmoid, GRU_R, a_r, dr));                              /* B1 */
            v_store(dh_row, v_fma(dq, gate_again(s, sigmoid, GRU_R, a_r), v_load(dh_row))); /* B3 */
        }
    }
}

static void gru_usual_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_forward(p, row, rows, block, blocks, 0);
}

static void gru_usual_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_backward(p, row, rows, block, blocks, 0);
}

static void gru_usual_reset(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_reset(p, row, rows, block, blocks, 0);
}

static void gru_usual_update(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_update(p, row, rows, block, blocks, 0);
}

static void gru_usual_update_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_update_backward(p, row, rows, block, blocks, 0);
}

static void gru_usual_reset_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_reset_backward(p, row, rows, block, blocks, 0);
}

static void gru_any_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_forward(p, row, rows, block, blocks, 1);
}

static void gru_any_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_backward(p, row, rows, block, blocks, 1);
}

static void gru_any_reset(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_reset(p, row, rows, block, blocks, 1);
}

static void gru_any_update(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_update(p, row, rows, block, blocks, 1);
}

static void gru_any_update_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_update_backward(p, row, rows, block, blocks, 1);
}

static void gru_any_reset_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_reset_backward(p, row, rows, block, blocks, 1);
}

static const rc_cell gru_cell = {
    .gates = 3,
    .slots = 4,
    .ih_slots = 3,
    .ih_gate = {2, 0, 1},
    .phases = 1,
    .phase = {{.first_slot = 1,
               .slots = 3,
               .gate = {0, 1, 2},
               .forward = gru_usual_forward,
               .backward = gru_usual_backward}},
};

static const rc_cell gru_general_cell = {
    .gates = 3,
    .slots = 4,
    .ih_slots = 3,
    .ih_gate = {2, 0, 1},
    .phases = 1,
    .phase =
        {{.first_slot = 1, .slots = 3, .gate = {0, 1, 2}, .forward = gru_any_forward, .backward = gru_any_backward}},
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
               .forward = gru_usual_reset,
               .backward = gru_usual_reset_backward},
              {.first_slot = 0,
               .slots = 1,
               .gate = {2},
               .forward = gru_usual_update,
               .backward = gru_usual_update_backward}},
};

static const rc_cell gru_reset_before_general_cell = {
    .gates = 3,
    .slots = 3,
    .ih_slots = 3,
    .ih_gate = {2, 0, 1},
    .phases = 2,
    .phase =
        {{.first_slot = 1, .slots = 2, .gate = {0, 1}, .forward = gru_any_reset, .backward = gru_any_reset_backward},
         {.first_slot = 0, .slots = 1, .gate = {2}, .forward = gru_any_update, .backward = gru_any_update_backward}},
};
