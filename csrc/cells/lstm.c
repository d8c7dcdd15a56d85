/* SPDX-License-Identifier: MIT
 *
 * LSTM (Hochreiter and Schmidhuber 1997, forget gate: Gers 2000), PyTorch's nn.LSTM.
 *
 *   F1  a    = b_ih + b_hh + W_ih x_t + W_hh h_{t-1}
 *   F2  i    = sigmoid(a[i])
 *   F3  f    = sigmoid(a[f])
 *   F4  g    = tanh(a[g])
 *   F5  o    = sigmoid(a[o])
 *   F6  c_t  = f * c_{t-1} + i * g
 *   F7  m    = o * tanh(c_t)
 *   F8  h_t  = W_hr m           (without projection: h_t = m)
 *
 *   B8  dm       = W_hr^T dh_t      dW_hr    += dh_t m^T          (without projection: dm = dh_t)
 *   B7  do       = dm * tanh(c_t)   dc_t     += dm * o * (1 - tanh(c_t)^2)
 *   B6  df       = dc_t * c_{t-1}   dc_{t-1}  = dc_t * f          di = dc_t * g          dg = dc_t * i
 *   B5  da[o]    = do * o * (1 - o)
 *   B4  da[g]    = dg * (1 - g^2)
 *   B3  da[f]    = df * f * (1 - f)
 *   B2  da[i]    = di * i * (1 - i)
 *   B1  dx_t     = W_ih^T da        dh_{t-1}  = W_hh^T da
 *       dW_ih   += da x_t^T         dW_hh    += da h_{t-1}^T
 *       db_ih   += da               db_hh    += da
 *
 * Gates buffer: planes i f g o. Saved for backward: i f g o and c_t; tanh(c_t) is computed again. F8 and B8 are products of
 * the time loop; what the functions here call h is m. */
#include "cell.h"

static void lstm_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r * p->ldg + u;
            vec i = v_sigmoid(v_load(a));                                                   /* F2 */
            vec f = v_sigmoid(v_load(a + p->ld));                                           /* F3 */
            vec g = v_tanh(v_load(a + 2 * p->ld));                                          /* F4 */
            vec o = v_sigmoid(v_load(a + 3 * p->ld));                                       /* F5 */
            vec c = v_fma(f, v_load((const real *)p->c_prev + r * p->ld + u), v_mul(i, g)); /* F6 */
            vec h = v_mul(o, v_tanh(c));                                                    /* F7 */
            if (p->save) {
                v_store(a, i);
                v_store(a + p->ld, f);
                v_store(a + 2 * p->ld, g);
                v_store(a + 3 * p->ld, o);
            }
            v_store((real *)p->c + r * p->ld + u, c);
            v_store((real *)p->h + r * p->ld + u, h);
        }
    }
}

static void lstm_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r * p->ldg + u;
            real *dh_row = (real *)p->dh + r * p->ld + u, *dc_row = (real *)p->dc + r * p->ld + u;
            vec i = v_load(a), f = v_load(a + p->ld), g = v_load(a + 2 * p->ld), o = v_load(a + 3 * p->ld);
            vec c_prev = v_load((const real *)p->c_prev + r * p->ld + u);
            vec tc = v_tanh(v_load((const real *)p->c + r * p->ld + u));
            vec dh = v_load(dh_row);

            vec do_ = v_mul(dh, tc);                                          /* B7 */
            vec dc = v_fma(v_mul(dh, o), v_dtanh(tc), v_load(dc_row));        /* B7 */
            vec di = v_mul(dc, g), df = v_mul(dc, c_prev), dg = v_mul(dc, i); /* B6 */
            v_store(a, v_mul(di, v_dsigmoid(i)));                             /* B2 */
            v_store(a + p->ld, v_mul(df, v_dsigmoid(f)));                     /* B3 */
            v_store(a + 2 * p->ld, v_mul(dg, v_dtanh(g)));                    /* B4 */
            v_store(a + 3 * p->ld, v_mul(do_, v_dsigmoid(o)));                /* B5 */
            v_store(dc_row, v_mul(dc, f));                                    /* B6 */
            v_store(dh_row, v_zero());                                        /* B1 is a product of the time loop */
        }
    }
}

static const rc_cell lstm_cell = {
    .gates = 4,
    .slots = 4,
    .has_c = 1,
    .ih_slots = 4,
    .ih_gate = {0, 1, 2, 3},
    .phases = 1,
    .phase = {{.first_slot = 0, .slots = 4, .gate = {0, 1, 2, 3}, .forward = lstm_forward, .backward = lstm_backward}},
};
