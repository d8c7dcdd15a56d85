# SPDX-License-Identifier: MIT
"""What packed matrices hold of their values: the specification of the stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import checks

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _bfloat16(values: np.ndarray) -> np.ndarray:
    """The upper half of a float, to nearest, ties to even; NaN stays NaN."""
    bits = values.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(values), values, rounded.view(np.float32))


def _float16(values: np.ndarray) -> np.ndarray:
    """IEEE binary16; beyond 65504 infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float32)


_ROUND: dict[str, Callable[[np.ndarray], np.ndarray]] = {"bfloat16": _bfloat16, "float16": _float16}


def check_store(field: str, value: Any) -> str | None:
    """A name of `_ROUND`, or None."""
    if value is not None:
        checks.check_choice(field, value, tuple(_ROUND))
    return value


def rounded(store: str | None, values: np.ndarray) -> np.ndarray:
    """What a store holds of a matrix.

    Parameters
    ----------
    store : {None, "bfloat16", "float16"}
    values : float32 array of any shape

    Returns
    -------
    numpy.ndarray
        A new float32 array; `values` itself for None.

    Examples
    --------
    >>> import numpy as np
    >>> rounded("bfloat16", np.float32([1.0, 1.001, -3.14159])).tolist()
    [1.0, 1.0, -3.140625]
    """
    return values if store is None else _ROUND[store](np.ascontiguousarray(values, np.float32))
