# SPDX-License-Identifier: MIT
"""One call of a layer or cell, the way it has to go: plain, recorded, or as an operator of a graph."""

from __future__ import annotations

from typing import Any

import torch

from .. import engine
from ..errors import ArgumentError, DTypeError, UnsupportedError
from . import operators
from .function import Plan, Recorded, check_tensor, run

_KEYS = 2**63 - 1


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
    check_tensor("input", x)
    if x.dtype != weights[0].dtype:
        dtype = weights[0].dtype
        raise DTypeError("input", str(dtype), str(x.dtype), f"use .to({dtype})")
    h, c = state
    wanted = torch.is_grad_enabled() and (
        weights[-1].requires_grad
        or any(tensor is not None and tensor.requires_grad for tensor in (x, h, c, *weights))
    )
    if wanted and plan.zones and not training:
        raise UnsupportedError("zoneout", "train() where gradients are wanted", "eval()", "or use no_grad")
    recorded = wanted or plan.draws
    key = torch.randint(_KEYS, ()) if plan.draws else None
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        if recorded:
            values = operators.record_operator(
                x, h, c, lengths, key, weights, plan.text, plan.recurrent_dropout
            )
        else:
            values = operators.run_operator(x, h, c, lengths, weights, plan.text)
        return values if plan.pair else values[:2]
    if not recorded:
        return run(plan, pack(plan, weights, engine.needed()), x, h, c, lengths)
    number = None if key is None else int(key)
    packed = pack(plan, weights, engine.needed(training=True))
    return Recorded.apply(plan, packed, number, lengths, x, h, c, *weights)
