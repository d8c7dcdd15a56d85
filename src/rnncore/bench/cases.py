# SPDX-License-Identifier: MIT
"""What is measured: rows of cell x T x N x I x H x L x D x dtype x threads, in named sets, each with its
source.

A row (`Case`) also knows its parameters' shapes, its random problem (the same numbers in every process) and
its FLOPs.
"""

import dataclasses
import re
import zlib
from collections.abc import Callable, Iterable

import numpy as np

GATES = {"rnn": 1, "lstm": 4, "gru": 3}
MODES = ("sequence", "step", "train", "fit")
LEARNING_RATE = 1e-3
"""Of Adam, with the usual (0.9, 0.999) and 1e-8."""
STEP_INPUTS = 64
"""Distinct inputs that a stream walks round: enough that no branch predictor learns them, few enough for L1
or L2."""

_NAME = re.compile(r"(\w+)-f(32|64)-(\w+)-T(\d+)N(\d+)I(\d+)H(\d+)L(\d+)D(\d+)-t(\d+)")


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
        if self.mode == "step" and (self.T != 1 or self.D != 1):
            raise ValueError(f"mode 'step': expected T = 1 and D = 1, got T = {self.T}, D = {self.D}")

    @property
    def problem_name(self) -> str:
        """Identity of the computation, whatever the number of threads."""
        dtype = {"float32": "f32", "float64": "f64"}[self.dtype]
        kind = "ragged" if self.ragged else self.mode
        return f"{self.cell}-{dtype}-{kind}-T{self.T}N{self.N}I{self.I}H{self.H}L{self.L}D{self.D}"

    @classmethod
    def named(cls, name: str) -> "Case":
        """The case with this `name`; its source is lost. ValueError for another text."""
        found = _NAME.fullmatch(name)
        if found is None:
            raise ValueError(f"row: expected a name like lstm-f32-sequence-T100N1I64H64L1D1-t2, got {name!r}")
        cell, dtype, kind, *sizes = found.groups()
        T, N, I, H, L, D, threads = map(int, sizes)  # noqa: E741
        mode = "sequence" if kind == "ragged" else kind
        return cls(cell, T, N, I, H, L, D, f"float{dtype}", threads, mode, kind == "ragged")

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
        return self.itemsize * sum(int(np.prod(s)) for s in self.parameter_shapes().values() if len(s) == 2)


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


# -- Sets
# -----------------------------------------------------------------------------------------------------------

CELLS = ("lstm", "gru", "rnn")
_DEEPBENCH = "DeepBench (Baidu), code/kernels/rnn_problems.h"
_DEEPCPU = (
    "sizes in the range of DeepCPU (Zhang et al., USENIX ATC 2018): short batches, dimensions 64 to 1024"
)
_TRADING = "public latency models for trading (STAC-ML Markets inference: 2x100, 3x200, 4x1000 units)"


def _stream() -> list[Case]:
    source = "one sample at a time from Python, state kept inside"
    rows = [
        Case(cell, 1, 1, h, h, mode="step", source=source) for cell in CELLS for h in (16, 32, 64, 128, 256)
    ]
    rows += [Case("lstm", 1, n, 64, 64, mode="step", source="many streams at once") for n in (8, 64)]
    return rows


def _latency() -> list[Case]:
    source = "sequences at batch 1"
    rows = [Case(cell, 100, 1, h, h, source=source) for cell in CELLS for h in (64, 128, 256, 512)]
    return [*rows, Case("lstm", 100, 1, 1024, 1024, source="weights larger than two L2 caches")]


def _deepbench() -> list[Case]:
    training = [
        ("rnn", 1760, 16, 50),
        ("rnn", 1760, 64, 50),
        ("rnn", 2560, 32, 50),
        ("lstm", 512, 16, 25),
        ("lstm", 512, 64, 25),
        ("lstm", 1024, 32, 25),
        ("lstm", 256, 16, 150),
        ("gru", 512, 32, 1),
        ("gru", 2816, 32, 187),
    ]
    server = [
        ("lstm", 512, 1, 25),
        ("lstm", 512, 4, 25),
        ("lstm", 1024, 2, 25),
        ("lstm", 1536, 4, 50),
        ("lstm", 256, 1, 150),
        ("gru", 1536, 1, 187),
        ("gru", 512, 1, 1),
        ("gru", 1024, 4, 1500),
    ]
    device = [("rnn", 32, 1, 672), ("rnn", 64, 1, 96)]
    rows = []
    for name, entries in (
        ("training_set", training),
        ("inference_server_set", server),
        ("inference_device_set", device),
    ):
        rows += [Case(cell, t, n, h, h, source=f"{_DEEPBENCH}, {name}") for cell, h, n, t in entries]
    return rows


def _deepcpu() -> list[Case]:
    sizes = [
        (64, 64, 1),
        (256, 64, 1),
        (1024, 64, 1),
        (64, 256, 1),
        (64, 1024, 1),
        (1024, 256, 1),
        (64, 64, 10),
        (256, 256, 10),
    ]
    return [Case(cell, 100, n, i, h, source=_DEEPCPU) for cell in ("lstm", "gru") for i, h, n in sizes]


def _trading() -> list[Case]:
    rows = []
    for layers, units, steps, inputs in ((2, 100, 50, 100), (3, 200, 100, 250), (4, 1000, 100, 500)):
        rows.append(Case("lstm", steps, 1, inputs, units, L=layers, source=f"{_TRADING}: a whole window"))
        rows.append(
            Case("lstm", 1, 1, inputs, units, L=layers, mode="step", source=f"{_TRADING}: a sliding step")
        )
    return rows


def _throughput() -> list[Case]:
    source = "batched inference"
    rows = [Case("lstm", 25, n, 512, 512, source=source) for n in (16, 32, 64, 128)]
    rows += [Case("gru", 50, n, 512, 512, source=source) for n in (16, 32, 64)]
    rows += [Case("rnn", 50, n, 1024, 1024, source=source) for n in (16, 64)]
    rows += [Case(cell, 50, 32, h, h, source=source) for cell in CELLS for h in (64, 128, 256)]
    return [*rows, Case("lstm", 25, 32, 256, 256, dtype="float64", source="double precision")]


def _ragged() -> list[Case]:
    source = "lengths from 1 to T; the row before it is the same batch with all of them T"
    sizes = [(cell, 50, 32, h) for cell in CELLS for h in (64, 128, 256)] + [("lstm", 100, 24, 200)]
    return [
        Case(cell, t, n, h, h, ragged=ragged, source=source)
        for cell, t, n, h in sizes
        for ragged in (False, True)
    ]


def _odd() -> list[Case]:
    source = "sizes that no kernel was made for"
    rows = [Case(cell, 50, 1, h, h, source=source) for cell in CELLS for h in (96, 200, 320, 650)]
    rows += [Case("lstm", 50, n, 128, 200, source=source) for n in (3, 5, 7, 24, 100)]
    rows += [Case("gru", 50, n, 40, 96, source=source) for n in (3, 7, 24)]
    rows += [Case(cell, 50, 1, 13, 128, source="I far from H") for cell in CELLS]
    rows += [Case(cell, 50, n, 96, 200, L=2, source="two layers") for cell in CELLS for n in (1, 24)]
    rows += [Case(cell, 50, n, 96, 128, D=2, source="both directions") for cell in CELLS for n in (1, 24)]
    return [*rows, Case("lstm", 50, 7, 40, 96, L=2, D=2, source="two layers, both directions")]


def _train() -> list[Case]:
    rows = [
        Case(cell, 50, 32, h, h, mode="train", source="training step, small sequence models")
        for cell in CELLS
        for h in (64, 128, 256)
    ]
    rows += [Case(cell, 50, 24, 13, 96, mode="train", source="odd sizes") for cell in CELLS]
    rows.append(Case("lstm", 30, 7, 40, 96, L=2, D=2, mode="train", source="two layers, both directions"))
    source = "a whole iteration: linear head, mean squared error, Adam"
    rows += [Case(cell, 50, 32, 64, 64, mode="fit", source=source) for cell in CELLS]
    return rows


SETS: dict[str, Callable[[], list[Case]]] = {
    "stream": _stream,
    "latency": _latency,
    "deepbench": _deepbench,
    "deepcpu": _deepcpu,
    "trading": _trading,
    "throughput": _throughput,
    "ragged": _ragged,
    "odd": _odd,
    "train": _train,
}


def select(
    sets: Iterable[str], threads: Iterable[int] = (1,), *, cells: Iterable[str] = (), match: str = ""
) -> list[tuple[str, Case]]:
    """Rows of some sets, each once per number of threads, ordered by threads; streams only with one thread.

    Parameters
    ----------
    sets : names in `SETS`
    threads : numbers of threads, each at least 1
    cells : keep only these; empty keeps all
    match : keep only rows whose name contains this

    Returns
    -------
    list of (set name, Case)
        A row that stands in two sets is kept in the first.

    Raises
    ------
    ValueError
        Unknown set or cell.
    """
    cells = tuple(cells)
    for cell in cells:
        if cell not in GATES:
            raise ValueError(f"cell: expected one of {sorted(GATES)}, got {cell!r}")
    chosen: dict[Case, str] = {}
    sets = list(sets)
    for count in sorted(set(threads)):
        for name in sets:
            if name not in SETS:
                raise ValueError(f"set: expected one of {list(SETS)}, got {name!r}")
            for row in SETS[name]():
                case = dataclasses.replace(row, threads=count)
                wanted = (not cells or case.cell in cells) and match in case.name
                if wanted and not (case.mode == "step" and count != 1):
                    chosen.setdefault(case, name)
    return [(name, case) for case, name in chosen.items()]
