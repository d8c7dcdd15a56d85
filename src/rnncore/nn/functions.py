# SPDX-License-Identifier: MIT
"""Elementwise functions by name, each with its slope, and softmax. In the dtype of `x`."""

from __future__ import annotations

import typing

import numpy as np

from ..engine import sums
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
    return sums.apply("value", x, ("sigmoid",))


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
    return sums.softmax(x)[0]


class Function(typing.NamedTuple):
    """One row of ACTIVATIONS: value and slope, each of an array and the function's parameters, and their defaults."""

    value: typing.Callable[..., np.ndarray]
    slope: typing.Callable[..., np.ndarray]
    defaults: tuple[float, ...] = ()


def _of_cells(name: str, defaults: tuple[float, ...]) -> Function:
    """A function that cells have, computed as they compute it."""
    return Function(
        lambda x, *parameters: sums.apply("value", x, (name, *parameters)),
        lambda x, *parameters: sums.apply("slope", x, (name, *parameters)),
        defaults,
    )


ACTIVATIONS: dict[str, Function] = {
    "linear": Function(lambda x: x, np.ones_like),
    "silu": Function(lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * sigmoid(-x))),
} | {name: _of_cells(name, defaults) for name, defaults in activations.FUNCTIONS.items()}
"""Activations by name: value, slope, and the defaults of alpha and beta. At a kink the slope is the one below it,
hard_sigmoid's zero."""
