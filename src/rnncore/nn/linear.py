# SPDX-License-Identifier: MIT
"""A linear head with explicit backward."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import spec
from ..engine import sums
from ..layers.module import Module, Tape
from ..spec.initializers import seed_sequence, uniform_draws
from ..spec.tapes import Grads, claimed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Linear(Module):
    """A linear head, ``y = x W^T + b``.

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

    Examples
    --------
    >>> import numpy as np
    >>> head = rnncore.Linear(3, 2, seed=0)
    >>> y, tape = head.forward(np.ones((5, 4, 3), np.float32))
    >>> grads = head.backward(tape, np.ones_like(y))
    >>> y.shape, grads.x.shape, grads.params["weight"].shape
    ((5, 4, 2), (5, 4, 3), (2, 3))
    """

    arguments: tuple[str, ...] = ("in_features", "out_features", "bias", "dtype")

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        dtype: str = "float32",
        seed: Any = None,
    ) -> None:
        self.in_features: int = spec.check_int("in_features", in_features, 1)
        self.out_features: int = spec.check_int("out_features", out_features, 1)
        self.bias: bool = spec.check_bool("bias", bias)
        self.dtype: str = spec.check_dtype("dtype", dtype).name
        bound, rng = 1.0 / math.sqrt(self.in_features), np.random.default_rng(seed_sequence(seed))
        shapes = self.shapes(self.config())
        with spec.claiming("in_features", shapes["weight"]):
            drawn = {name: uniform_draws(rng, bound, shape) for name, shape in shapes.items()}
            parameters = {name: array.astype(self.dtype) for name, array in drawn.items()}
        super().__init__(**parameters)

    @staticmethod
    def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters that this description demands."""
        shapes = {"weight": (config["out_features"], config["in_features"])}
        return shapes | ({"bias": (config["out_features"],)} if config["bias"] else {})

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """Apply the layer to `x` (..., in_features); return (..., out_features)."""
        x = self._features(x, self.in_features)
        y = sums.multiply(
            "nt", x.reshape(-1, self.in_features), self._parameters["weight"], self._parameters.get("bias")
        )
        return y.reshape(*x.shape[:-1], self.out_features)

    def forward(self, x: ArrayLike) -> tuple[np.ndarray, Tape]:
        """Return ``(y, tape)``; the tape keeps `x` itself, which must not change before `backward`."""
        y = self(x)
        return y, Tape(self, self.version, np.asarray(x))

    def backward(self, tape: Tape, dy: ArrayLike, *, input_grad: bool = True) -> Grads:
        """Return the gradients of one forward call.

        Parameters
        ----------
        tape : the tape of that call
        dy : ndarray, shape (..., out_features), the layer's dtype
        input_grad : bool
            Whether the gradient of x is wanted.

        Returns
        -------
        Grads
            `x` (..., in_features), or None without `input_grad`, and `params["weight"]`, `params["bias"]`.

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
            spec.check_bool("input_grad", input_grad)
        rows, drows = x.reshape(-1, self.in_features), dy.reshape(-1, self.out_features)
        params = {"weight": sums.multiply("tn", drows, rows)}
        if self.bias:
            params["bias"] = sums.add_rows(drows)[0]
        if not input_grad:
            return Grads(None, None, params)
        dx = sums.multiply("nn", drows, self._parameters["weight"])
        return Grads(dx.reshape(x.shape), None, params)
