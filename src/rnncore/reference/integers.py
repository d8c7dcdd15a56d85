# SPDX-License-Identifier: MIT
"""Products of integer stores: the twin of csrc/simd/tile_int.h.

out = start + worth of the operand's row * scale of the matrix' row * the exact sum of products of their codes, the
product of both factors rounded to float32, and then the whole; operands of 16 bits in two halves, the lower one first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..spec import Spec, stores

FLOAT32 = np.float32


def multiply_add(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a * b + c of float32 arrays, rounded once: the product is exact in float64, whose sum is rounded to odd."""
    product, c = np.asarray(a, np.float64) * b, np.asarray(c, np.float64)
    total = product + c
    part = total - product
    error = (product - (total - part)) + (c - part)
    bits = total.view(np.int64)
    odd = np.where((bits & 1 == 0) & (error != 0), bits + np.where((error > 0) == (total > 0), 1, -1), bits)
    return odd.view(np.float64).astype(FLOAT32)


def product(
    store: str, weight: np.ndarray, operand: np.ndarray, start: np.ndarray, least: float
) -> np.ndarray:
    """start + operand @ weight.T in the bits of the core.

    Parameters
    ----------
    store : {"int8", "int8x16"}
    weight : float32 (rows, k)
    operand : float32 (N, k)
    start : float32 (N, rows)
    least : float
        See `stores.operand_codes`.

    Returns
    -------
    numpy.ndarray
        float32 (N, rows).
    """
    codes, scale = stores.weight_codes(weight)
    values, worth = stores.operand_codes(store, operand, least)
    if store == "int8":
        halves = [(values, worth)]
    else:
        lower = np.mod(values + 128, 256) - 128
        halves = [(lower, worth), ((values - lower) / 256, FLOAT32(256) * worth)]
    for half, unit in halves:
        total = (half.astype(np.int64) @ codes.astype(np.int64).T).astype(FLOAT32)
        start = multiply_add(total, unit * scale.T, start)
    return start


def least_range(spec: Spec, name: str) -> float:
    """What codes of a matrix' operand tell apart even where all of it is small.

    Parameters
    ----------
    spec : Spec
    name : str
        The matrix: weight_ih, weight_hh or weight_hr.

    Returns
    -------
    float
        1 for an operand that the cell's functions keep within -1 ... 1; 0 for inputs and all else.
    """
    functions = {function for d in range(spec.directions) for function, *_ in spec.functions(d).values()}
    projected = name == "weight_hh" and spec.proj_size
    return 1.0 if name != "weight_ih" and functions <= {"sigmoid", "tanh"} and not projected else 0.0


class Coded(np.ndarray):
    """A matrix whose transpose codes what it is multiplied with, as forward does; backward sees plain numbers.

    `keep`, float32 (k,), is multiplied with the operand before it is coded: recurrent dropout's mask of a row. The
    gradient of the operand is multiplied with it, too.
    """

    store: str
    least: float
    keep: np.ndarray | None

    def __array_finalize__(self, source: Any) -> None:
        self.store, self.least = getattr(source, "store", ""), getattr(source, "least", 0.0)
        self.keep = getattr(source, "keep", None)

    def __rmatmul__(self, gradient: np.ndarray) -> np.ndarray:
        product = gradient @ np.asarray(self)
        return product if self.keep is None else product * self.keep

    @property
    def T(self) -> Any:
        """The transpose, for ``operand @ matrix.T``."""
        return _Transposed(self)


class _Transposed:
    """What `Coded.T` gives; its product is in float64, like all else of the twins."""

    __array_ufunc__ = None

    def __init__(self, matrix: Coded) -> None:
        self.matrix = matrix

    def __rmatmul__(self, operand: np.ndarray) -> np.ndarray:
        operand = operand.astype(FLOAT32)
        if self.matrix.keep is not None:
            operand = operand * self.matrix.keep
        codes, worth = stores.operand_codes(self.matrix.store, operand, self.matrix.least)
        return (codes * worth.astype(np.float64)) @ np.asarray(self.matrix).T


def coded(store: str, values: np.ndarray, least: float) -> Coded:
    """The matrix of these values as a `Coded` one."""
    matrix = values.view(Coded)
    matrix.store, matrix.least = store, least
    return matrix


def dropped(matrix: np.ndarray, row: np.ndarray) -> np.ndarray:
    """A weight_hh for one row of the batch, whose operand recurrent dropout multiplies with `row`."""
    if not isinstance(matrix, Coded):
        return matrix * row
    own = matrix.view()
    own.keep = row.astype(FLOAT32)
    return own
