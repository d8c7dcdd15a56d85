# SPDX-License-Identifier: MIT
"""One call of the engine as a function of tensors: on their memory, nothing is copied but what the tape keeps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

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
    """

    __slots__ = (
        "_cores", "draws", "dtype", "names", "pair", "recurrent_dropout", "shapes", "spares", "spec", "text",
        "training", "zones",
    )  # fmt: skip

    def __init__(self, spec: engine.Spec, recurrent_dropout: float = 0.0, training: bool = True) -> None:
        shapes = spec.parameter_shapes()
        self.spec: engine.Spec = spec
        self.text: str = json.dumps(spec.to_dict())
        self.names: tuple[str, ...] = tuple(shapes)
        self.shapes: tuple[tuple[int, ...], ...] = tuple(shapes.values())
        self.dtype: torch.dtype = next(dtype for dtype, kind in DTYPES.items() if kind == spec.dtype)
        self.recurrent_dropout: float = recurrent_dropout if training else 0.0
        self.training: bool = training
        self.draws: bool = training and (bool(spec.drops) or self.recurrent_dropout > 0)
        self.pair: bool = len(spec.state_shapes(1)) > 1
        self.zones: bool = bool(spec.zoneout or spec.zoneout_c)
        self.spares: engine.Spares = engine.Spares()
        self._cores: dict[tuple[str, int], Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Plan, (self.spec, self.recurrent_dropout, self.training)

    def pack(self, weights: Sequence[torch.Tensor], uses: int) -> engine.Weights:
        """The weights laid out for these uses."""
        addresses = {}
        for name, shape, weight in zip(self.names, self.shapes, weights, strict=True):
            if not is_plain(weight, self.dtype) or weight.shape != shape or not weight.is_contiguous():
                break
            addresses[name] = weight.data_ptr()
        if len(addresses) < len(self.names) or current_backend() == "naive":
            values = {name: view(weight) for name, weight in zip(self.names, weights, strict=True)}
            return engine.pack(self.spec, values, uses)
        kind = current_isa(), uses
        plan = self._cores.get(kind)
        made = engine.Weights(self.spec, addresses, uses, plan=plan, spare=self.spares.weights)
        self._cores[kind] = made.plan
        return made


# Calls on addresses: the usual ones, without an array for each tensor ------------------------------------------------


def is_plain(tensor: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether its memory holds its values, in the CPU's memory and of this type."""
    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tensor.dtype is dtype
        and tensor.is_cpu
        and tensor.layout is torch.strided
        and not tensor.is_neg()
    )


def place(tensor: torch.Tensor, batch_first: bool) -> tuple[int, ...]:
    """(address, T, N, strides in bytes) of a (T, N, features) or (N, T, features) tensor."""
    (T, N, _), (t, n, i), size = tensor.shape, tensor.stride(), tensor.element_size()
    if batch_first:
        T, N, t, n = N, T, n, t
    return tensor.data_ptr(), T, N, t * size, n * size, i * size


def address(tensor: torch.Tensor | None) -> int | None:
    """Of a contiguous tensor; None for None."""
    return None if tensor is None else tensor.data_ptr()


def is_usual(plan: Plan, weights: engine.Weights, x: torch.Tensor, h: Any, c: Any, lengths: Any) -> bool:
    """Whether the core may take a call's tensors where they are, all of them known to fit."""
    spec, shape = plan.spec, x.shape
    if lengths is not None or weights.packed is None or len(shape) != 3 or not is_plain(x, plan.dtype):
        return False
    if shape[2] != spec.input_size or not shape[0] or not shape[1]:
        return False
    if h is None and c is None:
        return True
    fitting = spec.state_shapes(shape[0] if spec.batch_first else shape[1])
    parts = (h, c) if plan.pair else (h,)
    return all(
        part is not None and part.shape == fit and is_plain(part, plan.dtype) and part.is_contiguous()
        for part, fit in zip(parts, fitting, strict=True)
    )


def run_usual(plan: Plan, weights: engine.Weights, x: Any, h: Any, c: Any, key: Any, tape: Any) -> Any:
    """(y, h) or (y, h, c) of a usual call, recorded if there is a tape."""
    spec, shape, dtype = plan.spec, x.shape, plan.dtype
    y = torch.empty((shape[0], shape[1], spec.y_size), dtype=dtype)
    final = [
        torch.empty(size, dtype=dtype)
        for size in spec.state_shapes(shape[0] if spec.batch_first else shape[1])
    ]
    threads = threads_for(None)
    weights.packed.forward(
        place(x, spec.batch_first), place(y, spec.batch_first),
        (address(h), address(c)) if plan.pair else (address(h),), tuple([part.data_ptr() for part in final]),
        None, tape, key or 0, current_backend() == "blas", threads, team_for(threads), plan.recurrent_dropout,
    )  # fmt: skip
    return y, *final


class UsualTape:
    """What a usual recorded call leaves."""

    __slots__ = ("blas", "memory", "shape", "threads", "weights")

    def __init__(self, plan: Plan, weights: engine.Weights, shape: Any) -> None:
        T, N = (shape[1], shape[0]) if plan.spec.batch_first else shape[:2]
        self.weights: engine.Weights = weights
        self.shape: tuple[int, ...] = tuple(shape)
        self.memory: Any = _core.Tape(weights.plan, T, N, T * N, 0, plan.spares.tape)
        self.blas: bool = current_backend() == "blas"
        self.threads: int = threads_for(None)

    def reverse(self, plan: Plan, key: Any, needed: Sequence[bool], dy: Any, dstate: Any) -> list[Any]:
        """Gradients of x, h, c and the weights, where they are needed."""
        spec, shape, dtype = plan.spec, self.shape, plan.dtype
        T, N = (shape[1], shape[0]) if spec.batch_first else shape[:2]
        dx, *dinitial = (
            torch.empty(size, dtype=dtype) if use else None
            for use, size in zip(needed, (shape, *spec.state_shapes(N)), strict=False)
        )
        grads = [torch.empty(size, dtype=dtype) for size in plan.shapes]
        if dy is not None and not is_plain(dy, dtype):
            dy = dy.resolve_neg()
        dstate = [None if part is None else part.resolve_neg().contiguous() for part in dstate]
        self.weights.packed.backward(
            self.memory, T, N, None, None if dy is None else place(dy, spec.batch_first),
            tuple([address(part) for part in dstate]), None if dx is None else place(dx, spec.batch_first),
            tuple([address(part) for part in dinitial]),
            dict(zip(plan.names, [grad.data_ptr() for grad in grads], strict=True)), key or 0, self.blas, self.threads,
            team_for(self.threads), plan.recurrent_dropout,
        )  # fmt: skip
        return [dx, *dinitial, *(() if plan.pair else (None,)), *grads]


# Calls -----------------------------------------------------------------------------------------------------------


def run(plan: Plan, weights: engine.Weights, x: Any, h: Any, c: Any, lengths: Any) -> Any:
    """Without gradients and masks: (y, h) or (y, h, c)."""
    if is_usual(plan, weights, x, h, c, lengths):
        return run_usual(plan, weights, x, h, c, None, None)
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
    def forward(
        ctx: Any, plan: Plan, packed: Any, key: Any, lengths: Any, x: Any, h: Any, c: Any, *weights: Any
    ) -> Any:
        ctx.plan, ctx.key, ctx.lengths = plan, key, lengths
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, h, c, *weights)
        if is_usual(plan, packed, x, h, c, lengths):
            ctx.tape = UsualTape(plan, packed, x.shape)
            return run_usual(plan, packed, x, h, c, key, ctx.tape.memory)
        y, state, ctx.tape = record(plan, packed, x, h, c, lengths, key)
        return torch.from_numpy(y), *as_tensors(state)

    @staticmethod
    def backward(ctx: Any, dy: Any, dh: Any, dc: Any = None) -> Any:
        return (_reverse_once if torch.is_grad_enabled() else _reverse)(ctx, dy, dh, dc)


def _reverse(ctx: Any, dy: Any, dh: Any, dc: Any) -> Any:
    plan, tape, needed = ctx.plan, ctx.tape, ctx.needs_input_grad[_FIRST_TENSOR:]
    if dy is None and dh is None and dc is None:
        return (None,) * len(ctx.needs_input_grad)
    ctx.tape = None
    if isinstance(tape, UsualTape):
        found = tape.reverse(plan, ctx.key, needed, dy, (dh, dc) if plan.pair else (dh,))
    else:
        x, h, c, *weights = ctx.saved_tensors
        if tape is None:
            packed = plan.pack(weights, engine.needed(training=True))
            _, _, tape = record(plan, packed, x, h, c, ctx.lengths, ctx.key)
        grads = engine.backward(tape, view(dy), (view(dh), view(dc)) if plan.pair else view(dh))
        state = grads.state if plan.pair else (grads.state, None)
        arrays = (grads.x, *state, *(grads.params[name] for name in plan.names))
        found = [None if array is None else torch.from_numpy(array) for array in arrays]
    return (
        *(None,) * _FIRST_TENSOR,
        *(tensor if use else None for tensor, use in zip(found, needed, strict=True)),
    )


_reverse_once = once_differentiable(
    _reverse
)  # where a graph of the gradients is made, it refuses to be followed


_FIRST_TENSOR = 4  # of Recorded's arguments that has a gradient


def check_tensor(name: str, tensor: Any) -> None:
    """An error unless it is a tensor in the CPU's memory, of a type that the core computes in."""
    if not isinstance(tensor, torch.Tensor):
        raise ArgumentError(name, "a tensor", type(tensor).__name__)
    if not tensor.is_cpu:
        raise UnsupportedError(name, "a tensor on the CPU", f"one on {tensor.device}", "use .cpu()")
    if tensor.dtype not in DTYPES:
        raise UnsupportedError(name, "float32 or float64", str(tensor.dtype), "use .float()")
