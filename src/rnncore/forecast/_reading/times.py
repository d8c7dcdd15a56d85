# SPDX-License-Identifier: MIT
"""A column of times: what it says, how it is written, at which even steps it goes on.

pandas parses the dates and knows the calendars. What it cannot settle (day or month first, local hours of a zone
with daylight saving) is settled here by evidence, or refused.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...errors import ArgumentError
from .._model.calendars import infer, name_of

NAMES = frozenset(
    {
        *(
            "date",
            "datetime",
            "day",
            "ds",
            "epoch",
            "hour",
            "month",
            "period",
            "quarter",
            "t",
            "time",
            "timestamp",
        ),
        *("unix", "week", "year", "datum", "zeit", "jahr", "monat", "fecha", "jour", "mois"),
    }
)
"""Names of columns that hold times, in lower case."""
FORMATS = (
    *(
        "%Y-%m",
        "%Y/%m",
        "%YM%m",
        "%m/%Y",
        "%m-%Y",
        "%m.%Y",
        "%b %Y",
        "%b-%Y",
        "%b-%y",
        "%B %Y",
        "%Y %b",
        "%Y-%b",
    ),
    *("%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%b %d %Y", "%m/%d/%y", "%d/%m/%y", "%m/%d/%Y", "%d/%m/%Y"),
    *("%d.%m.%Y", "%d.%m.%y"),
)
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
QUARTER = re.compile(r"(\d{4})(\s?[-/]?\s?)Q([1-4])|Q([1-4])(\s?[-/]?\s?)(\d{4})", re.IGNORECASE)
WEEK = re.compile(r"(\d{4})-?W(\d{2})")
OFFSET = re.compile(r":\d{2}(?:\.\d+)?\s?([+-]\d{2}:?\d{2}|Z)$")
"""Of a time from UTC; a date may end in -2020, too."""
SAMPLE = 200
"""Cells on which formats are tried before the whole column is."""


@dataclass(frozen=True)
class Times:
    """Times as read, in the order of the file.

    Attributes
    ----------
    name : str
        Of the column.
    values : pandas.DatetimeIndex, or float64 array for times that are plain numbers
    style : tuple
        How to write one, see `write`.
    """

    name: str
    values: object
    style: tuple


def is_time(text):
    """Whether a cell is a date or time in some notation."""
    text = text.strip()
    if is_plain_number(text):
        return len(text) == 8 and text.isdigit()
    return bool(re.match(r"\d|[A-Za-z]{3,9}[ -]\d|Q[1-4]", text)) and bool(_candidates([text]))


def is_plain_number(text):
    """Whether a cell is a number as computers write it."""
    return bool(re.fullmatch(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?", text.strip()))


def find_time_column(source):
    """Name of the column of times: one of dates before one that is only called so; None if there is none."""
    table = source.table
    dated = [name for name in table.columns if _looks_dated(table[name])]
    called = [name for name in table.columns if name.lower() in NAMES]
    if best := [name for name in dated if name in called] or dated:
        return best[0]
    if len(table.columns) > 1 and called:
        return called[0]
    first = table.columns[0]
    return (
        first
        if len(table.columns) > 1 and first in ("1", "index", "Unnamed: 0") and _counts_up(table[first])
        else None
    )


def _looks_dated(column):
    if column.dtype.kind == "M" or isinstance(column.dtype, pd.PeriodDtype):
        return True
    if column.dtype.kind in "biuf":
        return False
    cells = [cell for cell in column.head(20).astype(str) if cell.strip()]
    return bool(cells) and all(is_time(cell) for cell in cells)


def _counts_up(column):
    numbers = pd.to_numeric(column, errors="coerce")
    return bool((numbers.diff().iloc[1:] == 1).all())


def read_times(source, name, date_format=None, zone=None):
    """Read column `name` of a `Source` as `Times`.

    Parameters
    ----------
    source : Source
    name : str
    date_format : str, optional
        As pandas and strptime have it; left out, it is found.
    zone : str, optional
        Time zone that local times are in, or that times with changing offsets are shown in.

    Raises
    ------
    ArgumentError
        A cell is no time, or the column can be read in two ways.
    """
    column = source.table[name]
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    if column.dtype.kind == "M":
        values, style = pd.DatetimeIndex(column), ("iso", " ")
    elif column.dtype.kind in "biuf":
        values, style = _numbers(name, column.astype(np.float64).to_numpy(), column.astype(str).tolist())
    else:
        cells = column.astype(str).str.strip()
        empty = cells == ""
        if empty.any():
            raise ArgumentError(source.where(empty.idxmax(), name), "a time", "an empty cell")
        if date_format is not None:
            values, style = _with_format(source, name, cells, date_format)
        elif all(map(is_plain_number, cells.head(SAMPLE))):
            values, style = _numbers(name, _plain_numbers(source, name, cells), cells.head(SAMPLE).tolist())
        else:
            values, style = _dates(source, name, cells, zone)
    if isinstance(values, pd.DatetimeIndex):
        values = _in_zone(source, name, values, zone)
    return Times(name, values, style)


def _plain_numbers(source, name, cells):
    numbers = pd.to_numeric(cells, errors="coerce")
    if numbers.isna().any():
        line = numbers.isna().idxmax()
        raise ArgumentError(source.where(line, name), "a time like those above", f'"{cells[line][:40]}"')
    return numbers.to_numpy(np.float64)


def _numbers(name, numbers, texts):
    """Numbers as years, yyyymm, yyyymmdd, seconds or milliseconds since 1970, or just numbers."""
    length = {len(text) for text in texts if text.isdigit()} if all(text.isdigit() for text in texts) else {0}
    formats = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d"}
    if len(length) == 1 and (size := length.pop()) in formats and (size > 4 or numbers.min() >= 1000):
        written = pd.Series(numbers.astype(np.int64)).astype(str)
        dates = pd.to_datetime(written, format=formats[size], errors="coerce")
        if dates.notna().all():
            return pd.DatetimeIndex(dates), ("format", formats[size])
    for unit, low in (("s", 1e8), ("ms", 1e11)):
        if name.lower() in NAMES and low <= numbers.min() and numbers.max() < 1e2 * low:
            return pd.DatetimeIndex(pd.to_datetime(numbers, unit=unit)), ("epoch", unit)
    return numbers, ("number", max((len(t.partition(".")[2]) for t in texts), default=0))


def _with_format(source, name, cells, date_format):
    dates = pd.to_datetime(cells, format=date_format, errors="coerce", utc="%z" in date_format)
    if dates.isna().any():
        line = dates.isna().idxmax()
        raise ArgumentError(source.where(line, name), f"a time like {date_format}", f'"{cells[line][:40]}"')
    return pd.DatetimeIndex(dates), ("format", date_format)


def _candidates(cells):
    """Ways to read all of a few cells: (style, parse)."""
    found = []
    if all(QUARTER.fullmatch(cell) for cell in cells):
        return [(("quarter", *_quarter_style(cells[0])), _quarters)]
    if all(WEEK.fullmatch(cell) for cell in cells):
        form = "%G-W%V" if "-" in cells[0] else "%GW%V"
        return [(("format", form), lambda c: pd.to_datetime(c + "-1", format=form + "-%u", errors="coerce"))]
    for form in _formats(cells):

        def parse(column, form=form):
            return pd.to_datetime(column, format=form, errors="coerce", utc="%z" in form)

        if parse(pd.Series(cells)).notna().all():
            found.append((("format", form, *_look(form, cells)), parse))
    if not found:

        def parse_iso(column):
            return pd.to_datetime(
                column, format="ISO8601", errors="coerce", utc=bool(OFFSET.search(cells[0]))
            )

        if parse_iso(pd.Series(cells)).notna().all():
            found.append((("iso", "T" if "T" in cells[0] else " "), parse_iso))
    return found


def _look(form, cells):
    """How dates are written beside their format: without leading zeros of day and month, digits of a second."""
    bare = "%y" not in form and any(re.search(r"(?<!\d)\d(?!\d)", cell) for cell in cells)
    padded = any(re.search(r"(?<![\d:.])0\d(?!\d)", cell) for cell in cells)
    fraction = re.search(r"\.(\d{1,6})\D*$", cells[0]) if "%f" in form else None
    return bare and not padded, len(fraction[1]) if fraction else 6


def _formats(cells):
    """Formats worth a try: what pandas guesses from the first and last cell, and FORMATS."""
    guess = pd.tseries.api.guess_datetime_format
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # about the order of day and month, which is settled later
        found = {guess(cell, dayfirst=first) for cell in (cells[0], cells[-1]) for first in (False, True)}
    # Nobody writes the year first and then the day.
    found = {form for form in found - {None} if not re.match(r"%Y.?%d", form)}
    if not OFFSET.search(cells[0]):
        found = {form for form in found if "%z" not in form}
    if not found:
        found = {form + clock for form in FORMATS for clock in CLOCKS}
    return sorted(found)


def _quarter_style(cell):
    year, before, _, _, after, _ = QUARTER.fullmatch(cell).groups()
    return ("year", before) if year else ("quarter", after)


def _quarters(column):
    parts = column.str.extract(QUARTER)
    year, quarter = parts[0].fillna(parts[5]), parts[2].fillna(parts[3])
    return pd.to_datetime(
        year + "-" + (3 * pd.to_numeric(quarter) - 2).astype("Int64").astype(str), errors="coerce"
    )


def _dates(source, name, cells, zone):
    """Read dates in the one way that fits every cell, and of several ways in the one that gives even steps."""
    sample = [*cells.head(SAMPLE), *cells.tail(SAMPLE)]
    tried = [(style, parse(cells)) for style, parse in _candidates(sample)]
    ways = [(style, dates) for style, dates in tried if dates.notna().all()]
    if not ways:
        raise _no_date(source, name, cells, tried)
    distinct = [way for k, way in enumerate(ways) if not any(way[1].equals(other[1]) for other in ways[:k])]
    if len(distinct) > 1:
        even = [way for way in distinct if _is_even(way[1])]
        distinct = even or distinct
    if len(distinct) > 1:
        forms = " or ".join(style[1] for style, _ in distinct)
        raise ArgumentError(
            source.where(cells.index[0], name), "dates that can be read in one way only", f'"{cells.iloc[0]}"',
            f"say --date-format with {forms}",
        )  # fmt: skip
    style, dates = distinct[0]
    offsets = set(cells.str.extract(OFFSET, expand=False).dropna().unique())
    if len(offsets) > 1 and zone is None:
        raise ArgumentError(
            source.where(cells.index[0], name), "times of one offset from UTC", " and ".join(sorted(offsets)[:3]),
            "say --timezone, such as Europe/Berlin or UTC",
        )  # fmt: skip
    dates = pd.DatetimeIndex(dates)
    if offsets == {"Z"} and style[0] == "format" and zone is None:
        style = ("format", style[1].replace("%z", "Z"), *style[2:])
    elif len(offsets) == 1 and zone is None:
        dates = dates.tz_convert(pd.Timestamp(f"2000-01-01T00:00{offsets.pop()}").tz)
    return dates, style


def _no_date(source, name, cells, tried):
    """The complaint about the first cell that is no time; `tried` is what went well on the sample."""
    if not tried:
        bad = next((line for line, cell in cells.items() if not is_time(cell)), cells.index[0])
    else:
        bad = tried[0][1].isna().idxmax()
    first = cells.iloc[0] if bad != cells.index[0] else None
    return ArgumentError(
        source.where(bad, name),
        "a time" if first is None else f'a time like "{first[:40]}"',
        f'"{cells[bad][:40]}"',
        "a line of totals, units or notes is to be removed; --date-format names a format",
    )


def _is_even(dates):
    """Whether dates have a frequency, whatever their order."""
    unique = pd.DatetimeIndex(dates).unique().sort_values()
    return len(unique) > 2 and infer(unique) is not None


def _in_zone(source, name, dates, zone):
    """Dates in the time zone that was asked for."""
    if zone is None:
        return dates
    try:
        pd.Timestamp("2000-01-01").tz_localize(zone)
    except (ValueError, KeyError) as error:
        raise ArgumentError("--timezone", "the name of a zone, such as Europe/Berlin", zone) from error
    if dates.tz is not None:
        return dates.tz_convert(zone)
    try:
        return dates.tz_localize(zone, ambiguous="infer", nonexistent="raise")
    except ValueError as error:
        found = re.search(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}", str(error))
        got = found[0] if found else str(error)
        raise ArgumentError(
            f'{source.name}, column "{name}"', f"times that clocks in {zone} show once", got
        ) from error


def write(style, values):
    """Times as text, in the style of the file."""
    kind, *more = style
    if kind == "rows":
        return [f"{value:.0f}" for value in values]
    if kind == "number":
        return [f"{value:.{more[0]}f}" for value in values]
    if kind == "format":
        return _formatted(values, *more)
    if kind == "quarter":
        order, between = more
        return [
            f"{d.year}{between}Q{d.quarter}" if order == "year" else f"Q{d.quarter}{between}{d.year}"
            for d in values
        ]
    if kind == "epoch":
        return [str(number) for number in values.as_unit(more[0]).asi8]
    whole_days = bool((values.normalize() == values).all()) and values.tz is None
    return [d.date().isoformat() if whole_days else d.isoformat(sep=more[0]) for d in values]


def _formatted(values, form, bare=False, digits=6):
    """Times in a format, with what strftime cannot say."""
    text = values.strftime(form).tolist()
    if form.endswith("%z"):  # Python writes +0100 where files have +01:00
        text = [re.sub(r"([+-]\d{2})(\d{2})$", r"\1:\2", cell) for cell in text]
    if bare:
        text = [re.sub(r"(?<![\d:])0(?=\d)", "", cell) for cell in text]
    if "%f" in form and digits < 6:
        text = [re.sub(rf"(\.\d{{{digits}}})\d*", r"\1", cell) for cell in text]
    return text


def step_name(freq):
    """Name of a frequency, for messages and files: of an offset, or of a step between numbers."""
    return f"steps of {freq:g}" if isinstance(freq, float) else name_of(freq)
