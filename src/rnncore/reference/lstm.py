# SPDX-License-Identifier: MIT
"""The LSTM (Hochreiter and Schmidhuber 1997; forget gate: Gers 2000), PyTorch's nn.LSTM, with peepholes (Gers and
Schmidhuber 2000) and coupled gates (Greff 2015). How to read it: cells.py.
"""

from __future__ import annotations

import numpy as np

from .parts import Arrays, Functions, Saved, Weights, blocks, linear_backward

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


def lstm_forward(w: Weights, x: np.ndarray, state: Arrays, s: Functions) -> tuple[Arrays, Saved]:
    """x (N, in), state (h, c) of (N, H or P) and (N, H): the next state and what to save."""
    h, c = state
    gates = [place for place in s if place != "c"]  # i g o if they are coupled
    a = blocks(w.bias_ih + w.bias_hh + x @ w.weight_ih.T + h @ w.weight_hh.T, gates)  # F1
    peepholes = [gate for gate in gates if gate != "g"]
    p = dict.fromkeys(peepholes, 0.0) if w.weight_peephole is None else blocks(w.weight_peephole, peepholes)
    i, slope_i = s["i"](a["i"] + p["i"] * c)  # F2
    f, slope_f = s["f"](a["f"] + p["f"] * c) if "f" in gates else (1 - i, None)  # F3
    g, slope_g = s["g"](a["g"])  # F4
    c_t = f * c + i * g  # F5
    o, slope_o = s["o"](a["o"] + p["o"] * c_t)  # F6
    value_c, slope_c = s["c"](c_t)
    m = o * value_c  # F7
    h_t = m if w.weight_hr is None else m @ w.weight_hr.T  # F8
    values = dict(x=x, h=h, c=c, c_t=c_t, i=i, f=f, g=g, o=o, value_c=value_c, m=m, p=p, gates=gates)
    slopes = dict(slope_i=slope_i, slope_f=slope_f, slope_g=slope_g, slope_o=slope_o, slope_c=slope_c)
    return (h_t, c_t), Saved(**values, **slopes)


def lstm_backward(w: Weights, dw: Weights, saved: Saved, dstate: Arrays) -> tuple[np.ndarray, Arrays]:
    """dstate (dh_t, dc_t): dx and the gradient of the state before the step; adds to dw."""
    v, (dh_t, dc_t), da = saved, dstate, {}
    if w.weight_hr is None:  # B8
        dm = dh_t
    else:
        dm = dh_t @ w.weight_hr
        dw.weight_hr += dh_t.T @ v.m
    do = dm * v.value_c  # B7
    dc_t = dc_t + dm * v.o * v.slope_c
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
    dx, (dh,) = linear_backward(w, dw, v.x, v.h, stacked)  # B1
    return dx, (dh, dc)
