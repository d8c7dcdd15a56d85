# SPDX-License-Identifier: MIT
"""The engine's functions as operators of XLA: packed weights and tapes are arrays of bytes among others.

XLA calls the handlers of `engine/xla.c` directly, without Python. An array of no elements stands for one that is not
given.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax

from ..engine import Spec, _core
from ..engine.threads import team_for

try:
    from jax import ffi
except ImportError:  # before jax 0.5
    from jax.extend import ffi

for _name, _handler in _core.xla_handlers().items():
    ffi.register_ffi_target(_name, _handler, platform="cpu")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is known of a call when it is traced.

    Attributes
    ----------
    spec : Spec
    isa : str
    batch_first : bool
        Of the operators' arrays.
    given : bool
        Whether there is an initial state.
    draws : bool
        Whether there are masks.
    threads, segments : int
    recurrent_dropout : float
    """

    spec: Spec
    isa: str
    batch_first: bool
    given: bool
    draws: bool
    threads: int
    segments: int
    recurrent_dropout: float

    @functools.cached_property
    def core(self) -> _core.Plan:
        """The core's plan, for the sizes of what it makes."""
        return _core.Plan(self.spec, self.isa)

    @functools.cached_property
    def attributes(self) -> dict[str, Any]:
        """What the handlers read."""
        _core.xla_team(team_for(self.threads))
        spec = self.spec
        return {
            "cell": spec.form, "isa": self.isa, "config": _core.xla_config(spec), "parts": len(spec.table.state),
            "bias": int(spec.bias), "batch_first": int(self.batch_first), "threads": self.threads,
            "recurrent_dropout": self.recurrent_dropout,
        }  # fmt: skip


def _call(name: str, results: Any, operands: Sequence[Any], aliases: Any = None, **attributes: Any) -> Any:
    if hasattr(jax, "ffi"):
        call = ffi.ffi_call(name, results, vmap_method="sequential", input_output_aliases=aliases)
        return call(*operands, **attributes)
    return ffi.ffi_call(name, results, *operands, **attributes)


def _block(size: int) -> Any:
    """An array with room for what the core aligns itself."""
    return jax.ShapeDtypeStruct((size + _core.XLA_ALIGN,), "uint8")


def forward(
    plan: Plan, records: bool, x: Any, lengths: Any, key: Any, state: Sequence[Any], params: Sequence[Any]
) -> tuple[Any, ...]:
    """(y, h) or (y, h, c); if it records, packed weights and the tape behind them."""
    T, N = (x.shape[1], x.shape[0]) if plan.batch_first else x.shape[:2]
    shapes = [(*x.shape[:2], plan.spec.y_size), *plan.spec.state_shapes(N)]
    results = [jax.ShapeDtypeStruct(shape, x.dtype) for shape in shapes]
    if records:
        results.append(_block(plan.core.weights_bytes(_core.FORWARD | _core.BACKWARD)))
        results.append(_block(plan.core.tape_bytes(T, N, T * N, plan.segments)))
    operands = (x, lengths, key, *state, *params)
    return tuple(_call("rnncore_forward", results, operands, segments=plan.segments, **plan.attributes))


def backward(
    plan: Plan, packed: Any, tape: Any, lengths: Any, key: Any, dy: Any, *dstate: Any
) -> tuple[Any, ...]:
    """Gradients of x, of the parts of the initial state, and of the parameters."""
    spec = plan.spec
    shapes = [
        (*dy.shape[:2], spec.input_size),
        *(part.shape for part in dstate),
        *spec.parameter_shapes().values(),
    ]
    results = [jax.ShapeDtypeStruct(tape.shape, tape.dtype)]
    results += [jax.ShapeDtypeStruct(shape, dy.dtype) for shape in shapes]
    operands = (packed, tape, lengths, key, dy, *dstate)
    # The tape is used up; XLA copies it before where it is still wanted.
    return tuple(_call("rnncore_backward", results, operands, {1: 0}, **plan.attributes)[1:])
