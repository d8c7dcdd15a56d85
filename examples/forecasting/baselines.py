# SPDX-License-Identifier: MIT
"""What the networks are compared with: naive forecasts and a linear autoregression."""

import numpy as np
from sklearn.linear_model import Ridge

from examples.forecasting.windows import HORIZON

NAIVE = {"last value": None, "same hour yesterday": 24, "same hour last week": 168}


def naive(series, origins, lag):
    """Forecasts (n, HORIZON): the value `lag` hours before, or the last one known (None)."""
    hours = origins[:, np.newaxis] + np.arange(HORIZON)
    return (
        series.value[hours - lag]
        if lag
        else np.repeat(series.value[origins - 1][:, np.newaxis], HORIZON, axis=1)
    )


def linear(series, train, test, forecast):
    """A linear autoregression with the network's inputs, one ridge regression per hour ahead: (n, HORIZON).

    It sees the last 24 values, the lagged ones, the level, the calendar of the hour and the weather of the last
    hour known, with a weather `forecast` also that of the hour.
    """
    found = np.empty((len(test), HORIZON))
    for h in range(HORIZON):
        inputs = [_inputs(series, origins, h, forecast) for origins in (train, test)]
        known = series.seen[train + h]
        model = Ridge(alpha=10.0).fit(inputs[0][known], series.value[train + h][known])
        found[:, h] = model.predict(inputs[1])
    return np.maximum(found, 0.0)


def _inputs(series, origins, h, forecast):
    past = origins[:, np.newaxis] - np.arange(1, 25)
    lagged = origins[:, np.newaxis] + h - np.array(series.lags)
    parts = [series.value[past], series.value[lagged], np.exp(series.level[origins])[:, np.newaxis]]
    parts += [series.calendar[origins + h], series.weather[origins - 1]]
    if forecast:
        parts.append(series.weather[origins + h])
    inputs = np.concatenate(parts, axis=1)
    return inputs / np.maximum(inputs.std(axis=0), 1e-6)
