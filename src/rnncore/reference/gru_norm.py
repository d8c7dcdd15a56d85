# SPDX-License-Identifier: MIT
"""The GRU with layer normalisation (Ba, Kiros and Hinton 2016), resetting after the recurrent product. How to read it:
cells.py. n_k(v) = gain_k * u(v), and n_k' is its reverse: norm.py.
"""

from __future__ import annotations

import numpy as np

from .lstm_norm import products_backward
from .norm import norm
from .parts import Arrays, Functions, Saved, Weights, blocks

#   F1  r    = s_r(b_ih[r] + b_hh[r] + n_ih(W_ih x_t)[r] + n_hh(W_hh h_{t-1})[r])
#   F2  z    = s_z(b_ih[z] + b_hh[z] + n_ih(W_ih x_t)[z] + n_hh(W_hh h_{t-1})[z])
#   F3  q    = b_hh[n] + n_hh(W_hh h_{t-1})[n]
#   F4  n    = s_n(b_ih[n] + n_ih(W_ih x_t)[n] + r * q)
#   F5  h_t  = (1 - z) * n + z * h_{t-1}
#
#   B5  dn       = dh_t * (1 - z)   dz        = dh_t * (h_{t-1} - n)          dh_{t-1} = dh_t * z
#   B4  da[n]    = dn * s_n'        dq        = da[n] * r                     dr = da[n] * q
#   B3  db_hh[n] += dq              da_hh     = (da[r], da[z], dq)            da_ih = (da[r], da[z], da[n])
#   B2  da[z]    = dz * s_z'
#   B1  da[r]    = dr * s_r'
#       dv_ih    = n_ih'(da_ih)     dx_t      = W_ih^T dv_ih                  dW_ih    += dv_ih x_t^T
#       dv_hh    = n_hh'(da_hh)     dh_{t-1} += W_hh^T dv_hh                  dW_hh    += dv_hh h_{t-1}^T
#       dgain_ih += da_ih * u(W_ih x_t)       dgain_hh += da_hh * u(W_hh h_{t-1})
#       db_ih   += da_ih            db_hh    += da_hh


def gru_norm_forward(w: Weights, x: np.ndarray, state: Arrays, s: Functions) -> tuple[Arrays, Saved]:
    """As `gru.gru_forward`."""
    (h,) = state
    n_ih, n_hh = norm(w.gain_ih, x @ w.weight_ih.T), norm(w.gain_hh, h @ w.weight_hh.T)
    from_x, from_h = blocks(w.bias_ih + n_ih.value, "rzn"), blocks(w.bias_hh + n_hh.value, "rzn")
    r, slope_r = s["r"](from_x["r"] + from_h["r"])  # F1
    z, slope_z = s["z"](from_x["z"] + from_h["z"])  # F2
    q = from_h["n"]  # F3
    n, slope_n = s["n"](from_x["n"] + r * q)  # F4
    h_t = (1 - z) * n + z * h  # F5
    slopes = dict(slope_r=slope_r, slope_z=slope_z, slope_n=slope_n)
    return (h_t,), Saved(x=x, h=h, r=r, z=z, n=n, q=q, n_ih=n_ih, n_hh=n_hh, **slopes)


def gru_norm_backward(w: Weights, dw: Weights, saved: Saved, dstate: Arrays) -> tuple[np.ndarray, Arrays]:
    """As `gru.gru_backward`."""
    v, (dh_t,) = saved, dstate
    dn, dz, dh = dh_t * (1 - v.z), dh_t * (v.h - v.n), dh_t * v.z  # B5
    da_n = dn * v.slope_n  # B4
    dq, dr = da_n * v.r, da_n * v.q
    da_z, da_r = dz * v.slope_z, dr * v.slope_r  # B2, B1
    da_ih = np.concatenate([da_r, da_z, da_n], axis=-1)  # B3
    da_hh = np.concatenate([da_r, da_z, dq], axis=-1)
    dx, through = products_backward(w, dw, v, da_ih, da_hh)
    return dx, (dh + through,)
