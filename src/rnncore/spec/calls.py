# SPDX-License-Identifier: MIT
"""Checks of what a caller hands to a layer, a stream or a tape, against the layer's `Spec`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, DTypeError, LengthsError, ShapeError, SizeError, shown
from . import checks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .architecture import Spec
    from .types import ArrayLike, Checkpoint, DTypes, Lengths, Parts


def check_x(spec: Spec, x: Any) -> tuple[np.ndarray, int, int, bool]:
    """Check the input of a call.

    Parameters
    ----------
    spec : Spec
    x : array_like of spec.dtype
        (T, N, I), with batch_first (N, T, I), or unbatched (T, I).  T and N may be 0.

    Returns
    -------
    x : numpy.ndarray
        As given; not copied, any strides.
    T, N : int
    batched : bool
        False if `x` is 2-D; N is 1 then.

    Raises
    ------
    ShapeError, DTypeError, SizeError, UnsupportedError
    """
    x = checks.as_array("x", x, (spec.dtype,))
    shape = x.shape
    batched = len(shape) == 3
    if not (batched or len(shape) == 2) or shape[-1] != spec.input_size:
        layout = "(N, T, {0})" if spec.batch_first else "(T, N, {0})"
        hint = _rank_hint(spec, shape)
        expected = f"shape {layout} or (T, {{0}})".format(spec.input_size)
        raise ShapeError("x", expected, checks.shape_text(shape), hint)
    if not batched:
        T, N = shape[0], 1
    elif spec.batch_first:
        N, T = shape[0], shape[1]
    else:
        T, N = shape[0], shape[1]
    if T * N * spec.token_bytes > checks.INT64_MAX:
        raise SizeError("x", "a shape whose buffers fit 2**63 - 1 bytes", checks.shape_text(shape))
    return x, T, N, batched


def _rank_hint(spec, shape):
    """What may be meant by an input of a wrong shape."""
    if len(shape) == 1 and shape == (spec.input_size,):
        return "one step? x[np.newaxis], or step of a stream"
    if len(shape) in (1, 2) and spec.input_size == 1:
        return "one feature? x[..., np.newaxis]"
    return "transposed?" if len(shape) in (2, 3) and spec.input_size in shape[:-1] else ""


def check_state(
    spec: Spec,
    state: Any,
    N: int,
    batched: bool,
    field: str = "state",
    dtypes: DTypes | None = None,
    partial: bool = False,
) -> Parts:
    """Check an initial state or a gradient of the final state.

    Parameters
    ----------
    spec : Spec
    state : None, array h, or for LSTM a pair (h, c)
        h (L*D, N, H or P) and c (L*D, N, H); without the N axis if not `batched`.
    N : int
    batched : bool
    field : str
        Name for messages; "state" or "dstate".
    dtypes : tuple of numpy.dtype, optional
        Accepted element types; default `spec.dtype` alone.
    partial : bool
        Whether parts of a pair may be None (gradients: zero).

    Returns
    -------
    tuple
        One entry per part, (h,) or (h, c): a 3-D array or view of the caller's memory, or None.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError, UnsupportedError
    """
    if state is None:
        return (None,) * len(spec.table.state)
    shapes = spec.state_shapes(N)
    if len(shapes) == 1:
        if isinstance(state, tuple):
            raise ArgumentError(field, "one array h", f"a tuple of {len(state)}")
        state, names = (state,), (field,)
    else:
        if not isinstance(state, (tuple, list)) or len(state) != 2:
            size = f" of {len(state)}" if isinstance(state, (tuple, list)) else ""
            raise ArgumentError(field, "a pair (h, c)", type(state).__name__ + size)
        names = (f"{field}[0]", f"{field}[1]")
    dtypes = dtypes or (spec.dtype,)
    parts = []
    for name, part, shape in zip(names, state, shapes, strict=True):
        if part is None and partial:
            parts.append(None)
            continue
        part = checks.as_array(name, part, dtypes)
        checks.check_shape(name, part, shape if batched else (shape[0], shape[2]))
        parts.append(part if batched else part[:, np.newaxis])
    return tuple(parts)


def check_lengths(lengths: Lengths, T: int, N: int) -> np.ndarray | None:
    """Check the lengths of a ragged batch.

    Parameters
    ----------
    lengths : None or array_like of int, (N,)
        Valid steps of each row, 0..T; any integer dtype, not bool.
    T, N : int

    Returns
    -------
    None or numpy.ndarray of int64, (N,), contiguous

    Raises
    ------
    DTypeError, ShapeError, LengthsError
    """
    if lengths is None:
        return None
    array = checks.read_array("lengths", lengths)
    if array.dtype.kind not in "iu":
        raise DTypeError("lengths", "an integer dtype", array.dtype)
    checks.check_shape("lengths", array, (N,))
    values = np.array(array, dtype=np.int64, order="C")  # a copy: nobody may change it during the call
    # Read as unsigned, a negative length is a huge one: one reduction checks both ends.
    if N and values.view(np.uint64).max() > T:
        row = int(np.argmax(values.view(np.uint64) > T))
        raise LengthsError("lengths", f"values 0..{T}", f"{array[row]} at row {row}")
    return values


def check_batch_size(spec: Spec, chunk: np.ndarray, N: int, batch_size: int) -> None:
    """ShapeError unless a checked chunk has the N rows of its stream."""
    if batch_size != N:
        layout = "({1}, T, {0})" if spec.batch_first else "(T, {1}, {0})"
        raise ShapeError(
            "x", "shape " + layout.format(spec.input_size, batch_size), checks.shape_text(chunk.shape)
        )


def check_rows(rows: ArrayLike, N: int) -> np.ndarray:
    """Rows of a stream of `N` rows as int64 (n,), n >= 1: each of 0..N-1 at most once, -1 any number of times.

    Raises
    ------
    DTypeError, ShapeError, ArgumentError
    """
    array = checks.read_array("rows", rows)
    if array.dtype.kind not in "iu":
        raise DTypeError("rows", "an integer dtype", array.dtype)
    if array.ndim != 1 or not len(array):
        raise ShapeError("rows", "shape (n,) with n >= 1", checks.shape_text(array.shape))
    kept = array[array != -1]
    if np.any((kept < 0) | (kept >= N)):
        raise ArgumentError("rows", f"-1 or 0..{N - 1}", array.tolist())
    if len(np.unique(kept)) != len(kept):
        raise ArgumentError("rows", "each row at most once", array.tolist())
    return np.ascontiguousarray(array, dtype=np.int64)


def check_step(spec: Spec, x: Any, N: int) -> tuple[np.ndarray, bool]:
    """Check one sample per stream.

    Parameters
    ----------
    x : array_like of spec.dtype, (N, I), with N = 1 also (I,)

    Returns
    -------
    x : numpy.ndarray
    batched : bool
    """
    x = checks.as_array("x", x, (spec.dtype,))
    shape = x.shape
    if shape == (N, spec.input_size):
        return x, True
    if N == 1 and shape == (spec.input_size,):
        return x, False
    expected = f"shape ({N}, {spec.input_size})" + (f" or ({spec.input_size},)" if N == 1 else "")
    raise ShapeError("x", expected, checks.shape_text(shape))


def check_parameters(spec: Spec, values: Mapping[str, Any], partial: bool = False) -> dict[str, np.ndarray]:
    """`check_named` with the parameters of a layer."""
    return check_named(spec.parameter_shapes(), spec.dtype, values, partial)


def check_named(
    shapes: Mapping[str, tuple[int, ...]],
    dtype: np.dtype[Any],
    values: Mapping[str, Any],
    partial: bool = False,
) -> dict[str, np.ndarray]:
    """Check named arrays; all are checked before any may be used.

    Parameters
    ----------
    shapes : dict of str to tuple of int
    dtype : numpy.dtype
    values : mapping of str to array_like of dtype
    partial : bool
        Whether names may be missing.

    Returns
    -------
    dict of str to numpy.ndarray
        In the order of `shapes`.

    Raises
    ------
    ArgumentError
        Not a mapping; a name unknown or missing (`.field` is that name).
    ShapeError, DTypeError, UnsupportedError
    """
    if not hasattr(values, "keys"):
        raise ArgumentError("parameters", "a mapping of names to arrays", type(values).__name__)
    for name in values:
        if name not in shapes:
            raise ArgumentError(str(name), "one of " + ", ".join(shapes), "an unknown name")
    checked = {}
    for name, shape in shapes.items():
        if name in values:
            checked[name] = checks.as_array(name, values[name], (dtype,))
            checks.check_shape(name, checked[name], shape)
        elif not partial:
            raise ArgumentError(name, f"shape {checks.shape_text(shape)}", "nothing", "missing")
    return checked


def check_checkpoint(value: Checkpoint, T: int) -> int:
    """How many segments of steps a tape's gates are computed again in; 0: none, they are recorded."""
    if value is None:
        return 0
    if isinstance(value, str) and value == "gates":
        return max(1, math.isqrt(T))
    segments = checks.check_int("checkpoint", value, 1)
    if segments > max(1, T):
        raise ArgumentError("checkpoint", f"None, 'gates' or an int in 1..T = {T}", shown(value))
    return segments


def check_num_threads(value: int | None) -> int | None:
    """None or an int >= 1; ArgumentError otherwise."""
    return None if value is None else checks.check_int("num_threads", value, 1)
