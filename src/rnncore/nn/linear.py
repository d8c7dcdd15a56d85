# SPDX-License-Identifier: MIT
"""A linear head with explicit backward, in NumPy."""

import math
from dataclasses import dataclass

import numpy as np

from .. import spec
from ..layers.module import Module, Tape
from ..spec.tapes import claimed


@dataclass(frozen=True)
class LinearGrads:
    """Gradients of `Linear`: `x` in the input's shape, `params` by parameter name."""

    x: np.ndarray
    params: dict[str, np.ndarray]


class Linear(Module):
    """A linear head, ``y = x W^T + b``, with explicit backward.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    dtype : "float32" or "float64"
    seed : int, SeedSequence or None
        `weight` (out_features, in_features) and `bias` (out_features,) are drawn uniformly from
        (-1/sqrt(in_features), 1/sqrt(in_features)), as PyTorch does.

    Raises
    ------
    ArgumentError, DTypeError
        A size is not a positive integer, or the dtype is another one.
    """

    arguments = ("in_features", "out_features", "bias", "dtype")

    def __init__(self, in_features, out_features, bias=True, dtype="float32", seed=None):
        self.in_features = spec.check_int("in_features", in_features, 1)
        self.out_features = spec.check_int("out_features", out_features, 1)
        self.bias = spec.check_bool("bias", bias)
        self.dtype = spec.check_dtype("dtype", dtype).name
        bound, rng = 1.0 / math.sqrt(self.in_features), np.random.default_rng(seed)
        shapes = self.shapes(self.config())
        super().__init__(
            **{name: rng.uniform(-bound, bound, shape).astype(self.dtype) for name, shape in shapes.items()}
        )

    @staticmethod
    def shapes(config):
        """Shapes of the parameters that this description demands."""
        shapes = {"weight": (config["out_features"], config["in_features"])}
        return shapes | ({"bias": (config["out_features"],)} if config["bias"] else {})

    def __call__(self, x):
        """Apply the layer to `x` (..., in_features); return (..., out_features)."""
        x = self._features(x, self.in_features)
        # As one matrix: NumPy multiplies stacks of them one by one.
        y = x.reshape(-1, self.in_features) @ self._parameters["weight"].T
        if self.bias:
            y += self._parameters["bias"]
        return y.reshape(*x.shape[:-1], self.out_features)

    def forward(self, x):
        """Return ``(y, tape)``; the tape keeps `x` itself, which must not change before `backward`."""
        y = self(x)
        return y, Tape(self, self.version, np.asarray(x))

    def backward(self, tape, dy):
        """Return the gradients of one forward call.

        Parameters
        ----------
        tape : the tape of that call
        dy : ndarray, shape (..., out_features), the layer's dtype

        Returns
        -------
        LinearGrads
            `x` (..., in_features) and `params["weight"]`, `params["bias"]`.

        Raises
        ------
        TapeError
            The tape was used before, is another layer's, or is older than the parameters.
        ShapeError, DTypeError
            `dy` does not fit.
        """
        with claimed(tape, Tape, self, self.version):
            x = tape.saved
            dy = self._features(dy, self.out_features, "dy")
            spec.check_shape("dy", dy, (*x.shape[:-1], self.out_features))
        rows, drows = x.reshape(-1, self.in_features), dy.reshape(-1, self.out_features)
        params = {"weight": drows.T @ rows}
        if self.bias:
            params["bias"] = drows.sum(axis=0)
        # Not @, nor elementwise: five and two times as long for one output and 1600 rows of 64.
        return LinearGrads(np.dot(drows, self._parameters["weight"]).reshape(x.shape), params)
