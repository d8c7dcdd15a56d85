# SPDX-License-Identifier: MIT
"""The cells with options: any activations, a clip, peepholes, coupled gates; the specification of the general path.

As cells.py: equations, then two short functions side by side.  s_k is the activation of gate k, s_k' its slope; with a
clip both see min(max(a, -clip), clip), and beyond it the slope is 0.  With the usual activations and without the other
options these are the equations of cells.py.  The blocks stand, letter for letter, in csrc/cells/*_general.c and
docs/equations.md.
"""

from types import SimpleNamespace as Saved

import numpy as np

from ..spec.activations import value_and_slope
from .cells import blocks, linear_backward

# Basic RNN -------------------------------------------------------------------------------------------------
#
#   F1  a    = b_ih + b_hh + W_ih x_t + W_hh h_{t-1}
#   F2  h_t  = s_h(a)
#
#   B2  da       = dh_t * s_h'(a)
#   B1  dx_t     = W_ih^T da        dh_{t-1}  = W_hh^T da
#       dW_ih   += da x_t^T         dW_hh    += da h_{t-1}^T
#       db_ih   += da               db_hh    += da


def rnn_forward_step(w, x, state, s_h):
    """x (N, in), state (h,) of (N, H): the next state and what to save."""
    (h,) = state
    h_t, slope = s_h(w.bias_ih + w.bias_hh + x @ w.weight_ih.T + h @ w.weight_hh.T)  # F1, F2
    return (h_t,), Saved(x=x, h=h, slope=slope)


def rnn_backward_step(w, dw, s, dstate):
    """dstate (dh_t,): dx and the gradient of the state before the step; adds to dw."""
    (dh_t,) = dstate
    return linear_backward(w, dw, s.x, s.h, dh_t * s.slope)  # B2, B1


# LSTM ------------------------------------------------------------------------------------------------------
#
#   F1  a    = b_ih + b_hh + W_ih x_t + W_hh h_{t-1}
#   F2  i    = s_i(a[i] + p[i] * c_{t-1})          (without peepholes p = 0)
#   F3  f    = s_f(a[f] + p[f] * c_{t-1})          (coupled: f = 1 - i)
#   F4  g    = s_g(a[g])
#   F5  c_t  = f * c_{t-1} + i * g
#   F6  o    = s_o(a[o] + p[o] * c_t)
#   F7  m    = o * s_c(c_t)          (the clip does not act on c_t)
#   F8  h_t  = W_hr m           (without projection: h_t = m)
#
#   B8  dm       = W_hr^T dh_t      dW_hr    += dh_t m^T          (without projection: dm = dh_t)
#   B7  do       = dm * s_c(c_t)    dc_t     += dm * o * s_c'(c_t)
#   B6  da[o]    = do * s_o'        dp[o]    += da[o] * c_t       dc_t     += da[o] * p[o]
#   B5  df       = dc_t * c_{t-1}   dc_{t-1}  = dc_t * f          di = dc_t * g          dg = dc_t * i
#   B4  da[g]    = dg * s_g'
#   B3  da[f]    = df * s_f'        dp[f]    += da[f] * c_{t-1}   dc_{t-1} += da[f] * p[f]          (coupled: di -= df)
#   B2  da[i]    = di * s_i'        dp[i]    += da[i] * c_{t-1}   dc_{t-1} += da[i] * p[i]
#   B1  dx_t     = W_ih^T da        dh_{t-1}  = W_hh^T da
#       dW_ih   += da x_t^T         dW_hh    += da h_{t-1}^T
#       db_ih   += da               db_hh    += da


def lstm_forward_step(w, x, state, coupled, s_i, *rest):
    """x (N, in), state (h, c) of (N, H or P) and (N, H): the next state and what to save."""
    *s_f, s_g, s_o, s_c = rest
    h, c = state
    a = w.bias_ih + w.bias_hh + x @ w.weight_ih.T + h @ w.weight_hh.T  # F1
    a_i, *a_f, a_g, a_o = blocks(a, 3 if coupled else 4)
    p_i, *p_f, p_o = (
        (0.0,) * 3 if w.weight_peephole is None else blocks(w.weight_peephole, 2 if coupled else 3)
    )
    i, slope_i = s_i(a_i + p_i * c)  # F2
    f, slope_f = (1 - i, None) if coupled else s_f[0](a_f[0] + p_f[0] * c)  # F3
    g, slope_g = s_g(a_g)  # F4
    c_t = f * c + i * g  # F5
    o, slope_o = s_o(a_o + p_o * c_t)  # F6
    out, slope_c = s_c(c_t)
    m = o * out  # F7
    h_t = m if w.weight_hr is None else m @ w.weight_hr.T  # F8
    saved = Saved(
        x=x, h=h, c=c, c_t=c_t, i=i, f=f, g=g, o=o, out=out, m=m, p_i=p_i, p_f=p_f[0] if p_f else 0.0, p_o=p_o,
        slope_i=slope_i, slope_f=slope_f, slope_g=slope_g, slope_o=slope_o, slope_c=slope_c, coupled=coupled,
    )  # fmt: skip
    return (h_t, c_t), saved


def lstm_backward_step(w, dw, s, dstate):
    """dstate (dh_t, dc_t): dx and the gradient of the state before the step; adds to dw."""
    dh_t, dc_t = dstate
    if w.weight_hr is None:  # B8
        dm = dh_t
    else:
        dm = dh_t @ w.weight_hr
        dw.weight_hr += dh_t.T @ s.m
    do = dm * s.out  # B7
    dc_t = dc_t + dm * s.o * s.slope_c
    da_o = do * s.slope_o  # B6
    dc_t = dc_t + da_o * s.p_o
    df, dc, di, dg = dc_t * s.c, dc_t * s.f, dc_t * s.g, dc_t * s.i  # B5
    da_g = dg * s.slope_g  # B4
    if s.coupled:  # B3
        di = di - df
        da_f = ()
    else:
        da_f = (df * s.slope_f,)
        dc = dc + da_f[0] * s.p_f
    da_i = di * s.slope_i  # B2
    dc = dc + da_i * s.p_i
    if w.weight_peephole is not None:
        products = [da_i * s.c, *(da * s.c for da in da_f), da_o * s.c_t]
        dw.weight_peephole += np.concatenate(products, axis=-1).sum(axis=0)
    da = np.concatenate([da_i, *da_f, da_g, da_o], axis=-1)
    dx, (dh,) = linear_backward(w, dw, s.x, s.h, da)  # B1
    return dx, (dh, dc)


# GRU, reset after the recurrent product (reset_after=True, PyTorch's form) ----------------------------------
#
#   F1  r    = s_r(b_ih[r] + b_hh[r] + W_ih[r] x_t + W_hh[r] h_{t-1})
#   F2  z    = s_z(b_ih[z] + b_hh[z] + W_ih[z] x_t + W_hh[z] h_{t-1})
#   F3  q    = b_hh[n] + W_hh[n] h_{t-1}
#   F4  n    = s_n(b_ih[n] + W_ih[n] x_t + r * q)
#   F5  h_t  = (1 - z) * n + z * h_{t-1}
#
#   B5  dn       = dh_t * (1 - z)   dz        = dh_t * (h_{t-1} - n)          dh_{t-1} = dh_t * z
#   B4  da[n]    = dn * s_n'        dq        = da[n] * r                     dr = da[n] * q
#   B3  dh_{t-1} += W_hh[n]^T dq    dW_hh[n] += dq h_{t-1}^T                  db_hh[n] += dq
#   B2  da[z]    = dz * s_z'
#   B1  da[r]    = dr * s_r'
#       dx_t     = W_ih^T da        dh_{t-1} += W_hh[r,z]^T da[r,z]
#       dW_ih   += da x_t^T         dW_hh[r,z] += da[r,z] h_{t-1}^T
#       db_ih   += da               db_hh[r,z] += da[r,z]


def gru_forward_step(w, x, state, s_r, s_z, s_n):
    """x (N, in), state (h,) of (N, H): the next state and what to save."""
    (h,) = state
    x_r, x_z, x_n = blocks(w.bias_ih + x @ w.weight_ih.T, 3)
    h_r, h_z, q = blocks(w.bias_hh + h @ w.weight_hh.T, 3)  # F3
    r, slope_r = s_r(x_r + h_r)  # F1
    z, slope_z = s_z(x_z + h_z)  # F2
    n, slope_n = s_n(x_n + r * q)  # F4
    h_t = (1 - z) * n + z * h  # F5
    return (h_t,), Saved(x=x, h=h, r=r, z=z, n=n, q=q, slope_r=slope_r, slope_z=slope_z, slope_n=slope_n)


def gru_backward_step(w, dw, s, dstate):
    """dstate (dh_t,): dx and the gradient of the state before the step; adds to dw."""
    (dh_t,) = dstate
    dn, dz, dh = dh_t * (1 - s.z), dh_t * (s.h - s.n), dh_t * s.z  # B5
    da_n = dn * s.slope_n  # B4
    dq, dr = da_n * s.r, da_n * s.q
    da_z, da_r = dz * s.slope_z, dr * s.slope_r  # B2, B1
    da_ih = np.concatenate([da_r, da_z, da_n], axis=-1)
    da_hh = np.concatenate([da_r, da_z, dq], axis=-1)  # B3 and B1: the recurrent side sees dq for n
    dw.weight_ih += da_ih.T @ s.x
    dw.weight_hh += da_hh.T @ s.h
    dw.bias_ih += da_ih.sum(axis=0)
    dw.bias_hh += da_hh.sum(axis=0)
    return da_ih @ w.weight_ih, (dh + da_hh @ w.weight_hh,)


# GRU, reset before the recurrent product (reset_after=False, ONNX's default form) ---------------------------
#
#   F1  r    = s_r(b_ih[r] + b_hh[r] + W_ih[r] x_t + W_hh[r] h_{t-1})
#   F2  z    = s_z(b_ih[z] + b_hh[z] + W_ih[z] x_t + W_hh[z] h_{t-1})
#   F3  q    = r * h_{t-1}
#   F4  n    = s_n(b_ih[n] + b_hh[n] + W_ih[n] x_t + W_hh[n] q)
#   F5  h_t  = (1 - z) * n + z * h_{t-1}
#
#   B5  dn       = dh_t * (1 - z)   dz        = dh_t * (h_{t-1} - n)          dh_{t-1} = dh_t * z
#   B4  da[n]    = dn * s_n'        dq        = W_hh[n]^T da[n]               dW_hh[n] += da[n] q^T
#   B3  dr       = dq * h_{t-1}     dh_{t-1} += dq * r
#   B2  da[z]    = dz * s_z'
#   B1  da[r]    = dr * s_r'
#       dx_t     = W_ih^T da        dh_{t-1} += W_hh[r,z]^T da[r,z]
#       dW_ih   += da x_t^T         dW_hh[r,z] += da[r,z] h_{t-1}^T
#       db_ih   += da               db_hh    += da


def gru_before_forward_step(w, x, state, s_r, s_z, s_n):
    """As `gru_forward_step`."""
    (h,) = state
    x_r, x_z, x_n = blocks(w.bias_ih + w.bias_hh + x @ w.weight_ih.T, 3)
    w_r, w_z, w_n = np.split(w.weight_hh, 3)
    r, slope_r = s_r(x_r + h @ w_r.T)  # F1
    z, slope_z = s_z(x_z + h @ w_z.T)  # F2
    q = r * h  # F3
    n, slope_n = s_n(x_n + q @ w_n.T)  # F4
    h_t = (1 - z) * n + z * h  # F5
    return (h_t,), Saved(x=x, h=h, r=r, z=z, n=n, q=q, slope_r=slope_r, slope_z=slope_z, slope_n=slope_n)


def gru_before_backward_step(w, dw, s, dstate):
    """As `gru_backward_step`."""
    (dh_t,) = dstate
    H = s.n.shape[-1]
    dn, dz, dh = dh_t * (1 - s.z), dh_t * (s.h - s.n), dh_t * s.z  # B5
    da_n = dn * s.slope_n  # B4
    dq = da_n @ w.weight_hh[2 * H :]
    dw.weight_hh[2 * H :] += da_n.T @ s.q
    dr = dq * s.h  # B3
    dh = dh + dq * s.r
    da_z, da_r = dz * s.slope_z, dr * s.slope_r  # B2, B1
    da_rz = np.concatenate([da_r, da_z], axis=-1)
    da = np.concatenate([da_rz, da_n], axis=-1)
    dw.weight_ih += da.T @ s.x
    dw.weight_hh[: 2 * H] += da_rz.T @ s.h
    dw.bias_ih += da.sum(axis=0)
    dw.bias_hh += da.sum(axis=0)
    return da @ w.weight_ih, (dh + da_rz @ w.weight_hh[: 2 * H],)


def steps_of(spec, direction):
    """The (forward, backward) step functions of a layer with options."""

    def gate(entry, clip):
        return lambda a: value_and_slope(entry, a, clip)

    functions = spec.functions(direction)
    gates = [gate(entry, None if place == "c" else spec.clip) for place, entry in functions.items()]
    forward, backward, first = {
        "rnn": (rnn_forward_step, rnn_backward_step, ()),
        "lstm": (lstm_forward_step, lstm_backward_step, (spec.coupled,)),
        "gru": (gru_forward_step, gru_backward_step, ())
        if spec.reset_after
        else (gru_before_forward_step, gru_before_backward_step, ()),
    }[spec.cell]
    return (lambda w, x, state: forward(w, x, state, *first, *gates)), backward
