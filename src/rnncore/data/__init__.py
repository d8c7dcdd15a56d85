# SPDX-License-Identifier: MIT
"""Series from CSV files, and the series that ships with the package (its source: README.md beside this file).

`read_csv` takes what spreadsheets and statistics offices write (comma, semicolon or tab; with or without a
header; an optional time column) and refuses everything it would have to guess about, naming file and line.
"""

from __future__ import annotations

import csv
import datetime
import math
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError

__all__ = ["Series", "future_times", "read_csv", "sunspots"]

SUNSPOT_PERIOD = 11
"""Years of a solar cycle (Schwabe 1844)."""

TIME_NAMES = frozenset(
    {
        "",
        "date",
        "datetime",
        "day",
        "ds",
        "hour",
        "index",
        "month",
        "period",
        "quarter",
        "t",
        "time",
        "timestamp",
        "week",
        "year",
    }
)

GAP = 1.5
"""A step this many times the median one is a gap; months (28 to 31 days) and leap years stay below it."""


@dataclass(frozen=True)
class Series:
    """One even series: `values` float64 (n,), `times` (n strings or None), and their column names."""

    values: np.ndarray
    times: list[str] | None
    name: str
    time_name: str = "time"


def sunspots() -> Any:
    """Return the yearly sunspot numbers 1700-2008 as a `Series`."""
    with resources.as_file(resources.files(__package__) / "sunspots.csv") as path:
        return read_csv(path)


def read_csv(path: str | os.PathLike[str], column: str | None = None) -> Any:
    """Read one column of a CSV file as a series.

    Parameters
    ----------
    path : path
        UTF-8 text; the delimiter (comma, semicolon or tab) is the one the first line has most of. A first
        line that is not all numbers is the header; without one the columns are called 1, 2, ...
    column : str, optional
        Needed when the file has several numeric columns beside the time column.

    Returns
    -------
    Series

    Raises
    ------
    ArgumentError
        The file is missing, empty or not text; the column is missing or ambiguous; a cell is empty or not
        a finite number; a line has another number of cells; the time column has gaps or is out of order.
    """
    path = Path(path)
    header, rows = _split_header(str(path), _read_rows(path))
    time_index = _time_column(header, rows)
    index = _choose(str(path), header, rows, column, time_index)
    values = np.array(
        [_number(cells[index], f'{path} line {line}, column "{header[index]}"') for line, cells in rows]
    )
    if time_index is None or time_index == index:
        return Series(values, None, header[index])
    times = [cells[time_index].strip() for _, cells in rows]
    _check_times(str(path), header[time_index], rows, times)
    return Series(values, times, header[index], header[time_index] or "time")


def _read_rows(path: str | os.PathLike[str]) -> Any:
    """Return [(line number, cells), ...] without trailing empty lines."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ArgumentError(str(path), "a readable CSV file", error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise ArgumentError(str(path), "a CSV file in UTF-8", "bytes that are not text") from error
    if "\0" in text:
        raise ArgumentError(str(path), "a CSV file in UTF-8", "bytes that are not text")
    first = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        rows = [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        raise ArgumentError(f"{path} line {reader.line_num}", "well-formed CSV", str(error)) from error
    while rows and not any(cell.strip() for cell in rows[-1][1]):
        rows.pop()
    if not rows:
        raise ArgumentError(str(path), "a CSV file with values", "an empty file")
    return rows


def _split_header(path: str | os.PathLike[str], rows: Any) -> Any:
    first = [cell.strip() for cell in rows[0][1]]
    if all(_is_number(cell) for cell in first):
        header = [str(i + 1) for i in range(len(first))]
    else:
        header, rows = first, rows[1:]
    if not rows:
        raise ArgumentError(path, "values below the header", "the header alone")
    for line, cells in rows:
        if not any(cell.strip() for cell in cells):
            raise ArgumentError(f"{path} line {line}", "a value", "an empty line", "fill the gaps first")
        if len(cells) != len(header):
            raise ArgumentError(f"{path} line {line}", f"{len(header)} cells", str(len(cells)))
    return header, rows


def _is_number(text: str) -> Any:
    try:
        return math.isfinite(float(text)) and "_" not in text
    except ValueError:
        return False


def _number(text: str, place: str) -> Any:
    text = text.strip()
    if not text:
        raise ArgumentError(place, "a number", "an empty cell", "fill the gaps first")
    if not _is_number(text):
        raise ArgumentError(place, "a finite number", f'"{text[:40]}"')
    return float(text)


def _parse_time(text: str) -> Any:
    """Return a time as a number (days for dates, the number itself otherwise), or None."""
    if len(text) == 8 and text.isdigit():
        text = f"{text[:4]}-{text[4:6]}-{text[6:]}"
    try:
        moment = datetime.datetime.fromisoformat(text)
        return moment.replace(tzinfo=None).timestamp() / 86400.0
    except (ValueError, OverflowError, OSError):
        return float(text) if _is_number(text) else None


def _time_column(header: Any, rows: Any) -> Any:
    """Return the index of the time column: one named like a time, else a first column of dates."""
    for index, name in enumerate(header):
        if name.lower() in TIME_NAMES and len(header) > 1:
            return index
    first = [cells[0].strip() for _, cells in rows]
    if len(header) > 1 and all(not _is_number(cell) and _parse_time(cell) is not None for cell in first):
        return 0
    return None


def _choose(
    path: str | os.PathLike[str], header: Any, rows: Any, column: str | None, time_index: int | None
) -> Any:
    if column is not None:
        if header.count(column) != 1:
            raise ArgumentError("--column", f"one of {', '.join(header)}", column)
        return header.index(column)
    others = [i for i in range(len(header)) if i != time_index]
    # A column counts as numeric when most of it is: one bad cell shall be named, not hide the column.
    numeric = [i for i in others if 2 * sum(_is_number(cells[i].strip()) for _, cells in rows) > len(rows)]
    if len(numeric) == 1:
        return numeric[0]
    if not numeric and len(others) == 1:
        return others[0]
    if not numeric:
        raise ArgumentError(path, "a numeric column", f"none among {', '.join(header)}")
    raise ArgumentError(
        "--column",
        f"one of {', '.join(header[i] for i in numeric)}",
        "nothing",
        f"{path} has several numeric columns",
    )


def _check_times(path: str | os.PathLike[str], name: str, rows: Any, times: Any) -> Any:
    """Refuse gaps and disorder where the times can be read; other labels are taken as they are."""
    moments = [_parse_time(text) for text in times]
    if len(times) < 3 or any(moment is None for moment in moments):
        return
    steps = np.diff(moments)
    wrong = np.flatnonzero(steps <= 0)
    if wrong.size:
        raise ArgumentError(
            f'{path} line {rows[wrong[0] + 1][0]}, column "{name}"',
            "times in ascending order",
            f"{times[wrong[0] + 1]} after {times[wrong[0]]}",
        )
    wide = np.flatnonzero(steps > GAP * np.median(steps))
    if wide.size:
        raise ArgumentError(
            f'{path} line {rows[wide[0] + 1][0]}, column "{name}"',
            "an even step",
            f"{times[wide[0] + 1]} after {times[wide[0]]}",
            "fill the gaps first",
        )


def future_times(times: Any, count: int) -> list[Any]:
    """Return labels for the `count` steps after `times`: years, dates or months go on; else +1, +2, ..."""
    steps = [f"+{i + 1}" for i in range(count)]
    if not times or len(times) < 2:
        return steps
    if len(times[-1]) != 8 and all(text.lstrip("-").isdigit() for text in times[-2:]):
        last, step = int(times[-1]), int(times[-1]) - int(times[-2])
        return [str(last + (i + 1) * step) for i in range(count)]
    try:
        before, last = (datetime.date.fromisoformat(text) for text in times[-2:])
    except ValueError:
        return steps
    if last.day == before.day and last.day <= 28:
        months = 12 * (last.year - before.year) + last.month - before.month
        ahead = [12 * last.year + last.month - 1 + (i + 1) * months for i in range(count)]
        dates = [datetime.date(m // 12, m % 12 + 1, last.day) for m in ahead]
    else:
        dates = [last + (i + 1) * (last - before) for i in range(count)]
    return [date.strftime("%Y%m%d") if len(times[-1]) == 8 else date.isoformat() for date in dates]
