# SPDX-License-Identifier: MIT
"""Streams of fleets: all models as running sequences that keep their state between calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, ShapeError, UnsupportedError, shown
from ..spec import FleetLayout, as_array, as_state, check_int, claiming, shape_text

if TYPE_CHECKING:
    from ..spec.types import ArrayLike, Parts, StateLike


class FleetStream:
    """The models of a fleet as running sequences that keep their state; no dropout.

    Steps give the same bits as one call over the whole sequence. Use it from one thread at a time. When the fleet's
    parameters change, the next step has them.

    Parameters
    ----------
    fleet : Fleet
        Not bidirectional.
    batch_size : int
        N, rows of each model.

    Raises
    ------
    UnsupportedError, ArgumentError

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> fleet = rnncore.Fleet("gru", 3, 4, models=10, seed=0)
    >>> x, stream = np.ones((10, 5, 1, 3), np.float32), fleet.stream()
    >>> steps = [stream.step(x[:, t]) for t in range(5)]
    >>> bool((np.stack(steps, axis=1) == fleet(x)[0]).all())
    True
    """

    def __init__(self, fleet: Any, batch_size: int = 1) -> None:
        if not hasattr(fleet, "layer_spec"):
            raise ArgumentError("fleet", "a Fleet", shown(fleet))
        if fleet.layer_spec.bidirectional:
            raise UnsupportedError("bidirectional", "False for a stream", True, "it needs the end first")
        self.N: int = check_int("batch_size", batch_size, 1)
        self._fleet = fleet
        self._layout = FleetLayout(fleet.layer_spec, fleet.models, 1, self.N, None, None)
        self.reset()

    def __repr__(self) -> str:
        return f"FleetStream({self._fleet!r}, batch_size={self.N})"

    def reset(self) -> None:
        """Set the state of all models to zero."""
        self.state = None

    @property
    def state(self) -> Any:
        """A copy of the state, as `fleet(x)` returns it; may be assigned, None for zeros."""
        return as_state(tuple([part.copy() for part in self._parts]))

    @state.setter
    def state(self, value: StateLike) -> None:
        shapes, dtype = self._layout.state_shapes(), self._layout.spec.dtype
        parts: Parts = self._layout.check_state(value)
        with claiming("batch_size", (len(shapes), *max(shapes))):
            self._parts: tuple[np.ndarray, ...] = tuple(
                [
                    np.zeros(shape, dtype) if part is None else np.array(part, order="C")
                    for part, shape in zip(parts, shapes, strict=True)
                ]
            )

    def step(self, x: ArrayLike, *, active: ArrayLike | None = None) -> np.ndarray:
        """One step of every row of every model.

        Parameters
        ----------
        x : array of the fleet's dtype, (M, N, I), or (N, I) for all models
        active : bools (M,), optional
            False: the model rests, and keeps its state.

        Returns
        -------
        y : (M, N, H or P)
            Zeros of models that rest.

        Raises
        ------
        ShapeError, DTypeError, UnsupportedError
            The state is as before.
        """
        spec = self._layout.spec
        x = as_array("x", x, (spec.dtype,))
        tail = (self.N, spec.input_size)
        if x.shape not in (tail, (self._layout.models, *tail)):
            expected = f"shape {shape_text((self._layout.models, *tail))} or {shape_text(tail)}"
            raise ShapeError("x", expected, shape_text(x.shape))
        time = -2 if spec.batch_first else -3
        return self._run(np.expand_dims(x, time), active).squeeze(time)

    def run(self, x: ArrayLike, *, active: ArrayLike | None = None) -> np.ndarray:
        """Many steps; x as `fleet(x)` takes it, with N = batch_size, and errors as of `step`."""
        x = as_array("x", x, (self._layout.spec.dtype,))
        rows = -3 if self._layout.spec.batch_first else -2
        if x.ndim in (3, 4) and x.shape[rows] != self.N:
            raise ShapeError("x", f"{self.N} rows", shape_text(x.shape))
        return self._run(x, active)

    def _run(self, x: np.ndarray, active: Any) -> np.ndarray:
        y, after = self._fleet(x, as_state(self._parts), active=active)
        parts = after if isinstance(after, tuple) else (after,)
        if active is not None:
            rests = ~np.asarray(active)
            for part, before in zip(parts, self._parts, strict=True):
                part[rests] = before[rests]
        self._parts = parts
        return y
