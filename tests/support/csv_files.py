# SPDX-License-Identifier: MIT
"""Files of dates and values, as text in many spellings."""

import datetime
from dataclasses import dataclass, field

COUNT = 30
"""Rows of a file, unless the case says otherwise."""


@dataclass(frozen=True)
class Case:
    """A file's bytes, the options, and what comes of it: `future` and, where they matter, first and last value."""

    content: bytes
    future: tuple[str, ...] | None = None
    sentence: str | None = None
    wanted: dict = field(default_factory=dict)
    header: bool | None = None
    skip: int = 0
    ends: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


def days(form, count=COUNT, step=1, start=datetime.datetime(2020, 1, 1)):
    """Dates `step` days apart, as strftime writes them."""
    return [(start + datetime.timedelta(days=step * k)).strftime(form) for k in range(count)]


def table(times, header="date,value\n", form="{time},{value}\n", values=None):
    """A file of these times with the values 10.5, 11.5, ..."""
    values = [f"{10 + k}.5" for k in range(len(times))] if values is None else values
    rows = (form.format(time=time, value=value) for time, value in zip(times, values, strict=True))
    return (header + "".join(rows)).encode()


def months(form, day=None, count=COUNT, start=2019):
    """First, last or other days of successive months."""
    found = []
    for k in range(count):
        year, month = start + k // 12, k % 12 + 1
        ahead = datetime.date(year + month // 12, month % 12 + 1, 1)
        found.append(
            (datetime.date(year, month, day) if day else ahead - datetime.timedelta(days=1)).strftime(form)
        )
    return found


def hours(count=COUNT, form="%Y-%m-%d %H:%M", start=datetime.datetime(2020, 2, 28, 20)):
    """Hours, as strftime writes them."""
    return [(start + datetime.timedelta(hours=k)).strftime(form) for k in range(count)]


def weekdays(count, form="%Y-%m-%d"):
    """Mondays to Fridays from 2020-01-01 on."""
    every = (datetime.date(2020, 1, 1) + datetime.timedelta(days=k) for k in range(2 * count))
    return [day.strftime(form) for day in every if day.weekday() < 5][:count]
