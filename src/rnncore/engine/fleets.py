# SPDX-License-Identifier: MIT
"""Fleets: many models of one architecture, each with parameters and data of its own, in one call of the core."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UnsupportedError
from ..spec import Call, Spec, as_state, check_bool
from ..spec.parameters import flat_views
from ..spec.stores import OPERANDS
from ..spec.tapes import Grads, TapeBase, claimed
from . import _core
from .backends import current_backend, current_isa
from .blas import scipy_blas
from .calls import _dense, _usable
from .calls import forward as forward_one
from .memory import Spares, empty, recycled
from .threads import team_for, threads_for
from .weights import Weights, needed, recurrent_masks

if TYPE_CHECKING:
    from ..spec import FleetCall, FleetLayout, Training
    from ..spec.types import ArrayLike, StateLike

FEW_ROWS, MOST_OF_FEW, MOST_OF_MANY = 2, 48, 32
"""Up to so many inputs and units together, half of them units, a lane is a model: with few rows each, and with more.

More rows share a weight where a lane is a unit, and weights of 16 models no longer stay near. GRU, times faster with
N = 1, 4, 8 (`bench/fleet.py --parts lanes`, AVX-512): I = 4, H = 8: 5.3, 3.0, 2.2; H = 16: 2.0, 1.2, 1.0; H = 24:
1.5, 1.0, 0.9; H = 32: 1.1, 0.2, 0.6; I = H = 24: 1.2, 0.9; I = 64, H = 16: 1.0, 0.7, 0.6.
"""


@functools.cache
def lanes(spec: Spec, isa: str) -> int:
    """How many models the core has side by side in the vectors of an instruction set; 1 where it has none so."""
    return _core.Plan(spec, isa, None, True).models


def by_models(call: FleetCall, training: Training | None = None) -> bool:
    """Whether a lane is to be a model in this call; the bits are the same."""
    drops = training is not None and training.recurrent_dropout > 0
    return call.alike and not drops and side_by_side(call.spec, call.models, call.N, call.active)


def side_by_side(spec: Spec, models: int, N: int, active: np.ndarray | None = None) -> bool:
    """Whether a lane is to be a model in calls of N rows that are alike in all models."""
    most = MOST_OF_FEW if N <= FEW_ROWS else MOST_OF_MANY
    return (
        current_backend() == "fused"
        and spec.input_size + spec.hidden_size <= most
        and 2 * spec.hidden_size <= most
        and fills_lanes(models, active, lanes(spec, current_isa()))
    )


def fills_lanes(models: int, active: np.ndarray | None, side: int) -> bool:
    """Whether models that run take more than half the lanes of those vectors that have any, `side` each."""
    if side == 1:
        return False
    if active is None:
        return 2 * models > -(-models // side) * side
    taken = np.add.reduceat(active, np.arange(0, models, side), dtype=np.int64)
    return bool(2 * taken.sum() > np.count_nonzero(taken) * side)


class FleetWeights:
    """Parameters of all models packed for one instruction set; immutable.

    Parameters
    ----------
    spec : Spec
    models : int
    parameters : dict of str to array (M, ...)
        Contiguous, of spec.dtype.
    uses : int
        As of `needed`.
    by_models : bool
        Whether a lane is to be a model, where the core can.
    version : int
        Of the parameters.
    keys : uint64 array (M,), optional
        Of the weight dropout of one call.
    p : float
        Its probability.
    plan : Plan, optional
        Of earlier weights of these.
    spare : Spare
    """

    __slots__ = ("dropped", "isa", "models", "packed", "plan", "spec", "uses", "version")

    def __init__(
        self,
        spec: Spec,
        models: int,
        parameters: dict[str, np.ndarray],
        uses: int,
        *,
        by_models: bool,
        version: int,
        keys: np.ndarray | None = None,
        p: float = 0.0,
        plan: _core.Plan | None = None,
        spare: _core.Spare | None = None,
    ) -> None:
        self.spec: Spec = spec
        self.models: int = models
        self.isa: str = current_isa()
        self.uses: int = uses
        self.version: int = version
        self.dropped: tuple[np.ndarray, float] | None = None if keys is None else (keys, p)
        if uses & _core.BLAS and spec.store in OPERANDS:
            hint = "a BLAS multiplies floats"
            raise UnsupportedError("backend", "'fused' or 'naive' for integers", "'blas'", hint)
        if keys is not None:
            parameters = {name: array.copy() for name, array in parameters.items()}
            _drop(spec, parameters, keys, p)
        blas = scipy_blas() if uses & _core.BLAS else None
        self.plan: _core.Plan = plan or _core.Plan(spec, self.isa, blas, by_models)
        threads = threads_for(None)
        self.packed: _core.FleetWeights = _core.FleetWeights(
            self.plan, models, parameters, uses, version, threads, team_for(threads), spare
        )


def _drop(spec: Spec, parameters: dict[str, np.ndarray], keys: np.ndarray, p: float) -> None:
    """Weight dropout of each model, in place."""
    for model, key in enumerate(keys):
        for name, own, q in recurrent_masks(spec, int(key), p):
            _core.dropout(parameters[name][model], parameters[name][model], own, q)


class FleetTape(TapeBase):
    """What one training call of a fleet leaves for its backward pass; used once.

    Attributes
    ----------
    owner : object
        Who may use it.
    version : int
        That of the weights.
    layout : FleetLayout
        Of the call's arrays.
    nbytes : int
        Memory it holds until `backward` has used it.
    """

    def __init__(
        self,
        owner: object,
        weights: FleetWeights,
        call: FleetCall,
        training: Training,
        keys: np.ndarray | None,
        spares: Spares,
        row_keys: np.ndarray | None = None,
    ) -> None:
        super().__init__(owner, weights.version)
        self.layout: FleetLayout = call.layout()
        self.keys: np.ndarray | None = keys
        self.row_keys: np.ndarray | None = row_keys
        self.training: Training = training
        self.spares: Spares = spares
        self.blas: bool = current_backend() == "blas"
        self.threads: int = threads_for(call.num_threads)
        self.weights: FleetWeights | None = weights
        memory = _core.FleetTape(
            weights.plan, call.models, call.T, call.N, call.lengths, training.segments, spares.tape
        )
        self.memory: _core.FleetTape | None = memory
        self.nbytes: int = memory.nbytes

    def __repr__(self) -> str:
        at = self.layout
        state = "used" if self.used else f"{self.nbytes} bytes"
        return f"FleetTape({at.spec.title}, M={at.models}, T={at.T}, N={at.N}, {state})"


def _empty_state(at: FleetLayout) -> tuple[np.ndarray, ...]:
    return tuple([empty("state", shape, at.spec.dtype) for shape in at.state_shapes()])


def forward(weights: FleetWeights, call: FleetCall) -> tuple[np.ndarray, Any]:
    """Run all models without dropout; y (M, T, N, D*H or D*P) in x's layout and the state, as `engine.forward`."""
    out = call.out
    y = (
        out
        if out is not None and out.flags.aligned
        else empty("x", call.shape(call.spec.y_size), call.spec.dtype)
    )
    final, threads = _empty_state(call), threads_for(call.num_threads)
    weights.packed.forward(
        call.T, call.N, call.time_major(_usable(call.x)), call.time_major(y), _dense(call.state), final,
        call.lengths, None, None, call.active, current_backend() == "blas", threads, team_for(threads),
    )  # fmt: skip
    if out is not None and y is not out:
        out[...] = y
    return (y if out is None else out), as_state(final)


def forward_naive(parameters: dict[str, np.ndarray], call: FleetCall) -> tuple[np.ndarray, Any]:
    """The same by the reference loop, model by model, over parameters (M, ...)."""
    y = np.zeros(call.shape(call.spec.y_size), call.spec.dtype) if call.out is None else call.out
    final = tuple([np.zeros(shape, call.spec.dtype) for shape in call.state_shapes()])
    for m in range(call.models):
        if call.active is not None and not call.active[m]:
            y[m] = 0
            continue
        state = (
            as_state(tuple([part[m] for part in call.state if part is not None]))
            if call.state[0] is not None
            else None
        )
        lengths = None if call.lengths is None else call.lengths[m]
        own = Call(call.spec, call.x if call.x.ndim == 3 else call.x[m], state, lengths=lengths)
        weights = Weights(call.spec, {name: array[m] for name, array in parameters.items()}, needed())
        y[m], state = forward_one(weights, own)
        for part, value in zip(final, state if isinstance(state, tuple) else (state,), strict=True):
            part[m] = value
    return y, as_state(final)


def record(
    weights: FleetWeights,
    call: FleetCall,
    training: Training,
    keys: np.ndarray | None,
    owner: object,
    spares: Spares,
    row_keys: np.ndarray | None = None,
) -> tuple[np.ndarray, Any, FleetTape]:
    """Run all models with dropout and record, as `engine.record`; `keys` (M,) where the call draws masks.

    `row_keys` (M, N): one for each row, as there.
    """
    tape = FleetTape(owner, weights, call, training, keys, spares, row_keys)
    y = recycled("x", call.shape(call.spec.y_size), call.spec.dtype, spares.y)
    final = _empty_state(call)
    weights.packed.forward(
        call.T, call.N, call.time_major(_usable(call.x)), call.time_major(y), _dense(call.state), final,
        call.lengths, tape.memory, keys, call.active, tape.blas, tape.threads, team_for(tape.threads),
        training.recurrent_dropout, row_keys,
    )  # fmt: skip
    return y, as_state(final), tape


def backward(
    tape: FleetTape,
    dy: ArrayLike | None,
    dstate: StateLike,
    owner: object,
    version: int,
    input_grad: bool = True,
) -> Grads:
    """Gradients of a recorded call, as `engine.backward`; of x one for each model, also where all read one."""
    with claimed(tape, FleetTape, owner, version):
        dy, parts = tape.layout.check_upstream(dy, dstate)
        check_bool("input_grad", input_grad)
    at, spares, weights = tape.layout, tape.spares, tape.weights
    assert weights is not None
    assert tape.memory is not None
    spec, M = at.spec, at.models
    shapes = {name: (M, *shape) for name, shape in spec.parameter_shapes().items()}
    dx = recycled("x", at.shape(spec.input_size), spec.dtype, spares.dx) if input_grad else None
    dinitial = _empty_state(at)
    params = flat_views(shapes, recycled("parameters", (M * spec.parameter_size,), spec.dtype, spares.grads))
    weights.packed.backward(
        tape.memory, at.T, at.N, at.lengths, None if dy is None else at.time_major(_usable(dy)), _dense(parts),
        None if dx is None else at.time_major(dx), dinitial, params, tape.keys, at.active, tape.blas, tape.threads,
        team_for(tape.threads), tape.training.recurrent_dropout, tape.row_keys,
    )  # fmt: skip
    if weights.dropped:
        _drop(spec, params, *weights.dropped)
    tape.memory = tape.weights = None
    return Grads(dx, as_state(dinitial), params)
