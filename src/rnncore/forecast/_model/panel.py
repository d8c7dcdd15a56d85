# SPDX-License-Identifier: MIT
"""Series as the network sees them: one or several, laid end to end, each with rows for what is still to come.

A row is a step in time. An *origin* is the row of the first value to forecast: what lies before it is known.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...errors import ArgumentError, DTypeError, ShapeError


@dataclass(frozen=True)
class Line:
    """One series: `values` (n,) with NaN where one is missing; for n and the steps to come `known` (n + ahead, K)
    and `codes` (n + ahead, number of tables); `past` (n, W) is known up to now only."""

    values: np.ndarray
    known: np.ndarray
    past: np.ndarray
    codes: np.ndarray


@dataclass(frozen=True)
class Panel:
    """Lines end to end; each array has a row for every step of every line, `ahead` more after each line.

    Attributes
    ----------
    values : float64 (R,)
        A missing value, and every value to come, repeats the last one before it.
    seen : bool (R,)
        Whether the value was there.
    known : float32 (R, K)
    past : float32 (R, W)
    codes : int32 (R, number of tables)
    starts, counts : int (S,)
        First row and number of values of each line.
    which : int (R,)
        Line of each row.
    ahead : int
    """

    values: np.ndarray
    seen: np.ndarray
    known: np.ndarray
    past: np.ndarray
    codes: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    which: np.ndarray = field(repr=False)
    ahead: int

    @classmethod
    def of(cls, lines, ahead):
        """Lay `lines` end to end with `ahead` rows after each."""
        counts = np.array([len(line.values) for line in lines])
        blocks = counts + ahead
        values, seen = zip(*(_carried(line.values, ahead) for line in lines), strict=True)
        stacked = {
            name: np.concatenate([_padded(getattr(line, name), len(line.values) + ahead) for line in lines])
            for name in ("known", "past", "codes")
        }
        return cls(
            np.concatenate(values),
            np.concatenate(seen),
            **stacked,
            starts=np.concatenate([[0], np.cumsum(blocks)[:-1]]),
            counts=counts,
            which=np.repeat(np.arange(len(lines)), blocks),
            ahead=ahead,
        )

    @property
    def ends(self):
        """The origin after the last value of each line, (S,)."""
        return self.starts + self.counts

    def place(self, rows):
        """How far into its line each row lies, 0 at the start and 1 at the end."""
        which = self.which[rows]
        return (rows - self.starts[which]) / self.counts[which]

    def origins(self, first, horizon):
        """All origins with `first` rows before them and `horizon` values from them on."""
        spans = [
            np.arange(start + first, start + count - horizon + 1)
            for start, count in zip(self.starts, self.counts, strict=True)
        ]
        return np.concatenate(spans)


def _carried(values, ahead):
    """(values, seen) with gaps and the rows to come filled by the last value before them."""
    seen = np.concatenate([np.isfinite(values), np.zeros(ahead, bool)])
    last = np.maximum.accumulate(np.where(seen, np.arange(len(seen)), np.argmax(seen)))
    return values[np.minimum(last, len(values) - 1)], seen


def _padded(array, rows):
    """`array` with its last row repeated, or rows cut away, to have `rows` of them."""
    missing = rows - len(array)
    return np.pad(array, ((0, max(missing, 0)), (0, 0)), mode="edge")[:rows]


def check_values(values, name="series"):
    """Return one series as float64 (n,); NaN stands for a missing value.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        Not one-dimensional, not real numbers, or a value is infinite (its index is named).
    """
    values = np.asarray(values)
    if values.dtype.kind not in "iuf":
        raise DTypeError(name, "real numbers", str(values.dtype))
    if values.ndim != 1:
        raise ShapeError(name, "one dimension", str(values.shape))
    if not len(values):
        raise ArgumentError(name, "values", "none")
    values = values.astype(np.float64)
    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        raise ArgumentError(name, "finite numbers", f"{values[infinite[0]]} at index {infinite[0]}")
    if 2 * np.isnan(values).sum() > len(values):
        raise ArgumentError(name, "mostly numbers", f"{np.isnan(values).sum()} NaN of {len(values)}")
    return values


def check_table(table, name, rows):
    """Return covariates as float32 (rows or more, K) without NaN.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
    """
    if table is None:
        return np.zeros((rows, 0), np.float32)
    table = np.asarray(table)
    if table.dtype.kind not in "biuf":
        raise DTypeError(name, "real numbers", str(table.dtype))
    table = table[:, np.newaxis] if table.ndim == 1 else table
    if table.ndim != 2 or len(table) < rows:
        raise ShapeError(name, f"({rows} or more, K)", str(table.shape))
    if not np.isfinite(table).all():
        raise ArgumentError(name, "finite numbers", "NaN or infinite ones", "fill the gaps first")
    return table.astype(np.float32)
