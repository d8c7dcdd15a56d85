# SPDX-License-Identifier: MIT
"""Columns of Arrow's record batches as sequences, and results as columns."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import ragged
from ..errors import ArgumentError, LengthsError, ShapeError, SizeError, UnsupportedError

MOST_STEPS = 2**15
"""Steps, padding included, of one call: what a small layer reads and writes for them stays in a core's cache."""
EXTRAS = {"pyarrow": "arrow", "pyspark": "spark"}
"""The extra of this project that brings a package, where it has another name."""


def package(name: str) -> Any:
    """A package that an extra brings.

    Raises
    ------
    UnsupportedError
        It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        top = name.partition(".")[0]
        extra = EXTRAS.get(top, top)
        hint = f'pip install "rnncore[{extra}]"'
        raise UnsupportedError("engine", f"the package {top}", "none", hint) from error


class Sequences:
    """The sequences of some columns of a record batch, side by side as features.

    Attributes
    ----------
    parts : list of ragged.Spans
        Of each column.
    lengths : int64 (n,)
    valid : bool (n,) or None
        Which have no null in any column; None: all.
    """

    def __init__(self, batch: Any, columns: Sequence[str]) -> None:
        self.parts: list[ragged.Spans] = [ragged.spans(column(batch, name), name) for name in columns]
        found = [part.valid for part in self.parts if part.valid is not None]
        self.valid: np.ndarray | None = np.logical_and.reduce(found) if found else None
        self.lengths: np.ndarray = self.parts[0].lengths
        for name, part in zip(columns[1:], self.parts[1:], strict=True):
            differ = part.lengths != self.lengths
            if self.valid is not None:
                differ &= self.valid
            if differ.any():
                k = int(np.argmax(differ))
                expected = f"{self.lengths[k]} steps in row {k}, as {columns[0]} has"
                raise LengthsError(name, expected, int(part.lengths[k]))
        if self.valid is not None:
            self.lengths = self.lengths * self.valid

    @property
    def features(self) -> int | None:
        """Of a step; None: one number, which is no list of features."""
        sizes = [part.values.shape[1] if part.values.ndim == 2 else None for part in self.parts]
        return sizes[0] if len(sizes) == 1 else sum(size or 1 for size in sizes)

    def calls(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Of each call its rows, which have steps, and their lengths."""
        there = np.flatnonzero(self.lengths)
        lengths = self.lengths if len(there) == len(self.lengths) else self.lengths[there]
        for some in ragged.chunks(lengths, MOST_STEPS):
            rows = some if lengths is self.lengths else there[some]
            yield rows, self.lengths[rows]

    def x(self, rows: np.ndarray, lengths: np.ndarray, dtype: np.dtype | None) -> np.ndarray:
        """Input (T, n, F) of a call in this dtype; with None numbers (T, n) of an embedding, 0 at padding.

        A view of the column's memory if there is one column of that dtype and the sequences are equally long.
        """
        found = [ragged.gather(part.values, part.starts[rows], lengths) for part in self.parts]
        if dtype is None:
            (ids,) = found
            return np.where(np.arange(len(ids))[:, np.newaxis] < lengths, ids, 0)
        found = [one if one.ndim == 3 else one[:, :, np.newaxis] for one in found]
        x = found[0] if len(found) == 1 else np.concatenate(found, axis=2)
        with np.errstate(over="ignore"):  # what is too large for the dtype is infinite in it
            return x.astype(dtype, copy=False)


def column(batch: Any, name: str) -> Any:
    """A column by its name.

    Raises
    ------
    ArgumentError
        There is none, or there are several.
    """
    places = batch.schema.get_all_field_indices(name)
    if len(places) != 1:
        known = ", ".join(batch.schema.names) or "no columns"
        raise ArgumentError("columns", f"one of {known}, which stands there once", name)
    array = batch.column(places[0])
    return _lists(array, name) if hasattr(array, "storage") else array


def _lists(tensors: Any, name: str) -> Any:
    """An array of an extension type, such as Ray's and Arrow's tensors, as lists of steps where its numbers lie."""
    import pyarrow

    kind, lists, shape = tensors.type, tensors.storage, getattr(tensors.type, "shape", ())
    if not shape:  # somebody's own, told by what it is made of
        return lists
    if len(shape) > 2 or list(getattr(kind, "permutation", None) or ()) == [1, 0]:
        raise UnsupportedError(name, "tensors of shape (T,) or (T, F)", str(kind))
    missing, F = (lists.is_null() if lists.null_count else None), shape[-1]
    if pyarrow.types.is_struct(lists.type):  # Ray's of various shapes, each beside its numbers
        sizes = np.unique(
            lists.field("shape").flatten().to_numpy(zero_copy_only=False)[len(shape) - 1 :: len(shape)]
        )
        if len(shape) == 2 and len(sizes) > 1:
            raise ShapeError(name, "one number of features", f"from {sizes[0]} to {sizes[-1]}")
        lists, F = lists.field("data"), int(sizes[0]) if len(sizes) else 1
    if pyarrow.types.is_fixed_size_list(lists.type):
        offsets = (lists.offset + np.arange(len(lists) + 1)) * lists.type.list_size
    else:
        offsets = lists.offsets.to_numpy() if len(lists) else np.zeros(1, np.int64)
    items = lists.values
    if len(shape) == 2:
        if F < 1:
            raise ShapeError(name, "at least one feature", F)
        items, offsets = pyarrow.FixedSizeListArray.from_arrays(items, F), offsets // F
    return pyarrow.LargeListArray.from_arrays(pyarrow.array(offsets, pyarrow.int64()), items, mask=missing)


def result_type(dtype: np.dtype, size: int, steps: bool) -> Any:
    """The type of a column of results: numbers, or lists of `size` of them; of all steps a list of these."""
    import pyarrow

    number = pyarrow.from_numpy_dtype(dtype)
    one = number if size == 1 else pyarrow.list_(number, size)
    return pyarrow.list_(one) if steps else one


def result(values: np.ndarray, valid: np.ndarray | None, lengths: np.ndarray | None) -> Any:
    """A column of results, in the memory of `values`.

    Parameters
    ----------
    values : (m, size)
        A row for each sequence, or for each step of all.
    valid : bool (n,) or None
        Which results are there; None: all.
    lengths : int64 (n,) or None
        Steps of each sequence; None: the results have none.
    """
    import pyarrow

    (m, size), n = values.shape, len(values) if lengths is None else len(lengths)
    kind = result_type(values.dtype, size, lengths is not None)
    bits = None if valid is None else pyarrow.py_buffer(np.packbits(valid, bitorder="little"))
    data = pyarrow.py_buffer(np.ascontiguousarray(values))
    number = kind.value_type if lengths is not None else kind
    top = bits if lengths is None else None
    if size == 1:
        items = pyarrow.Array.from_buffers(number, m, [top, data])
    else:
        flat = pyarrow.Array.from_buffers(number.value_type, m * size, [None, data])
        items = pyarrow.Array.from_buffers(number, m, [top], children=[flat])
    if lengths is None:
        return items
    if m > np.iinfo(np.int32).max:
        raise SizeError("batch", "at most 2**31 - 1 steps", m, "hand over fewer rows at a time")
    offsets = np.zeros(n + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pyarrow.Array.from_buffers(kind, n, [bits, pyarrow.py_buffer(offsets)], children=[items])


def check_features(columns: Sequence[str], wanted: int | None, found: int | None) -> None:
    """ShapeError unless the columns hold as many features a step as the model reads; None: an embedding's numbers."""
    if (found or 1) != (wanted or 1) or (wanted is None and found is not None):
        expected = f"{wanted} features a step" if wanted else "one integer a step"
        raise ShapeError(", ".join(columns), expected, "one number" if found is None else found)
