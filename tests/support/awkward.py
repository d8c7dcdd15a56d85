# SPDX-License-Identifier: MIT
"""Awkward files: what each holds, what is asked for, and the dates that follow, or the sentence that refuses it.

The name of the file is table.csv; `Case.future` are the three steps after the last value, as the file would write them.
"""

import bz2
import gzip

import awkward_times
from csv_files import COUNT, Case, days, table, weekdays

FEBRUARY, MONTHS = awkward_times.FEBRUARY, awkward_times.MONTHS

CASES = awkward_times.CASES | {
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
    "numbers of book-keepers": Case(
        table(days("%Y-%m-%d"), values=[f'"({k + 1},000.50)"' for k in range(COUNT)]),
        FEBRUARY,
        ends=(-1000.5, -30000.5),
    ),
    "minus signs of typography": Case(
        table(days("%Y-%m-%d"), values=[f"\u2212{k + 1}.5" for k in range(COUNT)]),
        FEBRUARY,
        ends=(-1.5, -30.5),
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
    "bzip2": Case(bz2.compress(table(days("%Y-%m-%d"))), FEBRUARY),
    "a line that names the delimiter": Case(
        b"sep=;\n" + table(days("%Y-%m-%d"), "date;value\n", "{time};{value}\n"), FEBRUARY
    ),
    "a web page": Case(
        b"<!DOCTYPE html>\n<html><body>404</body></html>\n",
        sentence="table.csv: expected delimited text or Parquet, got a web page or XML (save it as CSV)",
    ),
    "JSON": Case(
        b'[{"date": "2020-01-01", "value": 1}]',
        sentence="table.csv: expected delimited text or Parquet, got JSON (save it as CSV)",
    ),
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
        "(a line of totals, units or notes is to be removed; --date-format names a format)",
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
