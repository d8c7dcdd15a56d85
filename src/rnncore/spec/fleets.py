# SPDX-License-Identifier: MIT
"""The arguments of a fleet's calls, checked by construction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, DTypeError, ShapeError
from . import calls, checks
from .architecture import Spec

if TYPE_CHECKING:
    from .types import ArrayLike, Lengths, Parts, StateLike


def check_active(active: Any, models: int) -> np.ndarray | None:
    """Which models run: bools (M,), contiguous, or None where all do.

    Raises
    ------
    DTypeError, ShapeError
    """
    if active is None:
        return None
    array = checks.read_array("active", active)
    if array.dtype != bool:
        raise DTypeError("active", "bools", array.dtype)
    checks.check_shape("active", array, (models,))
    return None if array.all() else np.array(array, order="C")


class FleetLayout:
    """How the arrays of a fleet's call lie: what its results and its backward pass need to know of it.

    Attributes
    ----------
    spec : Spec
    models, T, N : int
    lengths : None or numpy.ndarray of int64, (M, N)
    active : None or numpy.ndarray of bool, (M,)
    """

    __slots__ = ("N", "T", "active", "lengths", "models", "spec")

    def __init__(
        self,
        spec: Spec,
        models: int,
        T: int,
        N: int,
        lengths: np.ndarray | None,
        active: np.ndarray | None,
    ) -> None:
        self.spec: Spec = spec
        self.models: int = models
        self.T: int = T
        self.N: int = N
        self.lengths: np.ndarray | None = lengths
        self.active: np.ndarray | None = active

    @property
    def alike(self) -> bool:
        """Whether all models have the lengths of the first."""
        return self.lengths is None or bool((self.lengths == self.lengths[0]).all())

    def shape(self, features: int) -> tuple[int, ...]:
        """Shape of an array of so many features a token as the caller sees it."""
        rows = (self.N, self.T) if self.spec.batch_first else (self.T, self.N)
        return (self.models, *rows, features)

    def time_major(self, array: np.ndarray) -> np.ndarray:
        """A (M, T, N, features) or (T, N, features) view of such an array."""
        return array.swapaxes(-3, -2) if self.spec.batch_first else array

    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the parts of the state of all models."""
        return tuple([(self.models, *shape) for shape in self.spec.state_shapes(self.N)])

    def check_state(self, state: Any, field: str = "state", partial: bool = False) -> Parts:
        """The parts of a state or of its gradient, each (M, L*D, N, features) or None.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError, UnsupportedError
        """
        shapes = self.state_shapes()
        if state is None:
            return (None,) * len(shapes)
        if len(shapes) == 1:
            if isinstance(state, tuple):
                raise ArgumentError(field, "one array h", f"a tuple of {len(state)}")
            state = (state,)
        elif not isinstance(state, (tuple, list)) or len(state) != 2:
            raise ArgumentError(field, "a pair (h, c)", type(state).__name__)
        parts = []
        for k, (part, shape) in enumerate(zip(state, shapes, strict=True)):
            name = field if len(shapes) == 1 else f"{field}[{k}]"
            if part is None and partial:
                parts.append(None)
                continue
            array = checks.as_array(name, part, (self.spec.dtype,))
            checks.check_shape(name, array, shape)
            parts.append(array)
        return tuple(parts)

    def check_upstream(self, dy: ArrayLike | None, dstate: StateLike) -> tuple[np.ndarray | None, Parts]:
        """Check the gradients that a backward call starts from; as `Layout.check_upstream`."""
        if dy is not None:
            dy = checks.as_array("dy", dy, (self.spec.dtype,))
            checks.check_shape("dy", dy, self.shape(self.spec.y_size))
        parts = self.check_state(dstate, "dstate", partial=True)
        if dy is None and all(part is None for part in parts):
            raise ArgumentError("dy", "dy or dstate", "neither")
        return dy, parts


class FleetCall(FleetLayout):
    """One call's arguments.

    Parameters
    ----------
    spec : Spec
    models : int
        M.
    x : array of spec.dtype, (M, T, N, I), with batch_first (M, N, T, I), or without M one for all models
        Any strides; not copied.
    state : array h or pair (h, c), optional
        h (M, L*D, N, H or P), c (M, L*D, N, H).
    lengths : ints (M, N), or (N,) for all models, optional
        Valid steps of each row, 0..T.
    out : array like y, optional
        Any strides, apart from the inputs in memory.
    active : bools (M,), optional
        False: the model rests, and its results are zeros.
    num_threads : int, optional

    Attributes
    ----------
    x, out, num_threads
        As given.
    state : tuple of (None or numpy.ndarray (M, L*D, N, features))

    Raises
    ------
    ShapeError, DTypeError, ArgumentError, LengthsError, OverlapError, SizeError, UnsupportedError
    """

    __slots__ = ("num_threads", "out", "state", "x")

    def __init__(
        self,
        spec: Spec,
        models: int,
        x: ArrayLike,
        state: StateLike = None,
        *,
        lengths: Lengths = None,
        out: np.ndarray | None = None,
        active: Any = None,
        num_threads: int | None = None,
    ) -> None:
        array = checks.as_array("x", x, (spec.dtype,))
        if (
            array.ndim not in (3, 4)
            or array.shape[-1] != spec.input_size
            or (array.ndim == 4 and len(array) != models)
        ):
            rows = "N, T" if spec.batch_first else "T, N"
            tail = f"{rows}, {spec.input_size})"
            raise ShapeError("x", f"shape ({models}, {tail} or ({tail}", checks.shape_text(array.shape))
        _, T, N, _ = calls.check_x(spec, array if array.ndim == 3 else array[0])
        super().__init__(spec, models, T, N, _lengths(lengths, models, T, N), check_active(active, models))
        self.x: np.ndarray = array
        self.state: Parts = self.check_state(state)
        self.num_threads: int | None = calls.check_num_threads(num_threads)
        self.out: np.ndarray | None = out
        if out is not None:
            checks.check_out(out, self.shape(spec.y_size), spec.dtype, (self.x, self.lengths, *self.state))

    def layout(self) -> FleetLayout:
        """What of it outlives its arrays."""
        return FleetLayout(self.spec, self.models, self.T, self.N, self.lengths, self.active)


def _lengths(lengths: Any, models: int, T: int, N: int) -> np.ndarray | None:
    """(M, N) lengths of what is (M, N) or (N,)."""
    if lengths is None:
        return None
    array = checks.read_array("lengths", lengths)
    if array.ndim == 1:
        own = calls.check_lengths(array, T, N)
        return None if own is None else np.tile(own, (models, 1))
    checks.check_shape("lengths", array, (models, N))
    own = calls.check_lengths(array.reshape(-1), T, models * N)
    return None if own is None else own.reshape(models, N)
