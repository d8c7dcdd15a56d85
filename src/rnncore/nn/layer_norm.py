# SPDX-License-Identifier: MIT
"""Layer normalization, with explicit backward, in NumPy.

    d = x - mean(x),  s = sqrt(mean(d^2) + eps),  n = d / s,  y = n weight + bias
    dn = dy weight,   dx = (dn - mean(dn) - n mean(dn n)) / s

Source: Ba, Kiros and Hinton 2016.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import spec
from ..errors import ArgumentError, shown
from ..layers.module import Module, Tape
from ..spec.checks import finite
from ..spec.tapes import Grads, claimed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def _mean(a: np.ndarray) -> np.ndarray:
    return a.mean(axis=-1, keepdims=True)


class LayerNorm(Module):
    """Layer normalization over the last axis: (x - mean) / sqrt(var + eps) * weight + bias.

    Parameters
    ----------
    features : int
    eps : float
        At least 0.
    dtype : "float32" or "float64"

    Raises
    ------
    ArgumentError, DTypeError

    Examples
    --------
    >>> import numpy as np
    >>> norm = rnncore.nn.LayerNorm(2, eps=0.0)
    >>> norm(np.array([[1, 3], [10, 30]], np.float32)).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """

    arguments: tuple[str, ...] = ("features", "eps", "dtype")

    def __init__(self, features: int, eps: float = 1e-5, dtype: str = "float32") -> None:
        self.features: int = spec.check_int("features", features, 1)
        number = finite(eps)
        if number is None or number < 0:
            raise ArgumentError("eps", "a finite number >= 0", shown(eps))
        self.eps: float = number
        self.dtype: str = spec.check_dtype("dtype", dtype).name
        with spec.claiming("features", (self.features,)):
            one, zero = np.ones(self.features, self.dtype), np.zeros(self.features, self.dtype)
        super().__init__(weight=one, bias=zero)

    @staticmethod
    def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters that this description demands."""
        return {"weight": (config["features"],), "bias": (config["features"],)}

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """x (..., features) gives the same shape; ShapeError, DTypeError."""
        normal, _ = self._normalize(x)
        return normal * self._parameters["weight"] + self._parameters["bias"]

    def _normalize(self, x: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """(n, s)."""
        # NumPy sums in the order of memory: any layout has the bits of this one.
        x = np.ascontiguousarray(self._features(x, self.features))
        centred = x - _mean(x)
        scale = np.sqrt(_mean(centred * centred) + x.dtype.type(self.eps))
        return centred / scale, scale

    def forward(self, x: ArrayLike) -> tuple[np.ndarray, Tape]:
        """Return ``(y, tape)``."""
        normal, scale = self._normalize(x)
        y = normal * self._parameters["weight"] + self._parameters["bias"]
        return y, Tape(self, self.version, (normal, scale))

    def backward(self, tape: Tape, dy: ArrayLike) -> Grads:
        """Gradients of one forward call.

        Parameters
        ----------
        tape : Tape
            Used up by this call.
        dy : array (..., features)

        Returns
        -------
        Grads
            `x` and `params["weight"]`, `params["bias"]`.

        Raises
        ------
        TapeError, ShapeError, DTypeError
        """
        with claimed(tape, Tape, self, self.version):
            normal, scale = tape.saved
            dy = np.ascontiguousarray(self._features(dy, self.features, "dy"))
            spec.check_shape("dy", dy, normal.shape)
        dn = dy * self._parameters["weight"]
        dx = (dn - _mean(dn) - normal * _mean(dn * normal)) / scale
        rows = tuple(range(dy.ndim - 1))
        return Grads(dx, None, {"weight": (dy * normal).sum(axis=rows), "bias": dy.sum(axis=rows)})
