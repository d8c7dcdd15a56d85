/* SPDX-License-Identifier: MIT
 *
 * GRU (Cho 2014) with any activations s_k of its gates (usually sigmoid for r and z, tanh for n). s_k' is the slope; with a clip
 * both see min(max(a, -clip), clip), and beyond it the slope is 0. Reset after the recurrent product (reset_after=True, PyTorch's
 * form):
 *
 *   F1  r    = s_r(b_ih[r] + b_hh[r] + W_ih[r] x_t + W_hh[r] h_{t-1})
 *   F2  z    = s_z(b_ih[z] + b_hh[z] + W_ih[z] x_t + W_hh[z] h_{t-1})
 *   F3  q    = b_hh[n] + W_hh[n] h_{t-1}
 *   F4  n    = s_n(b_ih[n] + W_ih[n] x_t + r * q)
 *   F5  h_t  = (1 - z) * n + z * h_{t-1}
 *
 *   B5  dn       = dh_t * (1 - z)   dz        = dh_t * (h_{t-1} - n)          dh_{t-1} = dh_t * z
 *   B4  da[n]    = dn * s_n'        dq        = da[n] * r                     dr = da[n] * q
 *   B3  dh_{t-1} += W_hh[n]^T dq    dW_hh[n] += dq h_{t-1}^T                  db_hh[n] += dq
 *   B2  da[z]    = dz * s_z'
 *   B1  da[r]    = dr * s_r'
 *       dx_t     = W_ih^T da        dh_{t-1} += W_hh[r,z]^T da[r,z]
 *       dW_ih   += da x_t^T         dW_hh[r,z] += da[r,z] h_{t-1}^T
 *       db_ih   += da               db_hh[r,z] += da[r,z]
 *
 * Reset before it (reset_after=False, ONNX's default form):
 *
 *   F1  r    = s_r(b_ih[r] + b_hh[r] + W_ih[r] x_t + W_hh[r] h_{t-1})
 *   F2  z    = s_z(b_ih[z] + b_hh[z] + W_ih[z] x_t + W_hh[z] h_{t-1})
 *   F3  q    = r * h_{t-1}
 *   F4  n    = s_n(b_ih[n] + b_hh[n] + W_ih[n] x_t + W_hh[n] q)
 *   F5  h_t  = (1 - z) * n + z * h_{t-1}
 *
 *   B5  dn       = dh_t * (1 - z)   dz        = dh_t * (h_{t-1} - n)          dh_{t-1} = dh_t * z
 *   B4  da[n]    = dn * s_n'        dq        = W_hh[n]^T da[n]               dW_hh[n] += da[n] q^T
 *   B3  dr       = dq * h_{t-1}     dh_{t-1} += dq * r
 *   B2  da[z]    = dz * s_z'
 *   B1  da[r]    = dr * s_r'
 *       dx_t     = W_ih^T da        dh_{t-1} += W_hh[r,z]^T da[r,z]
 *       dW_ih   += da x_t^T         dW_hh[r,z] += da[r,z] h_{t-1}^T
 *       db_ih   += da               db_hh    += da
 *
 * Gates buffer: planes n r z q (n r z when before), so that what meets x (n r z) and what meets h (r z q) are neighbours.
 * Saved for backward: q and, of n r z, the finished pre-activations, or where the slopes follow from them the values; h_{t-1} is
 * the output before. */
#include "cell.h"

enum { GRU_R, GRU_Z, GRU_N }; /* places */

/* any: with the functions of the options; else the usual cell. */
RC_INLINE void gru_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                           const int any)
{
    const rc_options *s = p->options;
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID, tanh = any ? RNNCORE_USUAL : RNNCORE_TANH;
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u;
            vec a_r = v_load(a + p->ld), r = gate_value(s, sigmoid, GRU_R, a_r);                       /* F1 */
            vec a_z = v_load(a + 2 * p->ld), z = gate_value(s, sigmoid, GRU_Z, a_z);                   /* F2 */
            vec a_n = v_fma(r, v_load(a + 3 * p->ld), v_load(a)), n = gate_value(s, tanh, GRU_N, a_n); /* F4 */
            vec h = v_fma(z, v_sub(v_load((const real *)p->h_prev + r_ * p->ld + u), n), n);           /* F5 */
            if (p->save) {
                v_store(a, gate_saved(tanh, a_n, n));
                v_store(a + p->ld, gate_saved(sigmoid, a_r, r));
                v_store(a + 2 * p->ld, gate_saved(sigmoid, a_z, z));
            }
            v_store((real *)p->h + r_ * p->ld + u, h);
        }
    }
}

RC_INLINE void gru_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                            const int any)
{
    const rc_options *s = p->options;
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID, tanh = any ? RNNCORE_USUAL : RNNCORE_TANH;
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u, *dh_row = (real *)p->dh + r_ * p->ld + u;
            vec a_n = v_load(a), a_r = v_load(a + p->ld), a_z = v_load(a + 2 * p->ld), q = v_load(a + 3 * p->ld);
            vec n = gate_again(s, tanh, GRU_N, a_n), r = gate_again(s, sigmoid, GRU_R, a_r);
            vec z = gate_again(s, sigmoid, GRU_Z, a_z);
            vec h_prev = v_load((const real *)p->h_prev + r_ * p->ld + u), dh = v_load(dh_row);

            vec dz = v_mul(dh, v_sub(h_prev, n));                         /* B5 */
            vec da_n = gate_back(s, tanh, GRU_N, a_n, v_fnma(dh, z, dh)); /* B5, B4 */
            vec dr = v_mul(da_n, q);                                      /* B4 */
            v_store(a, da_n);
            v_store(a + p->ld, gate_back(s, sigmoid, GRU_R, a_r, dr));     /* B1 */
            v_store(a + 2 * p->ld, gate_back(s, sigmoid, GRU_Z, a_z, dz)); /* B2 */
            v_store(a + 3 * p->ld, v_mul(da_n, r));                        /* B4 */
            v_store(dh_row, v_mul(dh, z));                                 /* B5 */
        }
    }
}

/* F1 to F3, reset before: r and z, and the operand q of the product that n needs. */
RC_INLINE void gru_reset(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks, const int any)
{
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID;
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u;
            vec r = gate_value(p->options, sigmoid, GRU_R, v_load(a + p->ld)); /* F1 */
            if (!any) {
                v_store(a + p->ld, r);
                v_store(a + 2 * p->ld, gate_value(p->options, sigmoid, GRU_Z, v_load(a + 2 * p->ld))); /* F2 */
            }
            v_store((real *)p->mid + r_ * p->ld + u,
                    v_mul(r, v_load((const real *)p->h_prev + r_ * p->ld + u))); /* F3 */
        }
    }
}

/* F4 and F5: n and the new state. */
RC_INLINE void gru_update(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                          const int any)
{
    const rc_options *s = p->options;
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID, tanh = any ? RNNCORE_USUAL : RNNCORE_TANH;
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u;
            vec a_n = v_load(a), n = gate_value(s, tanh, GRU_N, a_n);                        /* F4 */
            vec z = gate_again(s, sigmoid, GRU_Z, v_load(a + 2 * p->ld));                    /* F2 */
            vec h = v_fma(z, v_sub(v_load((const real *)p->h_prev + r_ * p->ld + u), n), n); /* F5 */
            if (p->save) v_store(a, gate_saved(tanh, a_n, n));
            v_store((real *)p->h + r_ * p->ld + u, h);
        }
    }
}

/* Reverses gru_update: da[n] and da[z]; dh stays for the second half. */
RC_INLINE void gru_update_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                                   const int any)
{
    const rc_options *s = p->options;
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID, tanh = any ? RNNCORE_USUAL : RNNCORE_TANH;
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + u, *dh_row = (real *)p->dh + r_ * p->ld + u;
            vec a_n = v_load(a), a_z = v_load(a + 2 * p->ld), dh = v_load(dh_row);
            vec n = gate_again(s, tanh, GRU_N, a_n), z = gate_again(s, sigmoid, GRU_Z, a_z);
            vec h_prev = v_load((const real *)p->h_prev + r_ * p->ld + u);

            vec dz = v_mul(dh, v_sub(h_prev, n));                          /* B5 */
            v_store(a, gate_back(s, tanh, GRU_N, a_n, v_fnma(dh, z, dh))); /* B5, B4 */
            v_store(a + 2 * p->ld, gate_back(s, sigmoid, GRU_Z, a_z, dz)); /* B2 */
            v_store(dh_row, v_mul(dh, z));                                 /* B5 */
        }
    }
}

/* Reverses gru_reset; mid holds dq. */
RC_INLINE void gru_reset_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                                  const int any)
{
    const rc_options *s = p->options;
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID;
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            real *a = (real *)p->gates + r_ * p->ldg + p->ld + u, *dh_row = (real *)p->dh + r_ * p->ld + u;
            vec a_r = v_load(a), dq = v_load((const real *)p->mid + r_ * p->ld + u);
            vec h_prev = v_load((const real *)p->h_prev + r_ * p->ld + u);

            vec dr = v_mul(dq, h_prev);                                                     /* B3 */
            v_store(a, gate_back(s, sigmoid, GRU_R, a_r, dr));                              /* B1 */
            v_store(dh_row, v_fma(dq, gate_again(s, sigmoid, GRU_R, a_r), v_load(dh_row))); /* B3 */
        }
    }
}

static void gru_usual_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_forward(p, row, rows, block, blocks, 0);
}

static void gru_usual_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_backward(p, row, rows, block, blocks, 0);
}

static void gru_usual_reset(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_reset(p, row, rows, block, blocks, 0);
}

static void gru_usual_update(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_update(p, row, rows, block, blocks, 0);
}

static void gru_usual_update_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_update_backward(p, row, rows, block, blocks, 0);
}

static void gru_usual_reset_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_reset_backward(p, row, rows, block, blocks, 0);
}

static void gru_any_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_forward(p, row, rows, block, blocks, 1);
}

static void gru_any_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_backward(p, row, rows, block, blocks, 1);
}

static void gru_any_reset(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_reset(p, row, rows, block, blocks, 1);
}

static void gru_any_update(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_update(p, row, rows, block, blocks, 1);
}

static void gru_any_update_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_update_backward(p, row, rows, block, blocks, 1);
}

static void gru_any_reset_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_reset_backward(p, row, rows, block, blocks, 1);
}

enum { GRU_WEIGHT_IH, GRU_WEIGHT_HH, GRU_BIAS_IH, GRU_BIAS_HH, GRU_GAIN_IH, GRU_GAIN_HH, GRU_PARAMS };

static const rc_param gru_params[GRU_PARAMS] = {
    [GRU_WEIGHT_IH] = {"weight_ih", RC_ALL_GATES, RC_AXIS_H, RC_AXIS_I, RC_ALWAYS, 0},
    [GRU_WEIGHT_HH] = {"weight_hh", RC_ALL_GATES, RC_AXIS_H, RC_AXIS_O, RC_ALWAYS, 0},
    [GRU_BIAS_IH] = {"bias_ih", RC_ALL_GATES, RC_AXIS_H, RC_NO_AXIS, RC_ALWAYS, 1},
    [GRU_BIAS_HH] = {"bias_hh", RC_ALL_GATES, RC_AXIS_H, RC_NO_AXIS, RC_ALWAYS, 1},
    [GRU_GAIN_IH] = {"gain_ih", RC_ALL_GATES, RC_AXIS_H, RC_NO_AXIS, RC_WITH_NORM, 0}, /* see gru_norm.c */
    [GRU_GAIN_HH] = {"gain_hh", RC_ALL_GATES, RC_AXIS_H, RC_NO_AXIS, RC_WITH_NORM, 0},
};

/* Reset after: the recurrent term fills r z q. Before: first r z, and from r * h_{t-1} then n. */
enum { GRU_TERM_N = RC_TERM_H + 1 };
static const rc_op gru_program[] = {RC_PRODUCT(RC_TERM_H), RC_MATH(gru_usual_forward), RC_END},
                   gru_program_back[] = {RC_MATH(gru_usual_backward), RC_END};
static const rc_op gru_any_program[] = {RC_PRODUCT(RC_TERM_H), RC_MATH(gru_any_forward), RC_END},
                   gru_any_program_back[] = {RC_MATH(gru_any_backward), RC_END};
static const rc_op gru_before_program[] = {RC_PRODUCT(RC_TERM_H), RC_MATH(gru_usual_reset),
                                           RC_PRODUCT_OF_MID(GRU_TERM_N), RC_MATH(gru_usual_update), RC_END},
                   gru_before_program_back[] = {RC_MATH(gru_usual_update_backward), RC_PRODUCT_OF_MID(GRU_TERM_N),
                                                RC_MATH(gru_usual_reset_backward), RC_END};
static const rc_op gru_before_any_program[] = {RC_PRODUCT(RC_TERM_H), RC_MATH(gru_any_reset),
                                               RC_PRODUCT_OF_MID(GRU_TERM_N), RC_MATH(gru_any_update), RC_END},
                   gru_before_any_program_back[] = {RC_MATH(gru_any_update_backward), RC_PRODUCT_OF_MID(GRU_TERM_N),
                                                    RC_MATH(gru_any_reset_backward), RC_END};

/* clang-format off */
#define GRU_CELL(planes_, terms, program, ...) { \
    .gates = 3, .usual = {RNNCORE_SIGMOID, RNNCORE_SIGMOID, RNNCORE_TANH}, .reads_h = 1, \
    .params = gru_params, .param_count = GRU_PARAMS, .planes = planes_, .term_count = terms, \
    .term = {{GRU_WEIGHT_IH, GRU_BIAS_IH, RC_OPERAND_X, 0, 3, {2, 0, 1}, 0}, __VA_ARGS__}, \
    .forward = program, .backward = program##_back, \
}
#define GRU_AFTER(program) \
    GRU_CELL(4, 2, program, {GRU_WEIGHT_HH, GRU_BIAS_HH, RC_OPERAND_H, 1, 3, {0, 1, 2}, 0})
#define GRU_BEFORE(program) \
    GRU_CELL(3, 3, program, {GRU_WEIGHT_HH, GRU_BIAS_HH, RC_OPERAND_H, 1, 2, {0, 1}, 0}, \
                            {GRU_WEIGHT_HH, GRU_BIAS_HH, RC_OPERAND_MID, 0, 1, {2}, 0})
/* clang-format on */
static const rc_cell gru_cell = GRU_AFTER(gru_program), gru_any_cell = GRU_AFTER(gru_any_program),
                     gru_before_cell = GRU_BEFORE(gru_before_program),
                     gru_before_any_cell = GRU_BEFORE(gru_before_any_program);
#undef GRU_CELL
#undef GRU_AFTER
#undef GRU_BEFORE

static const rc_cell *const gru_forms[RC_FORMS] = {&gru_cell, &gru_any_cell}, *const gru_before_forms[RC_FORMS] = {
                                                                                  &gru_before_cell,
                                                                                  &gru_before_any_cell};
