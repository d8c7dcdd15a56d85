# SPDX-License-Identifier: MIT
"""What the steps of several cells need."""

from types import SimpleNamespace as Saved

import numpy as np

__all__ = ["Saved", "blocks", "linear_backward"]


def blocks(stacked, gates):
    """The gates' parts of an array that is stacked along its last axis, by gate."""
    return dict(zip(gates, np.split(stacked, len(gates), axis=-1), strict=True))


def linear_backward(w, dw, x, h, da):
    """Reverse a = b_ih + b_hh + W_ih x + W_hh h; gives dx and the tuple (dh,)."""
    dw.weight_ih += da.T @ x
    dw.weight_hh += da.T @ h
    dw.bias_ih += da.sum(axis=0)
    dw.bias_hh += da.sum(axis=0)
    return da @ w.weight_ih, (da @ w.weight_hh,)
