# SPDX-License-Identifier: MIT
"""Names of types, for annotations alone: what they need takes longer to load than all layers."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

__all__ = [
    "ArrayLike",
    "Checkpoint",
    "DTypeLike",
    "DTypes",
    "Functions",
    "Lengths",
    "Parts",
    "Seed",
    "State",
    "StateLike",
]

Checkpoint: TypeAlias = str | int | None
DTypes: TypeAlias = tuple[np.dtype[Any], ...]
Functions: TypeAlias = Mapping[str, Any] | Sequence[Any] | None
Lengths: TypeAlias = ArrayLike | None
Parts: TypeAlias = tuple[np.ndarray | None, ...]
Seed: TypeAlias = int | Sequence[int] | np.random.SeedSequence | None
State: TypeAlias = np.ndarray | tuple[np.ndarray, np.ndarray]
StateLike: TypeAlias = ArrayLike | tuple[ArrayLike | None, ArrayLike | None] | None
