# SPDX-License-Identifier: MIT
"""Values and slopes of the functions of spec/activations.py, in NumPy float64."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def sigmoid(a: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-a)) without overflow and without loss of small results."""
    e = np.exp(-np.abs(a))
    return np.where(a <= 0, e, 1.0) / (1.0 + e)


class Function(typing.NamedTuple):
    """One row of VALUES: value and slope, each of an array and the function's parameters."""

    value: typing.Callable[..., np.ndarray]
    slope: typing.Callable[..., np.ndarray]


# At a kink the slope is the one below it, hard_sigmoid's zero.
VALUES: dict[str, Function] = {
    "sigmoid": Function(sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "tanh": Function(np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "relu": Function(lambda x: np.maximum(x, 0.0), lambda x: np.where(x > 0, 1.0, 0.0)),
    "affine": Function(lambda x, a, b: a * x + b, lambda x, a, b: a + 0 * x),
    "leaky_relu": Function(lambda x, a: np.where(x <= 0, a * x, x), lambda x, a: np.where(x <= 0, a, 1.0)),
    "thresholded_relu": Function(
        lambda x, a: np.where(x <= a, 0.0, x), lambda x, a: np.where(x <= a, 0.0, 1.0)
    ),
    "scaled_tanh": Function(
        lambda x, a, b: a * np.tanh(b * x), lambda x, a, b: a * b * (1 - np.tanh(b * x) ** 2)
    ),
    "hard_sigmoid": Function(
        lambda x, a, b: np.clip(a * x + b, 0.0, 1.0),
        lambda x, a, b: np.where((a * x + b > 0) & (a * x + b < 1), a, 0.0),
    ),
    "elu": Function(
        lambda x, a: np.where(x <= 0, a * np.expm1(np.minimum(x, 0.0)), x),
        lambda x, a: np.where(x <= 0, a * np.exp(np.minimum(x, 0.0)), 1.0),
    ),
    "softsign": Function(
        lambda x: np.where(np.isinf(x), np.sign(x), x / (1 + np.abs(x))), lambda x: 1 / (1 + np.abs(x)) ** 2
    ),
    "softplus": Function(lambda x: np.logaddexp(x, 0.0), sigmoid),
    "log_space": Function(
        lambda x: np.where(x <= 0, sigmoid(x), x + 0.5),
        lambda x: np.where(x <= 0, sigmoid(x) * sigmoid(-x), 1.0),
    ),
}


def value_and_slope(entry: Sequence[Any], a: np.ndarray, clip: float | None) -> tuple[np.ndarray, np.ndarray]:
    """A gate's value and its slope in `a`, the pre-activation; beyond the clip the slope is zero."""
    name, *parameters = entry
    x = a if clip is None else np.clip(a, -clip, clip)
    function = VALUES[name]
    slope = function.slope(x, *parameters)
    return function.value(x, *parameters), slope if clip is None else np.where(np.abs(a) <= clip, slope, 0.0)
