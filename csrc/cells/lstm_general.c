/* SPDX-License-Identifier: MIT
 *
 * LSTM with any activations s_k (slopes s_k', 0 beyond the clip), peepholes (Gers and Schmidhuber 2000) and coupled gates
 * (Greff 2015).
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
 * Gates buffer: planes i f g o, or i g o. Saved for backward: the finished pre-activations (with what the peepholes add) and
 * c_t. F8, B8 and dp are products of the time loop and after it; what the functions here call h is m. */
#include "cell.h"

/* One vector of units: where things are. */
typedef struct lstm_unit {
    real *a_i, *a_f, *a_g, *a_o; /* pre-activations or gradients; a_f NULL when the gates are coupled */
    const real *p_i, *p_f, *p_o; /* NULL without peepholes */
} lstm_unit;

static lstm_unit lstm_find(const rc_cell_args *p, int64_t r, int64_t u, const int coupled)
{
    real *a = (real *)p->gates + r * p->ldg + u;
    const real *peephole = p->peephole;
    lstm_unit found = {.a_i = a, .a_f = coupled ? NULL : a + p->ld, .a_g = a + (2 - coupled) * p->ld};
    found.a_o = found.a_g + p->ld;
    if (peephole) {
        found.p_i = peephole + u;
        found.p_f = coupled ? NULL : found.p_i + p->ld;
        found.p_o = found.p_i + (2 - coupled) * p->ld;
    }
    return found;
}

/* a + p * c, kept when it is saved. */
static vec lstm_peep(real *a, const real *p, vec c, int save)
{
    vec sum = v_load(a);
    if (!p) return sum;
    sum = v_fma(v_load(p), c, sum);
    if (save) v_store(a, sum);
    return sum;
}

RC_INLINE void lstm_any_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                                const int coupled)
{
    const rc_options *s = p->options;
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            const lstm_unit at = lstm_find(p, r, u, coupled);
            vec c_prev = v_load((const real *)p->c_prev + r * p->ld + u);
            vec i = gate_value(s, 0, lstm_peep(at.a_i, at.p_i, c_prev, p->save)); /* F2 */
            vec f =
                coupled ? v_sub(v_set1(1), i) : gate_value(s, 1, lstm_peep(at.a_f, at.p_f, c_prev, p->save)); /* F3 */
            vec g = gate_value(s, 2, v_load(at.a_g));                                                         /* F4 */
            vec c = v_fma(f, c_prev, v_mul(i, g));                                                            /* F5 */
            vec o = gate_value(s, 3, lstm_peep(at.a_o, at.p_o, c, p->save));                                  /* F6 */
            v_store((real *)p->c + r * p->ld + u, c);
            v_store((real *)p->h + r * p->ld + u, v_mul(o, activate(&s->activations[4], c))); /* F7 */
        }
    }
}

RC_INLINE void lstm_any_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                                 const int coupled)
{
    const rc_options *s = p->options;
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            const lstm_unit at = lstm_find(p, r, u, coupled);
            real *dh_row = (real *)p->dh + r * p->ld + u, *dc_row = (real *)p->dc + r * p->ld + u;
            vec c_prev = v_load((const real *)p->c_prev + r * p->ld + u),
                c = v_load((const real *)p->c + r * p->ld + u);
            vec a_i = v_load(at.a_i), a_g = v_load(at.a_g), a_o = v_load(at.a_o), dh = v_load(dh_row);
            vec i = gate_value(s, 0, a_i), g = gate_value(s, 2, a_g), o = gate_value(s, 3, a_o);

            vec do_ = v_mul(dh, activate(&s->activations[4], c));                                  /* B7 */
            vec dc = v_fma(v_mul(dh, o), activation_slope(&s->activations[4], c), v_load(dc_row)); /* B7 */
            vec da_o = v_mul(do_, gate_slope(s, 3, a_o));                                          /* B6 */
            if (at.p_o) dc = v_fma(da_o, v_load(at.p_o), dc);                                      /* B6 */
            vec di = v_mul(dc, g), df = v_mul(dc, c_prev), dg = v_mul(dc, i);                      /* B5 */
            vec f = v_sub(v_set1(1), i), dc_prev;
            if (coupled) {
                di = v_sub(di, df);     /* B3 */
                dc_prev = v_mul(dc, f); /* B5 */
            } else {
                vec a_f = v_load(at.a_f), da_f = v_mul(df, gate_slope(s, 1, a_f)); /* B3 */
                dc_prev = v_mul(dc, gate_value(s, 1, a_f));                        /* B5 */
                if (at.p_f) dc_prev = v_fma(da_f, v_load(at.p_f), dc_prev);        /* B3 */
                v_store(at.a_f, da_f);
            }
            vec da_i = v_mul(di, gate_slope(s, 0, a_i));                /* B2 */
            if (at.p_i) dc_prev = v_fma(da_i, v_load(at.p_i), dc_prev); /* B2 */
            v_store(at.a_i, da_i);
            v_store(at.a_g, v_mul(dg, gate_slope(s, 2, a_g))); /* B4 */
            v_store(at.a_o, da_o);
            v_store(dc_row, dc_prev);
            v_store(dh_row, v_zero()); /* B1 is a product of the time loop */
        }
    }
}

static void lstm_general_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    lstm_any_forward(p, row, rows, block, blocks, 0);
}

static void lstm_general_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    lstm_any_backward(p, row, rows, block, blocks, 0);
}

static void lstm_coupled_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    lstm_any_forward(p, row, rows, block, blocks, 1);
}

static void lstm_coupled_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    lstm_any_backward(p, row, rows, block, blocks, 1);
}

static const rc_cell lstm_general_cell = {
    .gates = 4,
    .slots = 4,
    .has_c = 1,
    .ih_slots = 4,
    .ih_gate = {0, 1, 2, 3},
    .phases = 1,
    .phase = {{.first_slot = 0,
               .slots = 4,
               .gate = {0, 1, 2, 3},
               .forward = lstm_general_forward,
               .backward = lstm_general_backward}},
};

static const rc_cell lstm_coupled_cell = {
    .gates = 3,
    .slots = 3,
    .has_c = 1,
    .ih_slots = 3,
    .ih_gate = {0, 1, 2},
    .phases = 1,
    .phase = {{.first_slot = 0,
               .slots = 3,
               .gate = {0, 1, 2},
               .forward = lstm_coupled_forward,
               .backward = lstm_coupled_backward}},
};
