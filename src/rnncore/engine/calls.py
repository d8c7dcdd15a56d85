# SPDX-License-Identifier: MIT
"""Calls: checked arguments in, views and fresh results, one call of the core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import spec as specs
from ..errors import DTypeError, SizeError
from ..spec.parameters import flat_views
from ..spec.tapes import Grads, TapeBase, claimed
from . import _core
from .backends import current_backend, current_isa
from .memory import Spares, empty, recycled
from .threads import team_for, threads_for
from .weights import Weights, check_uses, needed, recurrent_masks

if TYPE_CHECKING:
    from ..spec.types import ArrayLike, Checkpoint, Lengths, Parts, StateLike


class Tape(TapeBase):
    """What one training call leaves for its backward pass; used once.

    Attributes
    ----------
    owner : object
        Who may use it.
    version : int
        That of the weights.
    layout : Layout
        Of the call's arrays.
    call_key : int or None
        Key of the dropout masks; None if the call drew none.
    row_keys : uint64 (N,) or None
        Keys of each row's masks.
    nbytes : int
        Memory it holds until `backward` has used it.
    """

    def __init__(
        self,
        owner: object,
        weights: Weights,
        call: specs.Call,
        training: specs.Training,
        call_key: int | None,
        spares: Spares,
        row_keys: np.ndarray | None = None,
    ) -> None:
        super().__init__(owner, weights.version)
        self.layout: specs.Layout = call.layout()
        self.call_key: int | None = call_key
        self.row_keys: np.ndarray | None = row_keys
        self.training: specs.Training = training
        self.spares: Spares = spares
        # Both passes of a call run alike, whatever is chosen in between.
        self.blas: bool = current_backend() == "blas"
        self.threads: int = threads_for(call.num_threads)
        self.weights: Weights | None = weights
        memory = _core.Tape(weights.plan, call.T, call.N, call.steps, training.segments, spares.tape)
        self.memory: _core.Tape | None = memory
        self.nbytes: int = memory.nbytes

    def __repr__(self) -> str:
        at = self.layout
        state = "used" if self.used else f"{self.nbytes} bytes"
        return f"Tape({at.spec.title}, T={at.T}, N={at.N}, {state})"


def _usable(array: np.ndarray) -> np.ndarray:
    """The array itself, or a copy if its elements do not lie on element boundaries."""
    return array if array.flags.aligned else np.array(array)


def _dense(parts: Parts) -> Parts:
    return tuple([None if part is None else np.ascontiguousarray(part) for part in parts])


def _empty_state(at: specs.Layout) -> tuple[np.ndarray, ...]:
    dtype = at.spec.dtype
    return tuple([empty("state", shape, dtype) for shape in at.spec.state_shapes(at.N)])


def forward(weights: Weights, call: specs.Call) -> tuple[np.ndarray, Any]:
    """Run without dropout.

    Parameters
    ----------
    weights : Weights
        Packed for `needed()`.
    call : Call

    Returns
    -------
    y : (T, N, D*H or D*P), in x's layout
        `call.out` if there is one; 0 at padding.
    state : h or (h, c)
        New arrays.

    Raises
    ------
    ArgumentError, MemoryExhaustedError
        Nothing has been written.

    Notes
    -----
    2*T*N*G*H*(I+H) floating-point operations per layer and direction. The GIL is released.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> from rnncore import engine
    >>> spec = engine.Spec("lstm", 3, 4)
    >>> parameters = rnncore.LSTM(3, 4, seed=0).parameters()  # or anybody's arrays of these names and shapes
    >>> weights = engine.pack(spec, parameters)
    >>> y, (h, c) = engine.forward(weights, engine.Call(spec, np.ones((5, 2, 3), "float32"), lengths=[5, 2]))
    >>> y.shape, h.shape, bool(y[2:, 1].any())
    ((5, 2, 4), (1, 2, 4), False)
    """
    check_uses(weights, call, needed())
    out, backend = call.out, current_backend()
    y = (
        out
        if out is not None and out.flags.aligned
        else empty("x", call.shape(call.spec.y_size), call.spec.dtype)
    )
    final = _empty_state(call)
    arrays = (call.time_major(_usable(call.x)), call.time_major(y), _dense(call.state), final, call.lengths)
    if backend == "naive":
        _core.forward_naive(weights.plan, weights.plain, *arrays)
    else:
        threads = threads_for(call.num_threads)
        weights.packed.forward(*arrays, None, 0, backend == "blas", threads, team_for(threads))
    if out is not None and y is not out:
        out[...] = y
    return (y if out is None else out), call.as_state(final)


def _row_keys(keys: ArrayLike | None, call: specs.Call) -> np.ndarray | None:
    """Keys of rows as the core reads them."""
    if keys is None:
        return None
    keys = specs.read_array("row_keys", keys)
    specs.check_shape("row_keys", keys, (call.N,))
    if keys.dtype != np.uint64:
        raise DTypeError("row_keys", "uint64", str(keys.dtype))
    return np.array(keys)


def record(
    weights: Weights,
    call: specs.Call,
    training: specs.Training | None = None,
    *,
    key: int | None = None,
    row_keys: ArrayLike | None = None,
    owner: object = None,
    spares: Spares | None = None,
) -> tuple[np.ndarray, Any, Tape]:
    """Run with dropout and record for `backward`.

    Parameters
    ----------
    weights : Weights
        Packed for `needed(training=True)`; with weight dropout for this call alone.
    call : Call
        x is copied to the tape.
    training : Training, optional
    key : int, optional
        Of the dropout masks, 0 <= key < 2**64; needed where `training.draws` says so.
    row_keys : uint64 (N,), optional
        A key for each row, whose masks are then those of a call of this row alone; weight dropout goes by `key`.
    owner : object, optional
        Whose tape it is; see `backward`.
    spares : Spares, optional
        Whose memory results take, and give back to when nobody holds them any more.

    Returns
    -------
    y, state
        As from `forward`; without dropout the same to the last bit.
    tape : Tape

    Raises
    ------
    ArgumentError, SizeError, MemoryExhaustedError

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> from rnncore import engine
    >>> spec = engine.Spec("gru", 3, 4, num_layers=2, dropout=0.5)
    >>> parameters = rnncore.GRU(3, 4, num_layers=2, seed=0).parameters()
    >>> weights = engine.pack(spec, parameters, engine.needed(training=True))
    >>> call = engine.Call(spec, np.ones((5, 2, 3), "float32"))
    >>> y, h, tape = engine.record(weights, call, engine.Training(call, checkpoint="gates"), key=7)
    >>> grads = engine.backward(tape, np.ones_like(y))
    >>> grads.x.shape, grads.params["weight_hh_l1"].shape
    ((5, 2, 3), (12, 4))
    """
    check_uses(weights, call, needed(training=True))
    training = specs.Training(call) if training is None else training
    spares = Spares() if spares is None else spares
    specs.check_type("training", training, specs.Training, "a Training or None")
    specs.check_type("spares", spares, Spares, "Spares or None")
    if training.draws:
        specs.check_type("key", key, (int, np.integer), "an integer for the dropout masks")
    row_keys = _row_keys(row_keys, call) if training.draws else None
    tape = Tape(
        owner, weights, call, training, int(key) % 2**64 if training.draws else None, spares, row_keys
    )
    y = recycled("x", call.shape(call.spec.y_size), call.spec.dtype, spares.y)
    final = _empty_state(call)
    weights.packed.forward(
        call.time_major(_usable(call.x)), call.time_major(y), _dense(call.state), final, call.lengths,
        tape.memory, tape.call_key or 0, tape.blas, tape.threads, team_for(tape.threads), training.recurrent_dropout,
        tape.row_keys,
    )  # fmt: skip
    return y, call.as_state(final), tape


def backward(
    tape: Tape,
    dy: ArrayLike | None,
    dstate: StateLike = None,
    *,
    owner: object = None,
    version: int | None = None,
    input_grad: bool = True,
) -> Grads:
    """Gradients of a recorded call.

    Parameters
    ----------
    tape : Tape
        Used up by this call.
    dy : array like y, or None for zeros
        Any strides; ignored at padding.
    dstate : like the state, or None for zeros
        Either part of an LSTM's pair may be None.
    owner : object, optional
        What must be the tape's, if given.
    version : int, optional
        That of the present parameters, which must be the weights', if given.
    input_grad : bool
        Whether the gradient of x is wanted.

    Returns
    -------
    Grads
        `x` (0 at padding; None without `input_grad`), `state`, and `params`, views of one array in the order of
        `Spec.parameter_shapes`.

    Raises
    ------
    TapeError, ArgumentError, ShapeError, DTypeError, UnsupportedError
        The tape stays usable.
    MemoryExhaustedError

    Notes
    -----
    About twice the operations of `forward`, on as many threads as the recorded call.

    Examples
    --------
    See `record`.
    """
    with claimed(tape, Tape, owner, version):
        dy, parts = tape.layout.check_upstream(dy, dstate)
        specs.check_bool("input_grad", input_grad)
    at, spares, weights, training = tape.layout, tape.spares, tape.weights, tape.training
    spec, shapes = at.spec, at.spec.parameter_shapes()
    dx = recycled("x", at.shape(spec.input_size), spec.dtype, spares.dx) if input_grad else None
    dinitial = _empty_state(at)
    params = flat_views(shapes, recycled("parameters", (spec.parameter_size,), spec.dtype, spares.grads))
    weights.packed.backward(
        tape.memory, at.T, at.N, at.lengths, None if dy is None else at.time_major(_usable(dy)),
        _dense(parts), None if dx is None else at.time_major(dx), dinitial, params, tape.call_key or 0,
        tape.blas, tape.threads, team_for(tape.threads), training.recurrent_dropout, tape.row_keys,
    )  # fmt: skip
    for name, key, p in recurrent_masks(spec, *weights.dropped) if weights.dropped else ():
        _core.dropout(params[name], params[name], key, p)
    # For the next tape, also while the caller's variable still names this one.
    tape.memory = tape.weights = None
    return Grads(dx, at.as_state(dinitial), params)


def tape_bytes(
    spec: specs.Spec, T: int, N: int, *, lengths: Lengths = None, checkpoint: Checkpoint = None
) -> int:
    """Bytes of the tape of a recorded call, from its shapes alone.

    Parameters
    ----------
    spec : Spec
    T, N : int
        Steps and rows of the input; N is 1 for an unbatched one.
    lengths : ints (N,), optional
    checkpoint : None, "gates" or int, optional
        See `Layer.forward`.

    Returns
    -------
    int
        What `Tape.nbytes` will be. `backward` takes about as much again as one segment of one layer on top.

    Raises
    ------
    ArgumentError, LengthsError, ShapeError, DTypeError, SizeError

    Examples
    --------
    >>> from rnncore import engine
    >>> spec = engine.Spec("lstm", 64, 64)
    >>> all_gates = engine.tape_bytes(spec, T=100, N=32)
    >>> engine.tape_bytes(spec, T=100, N=32, checkpoint="gates") < all_gates / 2
    True
    """
    specs.check_type("spec", spec, specs.Spec, "a Spec")
    T, N = specs.check_int("T", T, 0), specs.check_int("N", N, 0)
    if T * N > specs.INT64_MAX:
        raise SizeError("T", "sizes whose tape fits 2**63 - 1 bytes", f"T = {T}, N = {N}")
    at = specs.Layout(spec, T, N, True, specs.check_lengths(lengths, T, N))
    segments = specs.check_checkpoint(checkpoint, T)
    size = _core.Plan(spec, current_isa()).tape_bytes(T, N, at.steps, segments)
    if not size:
        raise SizeError("T", "sizes whose tape fits 2**63 - 1 bytes", f"T = {T}, N = {N}")
    return size
