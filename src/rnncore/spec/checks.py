# SPDX-License-Identifier: MIT
"""Checks of numbers, dtypes and arrays that know nothing of layers."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import (
    ArgumentError,
    DTypeError,
    MemoryExhaustedError,
    OverlapError,
    ShapeError,
    SizeError,
    UnsupportedError,
    shown,
)
from .overlap import folds, overlaps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .types import DTypes

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
INT64_MAX = 2**63 - 1


def check_type(field: str, value: Any, kind: type | tuple[type, ...], expected: str) -> None:
    """ArgumentError unless `value` is an instance of `kind`, which the message calls `expected`."""
    if not isinstance(value, kind):
        raise ArgumentError(field, expected, shown(value))


def check_int(field: str, value: Any, minimum: int) -> int:
    """An int or NumPy integer >= `minimum`, as int; ArgumentError for bool, float, NaN and the rest."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ArgumentError(
            field, f"an integer >= {minimum}", f"{shown(value)} of type {type(value).__name__}"
        )
    if value < minimum:
        raise ArgumentError(field, f"an integer >= {minimum}", value)
    if value > INT64_MAX:
        raise SizeError(field, "an integer that fits 63 bits", value)
    return int(value)


def check_bool(field: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise ArgumentError(field, "True or False", shown(value))
    return bool(value)


def check_choice(field: str, value: Any, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise ArgumentError(field, "one of " + ", ".join(map(repr, choices)), repr(value))


def check_probability(field: str, value: Any) -> float:
    if type(value) is float and 0 <= value < 1:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ArgumentError(field, "a number p, 0 <= p < 1", shown(value))
    if not 0 <= value < 1:  # NaN fails here
        raise ArgumentError(field, "a number p, 0 <= p < 1", value)
    return float(value)


def finite(value: Any) -> float | None:
    """A number as a finite float, or None if it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return None
    try:
        value = float(value)
    except OverflowError:  # an int beyond the floats
        return None
    return value if math.isfinite(value) else None


def check_positive(field: str, value: Any) -> float:
    number = finite(value)
    if number is None or number <= 0:
        raise ArgumentError(field, "None or a finite number > 0", shown(value))
    return number


def check_dtype(field: str, value: Any) -> np.dtype[Any]:
    """The numpy.dtype float32 or float64 named by `value`; DTypeError for any other."""
    try:
        dtype = np.dtype(value)
    except (TypeError, ValueError):
        dtype = None
    # np.dtype(None) is float64, and a dtype even equals None: neither may pass for a choice.
    if value is None or dtype is None or dtype not in DTYPES:
        raise DTypeError(field, "float32 or float64", shown(value))
    return dtype


def as_array(field: str, value: Any, dtypes: DTypes) -> np.ndarray:
    """`value` as an array of one of `dtypes`, without casting.

    Raises
    ------
    DTypeError
        Another element type (byte order counts).
    ShapeError
        A nested list whose rows differ in length.
    UnsupportedError
        What is more than an array, and would lose that: one with a mask, a packed sequence, a tensor that records
        gradients; or what NumPy cannot read.
    """
    listed = isinstance(value, (list, tuple))
    if type(value) is not np.ndarray:
        value = read_array(field, value)
    if value.dtype not in dtypes:
        hint = ""
        if value.dtype.kind in "biufc":
            hint = f"np.array(..., '{dtypes[0]}')" if listed else f"use astype('{dtypes[0]}')"
        got = f"a list of {value.dtype}" if listed else value.dtype
        raise DTypeError(field, "dtype " + " or ".join(map(str, dtypes)), got, hint)
    return value


def numbers(field: str, value: Any, dtype: type | None = None) -> np.ndarray:
    """Real numbers or booleans of any dtype, as an array; of this dtype, if one is asked for.

    Raises
    ------
    DTypeError, ShapeError, UnsupportedError
    """
    array = value if type(value) is np.ndarray else read_array(field, value)
    if array.dtype.kind not in "biuf":
        raise DTypeError(field, "real numbers", array.dtype)
    if dtype is None or array.dtype == dtype:
        return array
    with claiming(field, array.shape):
        return array.astype(dtype)


@contextlib.contextmanager
def claiming(field: str, shape: tuple[int, ...]) -> Iterator[None]:
    """Context of making float64 arrays of this shape.

    Raises
    ------
    SizeError, MemoryExhaustedError
        In place of NumPy's errors.
    """
    if math.prod(shape) * 8 > INT64_MAX:
        raise SizeError(field, "sizes whose array fits 2**63 - 1 bytes", shape_text(shape))
    try:
        yield
    except MemoryError as error:
        raise MemoryExhaustedError(field, f"memory for shape {shape_text(shape)}", "less") from error


def read_array(field: str, value: Any) -> np.ndarray:
    """Somebody else's array as a NumPy array; its memory, where it has some that NumPy can see."""
    kind = type(value).__name__
    if isinstance(value, np.ma.MaskedArray):
        raise UnsupportedError(field, "an array without mask", "a masked array", "use lengths")
    if kind == "PackedSequence":
        hint = "pad_packed_sequence gives the array and lengths="
        raise UnsupportedError(field, "a padded array", "a packed sequence", hint)
    if getattr(value, "requires_grad", False):
        hint = "rnncore.torch has layers whose calls PyTorch sees; else .detach().numpy(), and the layer's backward()"
        raise UnsupportedError(field, "an array without gradient", f"a {kind} that requires grad", hint)
    try:
        # NumPy looks for __array__ and for buffers by itself, for DLPack only when it is told to.
        by_dlpack = hasattr(value, "__dlpack__") and not hasattr(value, "__array__")
        return np.from_dlpack(value) if by_dlpack else np.asarray(value)
    except ValueError as error:
        hint = "pad the rows and give lengths=" if field == "x" else ""
        raise ShapeError(field, "a rectangular array", "rows of unequal length", hint) from error
    except (
        TypeError,
        RuntimeError,
        BufferError,
    ) as error:  # a tensor on another device, or of a type that NumPy does not have
        said = str(error).partition("\n")[0][:120]
        raise UnsupportedError(field, "what NumPy can read", f"a {kind}: {said}") from error


def shape_text(dims: tuple[int, ...]) -> str:
    return "(" + ", ".join(map(str, dims)) + ("," if len(dims) == 1 else "") + ")"


def _transposed(expected, got):
    return "transposed?" if len(got) > 1 and got == expected[::-1] else ""


def check_shape(field: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """ShapeError unless `array` has exactly this shape."""
    if array.shape != shape:
        got = array.shape
        raise ShapeError(field, f"shape {shape_text(shape)}", shape_text(got), _transposed(shape, got))


def check_out(
    out: Any, shape: tuple[int, ...], dtype: np.dtype[Any], inputs: Iterable[np.ndarray | None]
) -> np.ndarray:
    """Check an array that receives results.

    Parameters
    ----------
    out : numpy.ndarray
        Writeable, exactly `shape` and `dtype`, any strides.
    shape : tuple of int
    dtype : numpy.dtype
    inputs : iterable of (numpy.ndarray or None)
        What is read while `out` is written.

    Raises
    ------
    ArgumentError, DTypeError, ShapeError
    OverlapError
        `out` shares an element with an input, or two of its own elements may be one.
    """
    if not isinstance(out, np.ndarray):
        raise ArgumentError("out", "a numpy.ndarray", type(out).__name__)
    as_array("out", out, (dtype,))
    check_shape("out", out, shape)
    if not out.flags.writeable:
        raise ArgumentError("out", "a writeable array", "a read-only one")
    if not out.flags.forc and folds(out):
        raise OverlapError("out", "elements apart in memory", f"strides {out.strides}")
    for array in inputs:
        if array is not None and overlaps(out, array):
            raise OverlapError("out", "memory apart from the inputs", "shared memory")
    return out
