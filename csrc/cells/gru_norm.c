/* SPDX-License-Identifier: MIT
 *
 * GRU with layer normalisation (Ba, Kiros and Hinton 2016), reset after the recurrent product: W_ih x and W_hh h are normalised
 * over all of their units, each with gains of its own; the biases are the norms' biases. The options are those of gru.c.
 *
 *   u(v) = (v - mean(v)) / sqrt(var(v) + 1e-5)          n_k(v) = gain_k * u(v)
 *
 *   F1  r    = s_r(b_ih[r] + b_hh[r] + n_ih(W_ih x_t)[r] + n_hh(W_hh h_{t-1})[r])
 *   F2  z    = s_z(b_ih[z] + b_hh[z] + n_ih(W_ih x_t)[z] + n_hh(W_hh h_{t-1})[z])
 *   F3  q    = b_hh[n] + n_hh(W_hh h_{t-1})[n]
 *   F4  n    = s_n(b_ih[n] + n_ih(W_ih x_t)[n] + r * q)
 *   F5  h_t  = (1 - z) * n + z * h_{t-1}
 *
 *   B5  dn       = dh_t * (1 - z)   dz        = dh_t * (h_{t-1} - n)          dh_{t-1} = dh_t * z
 *   B4  da[n]    = dn * s_n'        dq        = da[n] * r                     dr = da[n] * q
 *   B3  db_hh[n] += dq              da_hh     = (da[r], da[z], dq)            da_ih = (da[r], da[z], da[n])
 *   B2  da[z]    = dz * s_z'
 *   B1  da[r]    = dr * s_r'
 *       dv_ih    = n_ih'(da_ih)     dx_t      = W_ih^T dv_ih                  dW_ih    += dv_ih x_t^T
 *       dv_hh    = n_hh'(da_hh)     dh_{t-1} += W_hh^T dv_hh                  dW_hh    += dv_hh h_{t-1}^T
 *       dgain_ih += da_ih * u(W_ih x_t)       dgain_hh += da_hh * u(W_hh h_{t-1})
 *       db_ih   += da_ih            db_hh    += da_hh
 *
 *   n_k'(d) = (e - mean(e) - u * mean(e * u)) / sqrt(var(v) + 1e-5),  e = gain_k * d
 *
 * Gates buffer: planes n r z of W_ih x, r z n of W_hh h; in backward their gradients, and da of n r z, dq, then u(W_ih x) and
 * u(W_hh h). Saved for backward: the products; h_{t-1} is the output before. */
#include "cell.h"

enum { GN_X, GN_H = 3, GN_DA = 6, GN_U_X = 10, GN_U_H = 13, GN_PLANES = 16 }; /* first planes of each kind */
enum { GN_NORM_IH, GN_NORM_HH };

/* One vector of units of a row. */
typedef struct gru_norm_unit {
    real *a;
    int64_t ld, u;
    const real *numbers;
    const void *const *vector;
} gru_norm_unit;

RC_INLINE gru_norm_unit gru_norm_find(const rc_cell_args *p, int64_t r, int64_t u)
{
    return (gru_norm_unit){(real *)p->gates + r * p->ldg + u, p->ld, u, (const real *)p->numbers + r * RC_NORM_NUMBERS,
                           p->vector};
}

RC_INLINE vec gru_norm_param(const gru_norm_unit *n, int param, int gate)
{
    return v_load((const real *)n->vector[param] + gate * n->ld + n->u);
}

/* n_k of a gate with its bias, from u. */
RC_INLINE vec gru_norm_side(const gru_norm_unit *n, int hh, int gate, vec u)
{
    return v_fma(gru_norm_param(n, GRU_GAIN_IH + hh, gate), u, gru_norm_param(n, GRU_BIAS_IH + hh, gate));
}

/* u of a plane of a product. */
RC_INLINE vec gru_norm_u(const gru_norm_unit *n, int hh, int plane)
{
    return norm_value(n->numbers + 2 * hh, v_load(n->a + (3 * hh + plane) * n->ld));
}

/* Pre-activations of r and z, the parts of n. */
typedef struct gru_norm_sums {
    vec r, z, n_x, q;
} gru_norm_sums;

RC_INLINE gru_norm_sums gru_norm_add(const gru_norm_unit *n, const vec u_x[3], const vec u_h[3])
{
    return (gru_norm_sums){
        .r = v_add(gru_norm_side(n, 0, GRU_R, u_x[1]), gru_norm_side(n, 1, GRU_R, u_h[0])),
        .z = v_add(gru_norm_side(n, 0, GRU_Z, u_x[2]), gru_norm_side(n, 1, GRU_Z, u_h[1])),
        .n_x = gru_norm_side(n, 0, GRU_N, u_x[0]),
        .q = gru_norm_side(n, 1, GRU_N, u_h[2]),
    };
}

/* F1 to F5; any: as in gru.c. */
RC_INLINE void gru_norm_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                                const int any)
{
    const rc_options *s = p->options;
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID, tanh = any ? RNNCORE_USUAL : RNNCORE_TANH;
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            const gru_norm_unit at = gru_norm_find(p, r_, u);
            const vec u_x[3] = {gru_norm_u(&at, 0, 0), gru_norm_u(&at, 0, 1), gru_norm_u(&at, 0, 2)};
            const vec u_h[3] = {gru_norm_u(&at, 1, 0), gru_norm_u(&at, 1, 1), gru_norm_u(&at, 1, 2)};
            const gru_norm_sums a = gru_norm_add(&at, u_x, u_h);
            vec r = gate_value(s, sigmoid, GRU_R, a.r), z = gate_value(s, sigmoid, GRU_Z, a.z); /* F1, F2 */
            vec n = gate_value(s, tanh, GRU_N, v_fma(r, a.q, a.n_x));                           /* F4 */
            vec h_prev = v_load((const real *)p->h_prev + r_ * p->ld + u);
            v_store((real *)p->h + r_ * p->ld + u, v_fma(z, v_sub(h_prev, n), n)); /* F5 */
        }
    }
}

/* B5 to B1 but for the products, and all u for what follows. */
RC_INLINE void gru_norm_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks,
                                 const int any)
{
    const rc_options *s = p->options;
    const rnncore_function sigmoid = any ? RNNCORE_USUAL : RNNCORE_SIGMOID, tanh = any ? RNNCORE_USUAL : RNNCORE_TANH;
    for (int64_t r_ = row; r_ < row + rows; r_++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            const gru_norm_unit at = gru_norm_find(p, r_, u);
            real *da = at.a + GN_DA * at.ld, *dh_row = (real *)p->dh + r_ * p->ld + u;
            vec u_x[3], u_h[3];
            for (int k = 0; k < 3; k++) {
                v_store(at.a + (GN_U_X + k) * at.ld, u_x[k] = gru_norm_u(&at, 0, k));
                v_store(at.a + (GN_U_H + k) * at.ld, u_h[k] = gru_norm_u(&at, 1, k));
            }
            const gru_norm_sums a = gru_norm_add(&at, u_x, u_h);
            vec r = gate_value(s, sigmoid, GRU_R, a.r), z = gate_value(s, sigmoid, GRU_Z, a.z);
            vec a_n = v_fma(r, a.q, a.n_x), n = gate_value(s, tanh, GRU_N, a_n);
            vec h_prev = v_load((const real *)p->h_prev + r_ * p->ld + u), dh = v_load(dh_row);

            vec dz = v_mul(dh, v_sub(h_prev, n));                                              /* B5 */
            vec da_n = gate_back(s, tanh, GRU_N, gate_saved(tanh, a_n, n), v_fnma(dh, z, dh)); /* B5, B4 */
            v_store(da, da_n);
            v_store(da + at.ld,
                    gate_back(s, sigmoid, GRU_R, gate_saved(sigmoid, a.r, r), v_mul(da_n, a.q)));   /* B4, B1 */
            v_store(da + 2 * at.ld, gate_back(s, sigmoid, GRU_Z, gate_saved(sigmoid, a.z, z), dz)); /* B2 */
            v_store(da + 3 * at.ld, v_mul(da_n, r));                                                /* B4 */
            v_store(dh_row, v_mul(dh, z));                                                          /* B5 */
        }
    }
}

/* B1: the gradients of both products. */
static void gru_norm_products_back(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    static const int gate[2][3] = {{GRU_N, GRU_R, GRU_Z}, {GRU_R, GRU_Z, GRU_N}}; /* of the planes of each product */
    for (int64_t r = row; r < row + rows; r++) {
        for (int64_t u = block * RC_LANES; u < (block + blocks) * RC_LANES; u += RC_LANES) {
            const gru_norm_unit at = gru_norm_find(p, r, u);
            for (int hh = 0; hh < 2; hh++)
                for (int k = 0; k < 3; k++) {
                    vec d = v_load(at.a + (GN_DA + hh + k) * at.ld); /* n r z, or r z q */
                    vec e = v_mul(gru_norm_param(&at, GRU_GAIN_IH + hh, gate[hh][k]), d);
                    v_store(at.a + (3 * hh + k) * at.ld,
                            norm_gradient(at.numbers + 2 * hh, at.numbers + RC_NORM_SUMS + 2 * hh, e,
                                          v_load(at.a + (GN_U_X + 3 * hh + k) * at.ld)));
                }
        }
    }
}

static void gru_norm_usual_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_norm_forward(p, row, rows, block, blocks, 0);
}

static void gru_norm_usual_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_norm_backward(p, row, rows, block, blocks, 0);
}

static void gru_norm_any_forward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_norm_forward(p, row, rows, block, blocks, 1);
}

static void gru_norm_any_backward(const rc_cell_args *p, int64_t row, int64_t rows, int64_t block, int64_t blocks)
{
    gru_norm_backward(p, row, rows, block, blocks, 1);
}

static const rc_op gru_norm_program[] = {RC_PRODUCT(RC_TERM_H), RC_NORM_WHOLE(GN_NORM_IH), RC_NORM(GN_NORM_HH),
                                         RC_MATH(gru_norm_usual_forward), RC_END},
                   gru_norm_program_back[] = {RC_NORM(GN_NORM_IH),
                                              RC_NORM(GN_NORM_HH),
                                              RC_MATH(gru_norm_usual_backward),
                                              RC_NORM_BACK_WHOLE(GN_NORM_IH),
                                              RC_NORM_BACK(GN_NORM_HH),
                                              RC_MATH(gru_norm_products_back),
                                              RC_END},
                   gru_norm_any_program[] = {RC_PRODUCT(RC_TERM_H), RC_NORM_WHOLE(GN_NORM_IH), RC_NORM(GN_NORM_HH),
                                             RC_MATH(gru_norm_any_forward), RC_END},
                   gru_norm_any_program_back[] = {RC_NORM(GN_NORM_IH),
                                                  RC_NORM(GN_NORM_HH),
                                                  RC_MATH(gru_norm_any_backward),
                                                  RC_NORM_BACK_WHOLE(GN_NORM_IH),
                                                  RC_NORM_BACK(GN_NORM_HH),
                                                  RC_MATH(gru_norm_products_back),
                                                  RC_END};

/* clang-format off */
#define GRU_NORM_CELL(program) { \
    .gates = 3, .usual = {RNNCORE_SIGMOID, RNNCORE_SIGMOID, RNNCORE_TANH}, .reads_h = 1, \
    .params = gru_params, .param_count = GRU_PARAMS, .planes = GN_DA, .back_planes = GN_PLANES - GN_DA, \
    .term_count = 2, .vector_count = 4, .norm_count = 2, \
    .term = {{GRU_WEIGHT_IH, -1, RC_OPERAND_X, GN_X, 3, {GRU_N, GRU_R, GRU_Z}, 0}, \
             {GRU_WEIGHT_HH, -1, RC_OPERAND_H, GN_H, 3, {GRU_R, GRU_Z, GRU_N}, 0}}, \
    .vector = {{GRU_BIAS_IH, -1, RC_OPERAND_ONE, GN_DA, 3, {GRU_N, GRU_R, GRU_Z}, 0}, \
               {GRU_BIAS_HH, -1, RC_OPERAND_ONE, GN_DA + 1, 3, {GRU_R, GRU_Z, GRU_N}, 0}, \
               {GRU_GAIN_IH, -1, RC_OPERAND_PLANES, GN_DA, 3, {GRU_N, GRU_R, GRU_Z}, GN_U_X}, \
               {GRU_GAIN_HH, -1, RC_OPERAND_PLANES, GN_DA + 1, 3, {GRU_R, GRU_Z, GRU_N}, GN_U_H}}, \
    .norm = {[GN_NORM_IH] = {RC_TERM_X, GN_DA, GN_U_X, GRU_GAIN_IH}, \
             [GN_NORM_HH] = {RC_TERM_H, GN_DA + 1, GN_U_H, GRU_GAIN_HH}}, \
    .forward = program, .backward = program##_back, \
}
/* clang-format on */
static const rc_cell gru_norm_cell = GRU_NORM_CELL(gru_norm_program),
                     gru_norm_any_cell = GRU_NORM_CELL(gru_norm_any_program);
#undef GRU_NORM_CELL

static const rc_cell *const gru_norm_forms[RC_FORMS] = {&gru_norm_cell, &gru_norm_any_cell};
