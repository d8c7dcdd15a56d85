# SPDX-License-Identifier: MIT
"""Awkward files: what each holds, what is asked for, and the dates that follow, or the sentence that refuses it.

The name of the file is table.csv; `Case.future` are the three steps after the last value, as the file would write them.
"""

from __future__ import annotations

import datetime
import gzip
from dataclasses import dataclass, field

from csv_files import COUNT, days, hours, months, table, weekdays


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


QUARTERS = [f"{2015 + k // 4}-Q{k % 4 + 1}" for k in range(COUNT)]
FEBRUARY = ("2020-01-31", "2020-02-01", "2020-02-02")
MONTHS = months("%Y-%m-%d")

CASES = {
    # Calendars -----------------------------------------------------------------------------------------------
    "days": Case(table(days("%Y-%m-%d")), FEBRUARY),
    "month ends": Case(table(MONTHS), ("2021-07-31", "2021-08-31", "2021-09-30")),
    "month starts": Case(table(months("%Y-%m-%d", 1)), ("2021-07-01", "2021-08-01", "2021-09-01")),
    "the 15th of every month": Case(
        table(months("%Y-%m-%d", 15)), ("2021-07-15", "2021-08-15", "2021-09-15")
    ),
    "year and month": Case(table(months("%Y-%m", 1)), ("2021-07", "2021-08", "2021-09")),
    "month and year in words": Case(table(months("%b %Y", 1)), ("Jul 2021", "Aug 2021", "Sep 2021")),
    "compact months": Case(table(months("%Y%m", 1)), ("202107", "202108", "202109")),
    "quarters": Case(table(QUARTERS), ("2022-Q3", "2022-Q4", "2023-Q1")),
    "quarter ends": Case(
        table([m for k, m in enumerate(months("%Y-%m-%d", count=90, start=2013)) if k % 3 == 2]),
        ("2020-09-30", "2020-12-31", "2021-03-31"),
    ),
    "ISO weeks": Case(
        table([f"2020-W{k + 1:02d}" for k in range(COUNT)]), ("2020-W31", "2020-W32", "2020-W33")
    ),
    "Sundays": Case(
        table(days("%Y-%m-%d", step=7, start=datetime.datetime(2020, 1, 5))),
        ("2020-08-02", "2020-08-09", "2020-08-16"),
    ),
    "business days": Case(table(weekdays(COUNT)), ("2020-02-12", "2020-02-13", "2020-02-14")),
    "business days over a weekend": Case(table(weekdays(33)), ("2020-02-17", "2020-02-18", "2020-02-19")),
    "hours over a leap day": Case(
        table(hours(28)), ("2020-03-01 00:00", "2020-03-01 01:00", "2020-03-01 02:00")
    ),
    "quarter hours with T": Case(
        table([f"2020-01-01T{k // 4:02d}:{15 * (k % 4):02d}:00" for k in range(40)]),
        ("2020-01-01T10:00:00", "2020-01-01T10:15:00", "2020-01-01T10:30:00"),
    ),
    "years": Case(table([str(1700 + k) for k in range(COUNT)]), ("1730", "1731", "1732")),
    "compact days": Case(table(days("%Y%m%d")), ("20200131", "20200201", "20200202")),
    "seconds since 1970": Case(
        table([str(1577836800 + 60 * k) for k in range(COUNT)], "timestamp,value\n"),
        ("1577838600", "1577838660", "1577838720"),
    ),
    "steps that are plain numbers": Case(
        table([f"{0.25 * k:.2f}" for k in range(COUNT)], "second,value\n"),
        ("7.50", "7.75", "8.00"),
        wanted={"time": "second", "columns": ("value",)},
    ),
    "no times": Case(table([""] * COUNT, "value\n", "{value}\n"), ("31", "32", "33")),
    # Day or month first --------------------------------------------------------------------------------------
    "US dates": Case(table(days("%m/%d/%Y")), ("01/31/2020", "02/01/2020", "02/02/2020")),
    "US dates, first of the month": Case(
        table(months("%m/%d/%Y", 1)), ("07/01/2021", "08/01/2021", "09/01/2021")
    ),
    "British dates": Case(table(days("%d/%m/%Y")), ("31/01/2020", "01/02/2020", "02/02/2020")),
    "German dates": Case(table(days("%d.%m.%Y")), ("31.01.2020", "01.02.2020", "02.02.2020")),
    "US dates with a clock": Case(
        table(hours(30, "%m/%d/%Y %I:%M %p")),
        ("03/01/2020 02:00 AM", "03/01/2020 03:00 AM", "03/01/2020 04:00 AM"),
    ),
    "day or month first": Case(
        table(days("%m/%d/%Y", 11)),
        sentence='table.csv line 2, column "date": expected dates that can be read in one way only, got "01/01/2020" '
        "(say --date-format with %d/%m/%Y or %m/%d/%Y)",
    ),
    "day or month first, told": Case(
        table(days("%m/%d/%Y", 11)),
        ("01/12/2020", "01/13/2020", "01/14/2020"),
        wanted={"date_format": "%m/%d/%Y"},
    ),
    # Time zones ----------------------------------------------------------------------------------------------
    "UTC": Case(
        table(hours(30, "%Y-%m-%dT%H:%M:%SZ")),
        ("2020-03-01T02:00:00Z", "2020-03-01T03:00:00Z", "2020-03-01T04:00:00Z"),
    ),
    "a fixed offset": Case(
        table(hours(30, "%Y-%m-%dT%H:%M:%S+05:30")),
        ("2020-03-01T02:00:00+05:30", "2020-03-01T03:00:00+05:30", "2020-03-01T04:00:00+05:30"),
    ),
    "offsets that change in spring": Case(
        table(
            [
                f"2020-03-{28 + (k + 4) // 24}T{(k + 4) % 24:02d}:00:00+0{1 if k < 22 else 2}:00"
                for k in [*range(22), *range(23, 40)]
            ]
        ),
        sentence='table.csv line 2, column "date": expected times of one offset from UTC, got +01:00 and +02:00 '
        "(say --timezone, such as Europe/Berlin or UTC)",
    ),
    "offsets that change in spring, told": Case(
        table(
            [
                f"2020-03-{28 + (k + 4) // 24}T{(k + 4) % 24:02d}:00:00+0{1 if k < 22 else 2}:00"
                for k in [*range(22), *range(23, 40)]
            ]
        ),
        ("2020-03-29T20:00:00+02:00", "2020-03-29T21:00:00+02:00", "2020-03-29T22:00:00+02:00"),
        wanted={"zone": "Europe/Berlin"},
    ),
    "local hours over the spring change": Case(
        table([t for t in hours(40, start=datetime.datetime(2020, 3, 28, 4)) if t != "2020-03-29 02:00"]),
        ("2020-03-29 20:00", "2020-03-29 21:00", "2020-03-29 22:00"),
        wanted={"zone": "Europe/Berlin"},
    ),
    "local hours up to the autumn change": Case(
        table(hours(26, start=datetime.datetime(2020, 10, 24))),
        ("2020-10-25 02:00", "2020-10-25 02:00", "2020-10-25 03:00"),
        wanted={"zone": "Europe/Berlin"},
    ),
    "local hours over the autumn change": Case(
        table(sorted([*hours(40, start=datetime.datetime(2020, 10, 24)), "2020-10-25 02:00"])),
        ("2020-10-25 16:00", "2020-10-25 17:00", "2020-10-25 18:00"),
        wanted={"zone": "Europe/Berlin"},
    ),
    "local hours that do not exist": Case(
        table(hours(40, start=datetime.datetime(2020, 3, 28, 4))),
        sentence='table.csv, column "date": expected times that clocks in Europe/Berlin show once, '
        "got 2020-03-29 02:00",
        wanted={"zone": "Europe/Berlin"},
    ),
    "a zone that does not exist": Case(
        table(hours()),
        sentence="--timezone: expected the name of a zone, such as Europe/Berlin, got Mars/Base",
        wanted={"zone": "Mars/Base"},
    ),
    # Numbers -------------------------------------------------------------------------------------------------
    "decimal commas": Case(
        table(days("%d.%m.%Y"), "Datum;Wert\n", "{time};{value}\n", [f"{k},25" for k in range(COUNT)]),
        ("31.01.2020", "01.02.2020", "02.02.2020"),
        ends=(0.25, 29.25),
    ),
    "decimal commas and points for thousands": Case(
        table(
            days("%d.%m.%Y"), "Datum;Wert\n", "{time};{value}\n", [f"1.00{k % 10},5" for k in range(COUNT)]
        ),
        ("31.01.2020", "01.02.2020", "02.02.2020"),
        ends=(1000.5, 1009.5),
    ),
    "commas for thousands in quotes": Case(
        table(days("%Y-%m-%d"), values=[f'"{k + 1},234,567.5"' for k in range(COUNT)]),
        FEBRUARY,
        ends=(1234567.5, 30234567.5),
    ),
    "spaces for thousands": Case(
        table(
            days("%Y-%m-%d"),
            "date;value\n",
            "{time};{value}\n",
            [f"{k + 1}\u202f234,5" for k in range(COUNT)],
        ),
        FEBRUARY,
        ends=(1234.5, 30234.5),
    ),
    "1,234 and nothing else": Case(
        table(days("%Y-%m-%d"), "date;value\n", "{time};{value}\n", [f"{k + 1},234" for k in range(COUNT)]),
        sentence='table.csv line 2, column "value": expected numbers that can be read in one way only, got "1,234" '
        "(say --decimal , or --decimal .)",
    ),
    "1,234 and nothing else, told": Case(
        table(days("%Y-%m-%d"), "date;value\n", "{time};{value}\n", [f"{k + 1},234" for k in range(COUNT)]),
        FEBRUARY,
        wanted={"decimal": ","},
        ends=(1.234, 30.234),
    ),
    "a decimal comma without quotes": Case(
        table(days("%Y-%m-%d"), values=[f"{k},25" for k in range(COUNT)]),
        sentence="table.csv line 2: expected 2 cells, got 3 (numbers with a decimal comma need quotes in a "
        "comma-separated file; a title above the table is left out with --skip)",
    ),
    "currency": Case(
        table(days("%Y-%m-%d"), values=[f'"${k + 1},000.50"' for k in range(COUNT)]),
        FEBRUARY,
        ends=(1000.5, 30000.5),
    ),
    "percent": Case(
        table(days("%Y-%m-%d"), values=[f"{k}.5%" for k in range(COUNT)]), FEBRUARY, ends=(0.5, 29.5)
    ),
    "a word among numbers": Case(
        table(days("%Y-%m-%d"), values=["1"] * 9 + ["six"] + ["1"] * 20),
        sentence='table.csv line 11, column "value": expected a number, got "six"',
    ),
    "an infinite number": Case(
        table(days("%Y-%m-%d"), values=["1"] * 9 + ["inf"] + ["1"] * 20),
        sentence='table.csv line 11, column "value": expected a finite number, got "inf"',
    ),
    # Gaps ----------------------------------------------------------------------------------------------------
    "an empty cell": Case(
        table(days("%Y-%m-%d"), values=["1"] * 9 + [""] + ["1"] * 20),
        sentence='table.csv, "value": expected a value at each of 30 steps, got 1 missing, the first at 2020-01-10 '
        "(say --fill interpolate, previous or zero)",
    ),
    "missing in several spellings, interpolated": Case(
        table(days("%Y-%m-%d"), values=["1"] * 9 + ["NA", "n/a", "null", "-"] + ["6"] * 17),
        FEBRUARY,
        wanted={"fill": "interpolate"},
        ends=(1.0, 6.0),
        notes=('"value": 4 of 30 values missing, interpolated, not scored',),
    ),
    "a mark of the user's own, zero": Case(
        table(days("%Y-%m-%d"), values=["1"] * 9 + ["-9999"] + ["6"] * 20),
        FEBRUARY,
        wanted={"fill": "zero", "missing": ("-9999",)},
        ends=(1.0, 6.0),
        notes=('"value": 1 of 30 values missing, taken as zero',),
    ),
    "a day left out": Case(
        table(days("%Y-%m-%d")[:9] + days("%Y-%m-%d")[10:]),
        sentence='table.csv, "value": expected a value at each of 30 steps, got 1 missing, the first at 2020-01-10 '
        "(say --fill interpolate, previous or zero)",
    ),
    "holidays left out of business days": Case(
        table([day for day in weekdays(40) if day not in ("2020-01-20", "2020-02-17")]),
        ("2020-02-26", "2020-02-27", "2020-02-28"),
        wanted={"fill": "previous"},
        notes=('"value": 2 of 40 values missing, the last value repeated, not scored',),
    ),
    "a month left out": Case(
        table(MONTHS[:9] + MONTHS[10:]),
        ("2021-07-31", "2021-08-31", "2021-09-30"),
        wanted={"fill": "previous"},
        notes=('"value": 1 of 30 values missing, the last value repeated, not scored',),
    ),
    "values that are not there yet": Case(
        table(days("%Y-%m-%d"), values=["1"] * 25 + [""] * 5), ("2020-01-26", "2020-01-27", "2020-01-28")
    ),
    "uneven times": Case(
        table(
            [
                "2020-01-01 00:00",
                "2020-01-01 00:10",
                "2020-01-01 00:20",
                "2020-01-01 00:33",
                "2020-01-01 00:41",
            ]
        ),
        sentence='table.csv line 5, column "date": expected an even step, 00:10 as between most rows, got 00:13 '
        "(the steps fit no frequency, not even with gaps; hours that jump in spring and autumn need --timezone)",
    ),
    # Order ---------------------------------------------------------------------------------------------------
    "newest first": Case(
        table(days("%Y-%m-%d")[::-1]),
        FEBRUARY,
        ends=(39.5, 10.5),
        notes=('the rows are newest first: sorted by "date"',),
    ),
    "out of order": Case(
        table(days("%Y-%m-%d")[10:] + days("%Y-%m-%d")[:10]),
        FEBRUARY,
        ends=(30.5, 29.5),
        notes=('the rows are out of order: sorted by "date"',),
    ),
    "a time twice": Case(
        table([*days("%Y-%m-%d"), "2020-01-10"]),
        sentence='table.csv line 32, column "date": expected every time once, got 2020-01-10 again '
        "(times of a day with two hours the same need --timezone)",
    ),
    "several series in one file": Case(
        table(days("%Y-%m-%d") * 2, "date,shop,value\n", "{time},north,{value}\n"),
        sentence='table.csv line 32, column "date": expected every time once, got 2020-01-01 again '
        "(several series in one file are told apart by --group, such as --group shop)",
    ),
    # Files ---------------------------------------------------------------------------------------------------
    "Windows Latin-1": Case(
        table(days("%Y-%m-%d"), "date;größe\n", "{time};{value}\n").decode().encode("cp1252"),
        FEBRUARY,
        notes=("read as Windows Latin-1 text",),
    ),
    "UTF-16": Case(
        table(days("%Y-%m-%d")).decode().encode("utf-16"), FEBRUARY, notes=("read as UTF-16 text",)
    ),
    "UTF-16 without a mark": Case(
        table(days("%Y-%m-%d")).decode().encode("utf-16-be"), FEBRUARY, notes=("read as UTF-16 text",)
    ),
    "UTF-8 with a mark, CRLF, blanks": Case(
        table(days("%Y-%m-%d"), "\ufeffdate, value\r\n", "{time}, {value}\r\n") + b"\r\n", FEBRUARY
    ),
    "gzip": Case(gzip.compress(table(days("%Y-%m-%d"))), FEBRUARY),
    "tabs": Case(table(days("%Y-%m-%d"), "date\tvalue\n", "{time}\t{value}\n"), FEBRUARY),
    "columns of blanks": Case(table(days("%Y-%m-%d"), "date value\n", "{time}   {value}\n"), FEBRUARY),
    "an index before it": Case(
        table(days("%Y-%m-%d"), ",date,value\n", "7,{time},{value}\n"),
        FEBRUARY,
        wanted={"columns": ("value",)},
    ),
    "an empty column after it": Case(table(days("%Y-%m-%d"), "date,value,\n", "{time},{value},\n"), FEBRUARY),
    "no line of names": Case(
        table(days("%Y-%m-%d"), ""),
        FEBRUARY,
        ends=(10.5, 39.5),
        notes=("no line of names: the columns are called 1, 2 (--header says otherwise)",),
    ),
    "names that are numbers": Case(
        table(days("%Y-%m-%d"), "2000-01-01,7\n"), FEBRUARY, header=True, ends=(10.5, 39.5)
    ),
    "comments and a title above": Case(
        b"# made by hand\n\n" + table(days("%Y-%m-%d"), "Sales\ndate,value\n"),
        FEBRUARY,
        skip=3,
        ends=(10.5, 39.5),
    ),
    "a line of totals below": Case(
        table([*days("%Y-%m-%d"), "Total"]),
        sentence='table.csv line 32, column "date": expected a time like "2020-01-01", got "Total" '
        "(a line of totals or notes is to be removed; --date-format names a format)",
    ),
    "one cell too many": Case(
        table(days("%Y-%m-%d"), "date;value\n", "{time};{value}\n", ["1"] * 9 + ["1;2"] + ["1"] * 20),
        sentence="table.csv line 11: expected 2 cells, got 3 (a title above the table is left out with --skip)",
    ),
    "an open quote": Case(
        table(days("%Y-%m-%d"), values=["1"] * 29 + ['"1']),
        sentence="table.csv: expected well-formed CSV, got EOF inside string starting at row 30",
    ),
    "several columns of numbers": Case(
        table(days("%Y-%m-%d"), "date,a,b\n", "{time},{value},1\n"),
        sentence="--column: expected one or more of a, b, got nothing (table.csv has several columns of numbers)",
    ),
    "a column that is not there": Case(
        table(days("%Y-%m-%d")),
        sentence="--column: expected one of date, value, got profit",
        wanted={"columns": ("profit",)},
    ),
    "words only": Case(
        table(days("%Y-%m-%d"), "date,note\n", "{time},word\n"),
        sentence='table.csv line 2, column "note": expected a number, got "word"',
    ),
    "nothing": Case(b"", sentence="table.csv: expected a table with values, got an empty file"),
    "names alone": Case(
        b"date,value\n", sentence="table.csv: expected values below the names, got the names alone"
    ),
    "two rows": Case(table(days("%Y-%m-%d", 2)), sentence="table.csv: expected at least 3 rows, got 2"),
    "a workbook": Case(
        b"PK\x03\x04 and more",
        sentence="table.csv: expected delimited text or Parquet, got a zip archive or a workbook (save it as CSV)",
    ),
    "zero bytes": Case(
        b"date,value\n2020-01-01,\0\n", sentence="table.csv: expected text, got bytes that are not"
    ),
    "half a gzip file": Case(
        gzip.compress(table(days("%Y-%m-%d")))[:40],
        sentence="table.csv: expected a whole gzip file, got Compressed file ended before the end-of-stream marker "
        "was reached",
    ),
}
