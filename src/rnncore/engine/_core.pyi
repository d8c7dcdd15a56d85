# SPDX-License-Identifier: MIT
"""Types of the compiled extension. Arrays have the layer's dtype; sizes and shapes were checked by the callers."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from ..spec import Spec

_Array: TypeAlias = NDArray[Any]
_State: TypeAlias = tuple[_Array | None, ...]
# Or an address, where strides matter (address, T, N, stride, stride, stride), in bytes.
_Place: TypeAlias = _Array | int | tuple[int, ...]
_Places: TypeAlias = Sequence[_Place | None]
# Parameters or gradients by name, or in the order of Spec.parameter_shapes.
_Values: TypeAlias = dict[str, _Place] | list[_Place]
_Result = TypeVar("_Result")

FORWARD: Final[int]
BACKWARD: Final[int]
BLAS: Final[int]
XLA_ALIGN: Final[int]
SESSION_BYTES: Final[int]

def isas() -> list[str]: ...
def cells() -> list[str]: ...
def xla_handlers() -> dict[str, Any]: ...
def xla_config(spec: Spec) -> str: ...
def xla_team(team: Team) -> None: ...
def remember_main_thread() -> None: ...
def forward_naive(
    plan: Plan,
    parameters: dict[str, _Array],
    x: _Array,
    y: _Array,
    state: _State,
    final: _State,
    lengths: NDArray[np.int64] | None,
) -> None: ...

@final
class Spare:
    def __init__(self) -> None: ...

@final
class Memory:
    def __init__(self, field: str, size: int, spare: Spare | None = None) -> None: ...

@final
class Team:
    @property
    def max_threads(self) -> int: ...
    def __init__(self, max_threads: int) -> None: ...

@final
class Version:
    value: int

@final
class Blas:
    def __init__(self, sgemm: object, dgemm: object) -> None: ...

@final
class Plan:
    @property
    def spec(self) -> Spec: ...
    @property
    def isa(self) -> str: ...
    @property
    def models(self) -> int: ...
    def __init__(self, spec: Spec, isa: str, blas: Blas | None = None, model_lanes: bool = False) -> None: ...
    def parameters(self, layer: int) -> list[tuple[str, tuple[int, ...], bool]]: ...
    def weights_bytes(self, uses: int) -> int: ...
    def tape_bytes(self, T: int, N: int, valid: int, segments: int) -> int: ...

@final
class Tape:
    @property
    def nbytes(self) -> int: ...
    @property
    def segments(self) -> int: ...
    def __init__(
        self, plan: Plan, T: int, N: int, valid: int, segments: int, spare: Spare | None = None
    ) -> None: ...

@final
class Weights:
    @property
    def plan(self) -> Plan: ...
    @property
    def uses(self) -> int: ...
    @property
    def version(self) -> int: ...
    def __init__(
        self, plan: Plan, parameters: _Values, uses: int, version: int, spare: Spare | None = None
    ) -> None: ...
    def forward(
        self,
        x: _Place,
        y: _Place,
        state: _Places,
        final: _Places,
        lengths: NDArray[np.int64] | None,
        tape: Tape | None,
        key: int,
        blas: bool,
        threads: int,
        team: Team,
        recurrent_dropout: float = 0.0,
        row_keys: NDArray[np.uint64] | None = None,
    ) -> None: ...
    def backward(
        self,
        tape: Tape,
        T: int,
        N: int,
        lengths: NDArray[np.int64] | None,
        dy: _Place | None,
        dfinal: _Places,
        dx: _Place | None,
        dstate: _Places,
        grads: _Values,
        key: int,
        blas: bool,
        threads: int,
        team: Team,
        recurrent_dropout: float = 0.0,
        row_keys: NDArray[np.uint64] | None = None,
    ) -> None: ...

def multiply(
    form: str,
    count: int,
    m: int,
    n: int,
    k: int,
    a: _Array,
    b: _Array,
    bias: _Array | None,
    out: _Array,
    isa: str,
    threads: int,
    team: Team,
    steps: tuple[int, int, int, int],
) -> None: ...
def rows(
    operation: str,
    count: int,
    n: int,
    a: _Array,
    isa: str,
    *,
    b: _Array | None = None,
    index: _Array | None = None,
    out: _Array | None = None,
    sums: _Array | None = None,
    function: tuple[Any, ...] | None = None,
) -> None: ...
def dropout(out: _Array, array: _Array, key: int, p: float) -> None: ...
def dropout_rows(out: _Array, array: _Array, keys: NDArray[np.uint64], p: float) -> None: ...
def update_fleet(
    method: str,
    models: int,
    tensors: list[tuple[_Array, _Array, _Array | None, _Array | None]],
    lr: _Array,
    step: _Array,
    active: _Array,
    grad_scale: _Array,
    norms: _Array,
    *,
    beta1: float,
    beta2: float = 0.0,
    eps: float = 0.0,
    weight_decay: float = 0.0,
    decoupled: bool = True,
    nesterov: bool = False,
    clip_norm: float = 0.0,
    isa: str | None = None,
    threads: int = 1,
    team: Team | None = None,
) -> None: ...
def update(
    method: str,
    tensors: list[tuple[_Array, _Array, _Array | None, _Array | None]],
    *,
    lr: float,
    beta1: float,
    step: int,
    beta2: float = 0.0,
    eps: float = 0.0,
    weight_decay: float = 0.0,
    decoupled: bool = True,
    nesterov: bool = False,
    grad_scale: float = 1.0,
    clip_norm: float = 0.0,
    isa: str | None = None,
    threads: int = 1,
    team: Team | None = None,
) -> float: ...

@final
class FleetTape:
    @property
    def nbytes(self) -> int: ...
    @property
    def segments(self) -> int: ...
    def __init__(
        self,
        plan: Plan,
        models: int,
        T: int,
        N: int,
        lengths: NDArray[np.int64] | None,
        segments: int,
        spare: Spare | None = None,
    ) -> None: ...

@final
class FleetWeights:
    @property
    def plan(self) -> Plan: ...
    @property
    def uses(self) -> int: ...
    @property
    def models(self) -> int: ...
    @property
    def version(self) -> int: ...
    def __init__(
        self,
        plan: Plan,
        models: int,
        parameters: dict[str, _Array],
        uses: int,
        version: int,
        threads: int,
        team: Team,
        spare: Spare | None = None,
    ) -> None: ...
    def forward(
        self,
        T: int,
        N: int,
        x: _Array,
        y: _Array,
        state: tuple[_Array | None, ...],
        final: tuple[_Array, ...],
        lengths: NDArray[np.int64] | None,
        tape: FleetTape | None,
        keys: NDArray[np.uint64] | None,
        active: NDArray[np.bool_] | None,
        blas: bool,
        threads: int,
        team: Team,
        recurrent_dropout: float = 0.0,
        row_keys: NDArray[np.uint64] | None = None,
    ) -> None: ...
    def backward(
        self,
        tape: FleetTape,
        T: int,
        N: int,
        lengths: NDArray[np.int64] | None,
        dy: _Array | None,
        dfinal: tuple[_Array | None, ...],
        dx: _Array | None,
        dstate: tuple[_Array, ...],
        grads: dict[str, _Array],
        keys: NDArray[np.uint64] | None,
        active: NDArray[np.bool_] | None,
        blas: bool,
        threads: int,
        team: Team,
        recurrent_dropout: float = 0.0,
        row_keys: NDArray[np.uint64] | None = None,
    ) -> None: ...

class StreamCore:
    @property
    def weights(self) -> Weights: ...
    @property
    def N(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    def __init__(self, version: Version, weights: Weights, N: int, row_work: float) -> None: ...
    def step(self, x: _Array, out: _Array | None = None) -> _Array: ...
    def _alone(self, method: Callable[..., _Result], *args: Any, **kwargs: Any) -> _Result: ...
    def _step(self, x: _Array) -> _Array: ...
    def _renew(self) -> None: ...
    def _restart(self, capacity: int, state: _State) -> None: ...
    def _select(self, rows: _Array) -> None: ...
    def _get_state(self) -> tuple[_Array, ...]: ...
    def _set_state(self, parts: _State) -> None: ...

@final
class Sessions:
    @property
    def capacity(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def arrays(self) -> tuple[_Array, _Array, _Array]: ...
    @property
    def last(self) -> int: ...
    def __init__(self, states: _Array, table: _Array, buckets: _Array) -> None: ...
    def find(self, key: int) -> int: ...
    def add(self, key: int, now: float, sequence: int) -> int: ...
    def remove(self, slot: int) -> None: ...
    def get(self, slot: int) -> tuple[int, int, float]: ...
    def keys(self) -> NDArray[np.int64]: ...
    def enter(self, keys: _Array, slots: _Array, now: float) -> tuple[int, int]: ...
    def part(self, slots: _Array, sequence: _Array | None, pending: _Array) -> list[NDArray[np.int64]]: ...
    def gather(self, streams: Sequence[StreamCore], slots: _Array) -> None: ...
    def scatter(self, streams: Sequence[StreamCore], slots: _Array, sequence: _Array | None) -> None: ...
