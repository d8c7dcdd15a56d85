# SPDX-License-Identifier: MIT
"""Seasons of a series: found in the values, and what follows from them."""

from __future__ import annotations

import numpy as np

MIN_CORRELATION = 0.3
"""A season must repeat with at least this autocorrelation; white noise of 60 values stays below it."""
LONGEST = 400
"""Longer seasons are not looked for: what repeats so slowly is a trend to a forecast."""


def detect_season(values):
    """Return the length of the strongest season of `values` (n,), or 1 where there is none.

    The autocorrelation is taken after removing a quadratic trend; the season is its highest peak beyond
    the first negative lag, at most a third of the series long. O(n log n).
    """
    n = len(values)
    if n < 12:
        return 1
    time = np.linspace(-1.0, 1.0, n)
    rest = values - np.polynomial.Polynomial.fit(time, values, 2)(time)
    spectrum = np.fft.rfft(rest, 2 * n)
    correlation = np.fft.irfft(spectrum * spectrum.conj())[: min(n // 3, LONGEST) + 2]
    if correlation[0] <= 0:
        return 1
    correlation = correlation / correlation[0]
    negative = np.flatnonzero(correlation < 0)
    if not negative.size:
        return 1
    inner = correlation[1:-1]
    peaks = 1 + np.flatnonzero((inner >= correlation[:-2]) & (inner > correlation[2:]))
    peaks = peaks[(peaks > negative[0]) & (correlation[peaks] >= MIN_CORRELATION)]
    return int(peaks[np.argmax(correlation[peaks])]) if peaks.size else 1


def lags(seasons, horizon, limit):
    """Lags of at least `horizon` and at most `limit` rows: the first two multiples of each season."""
    found = set()
    for season in seasons:
        first = -(-horizon // season) * season
        found |= {lag for lag in (first, first + season) if lag <= limit}
    return tuple(sorted(found))


def naive_forecasts(panel, origins, horizon, seasons):
    """The forecasts without a model, name -> (n, horizon).

    "last value" repeats the last one; "seasonal naive (s)" the last full season of s values.
    """
    steps = np.arange(horizon)
    start = panel.starts[panel.which[origins]][:, np.newaxis]
    found = {"last value": np.repeat(panel.values[origins - 1][:, np.newaxis], horizon, axis=1)}
    for season in seasons:
        rows = origins[:, np.newaxis] - season + steps % season
        found[f"seasonal naive ({season})"] = panel.values[np.maximum(rows, start)]
    return found
