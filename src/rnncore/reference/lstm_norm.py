# SPDX-License-Identifier: MIT
"""The LSTM with layer normalisation (Ba, Kiros and Hinton 2016, equations 20 to 22). How to read it: cells.py.

n_k(v) = gain_k * u(v), and n_k' is its reverse: norm.py. The options are those of lstm.py.
"""

from __future__ import annotations

import numpy as np

from .norm import norm
from .parts import Arrays, Functions, Saved, Weights, blocks

#   F1  a    = b_ih + b_hh + n_ih(W_ih x_t) + n_hh(W_hh h_{t-1})
#   F2  i    = s_i(a[i] + p[i] * c_{t-1})          (without peepholes p = 0)
#   F3  f    = s_f(a[f] + p[f] * c_{t-1})          (coupled: f = 1 - i)
#   F4  g    = s_g(a[g])
#   F5  c_t  = f * c_{t-1} + i * g
#   F6  o    = s_o(a[o] + p[o] * c_t)
#   F7  m    = o * s_c(b_c + n_c(c_t))          (the clip does not act on c_t)
#   F8  h_t  = W_hr m           (without projection: h_t = m)
#
#   B8  dm       = W_hr^T dh_t      dW_hr    += dh_t m^T          (without projection: dm = dh_t)
#   B7  do       = dm * s_c         dn_c      = dm * o * s_c'     dc_t     += n_c'(dn_c)
#       db_c    += dn_c             dgain_c  += dn_c * u(c_t)
#   B6  da[o]    = do * s_o'        dp[o]    += da[o] * c_t       dc_t     += da[o] * p[o]
#   B5  df       = dc_t * c_{t-1}   dc_{t-1}  = dc_t * f          di = dc_t * g          dg = dc_t * i
#   B4  da[g]    = dg * s_g'
#   B3  da[f]    = df * s_f'        dp[f]    += da[f] * c_{t-1}   dc_{t-1} += da[f] * p[f]          (coupled: di -= df)
#   B2  da[i]    = di * s_i'        dp[i]    += da[i] * c_{t-1}   dc_{t-1} += da[i] * p[i]
#   B1  dv_ih    = n_ih'(da)        dx_t      = W_ih^T dv_ih      dW_ih    += dv_ih x_t^T
#       dv_hh    = n_hh'(da)        dh_{t-1}  = W_hh^T dv_hh      dW_hh    += dv_hh h_{t-1}^T
#       dgain_ih += da * u(W_ih x_t)          dgain_hh += da * u(W_hh h_{t-1})
#       db_ih   += da               db_hh    += da


def lstm_norm_forward(w: Weights, x: np.ndarray, state: Arrays, s: Functions) -> tuple[Arrays, Saved]:
    """As `lstm.lstm_forward`."""
    h, c = state
    gates = [place for place in s if place != "c"]  # i g o if they are coupled
    n_ih, n_hh = norm(w.gain_ih, x @ w.weight_ih.T), norm(w.gain_hh, h @ w.weight_hh.T)
    a = blocks(w.bias_ih + w.bias_hh + n_ih.value + n_hh.value, gates)  # F1
    peepholes = [gate for gate in gates if gate != "g"]
    p = dict.fromkeys(peepholes, 0.0) if w.weight_peephole is None else blocks(w.weight_peephole, peepholes)
    i, slope_i = s["i"](a["i"] + p["i"] * c)  # F2
    f, slope_f = s["f"](a["f"] + p["f"] * c) if "f" in gates else (1 - i, None)  # F3
    g, slope_g = s["g"](a["g"])  # F4
    c_t = f * c + i * g  # F5
    o, slope_o = s["o"](a["o"] + p["o"] * c_t)  # F6
    n_c = norm(w.gain_c, c_t)
    value_c, slope_c = s["c"](w.bias_c + n_c.value)
    m = o * value_c  # F7
    h_t = m if w.weight_hr is None else m @ w.weight_hr.T  # F8
    values = dict(x=x, h=h, c=c, c_t=c_t, i=i, f=f, g=g, o=o, value_c=value_c, m=m, p=p, gates=gates)
    slopes = dict(slope_i=slope_i, slope_f=slope_f, slope_g=slope_g, slope_o=slope_o, slope_c=slope_c)
    return (h_t, c_t), Saved(**values, **slopes, n_ih=n_ih, n_hh=n_hh, n_c=n_c)


def lstm_norm_backward(w: Weights, dw: Weights, saved: Saved, dstate: Arrays) -> tuple[np.ndarray, Arrays]:
    """As `lstm.lstm_backward`."""
    v, (dh_t, dc_t), da = saved, dstate, {}
    if w.weight_hr is None:  # B8
        dm = dh_t
    else:
        dm = dh_t @ w.weight_hr
        dw.weight_hr += dh_t.T @ v.m
    do, dn_c = dm * v.value_c, dm * v.o * v.slope_c  # B7
    through, dgain_c = v.n_c.backward(dn_c)
    dc_t = dc_t + through
    dw.bias_c += dn_c.sum(axis=0)
    dw.gain_c += dgain_c
    da["o"] = do * v.slope_o  # B6
    dc_t = dc_t + da["o"] * v.p["o"]
    df, dc, di, dg = dc_t * v.c, dc_t * v.f, dc_t * v.g, dc_t * v.i  # B5
    da["g"] = dg * v.slope_g  # B4
    if "f" in v.gates:  # B3
        da["f"] = df * v.slope_f
        dc = dc + da["f"] * v.p["f"]
    else:
        di = di - df
    da["i"] = di * v.slope_i  # B2
    dc = dc + da["i"] * v.p["i"]
    if w.weight_peephole is not None:
        seen = {"i": v.c, "f": v.c, "o": v.c_t}
        dw.weight_peephole += np.concatenate([da[k] * seen[k] for k in v.p], axis=-1).sum(axis=0)
    stacked = np.concatenate([da[k] for k in v.gates], axis=-1)
    dx, dh = products_backward(w, dw, v, stacked, stacked)  # B1
    return dx, (dh, dc)


def products_backward(
    w: Weights, dw: Weights, v: Saved, da_ih: np.ndarray, da_hh: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Reverse n_ih(W_ih x) + b_ih and n_hh(W_hh h) + b_hh; gives dx and dh."""
    dv_ih, dgain_ih = v.n_ih.backward(da_ih)
    dv_hh, dgain_hh = v.n_hh.backward(da_hh)
    dw.weight_ih += dv_ih.T @ v.x
    dw.weight_hh += dv_hh.T @ v.h
    dw.gain_ih += dgain_ih
    dw.gain_hh += dgain_hh
    dw.bias_ih += da_ih.sum(axis=0)
    dw.bias_hh += da_hh.sum(axis=0)
    return dv_ih @ w.weight_ih, dv_hh @ w.weight_hh
