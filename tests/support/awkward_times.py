# SPDX-License-Identifier: MIT
"""Awkward files whose times are what is awkward: calendars, day or month first, time zones, spellings."""

import datetime

from csv_files import COUNT, Case, days, hours, months, table, weekdays

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
    # Other spellings -----------------------------------------------------------------------------------------
    "dates as a spreadsheet writes them": Case(
        table([f"1/{k + 1}/2020 0:00" for k in range(30)]),
        ("1/31/2020 0:00", "2/1/2020 0:00", "2/2/2020 0:00"),
    ),
    "days and months without zeros": Case(
        table([f"{k + 1}.1.2020" for k in range(30)]), ("31.1.2020", "1.2.2020", "2.2.2020")
    ),
    "months as 2020M01": Case(
        table([f"{2015 + k // 12}M{k % 12 + 1:02d}" for k in range(30)]), ("2017M07", "2017M08", "2017M09")
    ),
    "months in words before a year": Case(
        table(days("%d-%b-%Y")), ("31-Jan-2020", "01-Feb-2020", "02-Feb-2020")
    ),
    "last Fridays of the months": Case(
        table(["2020-01-31", "2020-02-28", "2020-03-27", "2020-04-24", "2020-05-29", "2020-06-26"]),
        ("2020-07-31", "2020-08-28", "2020-09-25"),
    ),
    "last business days of the months": Case(
        table(["2020-01-31", "2020-02-28", "2020-03-31", "2020-04-30", "2020-05-29", "2020-06-30"]),
        ("2020-07-31", "2020-08-31", "2020-09-30"),
    ),
    "the 30th of every month": Case(
        table([f"2020-{m:02d}-{'30' if m != 2 else '29'}" for m in range(1, 13)]),
        sentence='table.csv line 5, column "date": expected an even step, 30 days as between most rows, got 31 days '
        "(the steps fit no frequency, not even with gaps; hours that jump in spring and autumn need --timezone)",
    ),
    "hours of business days": Case(
        table([f"2020-01-{d:02d} {h:02d}:00" for d in (2, 3, 6, 7, 8) for h in range(9, 17)]),
        ("2020-01-09 09:00", "2020-01-09 10:00", "2020-01-09 11:00"),
    ),
    "thousandths of seconds": Case(
        table([f"2020-01-01T00:00:00.{k:03d}Z" for k in range(30)]),
        ("2020-01-01T00:00:00.030Z", "2020-01-01T00:00:00.031Z", "2020-01-01T00:00:00.032Z"),
    ),
    "year and month in two columns": Case(
        table([f"{2015 + k // 12},{k % 12 + 1}" for k in range(30)], "year,month,value\n"),
        sentence="table.csv: expected a column of whole times, got parts of them in year, month "
        "(join them into one column)",
    ),
    "day and hour in two columns": Case(
        table([f"2020-01-{k // 24 + 1:02d},{k % 24:02d}:00" for k in range(60)], "date,time,value\n"),
        sentence="table.csv: expected a column of whole times, got parts of them in date, time "
        "(join them into one column)",
    ),
    "a day that does not exist": Case(
        table(["2020-02-28", "2020-02-29", "2020-02-30"]),
        sentence='table.csv line 4, column "date": expected a time like "2020-02-28", got "2020-02-30" '
        "(a line of totals, units or notes is to be removed; --date-format names a format)",
    ),
}
