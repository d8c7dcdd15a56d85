/* SPDX-License-Identifier: MIT
 *
 * Basic RNN (Elman 1990), PyTorch's nn.RNN. s_h is the activation, tanh or relu or another one, s_h' its slope; with a clip
 * both see min(max(a, -clip), clip), and beyond it the slope is 0.
 *
 *   F1  a    = b_ih + b_hh + W_ih x_t + W_hh h_{t-1}
 *   F2  h_t  = s_h(a)
 *
 *   B2  da       = dh_t * s_h'(a)
 *   B1  dx_t     = W_ih^T da        dh_{t-1}  = W_hh^T da
 *       dW_ih   += da x_t^T         dW_hh    += da h_{t-1}^T
 *       db_ih   += da               db_hh    += da
 *
 * Gates buffer: one plane, a. Saved for backward: a, or h_t where the slope follows from it (see activations.h). */
#include "cell.h"

RC_INLINE void rnn_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                           const rnncore_function s_h)
{
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r * p->ldg + u;
            vec pre = v_load(a), h = gate_value(p->options, s_h, 0, pre); /* F2 */
            if (p->save) v_store(a, gate_saved(s_h, pre, h));
            v_store((real *)p->h + r * p->ld + u, h);
        }
    }
}

RC_INLINE void rnn_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                            const rnncore_function s_h)
{
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r * p->ldg + u, *dh = (real *)p->dh + r * p->ld + u;
            v_store(a, gate_back(p->options, s_h, 0, v_load(a), v_load(dh))); /* B2 */
            v_store(dh, v_zero());                                            /* B1 is a product of the time loop */
        }
    }
}

static void rnn_tanh_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    rnn_forward(p, row, rows, block, blocks, RNNCORE_TANH);
}

static void rnn_tanh_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    rnn_backward(p, row, rows, block, blocks, RNNCORE_TANH);
}

static void rnn_relu_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    rnn_forward(p, row, rows, block, blocks, RNNCORE_RELU);
}

static void rnn_relu_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    rnn_backward(p, row, rows, block, blocks, RNNCORE_RELU);
}

static void rnn_any_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    rnn_forward(p, row, rows, block, blocks, RNNCORE_USUAL);
}

static void rnn_any_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    rnn_backward(p, row, rows, block, blocks, RNNCORE_USUAL);
}

#define RC_RNN_CELL(FORWARD, BACKWARD) \
    { \
        .gates = 1, .slots = 1, .ih_slots = 1, .ih_gate = {0}, .phases = 1, .phase = { \
            {.first_slot = 0, .slots = 1, .gate = {0}, .forward = FORWARD, .backward = BACKWARD} \
        } \
    }
static const rc_cell rnn_tanh_cell = RC_RNN_CELL(rnn_tanh_forward, rnn_tanh_backward);
static const rc_cell rnn_relu_cell = RC_RNN_CELL(rnn_relu_forward, rnn_relu_backward);
static const rc_cell rnn_general_cell = RC_RNN_CELL(rnn_any_forward, rnn_any_backward);
#undef RC_RNN_CELL
