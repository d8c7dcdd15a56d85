# SPDX-License-Identifier: MIT
"""What the calendar says about a step: numbers for the network, and the seasons of a frequency.

Works on pandas' DatetimeIndex and imports pandas only where dates go on into the future.
"""

from __future__ import annotations

import warnings

import numpy as np

DAY = 86400.0


def _waves(positions, count):
    turn = 2 * np.pi * np.arange(positions)[:, np.newaxis] / positions * np.arange(1, count + 1)
    return np.concatenate([np.sin(turn), np.cos(turn)], axis=1).astype(np.float32)


PARTS = {
    # name: (what a code stands for, the code of each date)
    "hour": (np.eye(48, dtype=np.float32), lambda d: d.hour + 24 * (d.day_of_week >= 5)),
    "weekday": (np.eye(7, dtype=np.float32), lambda d: d.day_of_week),
    "month": (np.eye(12, dtype=np.float32), lambda d: d.month - 1),
    "quarter": (np.eye(4, dtype=np.float32), lambda d: d.quarter - 1),
    "year": (_waves(366, 1), lambda d: d.day_of_year - 1),
}


def tables(parts):
    """The numbers that the codes of each part stand for."""
    return tuple(PARTS[part][0] for part in parts)


def codes(parts, index):
    """Codes (n, number of parts) of the dates of `index`."""
    found = [np.asarray(PARTS[part][1](index), np.int32) for part in parts]
    return np.stack(found, axis=1) if found else np.zeros((len(index), 0), np.int32)


def seconds(freq):
    """Mean length of a step of a pandas offset."""
    import pandas as pd

    index = pd.date_range("2001-01-01", periods=49, freq=freq)
    return (index[-1] - index[0]).total_seconds() / 48


def parts_of(freq, steps):
    """Names of the calendar's parts that say something about `steps` steps of this frequency."""
    step = seconds(freq)
    # Less than a year of days: the time of the year would only be a trend.
    year = ("year",) if step * steps >= 366 * DAY and step < 20 * DAY else ()
    if step < DAY:
        return ("hour", "weekday", *year) if step * steps >= 14 * DAY else ("hour",)
    if step < 2 * DAY:
        return ("weekday", *year)
    if 20 * DAY < step < 40 * DAY:
        return ("month",)
    if 80 * DAY < step < 100 * DAY:
        return ("quarter",)
    return year


def seasons_of(freq):
    """Steps in the seasons that people know: day and week, week, year; shortest first."""
    step = seconds(freq)
    if step < DAY:
        # Below a minute a day is too long a season to look back to.
        return (round(DAY / step), round(7 * DAY / step)) if step >= 60 and (DAY / step).is_integer() else ()
    known = {1: (7,), 7: (52,), 30: (12,), 91: (4,)}
    if DAY < step < 2 * DAY:
        return (5,)
    return next((seasons for days, seasons in known.items() if abs(step / DAY / days - 1) < 0.05), ())


def usual_horizon(freq):
    """How far ahead people look: a day of hours, a fortnight of days, a quarter of weeks, a year of months."""
    step = seconds(freq)
    for longest, steps in ((60, 60), (600, 60), (3600, round(DAY / step))):
        if step <= longest:
            return steps
    known = {1: 14, 1.4: 10, 7: 13, 30: 12, 91: 8}
    return next((steps for days, steps in known.items() if abs(step / DAY / days - 1) < 0.1), 12)


def future(index, freq, count):
    """The `count` dates after the last one of `index`."""
    import pandas as pd

    return pd.date_range(index[-1], periods=count + 1, freq=freq)[1:]


def dates_from(first, zone, freq, count):
    """`count` dates from a written one on, in the time zone of this name ("None": none)."""
    import pandas as pd

    start = pd.Timestamp(first)
    return pd.date_range(start if zone == "None" else start.tz_convert(zone), periods=count, freq=freq)


def infer(dates):
    """The frequency of dates as a pandas offset, or None."""
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas announces that it will give the offset itself
        found = pd.infer_freq(dates)
    return None if found is None else pd.tseries.frequencies.to_offset(found)


def name_of(freq):
    """Name of a pandas offset; `offset` reads it."""
    return freq.freqstr if not getattr(freq, "kwds", {}).get("months") else f"{freq.kwds['months']} months"


def offset(name):
    """The pandas offset of this name."""
    import pandas as pd

    number, _, unit = name.partition(" ")
    return pd.DateOffset(months=int(number)) if unit == "months" else pd.tseries.frequencies.to_offset(name)
