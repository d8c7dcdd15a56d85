/* SPDX-License-Identifier: MIT
 *
 * Basic RNN (Elman 1990), PyTorch's nn.RNN.
 *
 *   F1  a    = b_ih + b_hh + W_ih x_t + W_hh h_{t-1}
 *   F2  h_t  = tanh(a)          or relu(a)
 *
 *   B2  da       = dh_t * (1 - h_t^2)          or 0 where h_t <= 0, else dh_t
 *   B1  dx_t     = W_ih^T da        dh_{t-1}  = W_hh^T da
 *       dW_ih   += da x_t^T         dW_hh    += da h_{t-1}^T
 *       db_ih   += da               db_hh    += da
 *
 * Gates buffer: one plane, a then h_t. Saved for backward: h_t. */
#include "cell.h"

static void rnn_tanh_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r * p->ldg + u;
            vec h = v_tanh(v_load(a)); /* F2 */
            if (p->save) v_store(a, h);
            v_store((real *)p->h + r * p->ld + u, h);
        }
    }
}

static void rnn_tanh_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r * p->ldg + u, *dh = (real *)p->dh + r * p->ld + u;
            vec h = v_load(a);
            v_store(a, v_mul(v_load(dh), v_dtanh(h))); /* B2 */
            v_store(dh, v_zero());                     /* B1 is a product of the time loop */
        }
    }
}

static void rnn_relu_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r * p->ldg + u;
            vec h = v_max(v_zero(), v_load(a)); /* F2; NaN and -0, as second operand, flow */
            if (p->save) v_store(a, h);
            v_store((real *)p->h + r * p->ld + u, h);
        }
    }
}

static void rnn_relu_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r * p->ldg + u, *dh = (real *)p->dh + r * p->ld + u;
            vec h = v_load(a);
            v_store(a, v_where_positive(h, v_load(dh))); /* B2 */
            v_store(dh, v_zero());
        }
    }
}

#define RC_RNN_CELL(FORWARD, BACKWARD) \
    { \
        .gates = 1, .slots = 1, .ih_slots = 1, .ih_gate = {0}, .phases = 1, .phase = { \
            {.first_slot = 0, .slots = 1, .gate = {0}, .forward = FORWARD, .backward = BACKWARD} \
        } \
    }
static const rc_cell rnn_tanh_cell = RC_RNN_CELL(rnn_tanh_forward, rnn_tanh_backward);
static const rc_cell rnn_relu_cell = RC_RNN_CELL(rnn_relu_forward, rnn_relu_backward);
#undef RC_RNN_CELL
