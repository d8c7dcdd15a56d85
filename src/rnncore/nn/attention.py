# SPDX-License-Identifier: MIT
"""Attention readout: what queries find in a ragged memory, with explicit backward.

    s_ij = scale q_i . m_j        scores; steps behind a row's length do not take part
    a_ij = exp(s_ij) / sum_j exp(s_ij)
    c_i  = sum_j a_ij m_j         context

Dot-product attention of Luong, Pham and Manning (2015). Their "general" form, q_i W m_j, is a `Linear` before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import spec
from ..engine import sums
from ..errors import ArgumentError, ShapeError, shown
from ..layers.module import Module, Tape
from ..spec.checks import finite
from ..spec.tapes import claimed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class AttentionGrads(NamedTuple):
    """Gradients of `Attention`, shaped like what they are gradients of; of parameters there are none."""

    queries: np.ndarray
    memory: np.ndarray
    params: dict[str, np.ndarray]


class Attention(Module):
    """Dot-product attention over a memory, such as the states of an encoder.

    It has no parameters; what it should compare or give back differently goes through a `Linear` first.

    Parameters
    ----------
    batch_first : bool
        Whether queries, memory and context are (N, T, F) instead of (T, N, F).
    scale : float
        Factor of the scores: 1 as in Luong et al., 1/sqrt(F) as in transformers.

    Raises
    ------
    ArgumentError

    Examples
    --------
    >>> import numpy as np
    >>> attention = rnncore.nn.Attention()
    >>> memory = np.ones((7, 2, 16), np.float32)  # T = 7 steps of N = 2 rows
    >>> context, weights = attention(np.zeros((3, 2, 16), np.float32), memory, lengths=[7, 4])
    >>> context.shape, weights.shape
    ((3, 2, 16), (2, 3, 7))
    """

    arguments: tuple[str, ...] = ("batch_first", "scale")

    def __init__(self, batch_first: bool = False, scale: float = 1.0) -> None:
        number = finite(scale)
        if number is None or number <= 0:
            raise ArgumentError("scale", "a finite number > 0", shown(scale))
        self.batch_first: bool = spec.check_bool("batch_first", batch_first)
        self.scale: float = number
        super().__init__()

    @staticmethod
    def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters that this description demands."""
        return {}

    def _rows_first(self, array: np.ndarray) -> np.ndarray:
        return array if self.batch_first else array.swapaxes(0, 1)

    def _check(self, name: str, array: ArrayLike, dtypes: tuple[np.dtype, ...]) -> np.ndarray:
        array = spec.as_array(name, array, dtypes)
        if array.ndim != 3:
            expected = "shape (N, T, F)" if self.batch_first else "shape (T, N, F)"
            raise ShapeError(name, expected, str(array.shape))
        return self._rows_first(array)

    def __call__(
        self, queries: ArrayLike, memory: ArrayLike, lengths: ArrayLike | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read the memory once for every query.

        Parameters
        ----------
        queries : array (M, N, F) float32 or float64
        memory : array (T, N, F) of the same dtype
        lengths : ints (N,), optional
            Valid steps of each row of the memory, 0..T; all T if left out.

        Returns
        -------
        context : array (M, N, F)
            0 where the memory is empty.
        weights : array (N, M, T)
            What each query took from each step; rows sum to 1, 0 behind the length.

        Raises
        ------
        ShapeError, DTypeError, LengthsError

        Notes
        -----
        4*N*M*T*F floating-point operations, most of them in matrix products. M queries and T steps may be padded:
        give a padded query a gradient of 0.
        """
        context, weights, _ = self.forward(queries, memory, lengths)
        return context, weights

    def forward(
        self, queries: ArrayLike, memory: ArrayLike, lengths: ArrayLike | None = None
    ) -> tuple[np.ndarray, np.ndarray, Tape]:
        """As `__call__`, giving also a tape, which keeps the inputs themselves: leave them as they are.

        Returns
        -------
        context, weights
        tape : Tape
            For one call of `backward`.
        """
        q = self._check("queries", queries, spec.DTYPES)
        m = self._check("memory", memory, (q.dtype,))
        if m.shape[0] != q.shape[0] or m.shape[2] != q.shape[2]:
            expected = f"{q.shape[0]} rows of {q.shape[2]} features, as the queries"
            raise ShapeError("memory", expected, f"{m.shape[0]} of {m.shape[2]}")
        lengths = spec.check_lengths(lengths, m.shape[1], m.shape[0])
        scores = sums.multiply("nt", q, m)  # (N, M, T)
        scores *= q.dtype.type(self.scale)
        if scores.size:
            each = None if lengths is None else np.repeat(lengths, q.shape[1])
            scores = sums.softmax(scores, each)[0]
            # What weighs less than eps**2 is lost in rounding; as 0 it also keeps subnormal numbers, which are slow,
            # out of backward.
            scores[scores < np.finfo(q.dtype).eps ** 2] = 0
        context = self._rows_first(sums.multiply("nn", scores, m))
        return context, scores, Tape(self, self.version, (q, m, scores))

    def backward(self, tape: Tape, dcontext: ArrayLike) -> AttentionGrads:
        """Gradients of one forward call.

        Parameters
        ----------
        tape : Tape
            Used up by this call.
        dcontext : array (M, N, F) of the inputs' dtype

        Returns
        -------
        AttentionGrads
            `queries` (M, N, F) and `memory` (T, N, F), which is 0 behind each length.

        Raises
        ------
        TapeError, ShapeError, DTypeError
        """
        with claimed(tape, Tape, self, self.version):
            q, m, a = tape.saved
            dc = self._check("dcontext", dcontext, (q.dtype,))
            spec.check_shape("dcontext", dc, q.shape)
        da = sums.multiply("nt", dc, m)  # of c = a m
        ds = np.subtract(da, sums.dot_rows(a, da), out=da)  # of the softmax
        ds *= a
        ds *= q.dtype.type(self.scale)
        dm = sums.multiply("tn", a, dc)  # of c = a m
        dm += sums.multiply("tn", ds, q)  # of s = q m
        return AttentionGrads(self._rows_first(sums.multiply("nn", ds, m)), self._rows_first(dm), {})
