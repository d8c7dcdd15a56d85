# SPDX-License-Identifier: MIT
"""The numerical parts of forecasting: windows, views, the linear path, periods, baselines, intervals.

All pure NumPy in float64, without state. An *origin* is the index of the first value to forecast: the
window holds the values before it, the target the values from it on. Nothing here looks past a target.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .errors import ArgumentError, DTypeError, ShapeError

VIEWS = ("level", "anchored", "scaled")
"""Three ways to show a window to a model; see `look`."""

RIDGE_STRENGTHS = (1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0)
"""Candidate penalties of the linear path, per window: half a decade apart where 100-1000 values need them."""

PERIOD_CORRELATION = 0.3
"""A season must repeat with at least this autocorrelation; white noise of 60 values stays below it."""

SPREAD_FLOOR = 0.1
"""Added to a window's spread (in units of the training spread), so that a flat window is not blown up."""


def check_series(series: Any, name: str = "series") -> Any:
    """Return `series` as a float64 vector.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        Not one-dimensional, not real numbers, or a value is NaN or infinite (its index is named).
    """
    values = np.asarray(series)
    if values.dtype.kind not in "iuf":
        raise DTypeError(name, "real numbers", str(values.dtype))
    if values.ndim != 1:
        raise ShapeError(name, "one dimension", str(values.shape))
    values = values.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise ArgumentError(
            name, "finite numbers without gaps", f"{values[bad[0]]} at index {bad[0]}", "fill the gaps first"
        )
    return values


def detect_period(values: np.ndarray[Any, Any]) -> Any:
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
    correlation = np.fft.irfft(spectrum * spectrum.conj())[: n // 3 + 2]
    if correlation[0] <= 0:
        return 1
    correlation = correlation / correlation[0]
    negative = np.flatnonzero(correlation < 0)
    if not negative.size:
        return 1
    inner = correlation[1:-1]
    peaks = 1 + np.flatnonzero((inner >= correlation[:-2]) & (inner > correlation[2:]))
    peaks = peaks[(peaks > negative[0]) & (correlation[peaks] >= PERIOD_CORRELATION)]
    return int(peaks[np.argmax(correlation[peaks])]) if peaks.size else 1


@dataclass(frozen=True)
class Look:
    """Windows seen through a view: `inputs` (n, window), `base` and `scale` (n, 1)."""

    inputs: np.ndarray
    base: np.ndarray
    scale: np.ndarray

    def hide(self, targets: Any) -> Any:
        """Series units (n, horizon) -> what a model learns: change from the last value, in view units."""
        return (targets - self.base) / self.scale

    def show(self, outputs: Any) -> Any:
        """Reverse of `hide`."""
        return outputs * self.scale + self.base


def gather(values: np.ndarray[Any, Any], origins: np.ndarray[Any, Any], start: Any, stop: int) -> Any:
    """Return ``values[origin + start : origin + stop]`` for every origin, (n, stop - start)."""
    return values[np.asarray(origins)[:, None] + np.arange(start, stop)]


def look(view: Any, values: np.ndarray[Any, Any], origins: np.ndarray[Any, Any], window: int) -> Any:
    """Return a `Look` at the windows before `origins`, as `view` shows them.

    ``level`` keeps the values; ``anchored`` subtracts each window's last value, so that a drifting level
    does not matter; ``scaled`` subtracts its mean and divides by its spread, so that amplitude does not
    matter either. Forecasts are always changes from the last value.
    """
    windows = gather(values, origins, -window, 0)
    last = windows[:, -1:]
    one = np.ones_like(last)
    if view == "level":
        return Look(windows, last, one)
    if view == "anchored":
        return Look(windows - last, last, one)
    mean, spread = windows.mean(axis=1, keepdims=True), windows.std(axis=1, keepdims=True) + SPREAD_FLOOR
    return Look((windows - mean) / spread, last, spread)


@dataclass(frozen=True)
class Fold:
    """One blocked split of the origins: targets in [low, high) validate, targets elsewhere train."""

    train: np.ndarray
    valid: np.ndarray
    mean: float
    std: float


def blocked_folds(values: np.ndarray[Any, Any], window: int, horizon: Any, count: int, limit: int) -> Any:
    """Split the origins of `values` into `count` blocks, each the validation part of one fold.

    A training target never overlaps the validation block, and `mean` and `std` come from the values
    outside it. More than `limit` training windows, or a quarter as many for validation,
    are thinned evenly.
    """
    n = len(values)
    origins = np.arange(window, n - horizon + 1)
    edges = np.linspace(window, n, count + 1).astype(int)
    folds = []
    for low, high in pairwise(edges):
        valid = origins[(origins >= low) & (origins + horizon <= high)]
        train = origins[(origins + horizon <= low) | (origins >= high)]
        outside = np.concatenate([values[:low], values[high:]])
        folds.append(
            Fold(thin(train, limit), thin(valid, -(-limit // 4)), float(outside.mean()), float(outside.std()))
        )
    return folds


def thin(origins: np.ndarray[Any, Any], limit: int) -> Any:
    """Return at most `limit` of the origins, evenly spaced."""
    return origins[:: max(1, -(-len(origins) // limit))]


def fit_linear(pairs: Any) -> Any:
    """Fit one ridge regression per fold, all with the penalty that validates best over the folds.

    Parameters
    ----------
    pairs : list of (inputs, targets, valid_inputs, valid_targets, valid_scale)
        One entry per fold: (n, window), (n, horizon), the same for validation, and (m, 1).

    Returns
    -------
    list of (ndarray, ndarray)
        Weights (window, horizon) and intercept (horizon,) per fold.

    Notes
    -----
    One eigendecomposition of (window, window) per fold serves all penalties.
    """
    errors = np.zeros(len(RIDGE_STRENGTHS))
    solutions = []
    for inputs, targets, valid_inputs, valid_targets, valid_scale in pairs:
        centre, mean = inputs.mean(axis=0), targets.mean(axis=0)
        centred = inputs - centre
        eigenvalues, vectors = np.linalg.eigh(centred.T @ centred)
        projected = vectors.T @ (centred.T @ (targets - mean))
        per_strength = []
        for index, strength in enumerate(RIDGE_STRENGTHS):
            shrunk = projected / (np.maximum(eigenvalues, 0.0) + strength * len(inputs))[:, None]
            weights = vectors @ shrunk
            intercept = mean - centre @ weights
            per_strength.append((weights, intercept))
            miss = (valid_inputs @ weights + intercept - valid_targets) * valid_scale
            errors[index] += np.square(miss).sum()
        solutions.append(per_strength)
    best = int(np.argmin(errors))
    return [per_strength[best] for per_strength in solutions]


def baselines(values: np.ndarray[Any, Any], origins: np.ndarray[Any, Any], horizon: Any, period: Any) -> Any:
    """Return the naive forecasts, name -> (n, horizon): last value and, with a season, seasonal naive.

    Seasonal naive repeats the last full season before the origin; with period 1 it is the last value.
    """
    steps = np.arange(horizon) % period
    seasonal = values[np.asarray(origins)[:, None] - period + steps]
    last = np.repeat(gather(values, origins, -1, 0), horizon, axis=1)
    return {"seasonal naive": seasonal, "last value": last}


def residual_interval(residuals: np.ndarray[Any, Any], level: float) -> Any:
    """Return offsets (lower, upper), each (horizon,), that hold `level` of future errors.

    `residuals` (n, horizon) are truth minus forecast on windows the models did not train on. The quantiles
    carry the finite-sample correction of split conformal prediction (Vovk et al. 2005).
    """
    n = len(residuals)
    tail = min(1.0, (1.0 + level) / 2.0 * (n + 1) / n)
    return np.quantile(residuals, 1.0 - tail, axis=0), np.quantile(residuals, tail, axis=0)
