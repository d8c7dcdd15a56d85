# SPDX-License-Identifier: MIT
"""Ragged sequences as columns hold them: all steps one after the other, and the length of each sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ArgumentError, DTypeError, LengthsError, ShapeError, UnsupportedError
from .spec import read_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["from_arrow", "pad", "rows"]


def from_arrow(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """A list column as values and lengths.

    Parameters
    ----------
    column : list column of numbers
        A polars or pandas Series, a pyarrow Array or ChunkedArray, a DuckDB relation of one column, or whatever else
        has Arrow's PyCapsule interface. Each element is one sequence: a list, large list or fixed-size list of numbers,
        or of fixed-size lists of F numbers for F features a step.

    Returns
    -------
    values : (total,) or (total, F)
        Steps of all sequences, in the numbers' type. The column's own memory, read-only; a copy where the column comes
        in several chunks.
    lengths : int64 (n,)

    Raises
    ------
    ArgumentError
        There are nulls.
    UnsupportedError
        It is no list column of numbers, or pyarrow is not installed.

    Notes
    -----
    Cost: lengths are n subtractions, values nothing.

    Examples
    --------
    >>> import pyarrow
    >>> from rnncore import ragged
    >>> values, lengths = ragged.from_arrow(pyarrow.array([[1.0, 2.0, 3.0], [4.0]]))
    >>> values.tolist(), lengths.tolist()
    ([1.0, 2.0, 3.0, 4.0], [3, 1])
    """
    parts = [_part(chunk) for chunk in _chunks(column)]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def rows(values: ArrayLike, lengths: ArrayLike) -> list[np.ndarray]:
    """The sequences one by one, as `rnncore.estimators` takes them.

    Parameters
    ----------
    values : (total, ...)
    lengths : int (n,)

    Returns
    -------
    list of numpy.ndarray (T_i, ...)
        Views of `values`.

    Raises
    ------
    LengthsError
        The lengths are not those of so many values.

    Examples
    --------
    >>> from rnncore import ragged
    >>> [row.tolist() for row in ragged.rows([1.0, 2.0, 3.0], [2, 1])]
    [[1.0, 2.0], [3.0]]
    """
    values = read_array("values", values)
    ends = np.cumsum(_checked(values, lengths))
    return np.split(values, ends[:-1]) if len(ends) else []


def pad(values: ArrayLike, lengths: ArrayLike) -> np.ndarray:
    """The sequences as the layers take them beside ``lengths=``: (T, N, F), zero behind each sequence's end.

    Parameters
    ----------
    values : (total, F), or (total,) for one feature
    lengths : int (n,)

    Returns
    -------
    numpy.ndarray (T, N, F)
        T is the longest length, N is n; dtype of the values.

    Raises
    ------
    ShapeError, LengthsError

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> from rnncore import ragged
    >>> lengths = [2, 1]
    >>> x = ragged.pad(np.ones((3, 4), np.float32), lengths)
    >>> y, h = rnncore.GRU(4, 8, seed=0)(x, lengths=lengths)
    >>> x.shape, y.shape
    ((2, 2, 4), (2, 2, 8))
    """
    values = read_array("values", values)
    values = values[:, np.newaxis] if values.ndim == 1 else values
    if values.ndim != 2:
        raise ShapeError("values", "shape (total, F)", str(values.shape))
    sizes = _checked(values, lengths)
    x = np.zeros((sizes.max(initial=0), len(sizes), values.shape[1]), values.dtype)
    x.swapaxes(0, 1)[np.arange(len(x)) < sizes[:, np.newaxis]] = values
    return x


def _checked(values: np.ndarray, lengths: ArrayLike) -> np.ndarray:
    sizes = read_array("lengths", lengths)
    if sizes.dtype.kind not in "iu" or sizes.ndim != 1:
        raise DTypeError("lengths", "integers (n,)", f"{sizes.dtype} {sizes.shape}")
    if sizes.min(initial=0) < 0 or sizes.sum() != len(values):
        raise LengthsError(
            "lengths", f"lengths whose sum is {len(values)}, that of the values", str(sizes.sum())
        )
    return sizes.astype(np.int64)


def _chunks(column: Any) -> list[Any]:
    """pyarrow's arrays of the column."""
    try:
        import pyarrow
    except ImportError as error:
        hint = "pip install pyarrow"
        raise UnsupportedError("column", "pyarrow, which reads Arrow columns", "none", hint) from error
    if isinstance(column, pyarrow.Array):
        return [column]
    if not isinstance(column, pyarrow.ChunkedArray):
        kind = type(column).__name__
        if not hasattr(column, "__arrow_c_stream__") and not hasattr(column, "__arrow_c_array__"):
            raise UnsupportedError(
                "column", "an Arrow column", kind, "polars, pyarrow, DuckDB and pandas give one"
            )
        if not hasattr(column, "__arrow_c_stream__"):
            return [pyarrow.array(column)]
        column = pyarrow.chunked_array(column)
    chunks = column.chunks or [pyarrow.array([], column.type)]
    if pyarrow.types.is_struct(column.type):  # what comes row by row has columns: there must be one
        if column.type.num_fields != 1:
            raise UnsupportedError("column", "one column", f"{column.type.num_fields}", "select one")
        chunks = [chunk.flatten()[0] for chunk in chunks]
    return chunks


def _part(array: Any) -> tuple[np.ndarray, np.ndarray]:
    """Values and lengths of one of pyarrow's arrays of lists."""
    from pyarrow import types

    _refuse_nulls(array)
    if types.is_fixed_size_list(array.type):
        lengths = np.full(len(array), array.type.list_size, np.int64)
        return _steps(_items(array)), lengths
    if not types.is_list(array.type) and not types.is_large_list(array.type):
        raise UnsupportedError("column", "a column of lists", str(array.type))
    offsets = array.offsets.to_numpy() if len(array) else np.zeros(1, np.int64)
    steps = array.values.slice(offsets[0], offsets[-1] - offsets[0])
    return _steps(steps), np.diff(offsets).astype(np.int64)


def _items(array: Any) -> Any:
    """The elements of lists of a fixed size, those of a slice alone."""
    size = array.type.list_size
    return array.values.slice(array.offset * size, len(array) * size)


def _steps(array: Any) -> np.ndarray:
    """Numbers, or lists of F numbers, as (total,) or (total, F)."""
    from pyarrow import types

    _refuse_nulls(array)
    F = None
    if types.is_fixed_size_list(array.type):
        F, array = array.type.list_size, _items(array)
        _refuse_nulls(array)
    if not types.is_integer(array.type) and not types.is_floating(array.type):
        expected = "a column of lists of numbers, or of lists of a fixed size of numbers"
        raise UnsupportedError("column", expected, f"lists of {array.type}")
    values = array.to_numpy(zero_copy_only=True)
    return values if F is None else values.reshape(-1, F)


def _refuse_nulls(array: Any) -> None:
    if array.null_count:
        hint = "drop them or fill them first: a network has no missing step"
        raise ArgumentError("column", "no nulls", f"{array.null_count}", hint)
