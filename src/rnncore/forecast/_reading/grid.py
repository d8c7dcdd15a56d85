# SPDX-License-Identifier: MIT
"""Even steps: the frequency of times, the grid they lie on, and its gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...errors import ArgumentError
from .._model.calendars import infer

MOST_MISSING = 0.5
"""A grid of which more than this share is empty is no grid."""
ROUNDING = 0.05
"""Decimal years are rounded: steps between numbers may differ by this share."""
WEEKDAYS = 10
"""So many days without a weekend among them are business days."""


@dataclass(frozen=True)
class Grid:
    """An even grid: `index` from the first to the last time, and the step between."""

    index: object
    freq: object

    def locate(self, values):
        """Positions of times on the grid."""
        if isinstance(self.index, pd.DatetimeIndex):
            return self.index.get_indexer(values)
        return np.rint((np.asarray(values) - self.index[0]) / self.freq).astype(int)

    def extended(self, count):
        """The index and `count` steps more."""
        if isinstance(self.index, pd.DatetimeIndex):
            return pd.date_range(self.index[0], periods=len(self.index) + count, freq=self.freq)
        return self.index[0] + self.freq * np.arange(len(self.index) + count)


def make_grid(source, name, values, lines):
    """The grid that `values`, ascending and each once, lie on.

    Parameters
    ----------
    source : Source
    name : str
        Column of the times, for messages.
    values : pandas.DatetimeIndex or float64 array
    lines : sequence of int
        Line of each value, for messages.

    Raises
    ------
    ArgumentError
        Fewer than three values, or none that would be even.
    """
    if len(values) < 3:
        raise ArgumentError(source.name, "at least 3 rows", len(values))
    if not isinstance(values, pd.DatetimeIndex):
        return _number_grid(source, name, np.asarray(values), lines)
    freq = infer(values)
    if freq is not None:
        index = pd.date_range(values[0], periods=len(values), freq=freq)
        # pandas takes the last Friday of a month for the fourth.
        if index.equals(values):
            return Grid(index, freq)
    for freq in _frequencies(values):
        index = pd.date_range(values[0], values[-1], freq=freq)
        if len(values) >= (1 - MOST_MISSING) * len(index) and values.isin(index).all():
            return Grid(index, freq)
    steps = values[1:] - values[:-1]
    usual = steps.value_counts().idxmax()
    odd = int(np.flatnonzero(steps != usual)[0]) + 1
    raise _uneven(source, name, lines[odd], _span(usual), _span(steps[odd - 1]))


def _uneven(source, name, line, usual, odd):
    hint = (
        "the steps fit no frequency, not even with gaps; hours that jump in spring and autumn need --timezone"
    )
    return ArgumentError(source.where(line, name), f"an even step, {usual} as between most rows", odd, hint)


def _span(step):
    """A time difference in words."""
    text = str(step).removesuffix(" 00:00:00").replace("0 days ", "")
    return text[:-3] if text.count(":") == 2 and text.endswith(":00") else text


def _frequencies(values):
    """Frequencies that may have gaps here, the likeliest first."""
    step = (values[1:] - values[:-1]).value_counts().idxmax()
    days = step / pd.Timedelta(days=1)
    if days < 1:
        return [pd.tseries.frequencies.to_offset(step)]
    if days < 27:
        weekdays = days == 1 and len(values) >= WEEKDAYS and (values.day_of_week < 5).all()
        return [
            pd.offsets.BDay()
            if weekdays
            else pd.DateOffset(days=round(days))
            if days != 1
            else pd.offsets.Day()
        ]
    months = round(days / 30.44)
    unit = "Y" if months % 12 == 0 else "Q" if months % 3 == 0 else "M"
    count = {"Y": months // 12, "Q": months // 3, "M": months}[unit]
    named = [
        pd.tseries.frequencies.to_offset(f"{count}{kind.format(unit)}")
        for kind in ("{}S", "{}E", "B{}S", "B{}E")
    ]
    found = _anchored(named, unit, values[0]) + (
        [pd.DateOffset(months=months)] if values[0].day <= 28 else []
    )
    return [*found, pd.offsets.LastWeekOfMonth(weekday=values[0].day_of_week)] if months == 1 else found


def _anchored(named, unit, first):
    """Quarters and years begin in the month of the first date, not in January."""
    if unit == "M":
        return named
    return [
        type(f)(f.n, **({"month": first.month} if unit == "Y" else {"startingMonth": first.month}))
        for f in named
    ]


def _number_grid(source, name, values, lines):
    steps = np.diff(values)
    step = float(np.median(steps))
    places = np.rint((values - values[0]) / step)
    total = places[-1]
    # The mean over the whole is exact where single steps are rounded.
    if total:
        mean = float((values[-1] - values[0]) / total)
        step = mean if abs(mean - step) > 1e-9 * abs(step) else step
    off = np.abs(values - (values[0] + step * places)) > ROUNDING * step
    if off.any() or (np.diff(places) < 1).any() or len(values) < (1 - MOST_MISSING) * (total + 1):
        odd = int(np.flatnonzero(np.abs(steps - np.median(steps)) > ROUNDING * step)[0]) + 1
        raise _uneven(source, name, lines[odd], f"{np.median(steps):g}", f"{steps[odd - 1]:g}")
    return Grid(values[0] + step * np.arange(int(total) + 1), step)
