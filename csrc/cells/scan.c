/* SPDX-License-Identifier: MIT
 *
 * Gated linear scans (Feng et al. 2024, "Were RNNs All We Needed?"): gates see the input alone, so there is no recurrent matrix
 * and a step is a mean of h_{t-1} and of what is new. s_k are any activations (usually sigmoid for gates and the identity for
 * what is new), s_k' is the slope; with a clip both see min(max(a, -clip), clip), and beyond it the slope is 0.
 *
 * minGRU:
 *
 *   F1  z    = s_z(b_ih[z] + W_ih[z] x_t)
 *   F2  n    = s_n(b_ih[n] + W_ih[n] x_t)
 *   F3  h_t  = (1 - z) * h_{t-1} + z * n
 *
 *   B3  dn       = dh_t * z         dz        = dh_t * (n - h_{t-1})          dh_{t-1} = dh_t * (1 - z)
 *   B2  da[n]    = dn * s_n'
 *   B1  da[z]    = dz * s_z'
 *       dx_t     = W_ih^T da        dW_ih    += da x_t^T                      db_ih   += da
 *
 * minLSTM:
 *
 *   F1  i    = s_i(b_ih[i] + W_ih[i] x_t)
 *   F2  f    = s_f(b_ih[f] + W_ih[f] x_t)
 *   F3  g    = s_g(b_ih[g] + W_ih[g] x_t)
 *   F4  u    = f / (f + i)
 *   F5  h_t  = u * h_{t-1} + (1 - u) * g
 *
 *   B5  dg       = dh_t * (1 - u)   du        = dh_t * (h_{t-1} - g)          dh_{t-1} = dh_t * u
 *   B4  df       = du * (1 - u) / (f + i)     di       = -du * u / (f + i)
 *   B3  da[g]    = dg * s_g'
 *   B2  da[f]    = df * s_f'
 *   B1  da[i]    = di * s_i'
 *       dx_t     = W_ih^T da        dW_ih    += da x_t^T                      db_ih   += da
 *
 * Gates buffer: planes z n, or i f g. Saved for backward: of the usual minGRU z and n, else the pre-activations as they are;
 * h_{t-1} is the output before. */
#include "cell.h"

enum { SCAN_Z, SCAN_N };         /* places of minGRU */
enum { SCAN_I, SCAN_F, SCAN_G }; /* of minLSTM */

/* -- minGRU ------------------------------------------------------------------------------------------------------------ */

/* any: with the functions of the options; else the usual cell. */
RC_INLINE void min_gru_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                               const int any)
{
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID;
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r * p->ldg + u;
            vec a_n = v_load(a + p->ld), n = any ? gate_value(p->options, RNNCORE_USUAL, SCAN_N, a_n) : a_n; /* F2 */
            vec z = gate_value(p->options, sigmoid, SCAN_Z, v_load(a));                                      /* F1 */
            vec h = v_load((const real *)p->h_prev + r * p->ld + u);
            if (!any && p->save) v_store(a, z);
            v_store((real *)p->h + r * p->ld + u, v_fma(z, v_sub(n, h), h)); /* F3 */
        }
    }
}

RC_INLINE void min_gru_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                                const int any)
{
    const rc_options *s = p->options;
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID;
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r * p->ldg + u, *dh_row = (real *)p->dh + r * p->ld + u;
            vec a_z = v_load(a), z = gate_again(s, sigmoid, SCAN_Z, a_z);
            vec a_n = v_load(a + p->ld), n = any ? gate_value(s, RNNCORE_USUAL, SCAN_N, a_n) : a_n;
            vec dh = v_load(dh_row), dn = v_mul(dh, z);                                    /* B3 */
            vec dz = v_mul(dh, v_sub(n, v_load((const real *)p->h_prev + r * p->ld + u))); /* B3 */
            v_store(a + p->ld, any ? gate_back(s, RNNCORE_USUAL, SCAN_N, a_n, dn) : dn);   /* B2 */
            v_store(a, gate_back(s, sigmoid, SCAN_Z, a_z, dz));                            /* B1 */
            v_store(dh_row, v_fnma(dh, z, dh));                                            /* B3 */
        }
    }
}

/* -- minLSTM ----------------------------------------------------------------------------------------------------------- */

/* Of gates i and f: 1 - u; and for backward u, and its slopes in their pre-activations (of i without its sign). */
typedef struct scan_share {
    vec rest, u, of_i, of_f;
} scan_share;

/* exp(-a) = e / d. Beyond +-80 (of doubles 700) it stays what it is there, which changes u only where both gates are closed
 * further than that. */
RC_INLINE vec scan_exp(vec a, vec *d)
{
    const real limit = sizeof(real) == 4 ? 80 : 700;
    vec s, t = v_tanh_reduced(v_mul(v_bound(a, -limit, limit), v_set1((real)-0.5)), &s);
    *d = v_sub(v_set1(1), t);
    return v_fma(s, t, s);
}

/* With sigmoids: f = d_f / (d_f + e_f) and i the same, so that u and 1 - u are quotients without cancellation and without 0 / 0
 * where both are tiny; and df / da = f * (1 - f). */
RC_INLINE scan_share scan_share_of_sigmoids(vec a_i, vec a_f, const int slopes)
{
    vec d_i, e_i = scan_exp(a_i, &d_i), d_f, e_f = scan_exp(a_f, &d_f);
    const vec i = v_add(d_i, e_i), f = v_add(d_f, e_f), upper = v_mul(d_f, i), lower = v_mul(d_i, f);
    const vec sum = v_add(upper, lower);
    scan_share s = {.rest = v_div(lower, sum)};
    if (slopes) {
        s.u = v_div(upper, sum);
        const vec both = v_mul(s.u, s.rest);
        s.of_i = v_mul(both, v_div(e_i, i));
        s.of_f = v_mul(both, v_div(e_f, f));
    }
    return s;
}

/* With the functions of the options: one body for both passes. */
static __attribute__((noinline)) scan_share scan_share_of_any(const rc_options *o, vec a_i, vec a_f, int slopes)
{
    if (o->activations[SCAN_I].function == RNNCORE_SIGMOID && o->activations[SCAN_F].function == RNNCORE_SIGMOID) {
        scan_share s = scan_share_of_sigmoids(v_clip(o, a_i), v_clip(o, a_f), slopes);
        if (!slopes) return s;
        s.of_i = v_if_le(v_abs(a_i), v_set1((real)o->clip), s.of_i, v_zero());
        s.of_f = v_if_le(v_abs(a_f), v_set1((real)o->clip), s.of_f, v_zero());
        return s;
    }
    const vec i = gate_value(o, RNNCORE_USUAL, SCAN_I, a_i), f = gate_value(o, RNNCORE_USUAL, SCAN_F, a_f);
    const vec sum = v_add(f, i);
    scan_share s = {.rest = v_div(i, sum)}; /* F4 */
    if (slopes) {
        s.u = v_div(f, sum);
        s.of_i = v_mul(v_div(s.u, sum), gate_slope(o, SCAN_I, a_i));    /* B4, B1 */
        s.of_f = v_mul(v_div(s.rest, sum), gate_slope(o, SCAN_F, a_f)); /* B4, B2 */
    }
    return s;
}

RC_INLINE void min_lstm_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                                const int any)
{
    const rc_options *o = p->options;
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            const real *a = (const real *)p->gates + r * p->ldg + u;
            vec a_i = v_load(a), a_f = v_load(a + p->ld), a_g = v_load(a + 2 * p->ld);
            vec g = any ? gate_value(o, RNNCORE_USUAL, SCAN_G, a_g) : a_g; /* F3 */
            const scan_share s = any ? scan_share_of_any(o, a_i, a_f, 0) : scan_share_of_sigmoids(a_i, a_f, 0);
            vec h = v_load((const real *)p->h_prev + r * p->ld + u);
            v_store((real *)p->h + r * p->ld + u, v_fma(s.rest, v_sub(g, h), h)); /* F5 */
        }
    }
}

RC_INLINE void min_lstm_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                                 const int any)
{
    const rc_options *o = p->options;
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r * p->ldg + u, *dh_row = (real *)p->dh + r * p->ld + u;
            vec a_i = v_load(a), a_f = v_load(a + p->ld), a_g = v_load(a + 2 * p->ld);
            vec g = any ? gate_value(o, RNNCORE_USUAL, SCAN_G, a_g) : a_g;
            const scan_share s = any ? scan_share_of_any(o, a_i, a_f, 1) : scan_share_of_sigmoids(a_i, a_f, 1);
            vec h_prev = v_load((const real *)p->h_prev + r * p->ld + u), dh = v_load(dh_row);

            vec du = v_mul(dh, v_sub(h_prev, g)), dg = v_mul(dh, s.rest);                    /* B5 */
            v_store(a + 2 * p->ld, any ? gate_back(o, RNNCORE_USUAL, SCAN_G, a_g, dg) : dg); /* B3 */
            v_store(a + p->ld, v_mul(du, s.of_f));                                           /* B4, B2 */
            v_store(a, v_fnma(du, s.of_i, v_zero()));                                        /* B4, B1 */
            v_store(dh_row, v_mul(dh, s.u));                                                 /* B5 */
        }
    }
}

/* -- The cells --------------------------------------------------------------------------------------------------------- */

static void min_gru_usual_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    min_gru_forward(p, row, rows, block, blocks, 0);
}

static void min_gru_usual_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    min_gru_backward(p, row, rows, block, blocks, 0);
}

static void min_gru_any_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    min_gru_forward(p, row, rows, block, blocks, 1);
}

static void min_gru_any_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    min_gru_backward(p, row, rows, block, blocks, 1);
}

static void min_lstm_usual_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    min_lstm_forward(p, row, rows, block, blocks, 0);
}

static void min_lstm_usual_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    min_lstm_backward(p, row, rows, block, blocks, 0);
}

static void min_lstm_any_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    min_lstm_forward(p, row, rows, block, blocks, 1);
}

static void min_lstm_any_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    min_lstm_backward(p, row, rows, block, blocks, 1);
}

enum { SCAN_WEIGHT_IH, SCAN_BIAS_IH, SCAN_PARAMS };

static const rc_param scan_params[SCAN_PARAMS] = {
    [SCAN_WEIGHT_IH] = {"weight_ih", RC_ALL_GATES, RC_AXIS_H, RC_AXIS_I, RC_ALWAYS, 0},
    [SCAN_BIAS_IH] = {"bias_ih", RC_ALL_GATES, RC_AXIS_H, RC_NO_AXIS, RC_ALWAYS, 1},
};

static const rc_op min_gru_program[] = {RC_MATH(min_gru_usual_forward), RC_END},
                   min_gru_program_back[] = {RC_MATH(min_gru_usual_backward), RC_END},
                   min_gru_any_program[] = {RC_MATH(min_gru_any_forward), RC_END},
                   min_gru_any_program_back[] = {RC_MATH(min_gru_any_backward), RC_END},
                   min_lstm_program[] = {RC_MATH(min_lstm_usual_forward), RC_END},
                   min_lstm_program_back[] = {RC_MATH(min_lstm_usual_backward), RC_END},
                   min_lstm_any_program[] = {RC_MATH(min_lstm_any_forward), RC_END},
                   min_lstm_any_program_back[] = {RC_MATH(min_lstm_any_backward), RC_END};

/* clang-format off */
#define SCAN_CELL(count, program, ...) { \
    .gates = count, .usual = {__VA_ARGS__, RNNCORE_AFFINE}, .reads_h = 1, \
    .params = scan_params, .param_count = SCAN_PARAMS, .planes = count, .term_count = 1, \
    .term = {{SCAN_WEIGHT_IH, SCAN_BIAS_IH, RC_OPERAND_X, 0, count, {0, 1, 2}, 0}}, \
    .forward = program, .backward = program##_back, \
}
/* clang-format on */
static const rc_cell min_gru_cell = SCAN_CELL(2, min_gru_program, RNNCORE_SIGMOID),
                     min_gru_any_cell = SCAN_CELL(2, min_gru_any_program, RNNCORE_SIGMOID),
                     min_lstm_cell = SCAN_CELL(3, min_lstm_program, RNNCORE_SIGMOID, RNNCORE_SIGMOID),
                     min_lstm_any_cell = SCAN_CELL(3, min_lstm_any_program, RNNCORE_SIGMOID, RNNCORE_SIGMOID);
#undef SCAN_CELL

static const rc_cell *const min_gru_forms[RC_FORMS] = {&min_gru_cell, &min_gru_any_cell},
                            *const min_lstm_forms[RC_FORMS] = {&min_lstm_cell, &min_lstm_any_cell};
