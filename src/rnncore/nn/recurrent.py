# SPDX-License-Identifier: MIT
"""A recurrent layer in the reading order and with the outputs that other frameworks give theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import spec
from ..engine.memory import unread
from ..errors import ArgumentError, ShapeError, UnsupportedError, shown
from ..layers import Fleet
from ..layers.module import Tape
from ..spec.parameters import ParameterOwner
from ..spec.tapes import Grads, claimed
from .container import Container

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Merge(NamedTuple):
    """One row of MERGES: how two directions become one output, and the gradients of both from that of the output."""

    value: Callable[..., np.ndarray]
    slopes: Callable[..., tuple[np.ndarray, ...]]


MERGES: dict[str, Merge] = {
    "concat": Merge(
        lambda forward, reverse: np.concatenate([forward, reverse], axis=-1),
        lambda dy, forward, reverse: tuple(np.split(dy, 2, axis=-1)),
    ),
    "sum": Merge(lambda forward, reverse: forward + reverse, lambda dy, forward, reverse: (dy, dy)),
    "mul": Merge(
        lambda forward, reverse: forward * reverse,
        lambda dy, forward, reverse: (dy * reverse, dy * forward),
    ),
    "ave": Merge(
        lambda forward, reverse: (forward + reverse) / 2, lambda dy, forward, reverse: (dy / 2, dy / 2)
    ),
}
"""Ways to merge the outputs of two directions, by name: value and gradients."""
ORDERS = ("forward", "reverse", "backwards")


def reverse_valid(x: np.ndarray, lengths: np.ndarray | None = None, batch_first: bool = False) -> np.ndarray:
    """Turn round each row's valid steps and leave its padding in place.

    Parameters
    ----------
    x : (T, N, features), with batch_first (N, T, features), or unbatched (T, features)
    lengths : ints (N,), optional
        All T if left out.

    Raises
    ------
    ShapeError, DTypeError, LengthsError

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1], [2], [3], [0]])
    >>> rnncore.nn.reverse_valid(x, np.array([3])).ravel().tolist()
    [3, 2, 1, 0]
    """
    x = spec.read_array("x", x)
    axis = 1 if spec.check_bool("batch_first", batch_first) and x.ndim == 3 else 0
    if x.ndim not in (2, 3):
        raise ShapeError("x", "two or three axes", str(x.shape))
    T, N = x.shape[axis], x.shape[1 - axis] if x.ndim == 3 else 1
    lengths = spec.check_lengths(lengths, T, N)
    if lengths is None:
        return np.flip(x, axis)
    t = np.arange(T)[:, np.newaxis]
    source = np.where(t < lengths, lengths - 1 - t, t)  # (T, N)
    if x.ndim == 2:
        return x[source[:, 0]]
    return np.take_along_axis(x, (source.T if axis else source)[:, :, np.newaxis], axis)


def spec_of(layer: Any) -> spec.Spec:
    """The architecture of a layer, or of each layer of a fleet."""
    return layer.layer_spec if isinstance(layer, Fleet) else layer.spec


class Recurrent(Container):
    """A recurrent layer with the reading order and outputs that other frameworks give their layers.

    Parameters
    ----------
    layer : RNN, LSTM or GRU, or a Fleet of them
        Arrays of a fleet have the axis of the models first.
    order : {"forward", "reverse", "backwards"}
        "reverse" reads each row's valid steps from the end and leaves each output at its own step;
        "backwards" returns the outputs in the order of computation. Of one direction only.
    merge : {"concat", "sum", "mul", "ave", None}
        How two directions become one output; None gives the pair.
    return_sequences : bool
        Whether y has all steps, or only the last one computed in each direction.

    Raises
    ------
    ArgumentError

    Examples
    --------
    >>> import numpy as np
    >>> last = rnncore.nn.Recurrent(rnncore.GRU(3, 4, bidirectional=True, seed=0), merge="sum", return_sequences=False)
    >>> y, tape = last.forward(np.zeros((5, 2, 3), np.float32), lengths=[5, 3])
    >>> y.shape, last.backward(tape, y).x.shape
    ((2, 4), (5, 2, 3))
    """

    arguments: tuple[str, ...] = ("layer", "order", "merge", "return_sequences")

    def __init__(
        self,
        layer: Any,
        *,
        order: str = "forward",
        merge: str | None = "concat",
        return_sequences: bool = True,
    ) -> None:
        if not isinstance(layer, Fleet) and not isinstance(getattr(layer, "spec", None), spec.Spec):
            raise ArgumentError("layer", "a recurrent layer", type(layer).__name__)
        both = spec_of(layer).bidirectional
        if not isinstance(order, str) or order not in ORDERS or (order != "forward" and both):
            expected = "'forward'" if both else "one of " + ", ".join(ORDERS)
            raise ArgumentError("order", expected, shown(order))
        if merge is not None and (not isinstance(merge, str) or merge not in MERGES):
            raise ArgumentError("merge", "None or one of " + ", ".join(MERGES), shown(merge))
        self.layer: Any = layer
        self.order: str = order
        self.merge: str | None = merge
        self.return_sequences: bool = spec.check_bool("return_sequences", return_sequences)
        super().__init__()

    def config(self) -> dict[str, Any]:
        """What `build_module` needs beside the parameters."""
        models = {"models": self.layer.models} if isinstance(self.layer, Fleet) else {}
        return {
            "kind": self.kind,
            "architecture": spec_of(self.layer).to_dict(),
            **models,
            "order": self.order,
            "merge": self.merge,
            "return_sequences": self.return_sequences,
        }

    def parts(self) -> dict[str, ParameterOwner]:
        """The layer, whose parameters keep their names."""
        return {"": self.layer}

    def quantize(self, store: str | None) -> Recurrent:
        """The same with the layer's matrices packed in another store; see `Module.quantize`."""
        layer = self.layer.quantize(store)
        return Recurrent(layer, order=self.order, merge=self.merge, return_sequences=self.return_sequences)

    def stream(self, batch_size: int = 1) -> Any:
        """The layer's stream; UnsupportedError if steps alone do not give what the whole sequence gives."""
        if self.order != "forward" or not self.return_sequences or spec_of(self.layer).bidirectional:
            raise UnsupportedError("stream", "a layer that reads forward", shown(self), "it needs the end")
        return self.layer.stream(batch_size)

    def __call__(self, x: ArrayLike, lengths: ArrayLike | None = None, **options: Any) -> Any:
        """x, lengths and options, such as `active` of a fleet, as the layer takes them.

        Returns
        -------
        y : in x's layout, or without the time axis if not return_sequences; with merge None a pair, else one
        array
        """
        return self.call(x, lengths=lengths, **options)[0]

    def call(
        self, x: ArrayLike, state: Any = None, *, lengths: ArrayLike | None = None, **options: Any
    ) -> tuple[Any, Any]:
        """As `__call__`, with the initial state, giving (y, state)."""
        x, lengths = self._read(x, lengths)
        if not self.return_sequences and not isinstance(self.layer, Fleet):
            own = self.layer.spec
            options = {"out": unread((*x.shape[:-1], own.y_size), own.dtype), **options}
        y, state = self.layer(x, state, lengths=lengths, **options)
        return self._merged(y, state, lengths)[0], state

    def forward(self, x: ArrayLike, lengths: ArrayLike | None = None, **options: Any) -> tuple[Any, Tape]:
        """As `__call__`, giving ``(y, tape)``; `options` are those of the layer's `forward`."""
        x, lengths = self._read(x, lengths)
        y, state, tape = self.layer.forward(x, lengths=lengths, **options)
        merged, parts = self._merged(y, state, lengths)
        one = merged[0] if isinstance(merged, tuple) else merged
        h = state[0] if isinstance(state, tuple) else state
        # A product's slopes are its factors; of all else the shapes are enough.
        saved = (tape, lengths, parts if self.merge == "mul" else None, (one.shape, one.dtype), h.shape)
        return merged, Tape(self, self.version, saved)

    def backward(self, tape: Tape, dy: Any, *, input_grad: bool = True) -> Grads:
        """Gradients of one forward call.

        Parameters
        ----------
        tape : Tape
            Used up by this call.
        dy : like y
            Ignored at padding.
        input_grad : bool
            Whether the gradient of x is wanted; it takes time of its own, and where x are data it is not.

        Returns
        -------
        Grads
            `x`, 0 at padding, or None without `input_grad`, and `params`.

        Raises
        ------
        TapeError, ArgumentError, ShapeError, DTypeError
        """
        with claimed(tape, Tape, self, self.version):
            inner, lengths, parts, (shape, dtype), h_shape = tape.saved
            directions = self._directions(dy, parts, shape, dtype)
            if self.return_sequences:
                dy, dstate = np.concatenate(directions, axis=-1), None
                dy = self._reversed(dy, lengths) if self.order == "reverse" else dy
            else:
                dh = np.zeros(h_shape, dtype)
                self._last_of(dh, len(directions))[...] = directions
                dy, dstate = None, ((dh, None) if len(spec_of(self.layer).table.state) == 2 else dh)
            grads = self.layer.backward(inner, dy, dstate, input_grad=input_grad)
        dx = grads.x if self.order == "forward" or not input_grad else self._reversed(grads.x, lengths)
        return Grads(dx, None, grads.params)

    # Parts of a call

    def _reversed(self, x: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
        batch_first = spec_of(self.layer).batch_first
        if not isinstance(self.layer, Fleet):
            return reverse_valid(x, lengths, batch_first)
        each = [None] * self.layer.models if lengths is None else lengths
        x = np.broadcast_to(x, (len(each), *x.shape[-3:]))
        return np.stack([reverse_valid(one, own, batch_first) for one, own in zip(x, each, strict=True)])

    def _read(self, x: ArrayLike, lengths: ArrayLike | None) -> tuple[np.ndarray, np.ndarray | None]:
        """x in the order of reading, and lengths, checked."""
        if isinstance(self.layer, Fleet):
            call = spec.FleetCall(self.layer.layer_spec, self.layer.models, x, lengths=lengths)
            x, lengths = call.x, call.lengths
        else:
            x, T, N, _ = spec.check_x(self.layer.spec, x)
            lengths = spec.check_lengths(lengths, T, N)
        return (x if self.order == "forward" else self._reversed(x, lengths)), lengths

    def _merged(self, y: np.ndarray, state: Any, lengths: np.ndarray | None) -> tuple[Any, Any]:
        """The output, and the outputs of both directions if they were merged."""
        if self.return_sequences:
            y = self._reversed(y, lengths) if self.order == "reverse" else y
            if not spec_of(self.layer).bidirectional or self.merge == "concat":
                return y, None
            parts = tuple(np.split(y, 2, axis=-1))
        else:
            h = state[0] if isinstance(state, tuple) else state
            parts = tuple(self._last_of(h, spec_of(self.layer).directions))
            if len(parts) == 1:
                return parts[0], None
        return (parts if self.merge is None else MERGES[self.merge].value(*parts)), parts

    def _last_of(self, h: np.ndarray, directions: int) -> np.ndarray:
        """The final states of the last layer, each direction's first: of a fleet (M, L*D, N, .) gives (D, M, N, .)."""
        return (h.swapaxes(0, 1) if isinstance(self.layer, Fleet) else h)[-directions:]

    def _directions(self, dy: Any, parts: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        """The gradients of the directions' outputs, of that of the output."""
        both = spec_of(self.layer).bidirectional
        pair = both and self.merge is None
        if pair and not (isinstance(dy, (tuple, list)) and len(dy) == 2):
            raise ArgumentError("dy", "a pair, as y is", type(dy).__name__)
        given = [spec.as_array("dy", part, (dtype,)) for part in (dy if pair else (dy,))]
        for part in given:
            spec.check_shape("dy", part, shape)
        return MERGES[self.merge].slopes(given[0], *(parts or (None, None))) if both and not pair else given
