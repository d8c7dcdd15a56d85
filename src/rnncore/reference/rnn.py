# SPDX-License-Identifier: MIT
"""The basic RNN (Elman 1990), PyTorch's nn.RNN. How to read it: cells.py."""

from __future__ import annotations

import numpy as np

from .parts import Arrays, Functions, Saved, Weights, linear_backward

#   F1  a    = b_ih + b_hh + W_ih x_t + W_hh h_{t-1}
#   F2  h_t  = s_h(a)
#
#   B2  da       = dh_t * s_h'(a)
#   B1  dx_t     = W_ih^T da        dh_{t-1}  = W_hh^T da
#       dW_ih   += da x_t^T         dW_hh    += da h_{t-1}^T
#       db_ih   += da               db_hh    += da


def rnn_forward(w: Weights, x: np.ndarray, state: Arrays, s: Functions) -> tuple[Arrays, Saved]:
    """x (N, in), state (h,) of (N, H): the next state and what to save."""
    (h,) = state
    a = w.bias_ih + w.bias_hh + x @ w.weight_ih.T + h @ w.weight_hh.T  # F1
    h_t, slope_h = s["h"](a)  # F2
    return (h_t,), Saved(x=x, h=h, slope_h=slope_h)


def rnn_backward(w: Weights, dw: Weights, saved: Saved, dstate: Arrays) -> tuple[np.ndarray, Arrays]:
    """dstate (dh_t,): dx and the gradient of the state before the step; adds to dw."""
    (dh_t,) = dstate
    da = dh_t * saved.slope_h  # B2
    return linear_backward(w, dw, saved.x, saved.h, da)  # B1
