# SPDX-License-Identifier: MIT
"""The GRU (Cho 2014), resetting after or before the recurrent product. How to read it: cells.py."""

from __future__ import annotations

import numpy as np

from .parts import Arrays, Functions, Saved, Weights, blocks

# Reset after the recurrent product (reset_after=True, PyTorch's form):
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


def gru_forward(w: Weights, x: np.ndarray, state: Arrays, s: Functions) -> tuple[Arrays, Saved]:
    """x (N, in), state (h,) of (N, H): the next state and what to save."""
    (h,) = state
    from_x = blocks(w.bias_ih + x @ w.weight_ih.T, "rzn")
    from_h = blocks(w.bias_hh + h @ w.weight_hh.T, "rzn")
    r, slope_r = s["r"](from_x["r"] + from_h["r"])  # F1
    z, slope_z = s["z"](from_x["z"] + from_h["z"])  # F2
    q = from_h["n"]  # F3
    n, slope_n = s["n"](from_x["n"] + r * q)  # F4
    h_t = (1 - z) * n + z * h  # F5
    return (h_t,), Saved(x=x, h=h, r=r, z=z, n=n, q=q, slope_r=slope_r, slope_z=slope_z, slope_n=slope_n)


def gru_backward(w: Weights, dw: Weights, saved: Saved, dstate: Arrays) -> tuple[np.ndarray, Arrays]:
    """dstate (dh_t,): dx and the gradient of the state before the step; adds to dw."""
    v, (dh_t,) = saved, dstate
    dn, dz, dh = dh_t * (1 - v.z), dh_t * (v.h - v.n), dh_t * v.z  # B5
    da_n = dn * v.slope_n  # B4
    dq, dr = da_n * v.r, da_n * v.q
    da_z = dz * v.slope_z  # B2
    da_r = dr * v.slope_r  # B1
    da_ih = np.concatenate([da_r, da_z, da_n], axis=-1)
    da_hh = np.concatenate([da_r, da_z, dq], axis=-1)  # B3 and B1: the recurrent side sees dq for n
    dw.weight_ih += da_ih.T @ v.x
    dw.weight_hh += da_hh.T @ v.h
    dw.bias_ih += da_ih.sum(axis=0)
    dw.bias_hh += da_hh.sum(axis=0)
    return da_ih @ w.weight_ih, (dh + da_hh @ w.weight_hh,)


# Reset before it (reset_after=False, ONNX's default form):
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


def gru_before_forward(w: Weights, x: np.ndarray, state: Arrays, s: Functions) -> tuple[Arrays, Saved]:
    """As `gru_forward`."""
    (h,) = state
    a = blocks(w.bias_ih + w.bias_hh + x @ w.weight_ih.T, "rzn")
    w_r, w_z, w_n = np.split(w.weight_hh, 3)
    r, slope_r = s["r"](a["r"] + h @ w_r.T)  # F1
    z, slope_z = s["z"](a["z"] + h @ w_z.T)  # F2
    q = r * h  # F3
    n, slope_n = s["n"](a["n"] + q @ w_n.T)  # F4
    h_t = (1 - z) * n + z * h  # F5
    return (h_t,), Saved(x=x, h=h, r=r, z=z, n=n, q=q, slope_r=slope_r, slope_z=slope_z, slope_n=slope_n)


def gru_before_backward(w: Weights, dw: Weights, saved: Saved, dstate: Arrays) -> tuple[np.ndarray, Arrays]:
    """As `gru_backward`."""
    v, (dh_t,) = saved, dstate
    rz = slice(0, 2 * v.n.shape[-1])  # rows of W_hh of these gates
    n = slice(rz.stop, None)
    dn, dz, dh = dh_t * (1 - v.z), dh_t * (v.h - v.n), dh_t * v.z  # B5
    da_n = dn * v.slope_n  # B4
    dq = da_n @ w.weight_hh[n]
    dw.weight_hh[n] += da_n.T @ v.q
    dr = dq * v.h  # B3
    dh = dh + dq * v.r
    da_z = dz * v.slope_z  # B2
    da_r = dr * v.slope_r  # B1
    da_rz = np.concatenate([da_r, da_z], axis=-1)
    da = np.concatenate([da_rz, da_n], axis=-1)
    dw.weight_ih += da.T @ v.x
    dw.weight_hh[rz] += da_rz.T @ v.h
    dw.bias_ih += da.sum(axis=0)
    dw.bias_hh += da.sum(axis=0)
    return da @ w.weight_ih, (dh + da_rz @ w.weight_hh[rz],)
