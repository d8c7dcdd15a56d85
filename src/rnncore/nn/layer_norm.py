# SPDX-License-Identifier: MIT
"""Layer normalization, with explicit backward.

    d = x - mean(x),  s = sqrt(mean(d^2) + eps),  n = d / s,  y = n weight + bias
    dn = dy weight,   dx = (dn - mean(dn) - n mean(dn n)) / s

Source: Ba, Kiros and Hinton 2016.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import spec
from ..engine import sums
from ..errors import ArgumentError, shown
from ..layers.module import Module, Tape
from ..spec.checks import finite
from ..spec.tapes import Grads, claimed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def _mean(a: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    """Of the products of both over the last axis, or of `a` alone."""
    return sums.dot_rows(a, b) / a.dtype.type(a.shape[-1])


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
        x = self._features(x, self.features)
        centred = x - _mean(x)
        scale = np.sqrt(_mean(centred, centred) + x.dtype.type(self.eps))
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
            dy = self._features(dy, self.features, "dy")
            spec.check_shape("dy", dy, normal.shape)
        dn = dy * self._parameters["weight"]
        dx = (dn - _mean(dn) - normal * _mean(dn, normal)) / scale
        scaled, plain = (sums.add_rows(a.reshape(-1, self.features))[0] for a in (dy * normal, dy))
        return Grads(dx, None, {"weight": scaled, "bias": plain})
