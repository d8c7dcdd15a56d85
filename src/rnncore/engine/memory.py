# SPDX-License-Identifier: MIT
"""Memory of results: fresh, or what an earlier result of the same owner left."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from ..errors import MemoryExhaustedError
from . import _core

RECYCLED_BYTES = 128 << 10
"""Results of training calls from this size on: where malloc asks the system for fresh pages, their faults cost 9 % of
an iteration (LSTM and GRU, H = 64, N = 32, T = 50). They are aligned to cache lines, too."""


class Spares:
    """What is left of the last results of each kind, for the next ones. Who trains with some weights keeps one."""

    __slots__ = ("dx", "grads", "tape", "weights", "y")

    def __init__(self) -> None:
        self.weights: _core.Spare = _core.Spare()
        self.tape: _core.Spare = _core.Spare()
        self.y: _core.Spare = _core.Spare()
        self.dx: _core.Spare = _core.Spare()
        self.grads: _core.Spare = _core.Spare()


def empty(field: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """An uninitialised array."""
    try:
        return np.empty(shape, dtype)
    except MemoryError as error:
        raise MemoryExhaustedError(field, f"memory for shape {shape}", "less") from error


def recycled(field: str, shape: tuple[int, ...], dtype: np.dtype[Any], spare: _core.Spare) -> np.ndarray:
    """An uninitialised array whose memory goes to `spare` when nobody holds it any more."""
    size = math.prod(shape)
    if not RECYCLED_BYTES <= size * dtype.itemsize < sys.maxsize:
        return empty(field, shape, dtype)
    memory = _core.Memory(field, size * dtype.itemsize, spare)
    return np.frombuffer(memory, dtype, size).reshape(shape)
