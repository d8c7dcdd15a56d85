/* SPDX-License-Identifier: MIT
 *
 * LSTM (Hochreiter and Schmidhuber 1997, forget gate: Gers 2000), PyTorch's nn.LSTM:
 *
 *   i  = sigmoid(W_ii x + b_ii + W_hi h_prev + b_hi)       input gate
 *   f  = sigmoid(W_if x + b_if + W_hf h_prev + b_hf)       forget gate
 *   g  = tanh   (W_ig x + b_ig + W_hg h_prev + b_hg)       input activation gate
 *   o  = sigmoid(W_io x + b_io + W_ho h_prev + b_ho)       output gate
 *   c' = f * c_prev + i * g                                internal state gate
 *   h' = o * tanh(c')                                      final output gate
 *
 * Gates buffer: planes i f g o. Saved for backward: i f g o and c'; tanh(c') is computed again. */
#include "cell.h"

static void lstm_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r * p->ldg + u;
            vec i = v_sigmoid(v_load(a));
            vec f = v_sigmoid(v_load(a + p->ld));
            vec g = v_tanh(v_load(a + 2 * p->ld));
            vec o = v_sigmoid(v_load(a + 3 * p->ld));
            vec c = v_fma(f, v_load((const real *)p->c_prev + r * p->ld + u), v_mul(i, g));
            vec h = v_mul(o, v_tanh(c));
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

            vec do_ = v_mul(dh, tc);                                            /* h' = o * tanh(c') */
            vec dc = v_fma(v_mul(dh, o), v_dtanh(tc), v_load(dc_row));          /* h' = o * tanh(c') */
            vec di = v_mul(dc, g), df = v_mul(dc, c_prev), dg = v_mul(dc, i);   /* c' = f * c_prev + i * g */
            v_store(a, v_mul(di, v_dsigmoid(i)));                               /* i  = sigmoid(...) */
            v_store(a + p->ld, v_mul(df, v_dsigmoid(f)));                       /* f  = sigmoid(...) */
            v_store(a + 2 * p->ld, v_mul(dg, v_dtanh(g)));                      /* g  = tanh(...) */
            v_store(a + 3 * p->ld, v_mul(do_, v_dsigmoid(o)));                  /* o  = sigmoid(...) */
            v_store(dc_row, v_mul(dc, f));                                      /* c' = f * c_prev + i * g */
            v_store(dh_row, v_zero());                      /* h_prev is reached through W_hh only */
        }
    }
}

static const rc_cell lstm_cell = {
    .gates = 4, .slots = 4, .has_c = 1, .ih_slots = 4, .ih_gate = {0, 1, 2, 3}, .phases = 1,
    .phase = {{ .first_slot = 0, .slots = 4, .gate = {0, 1, 2, 3}, .forward = lstm_forward, .backward = lstm_backward }},
};
