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

enum { RNN_WEIGHT_IH, RNN_WEIGHT_HH, RNN_BIAS_IH, RNN_BIAS_HH, RNN_PARAMS };

static const rc_param rnn_params[RNN_PARAMS] = {
    [RNN_WEIGHT_IH] = {"weight_ih", RC_ALL_GATES, RC_AXIS_H, RC_AXIS_I, RC_ALWAYS, 0},
    [RNN_WEIGHT_HH] = {"weight_hh", RC_ALL_GATES, RC_AXIS_H, RC_AXIS_O, RC_ALWAYS, 0},
    [RNN_BIAS_IH] = {"bias_ih", RC_ALL_GATES, RC_AXIS_H, RC_NO_AXIS, RC_ALWAYS, 1},
    [RNN_BIAS_HH] = {"bias_hh", RC_ALL_GATES, RC_AXIS_H, RC_NO_AXIS, RC_ALWAYS, 1},
};

static const rc_op rnn_tanh_program[] = {RC_PRODUCT(RC_TERM_H), RC_MATH(rnn_tanh_forward), RC_END},
                   rnn_tanh_program_back[] = {RC_MATH(rnn_tanh_backward), RC_END};
static const rc_op rnn_relu_program[] = {RC_PRODUCT(RC_TERM_H), RC_MATH(rnn_relu_forward), RC_END},
                   rnn_relu_program_back[] = {RC_MATH(rnn_relu_backward), RC_END};
static const rc_op rnn_any_program[] = {RC_PRODUCT(RC_TERM_H), RC_MATH(rnn_any_forward), RC_END},
                   rnn_any_program_back[] = {RC_MATH(rnn_any_backward), RC_END};

/* clang-format off */
#define RNN_CELL(function, program) { \
    .gates = 1, .usual = {function}, .params = rnn_params, .param_count = RNN_PARAMS, .planes = 1, .term_count = 2, \
    .term = {{RNN_WEIGHT_IH, RNN_BIAS_IH, RC_OPERAND_X, 0, 1, {0}, 0}, \
             {RNN_WEIGHT_HH, RNN_BIAS_HH, RC_OPERAND_H, 0, 1, {0}, 0}}, \
    .forward = program, .backward = program##_back, \
}
/* clang-format on */
static const rc_cell rnn_tanh_cell = RNN_CELL(RNNCORE_TANH, rnn_tanh_program),
                     rnn_relu_cell = RNN_CELL(RNNCORE_RELU, rnn_relu_program),
                     rnn_tanh_any_cell = RNN_CELL(RNNCORE_TANH, rnn_any_program),
                     rnn_relu_any_cell = RNN_CELL(RNNCORE_RELU, rnn_any_program);
#undef RNN_CELL

static const rc_cell *const rnn_tanh_forms[RC_FORMS] = {&rnn_tanh_cell, &rnn_tanh_any_cell},
                            *const rnn_relu_forms[RC_FORMS] = {&rnn_relu_cell, &rnn_relu_any_cell};
