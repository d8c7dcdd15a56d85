# SPDX-License-Identifier: MIT
"""What users hand to a `Forecaster` (arrays, pandas objects, lists of them) as `Line`s."""

from __future__ import annotations

import numpy as np

from ...errors import ArgumentError
from . import calendars
from .panel import Line, check_table, check_values


def as_lines(series, known, past, ahead, parts=None, freq=None):
    """Read one series or a list of them.

    Parameters
    ----------
    series, known, past
        As for `Forecaster.fit`.
    ahead : int
        Rows to come that get codes of the calendar.
    parts : tuple of str, optional
        Parts of the calendar that the model reads; left out, none.
    freq : str or None
        The model's frequency; another one is refused.

    Returns
    -------
    lines : list of Line
    indices : list of pandas.DatetimeIndex or None
        The dates to come of each line.
    single : bool
        Whether `series` was no list.
    """
    single = not isinstance(series, (list, tuple)) or (bool(series) and np.isscalar(series[0]))
    given = [series] if single else list(series)
    if not given:
        raise ArgumentError("series", "at least one", "an empty list")
    tables = [_each("known", known, single, len(given)), _each("past", past, single, len(given))]
    lines, indices = [], []
    for one, one_known, one_past in zip(given, *tables, strict=True):
        values, dates = check_values(one), dates_of(one)
        if parts and dates is None:
            raise ArgumentError("series", f"dates of frequency {freq}", "no dates")
        if freq is not None and dates is not None and freq_of(dates) != freq:
            raise ArgumentError("series", f"dates of frequency {freq}, that of the fit", freq_of(dates))
        ahead_dates = (
            None if dates is None else calendars.future(dates, calendars.offset(freq_of(dates)), ahead)
        )
        codes = np.zeros((len(values) + ahead, 0), np.int32)
        if parts:
            codes = calendars.codes(parts, dates.append(ahead_dates))
        lines.append(
            Line(
                values,
                check_table(one_known, "known", len(values)),
                check_table(one_past, "past", len(values))[: len(values)],
                codes,
            )
        )
        indices.append(ahead_dates)
    return lines, indices, single


def _each(name, tables, single, count):
    """One table or None for each series."""
    if tables is None:
        return [None] * count
    if single:
        return [tables]
    if not isinstance(tables, (list, tuple)) or len(tables) != count:
        raise ArgumentError(name, f"a list of {count}, one for each series", type(tables).__name__)
    return list(tables)


def dates_of(series):
    """The dates of a pandas object, or None."""
    index = getattr(series, "index", None)
    if hasattr(index, "to_timestamp"):  # periods
        return index.to_timestamp()
    return index if hasattr(index, "day_of_week") else None


def freq_of(dates):
    """Name of the frequency of dates.

    Raises
    ------
    ArgumentError
        The dates are uneven, or too few to tell.
    """
    freq = dates.freq
    if freq is None and len(dates) > 2:
        freq = calendars.infer(dates)
    if freq is None:
        raise ArgumentError("series", "dates at even steps", f"{len(dates)} that are not")
    return calendars.name_of(freq)


def tail(line, shape):
    """The last rows of a line: all that a forecast reads."""
    rows = max(shape.context + max(shape.lags, default=0), shape.level_rows)
    start = max(len(line.values) - rows, 0)
    # A missing value repeats the last one before it, which must then be there.
    start = (
        int(np.flatnonzero(np.isfinite(line.values[: start + 1]))[-1])
        if np.isfinite(line.values[: start + 1]).any()
        else 0
    )
    return Line(line.values[start:], line.known[start:], line.past[start:], line.codes[start:])
