# SPDX-License-Identifier: MIT
"""What a peer offers, and the helpers that several share."""

import importlib.metadata
import importlib.util
from typing import Any, ClassVar

import numpy as np

from ..cases import Case, Problem


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
    distribution: ClassVar[str] = ""
    """Whose version is quoted."""

    def __init__(self, case: Case, problem: Problem) -> None:
        self.case = case
        self.problem = problem

    @classmethod
    def missing(cls) -> str:
        """Module that is not installed, or an empty string."""
        return next((module for module in cls.needs if importlib.util.find_spec(module) is None), "")

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
        """Why the system cannot run this case, or an empty string."""
        return ""

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


def gate_blocks(array: np.ndarray, order: tuple[int, ...], hidden: int) -> np.ndarray:
    """Rows of (G*H, ...) in blocks of H, reordered: block j of the result is block order[j] of `array`."""
    blocks = array.reshape(len(order), hidden, *array.shape[1:])
    return np.ascontiguousarray(blocks[list(order)].reshape(array.shape))
