# SPDX-License-Identifier: MIT
"""What users hand over as X, read once: all values one after the other, and the lengths of the sequences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array, validate_data

from .. import ragged
from ..errors import ShapeError

CHUNK = 2**16
"""Steps, padding included, of one call for inference: its arrays stay within some tens of megabytes."""


class Sequences:
    """Sequences one after the other.

    Attributes
    ----------
    values : (total, F)
    lengths : int64 (n,), each at least 1
    """

    def __init__(self, values: np.ndarray, lengths: np.ndarray) -> None:
        self.values: np.ndarray = values
        self.lengths: np.ndarray = lengths
        self.starts: np.ndarray = np.cumsum(lengths) - lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def some(self, rows: np.ndarray) -> Sequences:
        """Some of the sequences, in this order."""
        lengths = self.lengths[rows]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return Sequences(self.values[np.repeat(self.starts[rows], lengths) + within], lengths)

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x (T, n, F) and lengths (n,) of some sequences. Padding holds what lies behind; layers do not read it."""
        lengths = self.lengths[rows]
        return ragged.gather(self.values, self.starts[rows], lengths), lengths

    def chunks(self) -> Iterator[np.ndarray]:
        """The rows of one call each: the shortest first, so that little is padded."""
        return ragged.chunks(self.lengths, CHUNK)


def _listed(X: Any) -> list[Any] | None:
    """Sequences that come one by one, as a list; None for a table or an array."""
    if _holds_objects(X):
        X = list(X)
    if not isinstance(X, (list, tuple)) or not len(X):
        return None
    first = X[0]
    nested = isinstance(first, (list, tuple)) and len(first) > 0 and isinstance(first[0], (list, tuple))
    return list(X) if nested or (hasattr(first, "__array__") and _rank(first) > 0) else None


def _holds_objects(X: Any) -> bool:
    """Whether X is an array or a Series (n,) of Python's objects, which may be arrays."""
    return len(getattr(X, "shape", ())) == 1 and str(getattr(X, "dtype", "")) == "object"


def _is_column(X: Any) -> bool:
    """Whether X is a column of Arrow's, such as those of polars, pyarrow and pandas; its elements should be lists."""
    arrow = hasattr(X, "__arrow_c_stream__") or hasattr(X, "__arrow_c_array__")
    return arrow and len(getattr(X, "shape", ())) < 2 and not _holds_objects(X)


def _of_column(X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Values (total, F) and lengths of a list column, in its memory."""
    values, lengths = ragged.from_arrow(X)
    if not lengths.all():
        raise ShapeError(f"X[{int(np.argmin(lengths))}]", "at least 1 step", "0")
    return values.reshape(len(values), -1), lengths


def _rank(X: Any) -> int:
    """Dimensions of what is an array or becomes one."""
    return X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim


def _joined(rows: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Values (total, F) and lengths of sequences (T_i, F), or (T_i,) for one feature."""
    arrays = [np.asarray(row) for row in rows]
    arrays = [array[:, np.newaxis] if array.ndim == 1 else array for array in arrays]
    F = arrays[0].shape[-1]
    for k, array in enumerate(arrays):
        if array.ndim != 2 or array.shape[1] != F or not len(array):
            raise ShapeError(f"X[{k}]", f"shape (T, {F}) with T >= 1", str(np.shape(rows[k])))
    return np.concatenate(arrays), np.array([len(array) for array in arrays], np.int64)


def read(estimator: Any, X: Any, *, reset: bool, dtype: Any) -> Sequences:
    """X checked, and described by `n_features_in_`: T of a table (n, T), of everything else the features of a step.

    Parameters
    ----------
    estimator : BaseEstimator
        Learns what X is like if `reset`; else X must be like that of the fit.
    X : array (n, T) or (n, T, F), list of arrays (T_i, F) or (T_i,), or list column
    reset : bool
    dtype : dtype or list of them
        As for scikit-learn's `check_array`.

    Raises
    ------
    ValueError, TypeError
    """
    rows = _listed(X)
    if rows is not None:
        values, lengths = _joined(rows)
    elif _is_column(X):
        values, lengths = _of_column(X)
    elif _rank(X) == 3:
        values, lengths = _steps(np.asarray(X))
    else:
        return _read_table(estimator, X, reset, dtype)
    values = check_array(values, dtype=dtype, order="C", input_name="X")
    if reset:
        estimator.n_features_in_ = estimator._step_features = values.shape[1]
        estimator._is_table = False
        vars(estimator).pop("feature_names_in_", None)
    _check_features(estimator, values.shape[1])
    return Sequences(values, lengths)


def like(X: Any, data: Sequences) -> Any:
    """The sequences as X is: one array, or a list of them; without the axis of features if X has none."""
    rows = ragged.rows(*ragged.from_arrow(X)) if _is_column(X) else _listed(X)
    if rows is not None:
        parts = ragged.rows(data.values, data.lengths)
        return [part[:, 0] if _rank(row) == 1 else part for part, row in zip(parts, rows, strict=True)]
    features = () if _rank(X) == 2 else data.values.shape[1:]
    return data.values.reshape(len(data), -1, *features)


def _steps(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (total, F) and lengths of an array (n, T, F)."""
    n, T, F = array.shape
    if not n * T:
        raise ShapeError("X", "shape (n, T, F) with at least 1 sample of 1 step", str(array.shape))
    return array.reshape(n * T, F), np.full(n, T, np.int64)


def _read_table(estimator: Any, X: Any, reset: bool, dtype: Any) -> Sequences:
    """Sequences of one feature that are the rows of a table, which has the columns of the fit's."""
    if reset or estimator._is_table:
        table = validate_data(estimator, X, reset=reset, dtype=dtype, order="C")
    else:
        table = check_array(X, dtype=dtype, order="C", input_name="X")
    if reset:
        estimator._step_features, estimator._is_table = 1, True
    _check_features(estimator, 1)
    return Sequences(table.reshape(-1, 1), np.full(len(table), table.shape[1], np.int64))


def _check_features(estimator: Any, F: int) -> None:
    if estimator._step_features != F:
        raise ShapeError("X", f"{estimator._step_features} features a step, as in fit", str(F))
