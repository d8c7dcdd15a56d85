# SPDX-License-Identifier: MIT
"""Dropout as a module, with the masks of the layers' dropout (spec/masks.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import spec
from ..engine import _core
from ..layers.module import Module, Tape
from ..spec import masks
from ..spec.initializers import seed_streams
from ..spec.tapes import Grads, claimed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Dropout(Module):
    """Drops elements in `forward`, and does nothing in a call.

    Parameters
    ----------
    p : float
        Probability, 0 <= p < 1, of dropping an element; the others are multiplied by 1 / (1 - p).
    seed : int, optional
        For the masks, a new one for each call of `forward`. An element's fate depends on its place in `x` alone, so
        results are the same on every machine.

    Raises
    ------
    ArgumentError

    Examples
    --------
    >>> import numpy as np
    >>> dropout = rnncore.nn.Dropout(0.5, seed=0)
    >>> x = np.ones((2, 3), np.float32)
    >>> dropout(x) is x
    True
    >>> y, tape = dropout.forward(x)
    >>> set(y.flat) <= {0.0, 2.0} and bool((dropout.backward(tape, x).x == y).all())
    True
    """

    arguments: tuple[str, ...] = ("p",)

    def __init__(self, p: float = 0.5, seed: Any = None) -> None:
        self.p: float = spec.check_probability("p", p)
        self._dropout_rng = seed_streams(seed)[1]
        super().__init__()

    @staticmethod
    def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters that this description demands."""
        return {}

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """`x` itself."""
        return spec.as_array("x", x, spec.DTYPES)

    def forward(self, x: ArrayLike) -> tuple[np.ndarray, Tape]:
        """Drop.

        Parameters
        ----------
        x : array (...) of float32 or float64

        Returns
        -------
        y : array of the same shape and dtype
        tape : Tape
            The key of the mask: nothing of the size of `x`.

        Raises
        ------
        DTypeError
        """
        x = self(x)
        key = masks.draw_call_key(self._dropout_rng) if self.p else None
        return self._dropped(x, key), Tape(self, self.version, (key, x.shape, x.dtype))

    def backward(self, tape: Tape, dy: ArrayLike) -> Grads:
        """Gradients of one forward call: `x`, dropped where `x` was.

        Raises
        ------
        TapeError, ShapeError, DTypeError
        """
        with claimed(tape, Tape, self, self.version):
            key, shape, dtype = tape.saved
            dy = spec.as_array("dy", dy, (dtype,))
            spec.check_shape("dy", dy, shape)
        return Grads(self._dropped(dy, key), None, {})

    def _dropped(self, array: np.ndarray, key: int | None) -> np.ndarray:
        if key is None:
            return array
        dense = np.ascontiguousarray(array)
        out = np.empty_like(dense)
        _core.dropout(out, dense, masks.layer_key(key, 0), self.p)
        return out.reshape(array.shape)
