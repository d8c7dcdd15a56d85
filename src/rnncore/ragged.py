# SPDX-License-Identifier: MIT
"""Ragged sequences as columns hold them: all steps one after the other, and the length of each sequence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

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
        or of lists of F numbers for F features a step.

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
    parts = [spans(chunk) for chunk in _chunks(column)]
    missing = sum(int((~part.valid).sum()) for part in parts if part.valid is not None)
    if missing:
        hint = "drop them or fill them first: a network has no missing step"
        raise ArgumentError("column", "no nulls", missing, hint)
    if len(parts) == 1:
        return parts[0].values, parts[0].lengths
    return np.concatenate([part.values for part in parts]), np.concatenate([part.lengths for part in parts])


class Spans(NamedTuple):
    """Sequences within an array of steps, in whatever order and places.

    Attributes
    ----------
    values : (total,) or (total, F)
    starts, lengths : int64 (n,)
        Where each sequence begins and how many steps it has, 0 where it is null.
    valid : bool (n,) or None
        Which are no nulls and have none; None: all.
    """

    values: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    valid: np.ndarray | None = None


def spans(array: Any, name: str = "column") -> Spans:
    """The sequences of one of pyarrow's arrays of lists, where they lie: nothing is copied but offsets.

    A sequence with a null in it is one itself.

    Raises
    ------
    UnsupportedError
        It holds no lists of numbers; errors call it by `name`.
    """
    from pyarrow import types

    n = len(array)
    if types.is_null(array.type):
        return Spans(np.zeros(0, np.float32), *np.zeros((2, n), np.int64), np.zeros(n, bool) if n else None)
    if types.is_fixed_size_list(array.type):
        size, steps = array.type.list_size, _items(array)
        starts, lengths = np.arange(n, dtype=np.int64) * size, np.full(n, size, np.int64)
    elif types.is_list(array.type) or types.is_large_list(array.type):
        offsets = array.offsets.to_numpy().astype(np.int64) if n else np.zeros(1, np.int64)
        steps = array.values.slice(offsets[0], offsets[-1] - offsets[0])
        starts, lengths = offsets[:-1] - offsets[0], np.diff(offsets)
    else:
        raise UnsupportedError(name, "a column of lists", str(array.type))
    values, missing = _steps(steps, name)
    valid = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
    if missing is not None:
        before = np.concatenate([[0], np.cumsum(missing)])
        whole = before[starts + lengths] == before[starts]
        valid = whole if valid is None else valid & whole
    return Spans(values, starts, lengths if valid is None else lengths * valid, valid)


def chunks(lengths: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Which sequences to put into one call each, padded to at most so many steps: the shortest first.

    A sequence that is longer has a call to itself.
    """
    small = lengths.max(initial=0) < 2**16  # which NumPy sorts by their digits, in one pass
    order, start = np.argsort(lengths.astype(np.uint16) if small else lengths, kind="stable"), 0
    while start < len(order):
        rows = most // max(int(lengths[order[start]]), 1) + 1
        steps = lengths[order[start : start + rows]]
        count = max(int(np.searchsorted(steps * np.arange(1, len(steps) + 1), most, side="right")), 1)
        yield order[start : start + count]
        start += count


def gather(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Sequences side by side, (T, n, ...); behind the end of a shorter one is whatever lies there, or 0.

    A view where they are of one length and lie at equal distances, as those of a fixed-size list do.
    """
    T, n = int(lengths.max(initial=0)), len(starts)
    step = int(starts[1] - starts[0]) if n > 1 else T
    if step >= 0 and (lengths == T).all() and (np.diff(starts) == step).all():
        strides = (values.strides[0], step * values.strides[0], *values.strides[1:])
        base = values[int(starts[0]) if n else 0 :]
        shape = (T, n, *values.shape[1:])
        return np.lib.stride_tricks.as_strided(base, shape, strides, writeable=False)
    at = starts + np.arange(T)[:, np.newaxis]
    return values.take(at, axis=0, mode="clip")


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


def _items(array: Any) -> Any:
    """The elements of lists of a fixed size, those of a slice alone."""
    size = array.type.list_size
    return array.values.slice(array.offset * size, len(array) * size)


def _steps(array: Any, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Numbers, or lists of F numbers, as (total,) or (total, F); and which steps are null or have nulls."""
    from pyarrow import types

    F, nulls = None, []
    if array.null_count:
        nulls.append(array.is_null().to_numpy(zero_copy_only=False))
    if types.is_list(array.type) or types.is_large_list(array.type):
        array = _of_one_size(array, name)
    if types.is_fixed_size_list(array.type):
        F, array = array.type.list_size, _items(array)
        if F and array.null_count:
            nulls.append(array.is_null().to_numpy(zero_copy_only=False).reshape(-1, F).any(axis=1))
    if F == 0:
        raise _no_sequences(name, "steps without numbers")
    if not types.is_integer(array.type) and not types.is_floating(array.type):
        raise _no_sequences(name, f"lists of {array.type}")
    values = _numbers(array)
    return (values if F is None else values.reshape(-1, F)), (np.logical_or.reduce(nulls) if nulls else None)


def _no_sequences(name: str, got: str) -> UnsupportedError:
    return UnsupportedError(name, "a column of lists of numbers, or of lists of one size of numbers", got)


def _of_one_size(array: Any, name: str) -> Any:
    """Lists that happen to have one size, as lists of a fixed size; copied where one is null alone."""
    import pyarrow

    sizes = np.diff(array.offsets.to_numpy()) if len(array) else np.ones(1, np.int64)
    F = int(sizes.max())
    if F == 0:
        raise _no_sequences(name, "steps without numbers")
    if not (sizes == F).all():
        try:
            return array.cast(pyarrow.list_(array.type.value_type, F))
        except pyarrow.ArrowInvalid as error:
            raise _no_sequences(name, f"sizes from {sizes.min()} to {F}") from error
    first = int(array.offsets[0].as_py()) if len(array) else 0
    mask = array.is_null() if array.null_count else None
    items = array.values.slice(first, len(array) * F)
    return pyarrow.FixedSizeListArray.from_arrays(items, F, mask=mask)


def _numbers(array: Any) -> np.ndarray:
    """The memory of an array of numbers, whatever stands where they are null."""
    dtype, data = np.dtype(array.type.to_pandas_dtype()), array.buffers()[1]
    if data is None or not len(array):
        return np.zeros(0, dtype)
    found = np.frombuffer(data, dtype, len(array), array.offset * dtype.itemsize)
    found.flags.writeable = False
    return found
