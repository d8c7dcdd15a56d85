# SPDX-License-Identifier: MIT
"""What a `Forecaster` gives: a forecast, and a test against simpler ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Forecast:
    """A forecast of the steps after a series.

    Attributes
    ----------
    median : float64 (horizon,)
        As likely too low as too high.
    lower, upper : dict of float to float64 (horizon,)
        By level: bounds that should hold this share of the true values.
    index : pandas.DatetimeIndex or None
        The dates of the steps, where the series has dates.
    """

    median: np.ndarray
    lower: dict[float, np.ndarray]
    upper: dict[float, np.ndarray]
    index: Any = None

    @classmethod
    def of(cls, quantiles: np.ndarray, bounds: dict[float, np.ndarray], index: Any, horizon: int) -> Forecast:
        """From quantiles (H, 3) and bounds, level -> (2, H); the first `horizon` steps of them."""
        return cls(
            quantiles[:horizon, 1],
            {level: both[0, :horizon] for level, both in bounds.items()},
            {level: both[1, :horizon] for level, both in bounds.items()},
            None if index is None else index[:horizon],
        )


@dataclass(frozen=True)
class Backtest:
    """Forecasts from many origins, beside what came.

    Attributes
    ----------
    forecasts : dict of str to float64 (n, horizon)
        The networks' first, then the linear autoregression's and the naive ones.
    bounds : dict of float to float64 (2, n, horizon)
        Lower and upper bounds by level.
    truth : float64 (n, horizon)
        NaN where a value is missing.
    origins : int (n,)
        Index of the first value forecast, in its series.
    lines : int (n,)
        Which series that is.
    """

    forecasts: dict[str, np.ndarray]
    bounds: dict[float, np.ndarray]
    truth: np.ndarray
    origins: np.ndarray
    lines: np.ndarray

    @property
    def scores(self) -> dict[str, tuple[float, float]]:
        """Mean absolute and root mean square error over all steps ahead: name -> (mae, rmse)."""
        return {
            name: (
                float(np.nanmean(np.abs(made - self.truth))),
                float(np.sqrt(np.nanmean(np.square(made - self.truth)))),
            )
            for name, made in self.forecasts.items()
        }

    def by_step(self, name: str) -> np.ndarray:
        """Mean absolute error of each step ahead, (horizon,)."""
        return np.nanmean(np.abs(self.forecasts[name] - self.truth), axis=0)

    @property
    def coverage(self) -> dict[float, float]:
        """Share of the true values inside the interval of each level."""
        there = np.isfinite(self.truth)
        return {
            level: float(((self.truth >= low) & (self.truth <= high))[there].mean())
            for level, (low, high) in self.bounds.items()
        }
