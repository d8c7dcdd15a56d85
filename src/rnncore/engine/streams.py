# SPDX-License-Identifier: MIT
"""Streams: running sequences that keep their state between calls."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from .. import spec as specs
from ..errors import ArgumentError, UnsupportedError, shown
from . import _core
from .calls import forward
from .weights import Weights, needed

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..spec.types import ArrayLike, StateLike

_Method = TypeVar("_Method", bound="Callable[..., Any]")


def alone(method: _Method) -> _Method:
    """The method with the stream to itself; UnsupportedError while another call has it."""

    @functools.wraps(method)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._alone(method, *args, **kwargs)

    return cast(_Method, guarded)


class Stream(_core.StreamCore):
    """One or more running sequences that keep their state between calls; no dropout.

    A stream of single steps gives the same bits as one call over the whole sequence. Use one stream from one thread at
    a time: a call that comes while another one runs raises UnsupportedError and changes nothing. When the layer's
    parameters change, the next step packs them anew.

    Parameters
    ----------
    layer : RNN, LSTM or GRU
        Not bidirectional: the reverse direction would need the end first. Or anything that has, like a layer, a `spec`,
        `packed(uses)`, which gives the present `Weights`, and their `counter`, a `Version`.
    batch_size : int
        N.

    Raises
    ------
    UnsupportedError, ArgumentError
    """

    def __init__(self, layer: Any, batch_size: int = 1) -> None:
        if not all(hasattr(layer, name) for name in ("spec", "packed", "counter")):
            raise ArgumentError("layer", "RNN, LSTM or GRU", shown(layer))
        s = layer.spec
        if s.bidirectional:
            raise UnsupportedError("bidirectional", "False for a stream", True, "it needs the end first")
        N = specs.check_int("batch_size", batch_size, 1)
        row_work = s.gates * s.hidden_size * (s.input_size + s.output_size * (2 * s.num_layers - 1))
        super().__init__(layer.counter, layer.packed(_core.FORWARD).packed, N, row_work)
        self._layer, self._spec = layer, s

    def __repr__(self) -> str:
        if not hasattr(self, "_layer"):
            return "Stream(never initialised)"
        return f"Stream({self._layer!r}, batch_size={self.N})"

    def _present_weights(self):
        return self._layer.packed(_core.FORWARD).packed

    @alone
    def __reduce__(self) -> Any:
        return _restore, (self._layer, self.N, specs.as_state(self._get_state()))

    @alone
    def select(self, rows: ArrayLike) -> None:
        """Change the rows of a live batch: keep, drop, reorder and add.

        Parameters
        ----------
        rows : ints (n,), n >= 1
            Row i of the new batch is row rows[i] of the present one, each at most once, or with -1 a new row of zero
            state; rows not named are dropped.

        Raises
        ------
        DTypeError, ShapeError, ArgumentError, UnsupportedError
            Nothing has changed.

        Notes
        -----
        Copies at most as many rows as are dropped; more rows than ever before in this stream move all of them once.

        Examples
        --------
        >>> import rnncore
        >>> stream = rnncore.GRU(2, 3).stream(batch_size=3)
        >>> stream.select([2, 0, -1, -1])  # drop row 1, swap the others, add two
        >>> stream.N
        4
        """
        rows = specs.check_rows(rows, self.N)
        if len(rows) > self.capacity:
            old = self._get_state()
            self._restart(max(len(rows), 2 * self.capacity), tuple(self._take(part, rows) for part in old))
        else:
            self._select(rows)

    @property
    def state_values(self) -> int:
        """Values of the state of one row, of all parts."""
        return sum(math.prod(shape) for shape in self._spec.state_shapes(1))

    @property
    def top(self) -> int:
        """Where in them the last layer's h begins."""
        return (self._spec.num_layers - 1) * self._spec.output_size

    @staticmethod
    def _take(part, rows):
        """Rows of a dense (L, N, features) state; zeros for -1."""
        taken = np.where(rows[:, np.newaxis] >= 0, part[:, np.maximum(rows, 0)], part.dtype.type(0))
        return np.ascontiguousarray(taken)

    def reset(self) -> None:
        """Set the state to zero."""
        self.state = None

    @property
    @alone
    def state(self) -> Any:
        """A copy of the state, as `layer(x)` returns it; may be assigned, None for zeros."""
        return specs.as_state(self._get_state())

    @state.setter
    @alone
    def state(self, value: StateLike) -> None:
        parts = specs.check_state(self._spec, value, self.N, True)
        self._set_state(tuple(None if part is None else np.ascontiguousarray(part) for part in parts))

    def _step_checked(self, x, out):
        """The step of what the fast path does not take: other layouts, and everything that is wrong."""
        x, batched = specs.check_step(self._spec, x, self.N)
        shape = (self.N, self._spec.output_size)[0 if batched else 1 :]
        if out is not None:
            specs.check_out(out, shape, self._spec.dtype, (x,))
        y = self._step(np.array(x, order="C"))
        if out is None:
            return y
        out[...] = y
        return out

    @alone
    def run(self, chunk: ArrayLike) -> np.ndarray:
        """Many steps.

        Parameters
        ----------
        chunk : array of the layer's dtype, as `layer(chunk)` takes it, with N = batch_size

        Returns
        -------
        y : as from `layer(chunk)`

        Raises
        ------
        ShapeError, DTypeError, SizeError
            The state is as before.
        """
        call = specs.Call(self._spec, chunk)
        specs.check_batch_size(self._spec, call.x, call.N, self.N)
        call.state = self._get_state()
        y, state = forward(self._layer.packed(needed()), call)
        parts = state if isinstance(state, tuple) else (state,)
        self._set_state(tuple(np.ascontiguousarray(p if call.batched else p[:, np.newaxis]) for p in parts))
        return y


def _restore(layer, N, state):
    stream = Stream(layer, N)
    stream.state = state
    return stream


class _Fixed:
    """Weights that never change, as what a stream runs on."""

    def __init__(self, weights: Weights) -> None:
        self.spec, self._weights, self.counter = weights.spec, weights, _core.Version()
        self.counter.value = weights.version

    def __repr__(self) -> str:
        return f"{self.spec.title}({self.spec.arguments()})"

    def packed(self, uses: int) -> Weights:
        return self._weights


def stream(weights: Weights, batch_size: int = 1) -> Stream:
    """A `Stream` of packed weights that starts from zero state.

    Parameters
    ----------
    weights : Weights
        Packed for inference. A stream whose weights change is one of a layer, or of what is like one.
    batch_size : int
        N.

    Raises
    ------
    UnsupportedError, ArgumentError

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> from rnncore import engine
    >>> spec = engine.Spec("gru", 3, 4)
    >>> stream = engine.stream(engine.pack(spec, rnncore.GRU(3, 4, seed=0).parameters()))
    >>> stream.step(np.ones(3, np.float32)).shape
    (4,)
    """
    specs.check_type("weights", weights, Weights, "Weights of pack")
    return Stream(_Fixed(weights), batch_size)
