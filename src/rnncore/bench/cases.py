# SPDX-License-Identifier: MIT
"""What is measured: rows of cell x T x N x I x H x L x D x numbers x threads.

A row (`Case`) also knows its parameters' shapes, its random problem (the same numbers in every process) and
its FLOPs. The named sets of rows are in `shapes`.
"""

import dataclasses
import re
import zlib

import numpy as np

from ..spec.stores import STORES

GATES = {"rnn": 1, "lstm": 4, "gru": 3}
MODES = ("sequence", "step", "train", "fit")
LEARNING_RATE = 1e-3
"""Of Adam, with the usual (0.9, 0.999) and 1e-8."""
STEP_INPUTS = 64
"""Distinct inputs that a stream walks round: enough that no branch predictor learns them, few enough for L1
or L2."""

_NUMBERS = {"f32": ("float32", ""), "f64": ("float64", ""), **{store: ("float32", store) for store in STORES}}
"""What stands in a row's name to its dtype and store."""
_NAME = re.compile(r"(\w+)-(\w+)-(\w+)-T(\d+)N(\d+)I(\d+)H(\d+)L(\d+)D(\d+)-t(\d+)")


@dataclasses.dataclass(frozen=True)
class Case:
    """One row: a network, the size of its input, and how it is run.

    Attributes
    ----------
    cell : {"rnn", "lstm", "gru"}
        The RNN is tanh, the GRU is PyTorch's (reset after the product).
    T, N, I, H, L, D : int
        Steps, batch, input size, hidden size, layers, directions.
    dtype : {"float32", "float64"}
    threads : int
    ragged : bool
        Rows of a sequence have lengths of their own, spread evenly from 1 to T; what they hold after their
        end is not computed.
    mode : {"sequence", "step", "train", "fit"}
        One inference call over T steps; one step of a stream that keeps its state (T is 1); forward and
        backward; a whole iteration of training: forward, a linear head with one output, mean squared error,
        backward, Adam with `LEARNING_RATE`.
    store : str
        How the weights are stored, one of `STORES`; empty for weights in `dtype`. Inputs and outputs stay
        float32, so this is a row of inference only.
    source : str
        Where the row comes from. Not part of its identity.
    """

    cell: str
    T: int
    N: int
    I: int  # noqa: E741  the project's word for the input size
    H: int
    L: int = 1
    D: int = 1
    dtype: str = "float32"
    threads: int = 1
    mode: str = "sequence"
    ragged: bool = False
    store: str = ""
    source: str = dataclasses.field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.cell not in GATES:
            raise ValueError(f"cell: expected one of {sorted(GATES)}, got {self.cell!r}")
        if self.mode not in MODES:
            raise ValueError(f"mode: expected one of {MODES}, got {self.mode!r}")
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype: expected float32 or float64, got {self.dtype!r}")
        for name in ("T", "N", "I", "H", "L", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.D not in (1, 2):
            raise ValueError(f"D: expected 1 or 2, got {self.D}")
        if self.ragged and self.mode != "sequence":
            raise ValueError(f"ragged: expected mode 'sequence', got {self.mode!r}")
        if self.store and (self.store not in STORES or self.dtype != "float32" or self.trains):
            raise ValueError(
                f"store: expected one of {STORES} for inference in float32, got {self.store!r} for "
                f"{self.mode} in {self.dtype}"
            )
        if self.mode == "step" and (self.T != 1 or self.D != 1):
            raise ValueError(f"mode 'step': expected T = 1 and D = 1, got T = {self.T}, D = {self.D}")

    @property
    def problem_name(self) -> str:
        """Identity of the computation, whatever the number of threads."""
        dtype = self.store or {"float32": "f32", "float64": "f64"}[self.dtype]
        kind = "ragged" if self.ragged else self.mode
        return f"{self.cell}-{dtype}-{kind}-T{self.T}N{self.N}I{self.I}H{self.H}L{self.L}D{self.D}"

    @classmethod
    def named(cls, name: str) -> "Case":
        """The case with this `name`; its source is lost. ValueError for another text."""
        found = _NAME.fullmatch(name)
        if found is None or found[2] not in _NUMBERS:
            raise ValueError(f"row: expected a name like lstm-f32-sequence-T100N1I64H64L1D1-t2, got {name!r}")
        cell, numbers, kind, *sizes = found.groups()
        dtype, store = _NUMBERS[numbers]
        T, N, I, H, L, D, threads = map(int, sizes)  # noqa: E741
        mode = "sequence" if kind == "ragged" else kind
        return cls(cell, T, N, I, H, L, D, dtype, threads, mode, kind == "ragged", store)

    @property
    def trains(self) -> bool:
        """Whether there is a backward pass."""
        return self.mode in ("train", "fit")

    @property
    def name(self) -> str:
        """Identity of the row, for example ``lstm-f32-sequence-T100N1I64H64L1D1-t2``."""
        return f"{self.problem_name}-t{self.threads}"

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return np.dtype(self.dtype).itemsize

    @property
    def weight_itemsize(self) -> int:
        """Bytes of one element of a weight matrix."""
        if not self.store:
            return self.itemsize
        return 1 if self.store.startswith("int8") else 2

    def lengths(self) -> np.ndarray:
        """Valid steps of each row, int64 (N,): T, or if ragged in no order, spread from 1 to T."""
        if not self.ragged:
            return np.full(self.N, self.T)
        spread = np.linspace(1, self.T, self.N).round().astype(np.int64)
        return np.random.default_rng(zlib.crc32(self.problem_name.encode())).permutation(spread)

    def active(self) -> np.ndarray:
        """Rows alive at each step, (T,)."""
        return (self.lengths()[None] > np.arange(self.T)[:, None]).sum(axis=1)

    def tokens(self) -> int:
        """Valid (step, row) pairs: T*N unless ragged."""
        return int(self.lengths().sum())

    def layer_input(self, layer: int) -> int:
        """Input size of a layer: I, above the first D*H."""
        return self.I if layer == 0 else self.D * self.H

    def directions(self) -> list[tuple[int, str]]:
        """Layer and parameter suffix (``l0``, ``l0_reverse``, ``l1``, ...) in PyTorch's order."""
        tails = ("", "_reverse")[: self.D]
        return [(layer, f"l{layer}{tail}") for layer in range(self.L) for tail in tails]

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """PyTorch's parameter names and shapes, in PyTorch's order."""
        rows = GATES[self.cell] * self.H
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, tail in self.directions():
            shapes[f"weight_ih_{tail}"] = (rows, self.layer_input(layer))
            shapes[f"weight_hh_{tail}"] = (rows, self.H)
            shapes[f"bias_ih_{tail}"] = (rows,)
            shapes[f"bias_hh_{tail}"] = (rows,)
        return shapes

    def flops(self) -> int:
        """Multiplications and additions of the products: 2*T*N*G*H*(I+H) per layer and direction, training
        3x."""
        rows = self.tokens() * GATES[self.cell] * self.H
        forward = sum(2 * rows * (self.layer_input(layer) + self.H) for layer, _ in self.directions())
        return forward * (3 if self.trains else 1)

    def weight_bytes(self) -> int:
        """Bytes of all weight matrices."""
        return self.weight_itemsize * sum(
            int(np.prod(s)) for s in self.parameter_shapes().values() if len(s) == 2
        )


@dataclasses.dataclass(frozen=True)
class Problem:
    """Numbers of a case, float64 rounded to the case's dtype.

    Attributes
    ----------
    params : dict
        PyTorch's names, uniform in +-1/sqrt(H) as PyTorch initialises.
    x : ndarray (T, N, I)
        Normal. A stream has `STEP_INPUTS` steps whatever T is.
    dy : ndarray (T, N, D*H)
        Normal; the gradient that backward starts from, and its first column the target of a fit.
    head : ndarray (1, D*H)
        Weight of a fit's linear head; its bias starts from zero.
    """

    params: dict[str, np.ndarray]
    x: np.ndarray
    dy: np.ndarray
    head: np.ndarray

    @property
    def target(self) -> np.ndarray:
        """(T, N, 1)."""
        return np.ascontiguousarray(self.dy[..., :1])


def make_problem(case: Case) -> Problem:
    """Draw a case's numbers. The same in every process and for every number of threads. Cost: one draw per
    element."""
    rng = np.random.default_rng(zlib.crc32(case.problem_name.encode()))
    bound = case.H**-0.5
    params = {
        name: rng.uniform(-bound, bound, shape).astype(case.dtype)
        for name, shape in case.parameter_shapes().items()
    }
    steps = STEP_INPUTS if case.mode == "step" else case.T
    x = rng.standard_normal((steps, case.N, case.I)).astype(case.dtype)
    dy = rng.standard_normal((steps, case.N, case.D * case.H)).astype(case.dtype)
    head = rng.uniform(-bound, bound, (1, case.D * case.H)).astype(case.dtype)
    return Problem(params, x, dy, head)
