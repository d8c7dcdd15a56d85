/* SPDX-License-Identifier: MIT
 *
 * LSTM with layer normalisation (Ba, Kiros and Hinton 2016, equations 20 to 22): W_ih x, W_hh h and c are normalised over all
 * of their units, each with gains of its own; the biases are the norms' biases. The options are those of lstm.c.
 *
 *   u(v) = (v - mean(v)) / sqrt(var(v) + 1e-5)          n_k(v) = gain_k * u(v)
 *
 *   F1  a    = b_ih + b_hh + n_ih(W_ih x_t) + n_hh(W_hh h_{t-1})
 *   F2  i    = s_i(a[i] + p[i] * c_{t-1})          (without peepholes p = 0)
 *   F3  f    = s_f(a[f] + p[f] * c_{t-1})          (coupled: f = 1 - i)
 *   F4  g    = s_g(a[g])
 *   F5  c_t  = f * c_{t-1} + i * g
 *   F6  o    = s_o(a[o] + p[o] * c_t)
 *   F7  m    = o * s_c(b_c + n_c(c_t))          (the clip does not act on c_t)
 *   F8  h_t  = W_hr m           (without projection: h_t = m)
 *
 *   B8  dm       = W_hr^T dh_t      dW_hr    += dh_t m^T          (without projection: dm = dh_t)
 *   B7  do       = dm * s_c         dn_c      = dm * o * s_c'     dc_t     += n_c'(dn_c)
 *       db_c    += dn_c             dgain_c  += dn_c * u(c_t)
 *   B6  da[o]    = do * s_o'        dp[o]    += da[o] * c_t       dc_t     += da[o] * p[o]
 *   B5  df       = dc_t * c_{t-1}   dc_{t-1}  = dc_t * f          di = dc_t * g          dg = dc_t * i
 *   B4  da[g]    = dg * s_g'
 *   B3  da[f]    = df * s_f'        dp[f]    += da[f] * c_{t-1}   dc_{t-1} += da[f] * p[f]          (coupled: di -= df)
 *   B2  da[i]    = di * s_i'        dp[i]    += da[i] * c_{t-1}   dc_{t-1} += da[i] * p[i]
 *   B1  dv_ih    = n_ih'(da)        dx_t      = W_ih^T dv_ih      dW_ih    += dv_ih x_t^T
 *       dv_hh    = n_hh'(da)        dh_{t-1}  = W_hh^T dv_hh      dW_hh    += dv_hh h_{t-1}^T
 *       dgain_ih += da * u(W_ih x_t)          dgain_hh += da * u(W_hh h_{t-1})
 *       db_ih   += da               db_hh    += da
 *
 *   n_k'(d) = (e - mean(e) - u * mean(e * u)) / sqrt(var(v) + 1e-5),  e = gain_k * d
 *
 * Gates buffer, planes of G gates each (i f g o, or i g o): W_ih x, W_hh h; in backward their gradients, and da, u(W_ih x),
 * u(W_hh h), then dn_c and u(c). Saved for backward: the products, and c_t; all else is computed again. */
#include "cell.h"

enum { NORM_IH, NORM_HH, NORM_C };

/* One vector of units of a row: its planes, its numbers, and where its vectors of parameters are. */
typedef struct norm_unit {
    real *a;
    int64_t ld, u;
    int gates; /* G */
    const real *numbers;
    const void *const *vector;
} norm_unit;

RC_INLINE norm_unit norm_find(const rc_cell_args *p, int64_t r, int64_t u, int gates)
{
    return (norm_unit){
        (real *)p->gates + r * p->ldg + u, p->ld, u, gates, (const real *)p->numbers + r * RC_NORM_NUMBERS, p->vector};
}

/* Block `block` of a parameter. */
RC_INLINE vec norm_param(const norm_unit *n, int param, int block)
{
    return v_load((const real *)n->vector[param] + block * n->ld + n->u);
}

/* u of a product's plane k: computed, or as backward keeps it. */
RC_INLINE vec norm_plane(const norm_unit *n, int norm, int k)
{
    return norm_value(n->numbers + 2 * norm, v_load(n->a + (norm * n->gates + k) * n->ld));
}

/* F1 from both u; a peephole that sees c is one more link. */
RC_INLINE vec norm_gate(const norm_unit *n, int k, vec u_ih, vec u_hh)
{
    vec a = v_fma(norm_param(n, LSTM_GAIN_IH, k), u_ih,
                  v_add(norm_param(n, LSTM_BIAS_IH, k), norm_param(n, LSTM_BIAS_HH, k)));
    return v_fma(norm_param(n, LSTM_GAIN_HH, k), u_hh, a);
}

RC_INLINE vec norm_peep(const norm_unit *n, int block, vec c, vec a)
{
    return n->vector[LSTM_WEIGHT_PEEPHOLE] ? v_fma(norm_param(n, LSTM_WEIGHT_PEEPHOLE, block), c, a) : a;
}

RC_INLINE vec norm_pre(const norm_unit *n, int k)
{
    return norm_gate(n, k, norm_plane(n, NORM_IH, k), norm_plane(n, NORM_HH, k));
}

/* F1 to F6; o waits in h for F7. any: as in lstm.c. */
RC_INLINE void lstm_norm_gates(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                               const int any)
{
    const rc_options *s = p->options;
    const int coupled = any && s->coupled, G = 4 - coupled;
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID, tanh = any ? RNNCORE_USUAL : RNNCORE_TANH;
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            const norm_unit n = norm_find(p, r, u, G);
            vec c_prev = v_load((const real *)p->c_prev + r * p->ld + u);
            vec i = gate_value(s, sigmoid, LSTM_I, norm_peep(&n, 0, c_prev, norm_pre(&n, 0))); /* F2 */
            vec f = v_sub(v_set1(1), i);                                                       /* F3 */
            if (!coupled) f = gate_value(s, sigmoid, LSTM_F, norm_peep(&n, 1, c_prev, norm_pre(&n, 1)));
            vec g = gate_value(s, tanh, LSTM_G, norm_pre(&n, G - 2));                             /* F4 */
            vec c = v_fma(f, c_prev, v_mul(i, g));                                                /* F5 */
            vec o = gate_value(s, sigmoid, LSTM_O, norm_peep(&n, G - 2, c, norm_pre(&n, G - 1))); /* F6 */
            v_store((real *)p->c + r * p->ld + u, c);
            v_store((real *)p->h + r * p->ld + u, o);
        }
    }
}

/* What the activation of c sees. */
RC_INLINE vec norm_c(const norm_unit *n, vec u_c)
{
    return v_fma(norm_param(n, LSTM_GAIN_C, 0), u_c, norm_param(n, LSTM_BIAS_C, 0));
}

/* F7 */
RC_INLINE void lstm_norm_out(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                             const int any)
{
    const rnncore_function tanh = any ? RNNCORE_USUAL : RNNCORE_TANH;
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            const norm_unit n = norm_find(p, r, u, 0);
            real *h = (real *)p->h + r * p->ld + u;
            vec u_c = norm_value(n.numbers + 2 * NORM_C, v_load((const real *)p->c + r * p->ld + u));
            v_store(h, v_mul(v_load(h), free_value(p->options, tanh, LSTM_C, norm_c(&n, u_c))));
        }
    }
}

/* B7 and B6, and all u for what follows. */
RC_INLINE void lstm_norm_out_back(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                                  const int any)
{
    const rc_options *s = p->options;
    const int G = 4 - (any && s->coupled);
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID, tanh = any ? RNNCORE_USUAL : RNNCORE_TANH;
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            const norm_unit n = norm_find(p, r, u, G);
            real *dc = (real *)p->dc + r * p->ld + u;
            vec c = v_load((const real *)p->c + r * p->ld + u), dm = v_load((const real *)p->dh + r * p->ld + u);
            for (int k = 0; k < 2 * G; k++) v_store(n.a + (3 * G + k) * n.ld, norm_plane(&n, k / G, k % G));
            vec u_c = norm_value(n.numbers + 2 * NORM_C, c), n_c = norm_c(&n, u_c);
            vec m = free_value(s, tanh, LSTM_C, n_c), a_o = norm_peep(&n, G - 2, c, norm_pre(&n, G - 1));
            vec o = gate_value(s, sigmoid, LSTM_O, a_o);
            vec da_o = gate_back(s, sigmoid, LSTM_O, gate_saved(sigmoid, a_o, o), v_mul(dm, m));   /* B7, B6 */
            v_store(n.a + 5 * G * n.ld, v_mul(v_mul(dm, o), free_slope(s, tanh, LSTM_C, n_c, m))); /* B7 */
            v_store(n.a + (5 * G + 1) * n.ld, u_c);
            v_store(n.a + (3 * G - 1) * n.ld, da_o);
            v_store(dc, norm_peep(&n, G - 2, da_o, v_load(dc))); /* B6 */
        }
    }
}

/* F1 again, from what lstm_norm_out_back keeps. */
RC_INLINE vec norm_again(const norm_unit *n, int k)
{
    return norm_gate(n, k, v_load(n->a + (3 * n->gates + k) * n->ld), v_load(n->a + (4 * n->gates + k) * n->ld));
}

/* The rest of B7, and B5 to B2. */
RC_INLINE void lstm_norm_gates_back(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                                    const int any)
{
    const rc_options *s = p->options;
    const int coupled = any && s->coupled, G = 4 - coupled;
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID, tanh = any ? RNNCORE_USUAL : RNNCORE_TANH;
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            const norm_unit n = norm_find(p, r, u, G);
            real *dc_row = (real *)p->dc + r * p->ld + u, *da = n.a + 2 * G * n.ld;
            vec c_prev = v_load((const real *)p->c_prev + r * p->ld + u);
            vec e = v_mul(norm_param(&n, LSTM_GAIN_C, 0), v_load(n.a + 5 * G * n.ld)),
                u_c = v_load(n.a + (5 * G + 1) * n.ld);
            vec dc = v_add(v_load(dc_row), norm_gradient(n.numbers + 2 * NORM_C, n.numbers + RC_NORM_SUMS + 2 * NORM_C,
                                                         e, u_c)); /* B7 */
            vec a_i = norm_peep(&n, 0, c_prev, norm_again(&n, 0)), a_g = norm_again(&n, G - 2);
            vec i = gate_value(s, sigmoid, LSTM_I, a_i), g = gate_value(s, tanh, LSTM_G, a_g);
            vec di = v_mul(dc, g), df = v_mul(dc, c_prev), dc_prev; /* B5 */
            if (!coupled) {
                vec a_f = norm_peep(&n, 1, c_prev, norm_again(&n, 1)), f = gate_value(s, sigmoid, LSTM_F, a_f);
                vec da_f = gate_back(s, sigmoid, LSTM_F, gate_saved(sigmoid, a_f, f), df); /* B3 */
                dc_prev = norm_peep(&n, 1, da_f, v_mul(dc, f));                            /* B5, B3 */
                v_store(da + n.ld, da_f);
            } else {
                dc_prev = v_mul(dc, v_sub(v_set1(1), i)); /* B5 */
                di = v_sub(di, df);                       /* B3 */
            }
            vec da_i = gate_back(s, sigmoid, LSTM_I, gate_saved(sigmoid, a_i, i), di); /* B2 */
            v_store(da, da_i);
            v_store(da + (G - 2) * n.ld, gate_back(s, tanh, LSTM_G, gate_saved(tanh, a_g, g), v_mul(dc, i))); /* B4 */
            v_store(dc_row, norm_peep(&n, 0, da_i, dc_prev));                                                 /* B2 */
            v_store((real *)p->dh + r * p->ld + u, v_zero()); /* B1 is a product of the time loop */
        }
    }
}

/* B1: the gradients of both products. */
static void lstm_norm_products_back(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    const int G = 4 - p->options->coupled;
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            const norm_unit n = norm_find(p, r, u, G);
            for (int norm = 0; norm < 2; norm++)
                for (int k = 0; k < G; k++) {
                    vec e = v_mul(norm_param(&n, LSTM_GAIN_IH + norm, k), v_load(n.a + (2 * G + k) * n.ld));
                    v_store(n.a + (norm * G + k) * n.ld,
                            norm_gradient(n.numbers + 2 * norm, n.numbers + RC_NORM_SUMS + 2 * norm, e,
                                          v_load(n.a + ((3 + norm) * G + k) * n.ld)));
                }
        }
    }
}

static void lstm_norm_usual_gates(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    lstm_norm_gates(p, row, rows, block, blocks, 0);
}

static void lstm_norm_usual_out(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    lstm_norm_out(p, row, rows, block, blocks, 0);
}

static void lstm_norm_usual_out_back(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    lstm_norm_out_back(p, row, rows, block, blocks, 0);
}

static void lstm_norm_usual_gates_back(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    lstm_norm_gates_back(p, row, rows, block, blocks, 0);
}

static void lstm_norm_any_gates(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    lstm_norm_gates(p, row, rows, block, blocks, 1);
}

static void lstm_norm_any_out(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    lstm_norm_out(p, row, rows, block, blocks, 1);
}

static void lstm_norm_any_out_back(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    lstm_norm_out_back(p, row, rows, block, blocks, 1);
}

static void lstm_norm_any_gates_back(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    lstm_norm_gates_back(p, row, rows, block, blocks, 1);
}

/* clang-format off */
static const rc_op lstm_norm_program[] = {
    RC_PRODUCT(RC_TERM_H), RC_NORM_WHOLE(NORM_IH), RC_NORM(NORM_HH), RC_MATH(lstm_norm_usual_gates),
    RC_NORM_WHOLE(NORM_C), RC_MATH(lstm_norm_usual_out), RC_END};
static const rc_op lstm_norm_program_back[] = {
    RC_NORM(NORM_IH), RC_NORM(NORM_HH), RC_NORM(NORM_C), RC_MATH(lstm_norm_usual_out_back),
    RC_NORM_BACK_WHOLE(NORM_C), RC_MATH(lstm_norm_usual_gates_back),
    RC_NORM_BACK_WHOLE(NORM_IH), RC_NORM_BACK(NORM_HH), RC_MATH(lstm_norm_products_back), RC_END};
static const rc_op lstm_norm_any_program[] = {
    RC_PRODUCT(RC_TERM_H), RC_NORM_WHOLE(NORM_IH), RC_NORM(NORM_HH), RC_MATH(lstm_norm_any_gates),
    RC_NORM_WHOLE(NORM_C), RC_MATH(lstm_norm_any_out), RC_END};
static const rc_op lstm_norm_any_program_back[] = {
    RC_NORM(NORM_IH), RC_NORM(NORM_HH), RC_NORM(NORM_C), RC_MATH(lstm_norm_any_out_back),
    RC_NORM_BACK_WHOLE(NORM_C), RC_MATH(lstm_norm_any_gates_back),
    RC_NORM_BACK_WHOLE(NORM_IH), RC_NORM_BACK(NORM_HH), RC_MATH(lstm_norm_products_back), RC_END};

#define NORM_CELL(G, f, program) { \
    .gates = G, .usual = {RNNCORE_SIGMOID, f, RNNCORE_TANH, RNNCORE_SIGMOID, RNNCORE_TANH}, .has_c = 1, \
    .params = lstm_params, .param_count = LSTM_PARAMS, .planes = 2 * (G), .back_planes = 3 * (G) + 2, \
    .term_count = 2, .vector_count = 8, .norm_count = 3, \
    .term = {{LSTM_WEIGHT_IH, -1, RC_OPERAND_X, 0, G, {0, 1, 2, 3}, 0}, \
             {LSTM_WEIGHT_HH, -1, RC_OPERAND_H, G, G, {0, 1, 2, 3}, 0}}, \
    .vector = {{LSTM_BIAS_IH, -1, RC_OPERAND_ONE, 2 * (G), G, {0, 1, 2, 3}, 0}, \
               {LSTM_BIAS_HH, -1, RC_OPERAND_ONE, 2 * (G), G, {0, 1, 2, 3}, 0}, \
               {LSTM_WEIGHT_PEEPHOLE, -1, RC_OPERAND_C_BEFORE, 2 * (G), (G) - 2, {0, 1}, 0}, \
               {LSTM_WEIGHT_PEEPHOLE, -1, RC_OPERAND_C_AFTER, 3 * (G) - 1, 1, {(G) - 2}, 0}, \
               {LSTM_GAIN_IH, -1, RC_OPERAND_PLANES, 2 * (G), G, {0, 1, 2, 3}, 3 * (G)}, \
               {LSTM_GAIN_HH, -1, RC_OPERAND_PLANES, 2 * (G), G, {0, 1, 2, 3}, 4 * (G)}, \
               {LSTM_GAIN_C, -1, RC_OPERAND_PLANES, 5 * (G), 1, {0}, 5 * (G) + 1}, \
               {LSTM_BIAS_C, -1, RC_OPERAND_ONE, 5 * (G), 1, {0}, 0}}, \
    .norm = {[NORM_IH] = {RC_TERM_X, 2 * (G), 3 * (G), LSTM_GAIN_IH}, \
             [NORM_HH] = {RC_TERM_H, 2 * (G), 4 * (G), LSTM_GAIN_HH}, \
             [NORM_C] = {-1, 5 * (G), 5 * (G) + 1, LSTM_GAIN_C}}, \
    .forward = program, .backward = program##_back, \
}
/* clang-format on */
static const rc_cell lstm_norm_cell = NORM_CELL(4, RNNCORE_SIGMOID, lstm_norm_program),
                     lstm_norm_any_cell = NORM_CELL(4, RNNCORE_SIGMOID, lstm_norm_any_program),
                     lstm_norm_coupled_cell = NORM_CELL(3, RNNCORE_USUAL, lstm_norm_any_program);
#undef NORM_CELL

static const rc_cell *const lstm_norm_forms[RC_FORMS] = {&lstm_norm_cell, &lstm_norm_any_cell, &lstm_norm_coupled_cell};
