# SPDX-License-Identifier: MIT
"""Gated linear scans (Feng et al. 2024): minGRU, minLSTM; there is no recurrent matrix. How to read it: cells.py."""

from __future__ import annotations

import numpy as np

from .parts import Arrays, Functions, Saved, Weights, blocks

# minGRU:
#
#   F1  z    = s_z(b_ih[z] + W_ih[z] x_t)
#   F2  n    = s_n(b_ih[n] + W_ih[n] x_t)
#   F3  h_t  = (1 - z) * h_{t-1} + z * n
#
#   B3  dn       = dh_t * z         dz        = dh_t * (n - h_{t-1})          dh_{t-1} = dh_t * (1 - z)
#   B2  da[n]    = dn * s_n'
#   B1  da[z]    = dz * s_z'
#       dx_t     = W_ih^T da        dW_ih    += da x_t^T                      db_ih   += da


def min_gru_forward(w: Weights, x: np.ndarray, state: Arrays, s: Functions) -> tuple[Arrays, Saved]:
    """x (N, in), state (h,) of (N, H): the next state and what to save."""
    (h,) = state
    a = blocks(w.bias_ih + x @ w.weight_ih.T, "zn")
    z, slope_z = s["z"](a["z"])  # F1
    n, slope_n = s["n"](a["n"])  # F2
    h_t = (1 - z) * h + z * n  # F3
    return (h_t,), Saved(x=x, h=h, z=z, n=n, slope_z=slope_z, slope_n=slope_n)


def min_gru_backward(w: Weights, dw: Weights, saved: Saved, dstate: Arrays) -> tuple[np.ndarray, Arrays]:
    """dstate (dh_t,): dx and the gradient of the state before the step; adds to dw."""
    v, (dh_t,) = saved, dstate
    dn, dz, dh = dh_t * v.z, dh_t * (v.n - v.h), dh_t * (1 - v.z)  # B3
    da_n = dn * v.slope_n  # B2
    da_z = dz * v.slope_z  # B1
    return _input_backward(w, dw, v.x, da_z, da_n), (dh,)


# minLSTM:
#
#   F1  i    = s_i(b_ih[i] + W_ih[i] x_t)
#   F2  f    = s_f(b_ih[f] + W_ih[f] x_t)
#   F3  g    = s_g(b_ih[g] + W_ih[g] x_t)
#   F4  u    = f / (f + i)
#   F5  h_t  = u * h_{t-1} + (1 - u) * g
#
#   B5  dg       = dh_t * (1 - u)   du        = dh_t * (h_{t-1} - g)          dh_{t-1} = dh_t * u
#   B4  df       = du * (1 - u) / (f + i)     di       = -du * u / (f + i)
#   B3  da[g]    = dg * s_g'
#   B2  da[f]    = df * s_f'
#   B1  da[i]    = di * s_i'
#       dx_t     = W_ih^T da        dW_ih    += da x_t^T                      db_ih   += da


def min_lstm_forward(w: Weights, x: np.ndarray, state: Arrays, s: Functions) -> tuple[Arrays, Saved]:
    """As `min_gru_forward`."""
    (h,) = state
    a = blocks(w.bias_ih + x @ w.weight_ih.T, "ifg")
    i, slope_i = s["i"](a["i"])  # F1
    f, slope_f = s["f"](a["f"])  # F2
    g, slope_g = s["g"](a["g"])  # F3
    u, rest = f / (f + i), i / (f + i)  # F4; 1 - u without cancellation
    h_t = u * h + rest * g  # F5
    saved = Saved(x=x, h=h, g=g, u=u, rest=rest, sum=f + i, slope_i=slope_i, slope_f=slope_f, slope_g=slope_g)
    return (h_t,), saved


def min_lstm_backward(w: Weights, dw: Weights, saved: Saved, dstate: Arrays) -> tuple[np.ndarray, Arrays]:
    """As `min_gru_backward`."""
    v, (dh_t,) = saved, dstate
    dg, du, dh = dh_t * v.rest, dh_t * (v.h - v.g), dh_t * v.u  # B5
    df, di = du * v.rest / v.sum, -du * v.u / v.sum  # B4
    da_g = dg * v.slope_g  # B3
    da_f = df * v.slope_f  # B2
    da_i = di * v.slope_i  # B1
    return _input_backward(w, dw, v.x, da_i, da_f, da_g), (dh,)


def _input_backward(w: Weights, dw: Weights, x: np.ndarray, *gates: np.ndarray) -> np.ndarray:
    """Reverse a = b_ih + W_ih x; gives dx."""
    da = np.concatenate(gates, axis=-1)
    dw.weight_ih += da.T @ x
    dw.bias_ih += da.sum(axis=0)
    return da @ w.weight_ih
