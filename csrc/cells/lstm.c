/* SPDX-License-Identifier: MIT
 *
 * LSTM (Hochreiter and Schmidhuber 1997, forget gate: Gers 2000), PyTorch's nn.LSTM, with any activations s_k (usually sigmoid
 * for i f o and tanh for g and c), peepholes (Gers and Schmidhuber 2000) and coupled gates (Greff 2015). s_k' is the slope; with
 * a clip both see min(max(a, -clip), clip), and beyond it the slope is 0.
 *
 *   F1  a    = b_ih + b_hh + W_ih x_t + W_hh h_{t-1}
 *   F2  i    = s_i(a[i] + p[i] * c_{t-1})          (without peepholes p = 0)
 *   F3  f    = s_f(a[f] + p[f] * c_{t-1})          (coupled: f = 1 - i)
 *   F4  g    = s_g(a[g])
 *   F5  c_t  = f * c_{t-1} + i * g
 *   F6  o    = s_o(a[o] + p[o] * c_t)
 *   F7  m    = o * s_c(c_t)          (the clip does not act on c_t)
 *   F8  h_t  = W_hr m           (without projection: h_t = m)
 *
 *   B8  dm       = W_hr^T dh_t      dW_hr    += dh_t m^T          (without projection: dm = dh_t)
 *   B7  do       = dm * s_c(c_t)    dc_t     += dm * o * s_c'(c_t)
 *   B6  da[o]    = do * s_o'        dp[o]    += da[o] * c_t       dc_t     += da[o] * p[o]
 *   B5  df       = dc_t * c_{t-1}   dc_{t-1}  = dc_t * f          di = dc_t * g          dg = dc_t * i
 *   B4  da[g]    = dg * s_g'
 *   B3  da[f]    = df * s_f'        dp[f]    += da[f] * c_{t-1}   dc_{t-1} += da[f] * p[f]          (coupled: di -= df)
 *   B2  da[i]    = di * s_i'        dp[i]    += da[i] * c_{t-1}   dc_{t-1} += da[i] * p[i]
 *   B1  dx_t     = W_ih^T da        dh_{t-1}  = W_hh^T da
 *       dW_ih   += da x_t^T         dW_hh    += da h_{t-1}^T
 *       db_ih   += da               db_hh    += da
 *
 * Gates buffer: planes i f g o, or i g o. Saved for backward: the finished pre-activations (with what the peepholes add), or
 * where the slopes follow from them the gates' values, and c_t. F8, B8 and dp are products of the time loop and after it; what
 * the functions here call h is m. */
#include "cell.h"

enum {
    LSTM_WEIGHT_IH,
    LSTM_WEIGHT_HH,
    LSTM_BIAS_IH,
    LSTM_BIAS_HH,
    LSTM_WEIGHT_HR,
    LSTM_WEIGHT_PEEPHOLE,
    LSTM_GAIN_IH,
    LSTM_GAIN_HH,
    LSTM_GAIN_C,
    LSTM_BIAS_C,
    LSTM_PARAMS
};
enum { LSTM_I, LSTM_F, LSTM_G, LSTM_O, LSTM_C }; /* places */

/* One vector of units: where things are. */
typedef struct lstm_unit {
    real *i, *f, *g, *o;         /* planes; f NULL when the gates are coupled */
    const real *p_i, *p_f, *p_o; /* NULL without peepholes */
} lstm_unit;

RC_INLINE lstm_unit lstm_find(const rc_cell_args *p, int64_t r, int64_t u, const int any, const int coupled)
{
    const real *peephole = any ? p->vector[LSTM_WEIGHT_PEEPHOLE] : NULL;
    real *a = (real *)p->gates + r * p->ldg + u;
    lstm_unit at = {.i = a, .f = coupled ? NULL : a + p->ld, .g = a + (2 - coupled) * p->ld};
    at.o = at.g + p->ld;
    if (peephole) {
        at.p_i = peephole + u;
        at.p_f = coupled ? NULL : at.p_i + p->ld;
        at.p_o = at.p_i + (2 - coupled) * p->ld;
    }
    return at;
}

/* a + p * c, the last link of a chain. */
RC_INLINE vec lstm_peep(const real *a, const real *p, vec c) { return p ? v_fma(v_load(p), c, v_load(a)) : v_load(a); }

/* any: with the functions, peepholes and coupled gates of the options; else the usual cell, of which nothing remains to be asked. */
RC_INLINE void lstm_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                            const int any)
{
    const rc_options *s = p->options;
    const int coupled = any && s->coupled;
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID, tanh = any ? RNNCORE_USUAL : RNNCORE_TANH;
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            const lstm_unit at = lstm_find(p, r, u, any, coupled);
            vec c_prev = v_load((const real *)p->c_prev + r * p->ld + u);
            vec a_i = lstm_peep(at.i, at.p_i, c_prev), i = gate_value(s, sigmoid, LSTM_I, a_i); /* F2 */
            vec a_f = c_prev, f = v_sub(v_set1(1), i);                                          /* F3 */
            if (!coupled) a_f = lstm_peep(at.f, at.p_f, c_prev), f = gate_value(s, sigmoid, LSTM_F, a_f);
            vec a_g = v_load(at.g), g = gate_value(s, tanh, LSTM_G, a_g);                  /* F4 */
            vec c = v_fma(f, c_prev, v_mul(i, g));                                         /* F5 */
            vec a_o = lstm_peep(at.o, at.p_o, c), o = gate_value(s, sigmoid, LSTM_O, a_o); /* F6 */
            vec h = v_mul(o, free_value(s, tanh, LSTM_C, c));                              /* F7 */
            if (p->save) {
                v_store(at.i, gate_saved(sigmoid, a_i, i));
                if (!coupled) v_store(at.f, gate_saved(sigmoid, a_f, f));
                v_store(at.g, gate_saved(tanh, a_g, g));
                v_store(at.o, gate_saved(sigmoid, a_o, o));
            }
            v_store((real *)p->c + r * p->ld + u, c);
            v_store((real *)p->h + r * p->ld + u, h);
        }
    }
}

RC_INLINE void lstm_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                             const int any)
{
    const rc_options *s = p->options;
    const int coupled = any && s->coupled;
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID, tanh = any ? RNNCORE_USUAL : RNNCORE_TANH;
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            const lstm_unit at = lstm_find(p, r, u, any, coupled);
            real *dh_row = (real *)p->dh + r * p->ld + u, *dc_row = (real *)p->dc + r * p->ld + u;
            vec c_prev = v_load((const real *)p->c_prev + r * p->ld + u);
            vec c = v_load((const real *)p->c + r * p->ld + u), m = free_value(s, tanh, LSTM_C, c), dh = v_load(dh_row);
            vec a_i = v_load(at.i), a_g = v_load(at.g), a_o = v_load(at.o);
            vec i = gate_again(s, sigmoid, LSTM_I, a_i), g = gate_again(s, tanh, LSTM_G, a_g);
            vec o = gate_again(s, sigmoid, LSTM_O, a_o);

            vec da_o = gate_back(s, sigmoid, LSTM_O, a_o, v_mul(dh, m));                              /* B7, B6 */
            vec dc = v_fma(v_mul(dh, o), free_slope(s, tanh, LSTM_C, c, m), v_load(dc_row)), dc_prev; /* B7 */
            if (at.p_o) dc = v_fma(da_o, v_load(at.p_o), dc);                                         /* B6 */
            vec di = v_mul(dc, g), df = v_mul(dc, c_prev), dg = v_mul(dc, i);                         /* B5 */
            if (!coupled) {
                vec a_f = v_load(at.f), da_f = gate_back(s, sigmoid, LSTM_F, a_f, df); /* B3 */
                dc_prev = v_mul(dc, gate_again(s, sigmoid, LSTM_F, a_f));              /* B5 */
                if (at.p_f) dc_prev = v_fma(da_f, v_load(at.p_f), dc_prev);            /* B3 */
                v_store(at.f, da_f);
            } else {
                dc_prev = v_mul(dc, v_sub(v_set1(1), i)); /* B5 */
                di = v_sub(di, df);                       /* B3 */
            }
            vec da_i = gate_back(s, sigmoid, LSTM_I, a_i, di);          /* B2 */
            if (at.p_i) dc_prev = v_fma(da_i, v_load(at.p_i), dc_prev); /* B2 */
            v_store(at.i, da_i);
            v_store(at.g, gate_back(s, tanh, LSTM_G, a_g, dg)); /* B4 */
            v_store(at.o, da_o);
            v_store(dc_row, dc_prev);
            v_store(dh_row, v_zero()); /* B1 is a product of the time loop */
        }
    }
}

static void lstm_usual_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    lstm_forward(p, row, rows, block, blocks, 0);
}

static void lstm_usual_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    lstm_backward(p, row, rows, block, blocks, 0);
}

static void lstm_any_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    lstm_forward(p, row, rows, block, blocks, 1);
}

static void lstm_any_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    lstm_backward(p, row, rows, block, blocks, 1);
}

static const rc_param lstm_params[LSTM_PARAMS] = {
    [LSTM_WEIGHT_IH] = {"weight_ih", RC_ALL_GATES, RC_AXIS_H, RC_AXIS_I, RC_ALWAYS, 0},
    [LSTM_WEIGHT_HH] = {"weight_hh", RC_ALL_GATES, RC_AXIS_H, RC_AXIS_O, RC_ALWAYS, 0},
    [LSTM_BIAS_IH] = {"bias_ih", RC_ALL_GATES, RC_AXIS_H, RC_NO_AXIS, RC_ALWAYS, 1},
    [LSTM_BIAS_HH] = {"bias_hh", RC_ALL_GATES, RC_AXIS_H, RC_NO_AXIS, RC_ALWAYS, 1},
    [LSTM_WEIGHT_HR] = {"weight_hr", 1, RC_AXIS_O, RC_AXIS_H, RC_WITH_PROJECTION, 0},
    [LSTM_WEIGHT_PEEPHOLE] = {"weight_peephole", RC_GATES_BUT_ONE, RC_AXIS_H, RC_NO_AXIS, RC_WITH_PEEPHOLES, 0},
    [LSTM_GAIN_IH] = {"gain_ih", RC_ALL_GATES, RC_AXIS_H, RC_NO_AXIS, RC_WITH_NORM, 0}, /* see lstm_norm.c */
    [LSTM_GAIN_HH] = {"gain_hh", RC_ALL_GATES, RC_AXIS_H, RC_NO_AXIS, RC_WITH_NORM, 0},
    [LSTM_GAIN_C] = {"gain_c", 1, RC_AXIS_H, RC_NO_AXIS, RC_WITH_NORM, 0},
    [LSTM_BIAS_C] = {"bias_c", 1, RC_AXIS_H, RC_NO_AXIS, RC_WITH_NORM, 0},
};

static const rc_op lstm_program[] = {RC_PRODUCT(RC_TERM_H), RC_MATH(lstm_usual_forward), RC_END},
                   lstm_program_back[] = {RC_MATH(lstm_usual_backward), RC_END};
static const rc_op lstm_any_program[] = {RC_PRODUCT(RC_TERM_H), RC_MATH(lstm_any_forward), RC_END},
                   lstm_any_program_back[] = {RC_MATH(lstm_any_backward), RC_END};

/* The planes are the gates; peepholes are of the first ones and c_{t-1}, and of o, the last one, and c_t. */
/* clang-format off */
#define LSTM_CELL(count, f, program) { \
    .gates = count, .usual = {RNNCORE_SIGMOID, f, RNNCORE_TANH, RNNCORE_SIGMOID, RNNCORE_TANH}, .has_c = 1, \
    .params = lstm_params, .param_count = LSTM_PARAMS, .planes = count, .term_count = 2, .vector_count = 2, \
    .term = {{LSTM_WEIGHT_IH, LSTM_BIAS_IH, RC_OPERAND_X, 0, count, {0, 1, 2, 3}, 0}, \
             {LSTM_WEIGHT_HH, LSTM_BIAS_HH, RC_OPERAND_H, 0, count, {0, 1, 2, 3}, 0}}, \
    .vector = {{LSTM_WEIGHT_PEEPHOLE, -1, RC_OPERAND_C_BEFORE, 0, (count) - 2, {0, 1}, 0}, \
               {LSTM_WEIGHT_PEEPHOLE, -1, RC_OPERAND_C_AFTER, (count) - 1, 1, {(count) - 2}, 0}}, \
    .forward = program, .backward = program##_back, \
}
/* clang-format on */
static const rc_cell lstm_cell = LSTM_CELL(4, RNNCORE_SIGMOID, lstm_program),
                     lstm_any_cell = LSTM_CELL(4, RNNCORE_SIGMOID, lstm_any_program),
                     lstm_coupled_cell = LSTM_CELL(3, RNNCORE_USUAL, lstm_any_program);
#undef LSTM_CELL

static const rc_cell *const lstm_forms[RC_FORMS] = {&lstm_cell, &lstm_any_cell, &lstm_coupled_cell};
