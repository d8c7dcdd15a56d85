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

UNREAD_BYTES = 32 << 20
"""Results that nobody reads, up to this size, share one block. glibc's malloc asks for fresh pages beyond it at the
latest, and from 128 kB on where MALLOC_TRIM_THRESHOLD_ is set, as in Dask's workers: there a scorer of short sequences
does 1.4 times as many (`MALLOC_TRIM_THRESHOLD_=65536 python bench/scale.py`)."""


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


_unread = _core.Spare()


def unread(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray | None:
    """An uninitialised array for results that are thrown away, whose memory waits for the next one's.

    None where it is better made anew: it is small, or too large to be kept.
    """
    size = math.prod(shape) * dtype.itemsize
    return recycled("x", shape, dtype, _unread) if RECYCLED_BYTES <= size <= UNREAD_BYTES else None
