# SPDX-License-Identifier: MIT
"""Windows: how a series becomes samples, and how a model's results become forecasts of the series."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..engine import sums
from ..errors import ArgumentError, DTypeError, ShapeError, shown
from ..nn.batches import Supervised
from ..spec import checks
from .groups_table import arrow, check_columns, names_of

SMALL = 1e-6
"""A window whose values differ by less than this share of their mean is taken for constant."""


@dataclasses.dataclass(frozen=True)
class Windows:
    """Windows of a series and the values after them.

    Parameters
    ----------
    columns : str or list of str
        The series first, then other columns that the model reads.
    context : int
        Rows of a window.
    horizon : int
        Values after it, which are the model's outputs.
    holdout : int
        So many rows at the end are kept for validation: their values are no targets of training. At least `horizon`.
    scale : bool
        Take each window's mean from it and divide by its standard deviation, which forecasts undo. No number of the
        series outlives its window, so a model fits series of any level.
    dtype : {"float32", "float64"}
        That of the model.

    Raises
    ------
    ArgumentError, DTypeError

    Notes
    -----
    Called with a group's rows it gives ``(x, target)`` of shapes (n, context, columns) and (n, horizon), and with
    `holdout` a third, such a pair for validation. What cannot be used is an error: too few rows, nulls, NaN, text.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from rnncore.cluster import Windows
    >>> x, target = Windows("y", context=3, horizon=2, scale=False)(pa.table({"y": [1.0, 2, 3, 4, 5, 6]}))
    >>> x[..., 0].tolist(), target.tolist()
    ([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]], [[4.0, 5.0], [5.0, 6.0]])
    """

    columns: str | Sequence[str] = "y"
    context: int = 24
    horizon: int = 1
    holdout: int = 0
    scale: bool = True
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if not names_of("columns", self.columns):
            raise ArgumentError("columns", "at least one name", shown(self.columns))
        checks.check_int("context", self.context, 1)
        checks.check_int("horizon", self.horizon, 1)
        if 0 < checks.check_int("holdout", self.holdout, 0) < self.horizon:
            raise ArgumentError("holdout", f"0, or at least the horizon, {self.horizon}", shown(self.holdout))
        checks.check_bool("scale", self.scale)
        checks.check_dtype("dtype", self.dtype)

    def __call__(self, group: Any) -> tuple[Any, ...]:
        """Samples of a group; see the notes of the class.

        Parameters
        ----------
        group : pyarrow.Table
            Its rows, in the order of time.

        Raises
        ------
        ArgumentError, DTypeError
        """
        values = self._values(group)
        needed = self.context + self.horizon + self.holdout
        if len(values) < needed:
            raise ArgumentError(
                "group", f"at least {needed} rows", f"{len(values)}", "the series is too short"
            )
        n = len(values) - self.context - self.horizon + 1
        x, mean, scale = self._inputs(values, range(n))
        target = values[self.context + np.arange(n)[:, np.newaxis] + np.arange(self.horizon), 0]
        target = ((target - mean) / scale).astype(self.dtype)
        if not self.holdout:
            return x, target
        # Targets of training end where the rows to be judged begin.
        trained, judged = n - self.holdout, n - (self.holdout - self.horizon + 1)
        return x[:trained], target[:trained], (x[judged:], target[judged:])

    def predict(self, model: Any, group: Any) -> np.ndarray:
        """The values after a group's last row.

        Parameters
        ----------
        model : Module or recurrent layer
        group : pyarrow.Table

        Returns
        -------
        float64 (1, horizon)

        Raises
        ------
        ArgumentError, DTypeError, ShapeError
        """
        return self._forecasts(model, self._values(group), last=True)

    def predict_each(self, model: Any, group: Any) -> np.ndarray:
        """The values after each row of a group, of which the model has seen that row and what is before it.

        Parameters
        ----------
        model : Module or recurrent layer
        group : pyarrow.Table

        Returns
        -------
        float64 (rows, horizon)
            NaN where fewer than `context` rows are there.

        Raises
        ------
        ArgumentError, DTypeError, ShapeError
        """
        values = self._values(group)
        found = np.full((len(values), self.horizon), np.nan)
        found[self.context - 1 :] = self._forecasts(model, values, last=False)
        return found

    def _forecasts(self, model: Any, values: np.ndarray, last: bool) -> np.ndarray:
        n = len(values) - self.context + 1
        if n < 1:
            raise ArgumentError("group", f"at least {self.context} rows", f"{len(values)}", "it is too short")
        x, mean, scale = self._inputs(values, range(n - 1, n) if last else range(n))
        y = Supervised(model, None).outputs(x)
        if y.shape != (len(x), self.horizon):
            hint = "return_sequences=False gives one row a window"
            raise ShapeError("model", f"outputs of shape {(len(x), self.horizon)}", str(y.shape), hint)
        return y.astype(np.float64) * scale + mean

    def _values(self, group: Any) -> np.ndarray:
        """The columns as finite float64 numbers (rows, columns)."""
        names = names_of("columns", self.columns)
        check_columns("columns", names, group.schema)
        types, values = arrow().types, np.empty((len(group), len(names)))
        for k, name in enumerate(names):
            column = group[name]
            numbers = types.is_floating(column.type) or types.is_integer(column.type)
            if not numbers and not types.is_boolean(column.type):
                raise DTypeError(name, "a column of numbers", str(column.type))
            # What is null here is NaN in a frame of pandas: both are NaN, and one error.
            values[:, k] = (
                column if types.is_floating(column.type) else column.cast("float64", False)
            ).to_numpy()
        if not np.isfinite(values).all():
            row, k = np.argwhere(~np.isfinite(values))[0]
            raise ArgumentError(names[k], "finite numbers", f"{values[row, k]} in row {row} of the group")
        return values

    def _inputs(self, values: np.ndarray, which: range) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Some windows (n, context, columns), and mean and scale (n, 1) of the series in each."""
        rows = np.arange(which.start, which.stop)[:, np.newaxis] + np.arange(self.context)
        windows = np.ascontiguousarray(values.T)[:, rows]  # (columns, n, context)
        if not self.scale:
            zeros = np.zeros((len(which), 1))
            return self._laid(windows), zeros, zeros + 1
        # Sums of the core: a window has the same bits alone and beside others, on every machine.
        mean = sums.dot_rows(windows) / self.context
        apart = windows - mean
        scale = np.sqrt(sums.dot_rows(apart, apart) / self.context)
        if not np.isfinite(scale).all():
            raise ArgumentError("group", "values whose squares are finite", f"{np.abs(values).max()}")
        scale = np.where(scale > SMALL * np.abs(mean), scale, 1.0)
        return self._laid(apart / scale), mean[0], scale[0]

    def _laid(self, windows: np.ndarray) -> np.ndarray:
        """(columns, n, context) as (n, context, columns)."""
        return np.ascontiguousarray(windows.transpose(1, 2, 0), self.dtype)
