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
from .order import Keys

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
        results are the same on every machine; in `fit` on (seed, epoch, sample) and its place in the sample.

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
        rows = self._rows(x) if self.p else None
        return self._dropped(x, key, rows), Tape(self, self.version, (key, rows, x.shape, x.dtype))

    def backward(self, tape: Tape, dy: ArrayLike) -> Grads:
        """Gradients of one forward call: `x`, dropped where `x` was.

        Raises
        ------
        TapeError, ShapeError, DTypeError
        """
        with claimed(tape, Tape, self, self.version):
            key, rows, shape, dtype = tape.saved
            dy = spec.as_array("dy", dy, (dtype,))
            spec.check_shape("dy", dy, shape)
        return Grads(self._dropped(dy, key, rows), None, {})

    def _rows(self, x: np.ndarray) -> tuple[int, np.ndarray] | None:
        """In a training run: the axis of samples, and a key for each of them; behind that of a fleet's models."""
        rng = self._dropout_rng
        if not isinstance(rng, Keys):
            return None
        first = rng.row_keys.ndim - 1
        axis = first + (1 if rng.time_major and x.ndim > first + 2 else 0)
        rows = (*x.shape[:first], *x.shape[axis : axis + 1])
        return (axis, rng.row_keys) if rows == rng.row_keys.shape else None

    def _dropped(self, array: np.ndarray, key: int | None, rows: tuple[int, np.ndarray] | None) -> np.ndarray:
        if key is None:
            return array
        if rows is None:
            dense = np.ascontiguousarray(array)
            out = np.empty_like(dense)
            _core.dropout(out, dense, masks.layer_key(key, 0), self.p)
            return out.reshape(array.shape)
        axis, keys = rows
        first = keys.ndim - 1
        dense = np.ascontiguousarray(array.swapaxes(first, axis))
        out = np.empty_like(dense)
        shape = (keys.size, *dense.shape[first + 1 :])
        mixed = masks.mix(keys.reshape(-1) + np.uint64(masks.GOLDEN))
        _core.dropout_rows(out.reshape(shape), dense.reshape(shape), mixed, self.p)
        return out.swapaxes(first, axis)
