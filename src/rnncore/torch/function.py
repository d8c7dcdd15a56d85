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
from ..errors import ArgumentError, UnsupportedError

DTYPES: dict[torch.dtype, np.dtype[Any]] = {
    torch.float32: np.dtype("float32"),
    torch.float64: np.dtype("float64"),
}


def view(tensor: torch.Tensor | None) -> Any:
    """The tensor's memory as an array; None for None."""
    return None if tensor is None else tensor.detach().numpy()


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
    names : tuple of str
        Of the weights, in the order of the functions' arguments.
    recurrent_dropout : float
    pair : bool
        Whether the state is (h, c).
    draws : bool
        Whether recorded calls need a key for masks.
    zones : bool
        Whether there is zoneout, whose expectation has no gradients.
    """

    __slots__ = ("draws", "names", "pair", "recurrent_dropout", "spec", "text", "zones")

    def __init__(self, spec: engine.Spec, recurrent_dropout: float = 0.0, training: bool = True) -> None:
        self.spec: engine.Spec = spec
        self.text: str = json.dumps(spec.to_dict())
        self.names: tuple[str, ...] = tuple(spec.parameter_shapes())
        self.recurrent_dropout: float = recurrent_dropout if training else 0.0
        self.draws: bool = training and (bool(spec.drops) or self.recurrent_dropout > 0)
        self.pair: bool = len(spec.state_shapes(1)) > 1
        self.zones: bool = bool(spec.zoneout or spec.zoneout_c)

    def pack(self, weights: Sequence[torch.Tensor], uses: int) -> engine.Weights:
        """The weights laid out for these uses."""
        values = {name: view(weight) for name, weight in zip(self.names, weights, strict=True)}
        return engine.pack(self.spec, values, uses)


def run(plan: Plan, weights: engine.Weights, x: Any, h: Any, c: Any, lengths: Any) -> Any:
    """Without gradients and masks: (y, h) or (y, h, c)."""
    y, state = engine.forward(weights, engine.Call(plan.spec, view(x), as_state(h, c), lengths=view(lengths)))
    return torch.from_numpy(y), *as_tensors(state)


def record(plan: Plan, weights: engine.Weights, x: Any, h: Any, c: Any, lengths: Any, key: Any) -> Any:
    """With masks, and a tape: (y, state, tape)."""
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
        y, state, ctx.tape = record(plan, packed, x, h, c, lengths, key)
        ctx.save_for_backward(x, h, c, *weights)
        return torch.from_numpy(y), *as_tensors(state)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Any, dh: Any, dc: Any = None) -> Any:
        plan, tape = ctx.plan, ctx.tape
        if dy is None and dh is None and dc is None:
            return (None,) * len(ctx.needs_input_grad)
        x, h, c, *weights = ctx.saved_tensors
        if tape is None:
            packed = plan.pack(weights, engine.needed(training=True))
            _, _, tape = record(plan, packed, x, h, c, ctx.lengths, ctx.key)
        ctx.tape = None
        grads = engine.backward(tape, view(dy), (view(dh), view(dc)) if plan.pair else view(dh))
        state = grads.state if plan.pair else (grads.state, None)
        found = (grads.x, *state, *(grads.params[name] for name in plan.names))
        needed = ctx.needs_input_grad[_FIRST_TENSOR:]
        return (
            *(None,) * _FIRST_TENSOR,
            *(torch.from_numpy(array) if use else None for array, use in zip(found, needed, strict=True)),
        )


_FIRST_TENSOR = 4  # of Recorded's arguments that has a gradient


def check_tensor(name: str, tensor: Any) -> None:
    """An error unless it is a tensor in the CPU's memory, of a type that the core computes in."""
    if not isinstance(tensor, torch.Tensor):
        raise ArgumentError(name, "a tensor", type(tensor).__name__)
    if not tensor.is_cpu:
        raise UnsupportedError(name, "a tensor on the CPU", f"one on {tensor.device}", "use .cpu()")
    if tensor.dtype not in DTYPES:
        raise UnsupportedError(name, "float32 or float64", str(tensor.dtype), "use .float()")
