# SPDX-License-Identifier: MIT
"""Elementwise functions by name, each with its slope, and softmax. In the dtype of `x`."""

from __future__ import annotations

import typing

import numpy as np

from ..errors import ShapeError
from ..spec import DTYPES, activations, as_array


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) without overflow; dtype of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> rnncore.nn.sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    x = as_array("x", x, DTYPES)
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, np.ones_like(e), e) / (1 + e)


def softmax(x: np.ndarray) -> np.ndarray:
    """Softmax over the last axis; dtype of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> rnncore.nn.softmax(np.zeros((2, 4), np.float32)).tolist()
    [[0.25, 0.25, 0.25, 0.25], [0.25, 0.25, 0.25, 0.25]]
    """
    x = as_array("x", x, DTYPES)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ShapeError("x", "shape (..., features) with features >= 1", str(x.shape))
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _softsign(x: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # of infinity, whose value is its sign
        return np.where(np.isinf(x), np.sign(x), x / (1 + np.abs(x)))


def _either(condition: np.ndarray, yes: float, no: float, x: np.ndarray) -> np.ndarray:
    """Two numbers by a condition, in the dtype of `x`."""
    return np.where(condition, x.dtype.type(yes), x.dtype.type(no))


class Function(typing.NamedTuple):
    """One row of ACTIVATIONS: value and slope, each of an array and the function's parameters, and their defaults."""

    value: typing.Callable[..., np.ndarray]
    slope: typing.Callable[..., np.ndarray]
    defaults: tuple[float, ...] = ()


# At a kink the slope is the one below it, hard_sigmoid's zero. Defaults are those that the cells' functions have.
_ROWS = {
    "linear": Function(lambda x: x, np.ones_like),
    "silu": Function(lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * sigmoid(-x))),
    "sigmoid": Function(sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "tanh": Function(np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "relu": Function(lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(x.dtype)),
    "affine": Function(lambda x, a, b: a * x + b, lambda x, a, b: np.full_like(x, a)),
    "leaky_relu": Function(lambda x, a: np.where(x <= 0, a * x, x), lambda x, a: _either(x > 0, 1, a, x)),
    "thresholded_relu": Function(
        lambda x, a: np.where(x <= a, np.zeros_like(x), x), lambda x, a: (x > a).astype(x.dtype)
    ),
    "scaled_tanh": Function(
        lambda x, a, b: a * np.tanh(b * x), lambda x, a, b: a * b * (1 - np.tanh(b * x) ** 2)
    ),
    "hard_sigmoid": Function(
        lambda x, a, b: np.clip(a * x + b, 0, 1),
        lambda x, a, b: _either((a * x + b > 0) & (a * x + b < 1), a, 0, x),
    ),
    "elu": Function(
        lambda x, a: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0))),
        lambda x, a: np.where(x > 0, np.ones_like(x), a * np.exp(np.minimum(x, 0))),
    ),
    "softsign": Function(_softsign, lambda x: 1 / (1 + np.abs(x)) ** 2),
    "softplus": Function(lambda x: np.logaddexp(x, np.zeros_like(x)), sigmoid),
}


ACTIVATIONS: dict[str, Function] = {
    name: row._replace(defaults=activations.FUNCTIONS.get(name, ())) for name, row in _ROWS.items()
}
"""Activations by name: value, slope, and the defaults of alpha and beta."""
