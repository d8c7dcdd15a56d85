# SPDX-License-Identifier: MIT
"""A linear head with explicit backward, in NumPy."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field

import numpy as np

from .errors import ArgumentError, DTypeError, ShapeError, TapeError


@dataclass(frozen=True)
class LinearGrads:
    """Gradients of `Linear`: `x` in the input's shape, `params` by parameter name."""

    x: np.ndarray
    params: dict[str, np.ndarray]


@dataclass
class LinearTape:
    """What `Linear.backward` needs: the input, the layer, the age of its parameters, whether it was used."""

    owner: Linear
    version: int
    x: np.ndarray
    used: bool = field(default=False)


class Linear:
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

    def __init__(self, in_features, out_features, bias=True, dtype="float32", seed=None):
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
                raise ArgumentError(name, "an integer >= 1", repr(size))
        try:
            self.dtype = np.dtype(dtype)
        except TypeError:
            raise DTypeError("dtype", "float32 or float64", repr(dtype)) from None
        if self.dtype not in (np.float32, np.float64):
            raise DTypeError("dtype", "float32 or float64", str(self.dtype))
        self.in_features, self.out_features = int(in_features), int(out_features)
        bound = 1.0 / math.sqrt(self.in_features)
        rng = np.random.default_rng(seed)
        shapes = {"weight": (self.out_features, self.in_features)}
        if bias:
            shapes["bias"] = (self.out_features,)
        self._params = {
            name: rng.uniform(-bound, bound, shape).astype(self.dtype) for name, shape in shapes.items()
        }
        self._version = 0

    def __repr__(self):
        return (
            f"Linear({self.in_features}, {self.out_features}, bias={'bias' in self._params}, "
            f"dtype={self.dtype.name!r})"
        )

    def parameters(self):
        """Return a dict of read-only views, name -> array."""
        views = {name: array.view() for name, array in self._params.items()}
        for view in views.values():
            view.flags.writeable = False
        return views

    def state_dict(self):
        """Return a dict of copies, name -> array."""
        return {name: array.copy() for name, array in self._params.items()}

    def update_parameters(self, values):
        """Copy the given arrays into the parameters of these names.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            An unknown name, another shape, or not a real number array; nothing has changed then.
        """
        for name, value in values.items():
            if name not in self._params:
                raise ArgumentError("values", f"names from {list(self._params)}", repr(name))
            value = np.asarray(value)
            if value.shape != self._params[name].shape:
                raise ShapeError(name, str(self._params[name].shape), str(value.shape))
            if not np.can_cast(value.dtype, self.dtype, "same_kind"):
                raise DTypeError(name, self.dtype.name, str(value.dtype))
        for name, value in values.items():
            self._params[name][...] = value
        self._version += 1

    @contextlib.contextmanager
    def writing(self):
        """Context manager for optimisers: the parameters as arrays that may be written."""
        yield self._params
        self._version += 1

    def load_state_dict(self, state):
        """As `update_parameters`, but every parameter must be there."""
        if set(state) != set(self._params):
            raise ArgumentError("state_dict", f"keys {list(self._params)}", str(list(state)))
        self.update_parameters(state)

    def _check(self, name, array, features):
        array = np.asarray(array)
        if array.dtype != self.dtype:
            raise DTypeError(name, self.dtype.name, str(array.dtype))
        if array.ndim < 1 or array.shape[-1] != features:
            raise ShapeError(name, f"(..., {features})", str(array.shape))
        return array

    def __call__(self, x):
        """Apply the layer to `x` (..., in_features); return (..., out_features)."""
        x = self._check("x", x, self.in_features)
        # As one matrix: NumPy multiplies stacks of them one by one.
        y = x.reshape(-1, self.in_features) @ self._params["weight"].T
        if "bias" in self._params:
            y += self._params["bias"]
        return y.reshape(*x.shape[:-1], self.out_features)

    def forward(self, x):
        """Return ``(y, tape)``; the tape keeps `x` itself, which must not change before `backward`."""
        y = self(x)
        return y, LinearTape(self, self._version, np.asarray(x))

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
        if not isinstance(tape, LinearTape) or tape.owner is not self:
            raise TapeError("tape", "a tape of this layer", "another one")
        if tape.used:
            raise TapeError("tape", "a fresh tape", "one that was used", "call forward again")
        if tape.version != self._version:
            raise TapeError("tape", "a tape of the current parameters", "an older one", "call forward again")
        dy = self._check("dy", dy, self.out_features)
        if dy.shape[:-1] != tape.x.shape[:-1]:
            raise ShapeError("dy", str((*tape.x.shape[:-1], self.out_features)), str(dy.shape))
        tape.used = True
        rows, drows = tape.x.reshape(-1, self.in_features), dy.reshape(-1, self.out_features)
        params = {"weight": drows.T @ rows}
        if "bias" in self._params:
            params["bias"] = drows.sum(axis=0)
        # Not @, nor elementwise: five and two times as long for one output and 1600 rows of 64.
        return LinearGrads(np.dot(drows, self._params["weight"]).reshape(tape.x.shape), params)
