# SPDX-License-Identifier: MIT
"""One call of a layer or cell, the way it has to go: plain, recorded, or as an operator of a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .. import engine
from ..engine.backends import current_isa
from ..errors import ArgumentError, DTypeError, UnsupportedError
from . import operators
from .function import Plan, Recorded, check_tensor, run, view

_KEYS = 2**63 - 1


class Kept(nn.Module):
    """A module that keeps its packed weights while it is evaluated."""

    def _weights(self, names: Sequence[str]) -> list[torch.Tensor]:
        own = self._parameters  # a module's own __getattr__ takes longer than some calls
        return [own[name] if name in own else getattr(self, name) for name in names]

    def _pack(self, plan: Plan, weights: list[torch.Tensor], uses: int) -> engine.Weights:
        """Anew in training: what changes there is not always counted by PyTorch."""
        if self.training:
            return plan.pack(weights, uses)
        stamp = (plan, uses, current_isa(), [(weight._version, weight.data_ptr()) for weight in weights])
        kept = self.__dict__["_packed"]
        if kept is None or kept[0] != stamp:
            # The views hold the memory: nothing new gets one of these addresses meanwhile.
            kept = stamp, plan.pack(weights, uses), [view(weight) for weight in weights]
            self.__dict__["_packed"] = kept
        return kept[1]

    def _forget(self) -> None:
        self.__dict__["_packed"] = None

    def train(self, mode: bool = True) -> Any:
        self._forget()
        return super().train(mode)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_packed": None}


def pair_of(lstm: bool, hx: Any) -> tuple[Any, Any]:
    """An initial state as (h, c), where either may be None."""
    if hx is None:
        return None, None
    if not lstm:
        check_tensor("hx", hx)
        return hx, None
    if not isinstance(hx, (tuple, list)) or len(hx) != 2:
        size = f" of {len(hx)}" if isinstance(hx, (tuple, list)) else ""
        raise ArgumentError("hx", "a pair (h, c)", type(hx).__name__ + size)
    check_tensor("hx[0]", hx[0])
    check_tensor("hx[1]", hx[1])
    return hx[0], hx[1]


def call(
    plan: Plan, pack: Any, training: bool, x: Any, state: tuple[Any, Any], lengths: Any, weights: list[Any]
) -> tuple[torch.Tensor, ...]:
    """(y, h) or (y, h, c); `pack` makes engine.Weights of a plan, weights, and their uses."""
    h, c = state
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        _check_dtype(x, weights)
        return _call_in_graph(plan, training, x, h, c, lengths, weights)
    sizes = plan.fit(x, h, c) if lengths is None else None
    if sizes is None:
        _check_dtype(x, weights)
    if not _is_recorded(plan, training, x, h, c, weights):
        return run(plan, pack(plan, weights, engine.needed()), x, h, c, lengths, sizes)
    key = int(torch.randint(_KEYS, (), device="cpu")) if plan.draws else None
    packed = pack(plan, weights, engine.needed(training=True))
    return Recorded.apply((plan, packed, sizes, key, lengths), x, h, c, *weights)


def _check_dtype(x: Any, weights: list[Any]) -> None:
    check_tensor("input", x)
    dtype = weights[0].dtype
    if x.dtype != dtype:
        raise DTypeError("input", str(dtype), str(x.dtype), f"use .to({dtype})")


def _is_recorded(plan: Plan, training: bool, x: Any, h: Any, c: Any, weights: list[Any]) -> bool:
    """Whether there are masks, or gradients are wanted."""
    wanted = torch.is_grad_enabled() and (
        weights[-1].requires_grad
        or any(tensor is not None and tensor.requires_grad for tensor in (x, h, c, *weights))
    )
    if wanted and plan.zones and not training:
        raise UnsupportedError("zoneout", "train() where gradients are wanted", "eval()", "or use no_grad")
    return wanted or plan.draws


def _call_in_graph(
    plan: Plan, training: bool, x: Any, h: Any, c: Any, lengths: Any, weights: list[Any]
) -> tuple[torch.Tensor, ...]:
    """As an operator of the graph that is made."""
    recorded = _is_recorded(plan, training, x, h, c, weights)
    key = torch.randint(_KEYS, (), device="cpu") if plan.draws else None
    if recorded:
        values = operators.record_operator(x, h, c, lengths, key, weights, plan.text, plan.recurrent_dropout)
    else:
        values = operators.run_operator(x, h, c, lengths, weights, plan.text)
    return values if plan.pair else values[:2]
