# SPDX-License-Identifier: MIT
"""One call of the engine as a function of tensors: on their memory, nothing is copied but what the tape keeps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import starmap
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from .. import engine
from ..engine import _core
from ..engine.backends import current_backend, current_isa
from ..engine.threads import team_for, threads_for
from ..errors import ArgumentError, UnsupportedError

DTYPES: dict[torch.dtype, np.dtype[Any]] = {
    torch.float32: np.dtype("float32"),
    torch.float64: np.dtype("float64"),
}


def view(tensor: torch.Tensor | None) -> Any:
    """The tensor's memory as an array; None for None."""
    return None if tensor is None else tensor.detach().resolve_neg().numpy()


def as_state(h: torch.Tensor | None, c: torch.Tensor | None) -> Any:
    """An initial state, or gradients of a final one, as the engine takes it."""
    if c is None:
        return view(h)
    return view(h), view(c)


def as_tensors(state: Any) -> tuple[torch.Tensor, ...]:
    """The engine's state as tensors."""
    return tuple(torch.from_numpy(part) for part in (state if isinstance(state, tuple) else (state,)))


class Sizes(NamedTuple):
    """What the shape of x says of a call; `x` and `y` are (T, N, strides in bytes) of dense tensors."""

    T: int
    N: int
    x_shape: tuple[int, ...]
    results: tuple[tuple[int, ...], ...]  # shapes of y and of the final state
    x: tuple[int, ...]
    y: tuple[int, ...]


_NEW = {dtype: torch.empty(0, dtype=dtype, device="cpu").new_empty for dtype in DTYPES}
_KEPT_SIZES = 64  # of a plan; where lengths differ from batch to batch, the oldest are of no use


class Plan:
    """What calls of a layer do, beside their tensors; made before a graph is traced.

    Attributes
    ----------
    spec : Spec
    text : str
        The Spec as a graph's operators know it.
    names, shapes : tuple of str, of tuple of int
        Of the weights, in the order of the functions' arguments.
    dtype : torch.dtype
    recurrent_dropout : float
    training : bool
    pair : bool
        Whether the state is (h, c).
    draws : bool
        Whether recorded calls need a key for masks.
    zones : bool
        Whether there is zoneout, whose expectation has no gradients.
    spares : Spares
        Memory of tapes and packed weights for the next ones.
    new : callable
        An empty tensor of given sizes, on the CPU wherever new tensors go by default.
    """

    __slots__ = (
        "_cores", "_sizes", "draws", "dtype", "names", "new", "pair", "recurrent_dropout", "shapes", "spares", "spec",
        "text", "training", "zones",
    )  # fmt: skip

    def __init__(self, spec: engine.Spec, recurrent_dropout: float = 0.0, training: bool = True) -> None:
        shapes = spec.parameter_shapes()
        self.spec: engine.Spec = spec
        self.text: str = json.dumps(spec.to_dict())
        self.names: tuple[str, ...] = tuple(shapes)
        self.shapes: tuple[tuple[int, ...], ...] = tuple(shapes.values())
        self.dtype: torch.dtype = next(dtype for dtype, kind in DTYPES.items() if kind == spec.dtype)
        self.recurrent_dropout: float = recurrent_dropout if training and spec.is_recurrent else 0.0
        self.training: bool = training
        self.draws: bool = training and (bool(spec.drops) or self.recurrent_dropout > 0)
        self.pair: bool = len(spec.state_shapes(1)) > 1
        self.zones: bool = bool(spec.zoneout or spec.zoneout_c)
        self.spares: engine.Spares = engine.Spares()
        self.new: Any = _NEW[self.dtype]
        self._cores: dict[tuple[str, int], Any] = {}
        self._sizes: dict[tuple[int, ...], Sizes] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Plan, (self.spec, self.recurrent_dropout, self.training)

    def pack(self, weights: Sequence[torch.Tensor], uses: int) -> engine.Weights:
        """The weights laid out for these uses."""
        addresses, dtype = [], self.dtype
        for shape, weight in zip(self.shapes, weights, strict=True):
            if not is_plain(weight, dtype) or weight.shape != shape or not weight.is_contiguous():
                break
            addresses.append(weight.data_ptr())
        if len(addresses) < len(self.names) or current_backend() == "naive":
            for name, weight in zip(self.names, weights, strict=True):
                check_tensor(name, weight)
            values = {name: view(weight) for name, weight in zip(self.names, weights, strict=True)}
            return engine.pack(self.spec, values, uses)
        kind = current_isa(), uses
        plan = self._cores.get(kind)
        made = engine.Weights(self.spec, addresses, uses, plan=plan, spare=self.spares.weights)
        self._cores[kind] = made.plan
        return made

    def fit(self, x: torch.Tensor, h: torch.Tensor | None, c: torch.Tensor | None) -> Sizes | None:
        """The sizes of a call whose tensors the core may take where they are, all of them known to fit."""
        if not is_plain(x, self.dtype):
            return None
        shape = x.shape
        sizes = self._sizes.get(shape) or self._sizes_of(tuple(shape))
        if sizes is None or (h is None and c is None):
            return sizes
        for part, size in zip((h, c), sizes.results[1:], strict=False):
            if (
                part is None
                or part.shape != size
                or not is_plain(part, self.dtype)
                or not part.is_contiguous()
            ):
                return None
        return sizes

    def _sizes_of(self, shape: tuple[int, ...]) -> Sizes | None:
        spec = self.spec
        if len(shape) != 3 or shape[2] != spec.input_size or not shape[0] or not shape[1]:
            return None
        T, N = (shape[1], shape[0]) if spec.batch_first else shape[:2]

        def dense(features: int) -> tuple[int, ...]:
            row = features * spec.dtype.itemsize
            return (
                (T, N, row, T * row, row // features)
                if spec.batch_first
                else (T, N, N * row, row, row // features)
            )

        if len(self._sizes) == _KEPT_SIZES:
            self._sizes.clear()
        results = (*shape[:2], spec.y_size), *spec.state_shapes(N)
        sizes = self._sizes[shape] = Sizes(T, N, shape, results, dense(shape[2]), dense(spec.y_size))
        return sizes


# Calls on addresses: the usual ones, without an array for each tensor ------------------------------------------------


def is_plain(tensor: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether its memory holds its values, in the CPU's memory and of this type."""
    return (
        type(tensor) in _PLAIN
        and tensor.dtype is dtype
        and tensor.is_cpu
        and tensor.layout is torch.strided
        and not tensor.is_neg()
    )


_PLAIN = (torch.Tensor, torch.nn.Parameter)


def address(tensor: torch.Tensor | None) -> int | None:
    """Of a contiguous tensor; None for None."""
    return None if tensor is None else tensor.data_ptr()


def place(tensor: torch.Tensor, spec: engine.Spec, sizes: Sizes) -> tuple[int, ...]:
    """Where a (T, N, features) or (N, T, features) tensor lies: (address, T, N, strides in bytes)."""
    (t, n, i), size = tensor.stride(), spec.dtype.itemsize
    if spec.batch_first:
        t, n = n, t
    return tensor.data_ptr(), sizes.T, sizes.N, t * size, n * size, i * size


def run_usual(
    plan: Plan,
    weights: engine.Weights,
    sizes: Sizes,
    x: Any,
    h: Any,
    c: Any,
    key: Any = None,
    tape: Any = None,
) -> Any:
    """(y, h) or (y, h, c) of a usual call, recorded if there is a tape."""
    results, threads = tuple(starmap(plan.new, sizes.results)), threads_for(None)
    y, *final = map(address, results)
    weights.packed.forward(
        place(x, plan.spec, sizes), (y, *sizes.y), (address(h), address(c)),
        tuple(final), None, tape, key or 0, current_backend() == "blas", threads, team_for(threads),
        plan.recurrent_dropout,
    )  # fmt: skip
    return results


class UsualTape:
    """What a usual recorded call leaves."""

    __slots__ = ("blas", "memory", "sizes", "threads", "weights")

    def __init__(self, plan: Plan, weights: engine.Weights, sizes: Sizes) -> None:
        self.weights: engine.Weights = weights
        self.sizes: Sizes = sizes
        self.memory: Any = _core.Tape(weights.plan, sizes.T, sizes.N, sizes.T * sizes.N, 0, plan.spares.tape)
        self.blas: bool = current_backend() == "blas"
        self.threads: int = threads_for(None)

    def reverse(self, plan: Plan, key: Any, needed: Sequence[bool], dy: Any, dstate: Any) -> Any:
        """Gradients of x, h and c, where they are needed, and of the weights."""
        sizes, grads = self.sizes, list(starmap(plan.new, plan.shapes))
        dx = plan.new(*sizes.x_shape) if needed[0] else None
        dh = plan.new(*sizes.results[1]) if needed[1] else None
        dc = plan.new(*sizes.results[2]) if needed[2] else None
        upstream = [None if part is None else part.resolve_neg().contiguous() for part in dstate]
        dy = None if dy is None else dy.resolve_neg()
        self.weights.packed.backward(
            self.memory, sizes.T, sizes.N, None, None if dy is None else place(dy, plan.spec, sizes),
            tuple(map(address, upstream)), None if dx is None else (dx.data_ptr(), *sizes.x),
            (address(dh), address(dc)), list(map(address, grads)),
            key or 0, self.blas, self.threads, team_for(self.threads), plan.recurrent_dropout,
        )  # fmt: skip
        return dx, dh, dc, *grads


# Calls -----------------------------------------------------------------------------------------------------------


def run(
    plan: Plan, weights: engine.Weights, x: Any, h: Any, c: Any, lengths: Any, sizes: Sizes | None
) -> Any:
    """Without gradients and masks: (y, h) or (y, h, c); `sizes` of a usual call."""
    if sizes is not None and weights.packed is not None:
        return run_usual(plan, weights, sizes, x, h, c)
    y, state = engine.forward(weights, engine.Call(plan.spec, view(x), as_state(h, c), lengths=view(lengths)))
    return torch.from_numpy(y), *as_tensors(state)


def record(plan: Plan, weights: engine.Weights, x: Any, h: Any, c: Any, lengths: Any, key: Any) -> Any:
    """With masks, and a tape: (y, state, tape), of arrays."""
    call = engine.Call(plan.spec, view(x), as_state(h, c), lengths=view(lengths))
    training = engine.Training(call, recurrent_dropout=plan.recurrent_dropout)
    return engine.record(weights, call, training, key=key)


class Recorded(torch.autograd.Function):
    """A call that gradients go through.

    The tape serves the first backward pass; another one, after `retain_graph`, records again from the saved tensors,
    to the same bits.
    """

    @staticmethod
    def forward(ctx: Any, call: tuple[Any, ...], x: Any, h: Any, c: Any, *weights: Any) -> Any:
        plan, packed, sizes, key, lengths = call
        ctx.call = plan, key, lengths
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, h, c, *weights)
        if sizes is not None and packed.packed is not None:
            tape = ctx.tape = UsualTape(plan, packed, sizes)
            return run_usual(plan, packed, sizes, x, h, c, key, tape.memory)
        y, state, ctx.tape = record(plan, packed, x, h, c, lengths, key)
        return torch.from_numpy(y), *as_tensors(state)

    @staticmethod
    def backward(ctx: Any, dy: Any, dh: Any, dc: Any = None) -> Any:
        return (_reverse_once if torch.is_grad_enabled() else _reverse)(ctx, dy, dh, dc)


def _reverse(ctx: Any, dy: Any, dh: Any, dc: Any) -> Any:
    _, *needed = ctx.needs_input_grad
    if dy is None and dh is None and dc is None:
        return None, *(None for _ in needed)
    (plan, key, lengths), tape = ctx.call, ctx.tape
    ctx.tape = None
    if isinstance(tape, UsualTape):
        return None, *tape.reverse(plan, key, needed, dy, (dh, dc) if plan.pair else (dh,))
    x, h, c, *weights = ctx.saved_tensors
    if tape is None:
        packed = plan.pack(weights, engine.needed(training=True))
        _, _, tape = record(plan, packed, x, h, c, lengths, key)
    grads = engine.backward(tape, view(dy), (view(dh), view(dc)) if plan.pair else view(dh))
    state = grads.state if plan.pair else (grads.state, None)
    arrays = (grads.x, *state, *(grads.params[name] for name in plan.names))
    found = [None if array is None else torch.from_numpy(array) for array in arrays]
    return None, *[tensor if use else None for tensor, use in zip(found, needed, strict=True)]


_reverse_once = once_differentiable(
    _reverse
)  # where a graph of the gradients is made, it refuses to be followed


def check_tensor(name: str, tensor: Any) -> None:
    """An error unless it is a tensor in the CPU's memory, of a type that the core computes in."""
    if not isinstance(tensor, torch.Tensor):
        raise ArgumentError(name, "a tensor", type(tensor).__name__)
    if not tensor.is_cpu:
        raise UnsupportedError(name, "a tensor on the CPU", f"one on {tensor.device}", "use .cpu()")
    if tensor.dtype not in DTYPES:
        raise UnsupportedError(name, "float32 or float64", str(tensor.dtype), "use .float()")
