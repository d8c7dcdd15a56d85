# SPDX-License-Identifier: MIT
"""Forecasts of time series: `Forecaster`, and what stands behind the command ``rnncore forecast``."""

from .model import Forecaster, fit_together
from .results import Backtest, Forecast
from .training import Progress

__all__ = ["Backtest", "Forecast", "Forecaster", "Progress", "fit_together"]
