/* SPDX-License-Identifier: MIT
 *
 * Basic RNN with any activation s_h of its pre-activation, which a clip may bound (s_h' is 0 beyond it).
 *
 *   F1  a    = b_ih + b_hh + W_ih x_t + W_hh h_{t-1}
 *   F2  h_t  = s_h(a)
 *
 *   B2  da       = dh_t * s_h'(a)
 *   B1  dx_t     = W_ih^T da        dh_{t-1}  = W_hh^T da
 *       dW_ih   += da x_t^T         dW_hh    += da h_{t-1}^T
 *       db_ih   += da               db_hh    += da
 *
 * Gates buffer: one plane, a. Saved for backward: a. */
#include "cell.h"

static void rnn_general_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r = row; r < row + rows; r++)
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES)
            v_store((real *)p->h + r * p->ld + u,
                    gate_value(p->options, 0, v_load((const real *)p->gates + r * p->ldg + u))); /* F2 */
}

static void rnn_general_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r * p->ldg + u, *dh = (real *)p->dh + r * p->ld + u;
            v_store(a, v_mul(v_load(dh), gate_slope(p->options, 0, v_load(a)))); /* B2 */
            v_store(dh, v_zero());                                               /* B1 is a product of the time loop */
        }
    }
}

static const rc_cell rnn_general_cell = {
    .gates = 1,
    .slots = 1,
    .ih_slots = 1,
    .ih_gate = {0},
    .phases = 1,
    .phase =
        {{.first_slot = 0, .slots = 1, .gate = {0}, .forward = rnn_general_forward, .backward = rnn_general_backward}},
};
