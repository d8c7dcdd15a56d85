# SPDX-License-Identifier: MIT
"""The calls as custom operators, for graphs that torch.compile and torch.export make: tensors and text alone.

The tape of a recorded call waits here, under the address of its y, for the backward operator, and goes when that
memory goes. One that is gone, or was taken before, is recorded again from the call's own tensors, to the same bits.
"""

from __future__ import annotations

import functools
import json
import weakref
from typing import Any

import torch
from torch import Tensor

from .. import engine
from .function import Plan, as_tensors, record, run, view

_tapes: dict[int, tuple[Any, Any]] = {}


def _keep_tape(tape: Any, array: Any) -> None:
    address = array.ctypes.data
    _tapes[address] = tape, weakref.ref(array, lambda _: _tapes.pop(address, None))


@functools.lru_cache(maxsize=256)
def _plan(text: str, recurrent_dropout: float = 0.0) -> Plan:
    return Plan(engine.Spec.from_dict(json.loads(text)), recurrent_dropout)


def _three(tensors: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """(y, h, c), where c may be nothing."""
    y, h, *c = tensors
    return y, h, c[0] if c else y.new_empty(0)


def _fake(x: Tensor, text: str) -> tuple[Tensor, Tensor, Tensor]:
    spec = _plan(text).spec
    batched = x.dim() == 3
    N = (x.shape[0] if spec.batch_first else x.shape[1]) if batched else 1
    parts = [x.new_empty(s if batched else (s[0], s[2])) for s in spec.state_shapes(N)]
    return _three((x.new_empty((*x.shape[:-1], spec.y_size)), *parts))


@torch.library.custom_op("rnncore::run", mutates_args=(), device_types="cpu")
def run_operator(
    x: Tensor,
    h: Tensor | None,
    c: Tensor | None,
    lengths: Tensor | None,
    weights: list[Tensor],
    text: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Without gradients and masks."""
    plan = _plan(text)
    sizes = plan.fit(x, h, c) if lengths is None else None
    return _three(run(plan, plan.pack(weights, engine.needed()), x, h, c, lengths, sizes))


@run_operator.register_fake
def _(x, h, c, lengths, weights, text):  # type: ignore[no-untyped-def]
    return _fake(x, text)


@torch.library.custom_op("rnncore::record", mutates_args=(), device_types="cpu")
def record_operator(
    x: Tensor, h: Tensor | None, c: Tensor | None, lengths: Tensor | None, key: Tensor | None,
    weights: list[Tensor], text: str, recurrent_dropout: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """With masks, and a tape."""
    array, state, tape = _record(x, h, c, lengths, key, weights, text, recurrent_dropout)
    _keep_tape(tape, array)
    return _three((torch.from_numpy(array), *as_tensors(state)))


@record_operator.register_fake
def _(x, h, c, lengths, key, weights, text, recurrent_dropout):  # type: ignore[no-untyped-def]
    return _fake(x, text)


def _record(x, h, c, lengths, key, weights, text, recurrent_dropout):  # type: ignore[no-untyped-def]
    plan = _plan(text, recurrent_dropout)
    packed = plan.pack(weights, engine.needed(training=True))
    return record(plan, packed, x, h, c, lengths, None if key is None else int(key))


@torch.library.custom_op("rnncore::back", mutates_args=(), device_types="cpu")
def back_operator(
    y: Tensor, dy: Tensor, dh: Tensor, dc: Tensor | None, x: Tensor, h: Tensor | None, c: Tensor | None,
    lengths: Tensor | None, key: Tensor | None, weights: list[Tensor], text: str, recurrent_dropout: float,
) -> list[Tensor]:  # fmt: skip
    """Gradients of x, the initial state (h, or h and c) and the weights."""
    tape, _ = _tapes.pop(y.data_ptr(), (None, None))
    if tape is None:
        _, _, tape = _record(x, h, c, lengths, key, weights, text, recurrent_dropout)
    grads = engine.backward(tape, view(dy), view(dh) if dc is None else (view(dh), view(dc)))
    params = [torch.from_numpy(grads.params[name]).clone() for name in _plan(text).names]
    return [torch.from_numpy(grads.x), *as_tensors(grads.state), *params]


@back_operator.register_fake
def _(y, dy, dh, dc, x, h, c, lengths, key, weights, text, recurrent_dropout):  # type: ignore[no-untyped-def]
    _, *state = _fake(x, text)
    return [
        torch.empty_like(x),
        *(state if dc is not None else state[:1]),
        *(torch.empty_like(w) for w in weights),
    ]


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    x, h, c, lengths, key, weights, ctx.text, ctx.recurrent_dropout = inputs
    ctx.save_for_backward(output[0], x, h, c, lengths, key, *weights)


def _reverse(ctx: Any, dy: Any, dh: Any, dc: Any) -> Any:
    y, x, h, c, lengths, key, *weights = ctx.saved_tensors
    pair = _plan(ctx.text).pair
    dx, *rest = back_operator(
        y, dy, dh, dc if pair else None, x, h, c, lengths, key, weights, ctx.text, ctx.recurrent_dropout
    )
    dh0, dc0 = rest[0], rest[1] if pair else None
    dweights = rest[2 if pair else 1 :]
    return (
        dx,
        dh0 if h is not None else None,
        dc0 if c is not None else None,
        None,
        None,
        dweights,
        None,
        None,
    )


record_operator.register_autograd(_reverse, setup_context=_keep)
