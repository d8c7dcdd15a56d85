# SPDX-License-Identifier: MIT
"""Air pollution in Beijing: PM2.5 from the hours before and the weather, with missing measurements."""

import numpy as np

from examples import data
from examples.forecasting.windows import Series, Settings

SOURCE, UNIT, TITLE = "beijing_pm25", "µg/m³", "PM2.5 in Beijing"
FULL = Settings(96, context=24, epochs=12, batch=128, lr=4e-3, weight_decay=0.03, dropout=0, first_hours=20)
QUICK = Settings(48, context=24, epochs=2, batch=64, lr=8e-3, weight_decay=0.03, dropout=0, first_hours=20)
SHOWN = 36168
WEATHER_AHEAD = True
"""The picture begins on 17 February 2014; without the weather of the next day there is little to see ahead."""


def parts(series):
    """First hours of validation and test: the last fifth is the test, the tenth before it serves validation."""
    return [int(share * len(series.value)) for share in (0.7, 0.8)]


def when(hour):
    """The time of hour number `hour`."""
    return np.datetime64("2010-01-02T00", "h") + hour


def series():
    """PM2.5 of five years; a zero in the data is a missing measurement."""
    d = data.load("beijing_pm25")
    hours = d["date"]
    seen = d["pollution"] > 0
    latest = np.maximum.accumulate(np.where(seen, np.arange(len(seen)), 0))
    value = d["pollution"][latest].astype(np.float64)
    before = np.concatenate([value[:1], value[:-1]])
    level = np.log(before + 5.0)
    turn = 2 * np.pi * hours / 24
    waves = [f(k * turn) for k in (1, 2, 1 / 365.25, 2 / 365.25, 1 / 7) for f in (np.sin, np.cos)]
    numbers = np.stack([d["dew"] / 14, d["temp"] / 12, (d["press"] - 1016) / 10], axis=1)
    strong = np.log1p(np.stack([d["wnd_spd"], d["snow"], d["rain"]], axis=1)) / (1.5, 0.5, 0.5)
    wind = np.eye(len(d["wnd_dir_names"]))[d["wnd_dir"]]
    weather = np.concatenate([numbers, strong, wind, wind * strong[:, :1]], axis=1, dtype=np.float32)
    return Series(value, seen, np.stack(waves, axis=1).astype(np.float32), weather, (24,), 5.0, level)
