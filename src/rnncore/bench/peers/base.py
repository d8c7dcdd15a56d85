# SPDX-License-Identifier: MIT
"""What a peer offers, and the helpers that several share."""

import importlib
import importlib.metadata
import importlib.util
from typing import Any, ClassVar

import numpy as np

from ..cases import Case, Problem

HELD: dict[str, dict[str, str]] = {
    "": {},
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # of NumPy 2.4 and later
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "RNNCORE_ISA": "avx2",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    },
}
"""An instruction set, and the variables by which systems are held to it; each reads its own. Empty: not held."""


class Peer:
    """One system, built for one case. Lives in a process of its own.

    A subclass imports its system in `__init__`, takes the problem's weights, and implements what it supports
    of `forward` (mode "sequence"), `reset` and `step` ("step"), `train` and `gradients` ("train"), `fit`. Copying
    and converting that a careful user does once belongs into `__init__`; what every call needs belongs into
    the call.
    """

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    """The name in prose and charts."""
    ours: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()
    """Importable modules without which the peer is left out."""
    takes_lengths: ClassVar[bool] = False
    """Whether it runs ragged cases, zeros after each row's end."""
    stores: ClassVar[tuple[str, ...]] = ()
    """Stores of weights that it has beside those of the dtypes."""
    isas: ClassVar[tuple[str, ...]] = ()
    """Instruction sets that the variables in `HELD` hold it to."""
    asked_for: ClassVar[bool] = False
    """Whether it runs only when it is named."""
    distribution: ClassVar[str] = ""
    """Whose version is quoted."""

    def __init__(self, case: Case, problem: Problem) -> None:
        self.case = case
        self.problem = problem

    @classmethod
    def missing(cls) -> str:
        """Module that is not installed, or an empty string."""
        return next((module for module in cls.needs if not _is_there(module)), "")

    @classmethod
    def preload(cls) -> None:
        """Import the system: what follows is told apart from the cost of importing it."""
        for module in cls.needs:
            importlib.import_module(module)

    @classmethod
    def version(cls) -> str:
        """Version of the installed system; empty when it runs from a checkout."""
        try:
            return importlib.metadata.version(cls.distribution)
        except importlib.metadata.PackageNotFoundError:
            return ""

    @classmethod
    def environment(cls, threads: int) -> dict[str, str]:
        """Environment variables the system reads at import to keep to `threads` threads."""
        return {}

    @classmethod
    def refuses(cls, case: Case) -> str:
        """Why the system cannot run this case, or an empty string; lengths and a store only if it takes them."""
        return ""

    @classmethod
    def refusal(cls, case: Case, isa: str = "") -> str:
        """Why this case is not run, all told, or an empty string."""
        if case.ragged and not cls.takes_lengths:
            return "takes no lengths"
        if case.store and case.store not in cls.stores:
            return f"takes no weights in {case.store} here"
        if isa and isa not in cls.isas:
            return f"cannot be held to {isa}"
        return cls.refuses(case)

    def forward(self) -> Any:
        """Run the whole sequence; y (T, N, D*H) as an array, or what `result` turns into one."""
        raise NotImplementedError(f"{self.name} has no forward")

    def reset(self) -> None:
        """Set the stream's state to zero."""
        raise NotImplementedError(f"{self.name} has no stream")

    def step(self, x: np.ndarray) -> Any:
        """One step from x (N, I) to y (N, H), both NumPy arrays; the state stays inside. May reuse y's
        memory."""
        raise NotImplementedError(f"{self.name} has no stream")

    def train(self) -> Any:
        """Forward and backward of sum(y * dy); the gradients are ready when it returns."""
        raise NotImplementedError(f"{self.name} cannot train")

    def fit(self) -> Any:
        """A whole iteration of training, as `Case` has it; returns the loss before its update."""
        raise NotImplementedError(f"{self.name} cannot train")

    def gradients(self) -> dict[str, np.ndarray]:
        """Gradients of the last `train`: one per parameter, by PyTorch's name, and ``"x"`` (T, N, I)."""
        raise NotImplementedError(f"{self.name} cannot train")

    def result(self, y: Any) -> np.ndarray:
        """What `forward` returned, as (T, N, D*H)."""
        return np.asarray(y)


def _is_there(module: str) -> bool:
    # Finding a module in a package imports the package, which may be missing itself.
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def gate_blocks(array: np.ndarray, order: tuple[int, ...], hidden: int) -> np.ndarray:
    """Rows of (G*H, ...) in blocks of H, reordered: block j of the result is block order[j] of `array`."""
    blocks = array.reshape(len(order), hidden, *array.shape[1:])
    return np.ascontiguousarray(blocks[list(order)].reshape(array.shape))
