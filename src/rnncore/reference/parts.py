# SPDX-License-Identifier: MIT
"""What the steps of several cells need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace as Saved
from typing import TypeAlias

import numpy as np

__all__ = ["Arrays", "Functions", "Saved", "Weights", "blocks", "linear_backward"]

Arrays: TypeAlias = tuple[np.ndarray, ...]
Functions: TypeAlias = Mapping[str, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]]
Weights: TypeAlias = Saved


def blocks(stacked: np.ndarray, gates: Sequence[str]) -> dict[str, np.ndarray]:
    """The gates' parts of an array that is stacked along its last axis, by gate."""
    return dict(zip(gates, np.split(stacked, len(gates), axis=-1), strict=True))


def linear_backward(
    w: Weights, dw: Weights, x: np.ndarray, h: np.ndarray, da: np.ndarray
) -> tuple[np.ndarray, Arrays]:
    """Reverse a = b_ih + b_hh + W_ih x + W_hh h; gives dx and the tuple (dh,)."""
    dw.weight_ih += da.T @ x
    dw.weight_hh += da.T @ h
    dw.bias_ih += da.sum(axis=0)
    dw.bias_hh += da.sum(axis=0)
    return da @ w.weight_ih, (da @ w.weight_hh,)
