# SPDX-License-Identifier: MIT
"""What modules around layers add up, in the core: the same bits on every instruction set and any number of threads.

NumPy's elementwise arithmetic rounds each result once and so gives the same everywhere; its sums, products of matrices
and functions such as `exp` go by the machine. Those are here. Arrays are float32 or float64, of one dtype in a call,
and results have it; what is not dense is copied, but the rows of matrices may lie anywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _core
from .backends import current_isa
from .threads import team_for, threads_for


def _dense(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    flags = array.flags
    if flags.c_contiguous and flags.aligned and array.dtype == dtype:
        return array
    return np.require(array, dtype, "CA")


def _rows(array: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, tuple[int, int]]:
    """An array whose rows are dense, and how many elements its matrices and its rows are apart; zeros: all is dense."""
    flags, strides, item = array.flags, array.strides, array.itemsize
    if array.dtype == dtype and flags.aligned:
        if flags.c_contiguous:
            return array, (0, 0)
        if strides[-1] == item and all(step > 0 and step % item == 0 for step in strides):
            return array, (strides[0] // item if array.ndim == 3 else 0, strides[-2] // item)
    return np.require(array, dtype, "CA"), (0, 0)


def multiply(form: str, a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """Product of two matrices, or of each pair of two stacks of them.

    Parameters
    ----------
    form : {"nt", "nn", "tn"}
        Which of the two is transposed: the second, none, or the first.
    a, b : ndarray with two or three axes
    bias : ndarray (n,), optional
        Not with "tn".

    Returns
    -------
    ndarray
        Every value is one chain of fused multiply-adds over the common axis, from `bias` or 0 on.
    """
    (a, steps), (b, other_steps) = _rows(a, a.dtype), _rows(b, a.dtype)
    count, m, k = a.shape if a.ndim == 3 else (1, *a.shape)
    if form == "tn":
        m, k = k, m
    n = b.shape[-2] if form == "nt" else b.shape[-1]
    out = np.empty((*a.shape[:-2], m, n), a.dtype)
    bias = None if bias is None else _dense(bias, a.dtype)
    threads = threads_for(None)
    team = team_for(threads)
    _core.multiply(form, count, m, n, k, a, b, bias, out, current_isa(), threads, team, steps + other_steps)
    return out


def total(a: np.ndarray, b: np.ndarray | None = None) -> float:
    """Sum of `a`, or of the products of `a` and `b`, in float64 over their elements in C order."""
    a = _dense(a, a.dtype)
    b, sums = None if b is None else _dense(b, a.dtype), np.empty(1)
    _core.rows("sum", 1, a.size, a, current_isa(), b=b, sums=sums)
    return float(sums[0])


def dot_rows(a: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    """(..., n) and (..., n) give (..., 1): sums of products over the last axis; of `a` alone without `b`."""
    a = _dense(a, a.dtype)
    b, out = None if b is None else _dense(b, a.dtype), np.empty((*a.shape[:-1], 1), a.dtype)
    _core.rows("dot", out.size, a.shape[-1], a, current_isa(), b=b, out=out)
    return out


def add_rows(a: np.ndarray, index: np.ndarray | None = None, count: int = 1) -> np.ndarray:
    """(rows, n) gives (count, n): each row, one after the other, added to the one of its index, or all to the first."""
    a, out = _dense(a, a.dtype), np.zeros((count, a.shape[1]), a.dtype)
    index = None if index is None else np.ascontiguousarray(index, np.int64)
    _core.rows("add", *a.shape, a, current_isa(), index=index, out=out)
    return out


def softmax(a: np.ndarray, lengths: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Softmax over the last axis.

    Parameters
    ----------
    a : ndarray (..., n)
    lengths : ints, one for each row, optional
        How many values take part; the others' results are 0.

    Returns
    -------
    ndarray (..., n)
    sums : float64 (rows, 2)
        Of each row its largest value, and ``log(sum(exp(a - largest)))``.
    """
    a = _dense(a, a.dtype)
    rows = a.size // a.shape[-1]
    out, sums = np.empty_like(a), np.empty((rows, 2))
    index = None if lengths is None else np.ascontiguousarray(lengths, np.int64)
    _core.rows("softmax", rows, a.shape[-1], a, current_isa(), index=index, out=out, sums=sums)
    return out, sums


def apply(operation: str, a: np.ndarray, function: tuple[Any, ...] | None = None) -> np.ndarray:
    """Element by element "exp", "log", or "value" or "slope" of a function: its name, alpha, beta."""
    a = _dense(a, a.dtype)
    out = np.empty_like(a)
    _core.rows(operation, 1, a.size, a, current_isa(), out=out, function=function)
    return out
