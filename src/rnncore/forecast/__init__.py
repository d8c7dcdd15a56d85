# SPDX-License-Identifier: MIT
"""Forecasts of time series: `Forecaster`, and what stands behind the command ``rnncore forecast``."""

from ._model.forecaster import Forecaster, fit_together
from ._model.results import Backtest, Forecast
from ._model.training import Progress

__all__ = ["Backtest", "Forecast", "Forecaster", "Progress", "fit_together"]
