# SPDX-License-Identifier: MIT
"""What packed matrices hold of their values, and of their operands: the specification of the stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import checks

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Input features from which on a layer's weight_ih becomes integers.
LEAST_INPUTS = 32
MOST_CODE = 127
# Ranges below it count as it.
LEAST_RANGE = np.float32(2.0**-96)


def _bfloat16(values: np.ndarray) -> np.ndarray:
    """The upper half of a float, to nearest, ties to even; NaN stays NaN."""
    bits = values.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(values), values, rounded.view(np.float32))


def _float16(values: np.ndarray) -> np.ndarray:
    """IEEE binary16; beyond 65504 infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float32)


def _integers(values: np.ndarray) -> np.ndarray:
    """Multiples of a scale of each row."""
    codes, scale = weight_codes(values)
    return codes * scale


_ROUND: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "bfloat16": _bfloat16,
    "float16": _float16,
    "int8": _integers,
    "int8x16": _integers,
}
STORES: tuple[str, ...] = tuple(_ROUND)
# Largest code of an operand.
OPERANDS: dict[str, int] = {"int8": MOST_CODE, "int8x16": MOST_CODE * 256}


def check_store(field: str, value: Any) -> str | None:
    """One of STORES, or None."""
    if value is not None:
        checks.check_choice(field, value, STORES)
    return value


def is_coded(store: str | None, name: str, columns: int) -> bool:
    """Whether the matrix of this name becomes integers: a weight_ih of few columns stays in floats."""
    return store in OPERANDS and (name != "weight_ih" or columns >= LEAST_INPUTS)


def rounded(store: str | None, name: str, values: np.ndarray) -> np.ndarray:
    """What a store holds of a parameter.

    Parameters
    ----------
    store : {None, "bfloat16", "float16", "int8", "int8x16"}
    name : str
        The parameter's, without suffix; vectors are held as they are.
    values : float32 array

    Returns
    -------
    numpy.ndarray
        A new float32 array; `values` itself where nothing is rounded.

    Examples
    --------
    >>> import numpy as np
    >>> rounded("bfloat16", "weight_hh", np.float32([[1.0, 1.001, -3.14159]])).tolist()
    [[1.0, 1.0, -3.140625]]
    """
    if store is None or values.ndim < 2 or (store in OPERANDS and not is_coded(store, name, values.shape[1])):
        return values
    return _ROUND[store](np.ascontiguousarray(values, np.float32))


def weight_codes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integers of a matrix and the scale of each row.

    The scale is the row's largest magnitude / 127, cut to 17 bits: a code times it is exact in float32, and what codes
    and scale stand for has the same codes and scale.

    Parameters
    ----------
    values : float32 (rows, k)

    Returns
    -------
    codes : float32 (rows, k)
        Whole numbers from -127 to 127; 0 in a row that holds a NaN or an infinity.
    scale : float32 (rows, 1)
        NaN in such a row.
    """
    most = np.float32(MOST_CODE)
    scale = np.maximum(np.abs(values).max(axis=1, keepdims=True) / most, LEAST_RANGE)
    scale = (scale.view(np.uint32) & np.uint32(0xFFFFFF80)).view(np.float32)
    scale = np.where(np.isfinite(values).all(axis=1, keepdims=True), scale, np.float32(np.nan))
    codes = np.where(np.isnan(scale), np.float32(0), np.rint(values / scale))
    return codes + np.float32(0), scale  # an integer has no -0


def operand_codes(store: str, values: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Integers of what a matrix is multiplied with, and what one of them is worth, row by row.

    Parameters
    ----------
    store : {"int8", "int8x16"}
    values : float32 (rows, k)
    least : float
        The range is at least this: 1 for an h that never leaves -1 ... 1 by itself, else 0.

    Returns
    -------
    codes : float64 (rows, k)
        Whole numbers from -127 to 127, or -32512 to 32512.
    worth : float32 (rows, 1)
        Range / largest code; NaN in a row that holds a NaN or an infinity.
    """
    most = np.float32(OPERANDS[store])
    range_ = np.maximum(np.abs(values).max(axis=1, keepdims=True), max(np.float32(least), LEAST_RANGE))
    range_ = np.where(np.isfinite(values).all(axis=1, keepdims=True), range_, np.float32(np.nan))
    product = values.astype(np.float64) * (most / range_).astype(np.float64)
    return np.where(np.isnan(range_), 0.0, np.rint(product)), range_ / most
