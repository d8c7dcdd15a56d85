# SPDX-License-Identifier: MIT
"""The arguments of calls, checked by construction: who holds one of these may go straight to the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from . import calls, checks
from .architecture import Spec
from .fleets import FleetCall

if TYPE_CHECKING:
    import numpy as np

    from .types import ArrayLike, Checkpoint, DTypes, Lengths, Parts, StateLike


class Layout:
    """How the rows of a call lie: what its results and its backward pass need to know of it.

    Attributes
    ----------
    spec : Spec
    T, N : int
    batched : bool
        False if the caller's arrays have no axis N.
    lengths : None or numpy.ndarray of int64, (N,)
    """

    __slots__ = ("N", "T", "batched", "lengths", "spec")

    def __init__(self, spec: Spec, T: int, N: int, batched: bool, lengths: np.ndarray | None) -> None:
        self.spec: Spec = spec
        self.T: int = T
        self.N: int = N
        self.batched: bool = batched
        self.lengths: np.ndarray | None = lengths

    @property
    def steps(self) -> int:
        """Valid steps of all rows together."""
        return self.T * self.N if self.lengths is None else int(self.lengths.sum())

    def shape(self, features: int) -> tuple[int, ...]:
        """Shape of an array of so many features a token as the caller sees it."""
        if not self.batched:
            return (self.T, features)
        return (self.N, self.T, features) if self.spec.batch_first else (self.T, self.N, features)

    def time_major(self, array: np.ndarray) -> np.ndarray:
        """A (T, N, features) view of such an array."""
        if not self.batched:
            return array[:, None]
        return array.swapaxes(0, 1) if self.spec.batch_first else array

    def as_state(self, parts: tuple[np.ndarray, ...]) -> Any:
        """A state as the caller sees it, of its (L*D, N, features) parts: h or (h, c), without N if unbatched."""
        if not self.batched:
            parts = tuple(part[:, 0] for part in parts)
        return parts if len(parts) > 1 else parts[0]

    def check_upstream(
        self, dy: ArrayLike | None, dstate: StateLike, dtypes: DTypes | None = None
    ) -> tuple[np.ndarray | None, Parts]:
        """Check the gradients that a backward call starts from.

        Parameters
        ----------
        dy : None or array like y
        dstate : None or like the state
            Either part of an LSTM's pair may be None.
        dtypes : tuple of numpy.dtype, optional
            Accepted element types; default `spec.dtype` alone.

        Returns
        -------
        dy : None or numpy.ndarray
        parts : tuple of (None or numpy.ndarray (L*D, N, features))

        Raises
        ------
        ArgumentError, ShapeError, DTypeError, UnsupportedError
        """
        if dy is not None:
            dy = checks.as_array("dy", dy, dtypes or (self.spec.dtype,))
            checks.check_shape("dy", dy, self.shape(self.spec.y_size))
        parts = calls.check_state(self.spec, dstate, self.N, self.batched, "dstate", dtypes, partial=True)
        if dy is None and all(part is None for part in parts):
            raise ArgumentError("dy", "dy or dstate", "neither")
        return dy, parts


def as_state(parts: tuple[np.ndarray, ...]) -> Any:
    """h, or (h, c), of a tuple of one or two."""
    return parts if len(parts) > 1 else parts[0]


class Call(Layout):
    """One call's arguments.

    Parameters
    ----------
    spec : Spec
    x : array of spec.dtype, (T, N, I), with batch_first (N, T, I), or unbatched (T, I)
        Any strides; not copied.
    state : array h or pair (h, c), optional
        h (L*D, N, H or P), c (L*D, N, H), without N if unbatched.
    lengths : ints (N,), optional
        Valid steps of each row, 0..T.
    out : array like y, optional
        Any strides, apart from the inputs in memory.
    num_threads : int, optional
    dtypes : tuple of numpy.dtype, optional
        Element types that a state may have; default `spec.dtype` alone.

    Attributes
    ----------
    x, out, num_threads
        As given.
    state : tuple of (None or numpy.ndarray (L*D, N, features))

    Raises
    ------
    ShapeError, DTypeError, ArgumentError, LengthsError, OverlapError, SizeError, UnsupportedError
    """

    __slots__ = ("num_threads", "out", "state", "x")

    def __init__(
        self,
        spec: Spec,
        x: ArrayLike,
        state: StateLike = None,
        *,
        lengths: Lengths = None,
        out: np.ndarray | None = None,
        num_threads: int | None = None,
        dtypes: DTypes | None = None,
    ) -> None:
        checks.check_type("spec", spec, Spec, "a Spec")
        array, T, N, batched = calls.check_x(spec, x)
        self.x: np.ndarray = array
        self.state: Parts = calls.check_state(spec, state, N, batched, dtypes=dtypes)
        super().__init__(spec, T, N, batched, calls.check_lengths(lengths, T, N))
        self.num_threads: int | None = calls.check_num_threads(num_threads)
        self.out: np.ndarray | None = out
        if out is not None:
            checks.check_out(out, self.shape(spec.y_size), spec.dtype, (self.x, self.lengths, *self.state))

    def layout(self) -> Layout:
        """What of it outlives its arrays."""
        return Layout(self.spec, self.T, self.N, self.batched, self.lengths)


class Training:
    """What a training call is asked for beside its arguments.

    Parameters
    ----------
    call : Call or FleetCall
    checkpoint : None, "gates" or int
        See `Layer.forward`.
    recurrent_dropout, weight_dropout : float
        Probabilities, 0 <= p < 1.

    Attributes
    ----------
    segments : int
        Of steps whose gates are computed again; 0: none.
    recurrent_dropout, weight_dropout : float
    draws : bool
        Whether the call draws masks and so needs a key.

    Raises
    ------
    ArgumentError
    """

    __slots__ = ("draws", "recurrent_dropout", "segments", "weight_dropout")

    def __init__(
        self,
        call: Call | FleetCall,
        checkpoint: Checkpoint = None,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
    ) -> None:
        checks.check_type("call", call, (Call, FleetCall), "a Call")
        self.segments: int = calls.check_checkpoint(checkpoint, call.T)
        self.recurrent_dropout: float = checks.check_probability("recurrent_dropout", recurrent_dropout)
        self.weight_dropout: float = checks.check_probability("weight_dropout", weight_dropout)
        if not call.spec.is_recurrent:  # both are of recurrent products
            self.recurrent_dropout = self.weight_dropout = 0.0
        self.draws: bool = call.spec.drops or self.recurrent_dropout > 0 or self.weight_dropout > 0
