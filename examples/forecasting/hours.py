# SPDX-License-Identifier: MIT
"""Hourly bike hire: the next hour and the next 24, with intervals."""

import datetime

import numpy as np

from examples import data
from examples.forecasting.windows import Series, Settings

FORTNIGHT = 14 * 24
SOURCE, UNIT, TITLE = "bike_hour", "bikes", "Bikes hired per hour, Washington DC"
FULL = Settings(64, context=24, epochs=6, batch=64, lr=3e-3, weight_decay=0.02, dropout=0.3, first_hours=5)
QUICK = Settings(48, context=24, epochs=3, batch=64, lr=6e-3, weight_decay=0.02, dropout=0.1, first_hours=5)
SHOWN = 16464
WEATHER_AHEAD = False
"""The picture begins on 17 November 2012, before Thanksgiving; no weather forecast is needed."""


def parts(series):
    """First hours of validation and test: the last tenth of the measurements is the test, the tenth before it serves
    validation."""
    measured = np.flatnonzero(series.seen)
    return [int(measured[int(share * len(measured))]) for share in (0.8, 0.9)]


def when(hour):
    """The time of hour number `hour`."""
    return np.datetime64("2011-01-01T00", "h") + hour


def one_hot(number, kinds):
    return np.eye(kinds, dtype=np.float32)[number]


def series():
    """The hire of all hours of two years; the hours that the data leaves out count as not seen."""
    d = data.load("bike_hour")
    first = datetime.date(2011, 1, 1)
    dates = [datetime.datetime.strptime(text.decode(), "%m/%d/%y").date() for text in d["dteday"]]
    day = np.array([(date - first).days for date in dates])
    row = day * 24 + d["hr"]
    hours = np.arange(row[-1] + 1)
    seen = np.isin(hours, row)
    latest = np.searchsorted(row, hours, side="right") - 1  # the last row at or before each hour
    value = d["cnt"][latest].astype(np.float64)
    total = np.concatenate([[0.0], np.cumsum(value)])
    start = np.maximum(hours - FORTNIGHT, 0)
    level = np.log((total[hours] - total[start] + 100.0) / (hours - start + 1.0))
    sky = one_hot(np.minimum(d["weathersit"], 3) - 1, 3)
    numbers = np.stack([d[name] for name in ("temp", "atemp", "hum", "windspeed")], axis=1)
    numbers = (numbers - (0.5, 0.5, 0.6, 0.2)) / (0.2, 0.2, 0.2, 0.12)
    weather = np.concatenate([numbers, sky], axis=1)[latest]
    return Series(
        value, seen, calendar(d, day, hours), weather.astype(np.float32), (24, 48, 168, 336), 3.0, level
    )


def calendar(d, day, hours):
    """Hour, weekday, season, and whether yesterday, today and tomorrow are working days and holidays."""
    days = hours // 24
    flags = []
    for name in ("workingday", "holiday"):
        by_day = np.zeros(days[-1] + 1)
        by_day[day] = d[name]
        flags += [np.roll(by_day, shift)[days] for shift in (1, 0, -1)]
    turn = 2 * np.pi * hours / 24
    waves = [np.sin(turn), np.cos(turn), np.sin(turn / 365.25), np.cos(turn / 365.25)]
    weekday = (6 + days) % 7  # the first day is a Saturday
    working = flags[1].astype(int)
    parts = [one_hot(hours % 24 + 24 * working, 48), one_hot(weekday, 7), np.stack(flags + waves, axis=1)]
    return np.concatenate(parts, axis=1, dtype=np.float32)
