# SPDX-License-Identifier: MIT
"""A GRU that reads the past hours of a series and goes on over the next 24: their quantiles are its outputs.

One call reads a window of `CONTEXT + HORIZON` hours. What is not known ahead (the value itself and, without a
weather forecast, the weather) is zero there, with a flag that says so.
"""

import bisect
from dataclasses import dataclass
from functools import cached_property

import numpy as np

import rnncore
from examples import common
from rnncore.nn import Adam, Cosine, Linear, Sequential, fit, quantile_loss

HORIZON = 24
QUANTILES = (0.025, 0.1, 0.5, 0.9, 0.975)
MEDIAN, LEVELS = 2, {0.8: (1, 3), 0.95: (0, 4)}
"""Where the median and the ends of the intervals stand in QUANTILES."""


@dataclass(frozen=True)
class Series:
    """An hourly series; row t of each array is hour t.

    Attributes
    ----------
    value : float64 (T,)
        What is forecast, not negative; hours without a measurement repeat the last one before them.
    seen : bool (T,)
        Whether there is a measurement.
    calendar : float32 (T, K)
        Known for all hours.
    weather : float32 (T, W)
        Known up to now; ahead of now only from a weather forecast.
    lags : tuple of int
        Values so many hours back are inputs, too; at least HORIZON, so that they are known ahead.
    offset : float
        Values are seen as log(value + offset).
    level : float64 (T,)
        In logarithms: the level of the values before hour t, from which the hours from t on are forecast.
    """

    value: np.ndarray
    seen: np.ndarray
    calendar: np.ndarray
    weather: np.ndarray
    lags: tuple
    offset: float
    level: np.ndarray

    @cached_property
    def features(self):
        """float32 (T, F): calendar, lagged values, seen, weather known, weather, value."""
        log, T = np.log(self.value + self.offset), len(self.value)
        lagged = np.stack([log[np.maximum(np.arange(T) - lag, 0)] for lag in self.lags], axis=1)
        flags = np.stack([self.seen, np.ones(T)], axis=1)
        parts = (self.calendar, lagged, flags, self.weather, log[:, np.newaxis], np.zeros((T, 1)))
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def window(self, origins, context, forecast):
        """Inputs (context + HORIZON, n, F) of the forecasts made before hours `origins`.

        `forecast` is a bool (n,): whether the weather ahead is known.
        """
        hours = origins + np.arange(-context, HORIZON)[:, np.newaxis]
        x = self.features[hours]
        known, lagged = self.calendar.shape[1], len(self.lags)
        level = self.level[origins].astype(np.float32)
        x[:, :, known : known + lagged] -= level[:, np.newaxis]
        x[:, :, -2] -= level
        x[:, :, -1] = level / 2  # the level itself, about one wide
        x[context:, :, known + lagged] = 0  # seen
        x[context:, :, -2] = 0
        x[context:, ~np.asarray(forecast, bool), known + lagged + 1 : -2] = 0
        return x

    def targets(self, origins):
        """Values and whether they were measured, each (HORIZON, n)."""
        hours = origins + np.arange(HORIZON)[:, np.newaxis]
        return self.value[hours], self.seen[hours]


@dataclass
class Settings:
    """Chosen on the validation part.

    `first_hours` says how much more the first hours ahead weigh in the loss.
    """

    hidden: int
    context: int
    epochs: int
    batch: int
    lr: float
    weight_decay: float
    dropout: float
    first_hours: float


class Model:
    """The network and how its outputs become quantiles in the units of the series."""

    def __init__(self, series, settings, train, seed):
        self.series, self.settings = series, settings
        self.layer = rnncore.GRU(series.features.shape[1], settings.hidden, seed=seed)
        self.head = Linear(settings.hidden, len(QUANTILES), seed=seed)
        self.head.update_parameters({"weight": np.zeros((len(QUANTILES), settings.hidden), np.float32)})
        value, seen = series.targets(train)
        change = np.where(seen, np.log(value + series.offset) - series.level[train], np.nan)
        # How far values are from the level, hour by hour ahead: outputs are in these units.
        self.spread = np.sqrt(np.nanmean(change**2, axis=1))[:, np.newaxis, np.newaxis]
        self.scale = float(value[seen].mean())
        nearness = np.exp(-np.arange(HORIZON) / 2)
        self.weight = (1 + settings.first_hours * nearness)[:, np.newaxis] / self.spread[..., 0]

    def quantiles(self, out, origins):
        """Outputs (HORIZON, n, Q) as values: exp(level + spread * output) - offset."""
        return np.exp(self.spread * out + self.series.level[origins][:, np.newaxis]) - self.series.offset

    def loss(self, out, origins):
        """Quantile loss in units of the mean value, and its gradient with respect to the outputs."""
        value, seen = self.series.targets(origins)
        quantiles = self.quantiles(out.astype(np.float64), origins)
        loss, slope = quantile_loss(quantiles, value, QUANTILES, self.weight * seen)
        slope *= self.spread * (quantiles + self.series.offset)
        return loss / self.scale, (slope / self.scale).astype(out.dtype)

    def optimizer(self):
        s = self.settings
        return Adam([self.layer, self.head], lr=s.lr, weight_decay=s.weight_decay, clip_norm=1.0)

    def train(self, origins, rng):
        """Loss, number of windows and gradients, sums over windows; half of them, by chance, know the weather ahead."""
        s = self.settings
        x = self.series.window(origins, s.context, rng.random(len(origins)) < 0.5)
        y, _, tape = self.layer.forward(x)
        ahead, mask = common.dropout(y[s.context :], s.dropout, rng)
        out, head_tape = self.head.forward(ahead)
        loss, dout = self.loss(out, origins)
        head_grads = self.head.backward(head_tape, dout * np.float32(len(origins)))
        dy = np.zeros_like(y)
        dy[s.context :] = head_grads.x * mask
        grads = self.layer.backward(tape, dy, input_grad=False)
        return loss * len(origins), len(origins), [grads.params, head_grads.params]

    def gradients(self, batch):
        """What `rnncore.nn.fit` asks of a model; its data are the windows' origins."""
        return self.train(batch.data[batch.rows], batch.rng)

    def evaluate(self, batch):
        """The same of validation windows, without gradients, with and without the weather ahead."""
        origins = batch.data[batch.rows]
        losses = [self.loss(self.outputs(origins, known), origins)[0] for known in (False, True)]
        return sum(losses) / 2 * len(origins), len(origins)

    def outputs(self, origins, forecast):
        """Outputs (HORIZON, n, Q) for any number of origins, some hundred at a time."""
        parts = []
        for some in np.array_split(origins, -(-len(origins) // 512)):
            x = self.series.window(some, self.settings.context, np.full(len(some), forecast))
            parts.append(self.head(self.layer(x)[0][self.settings.context :]))
        return np.concatenate(parts, axis=1)

    def predict(self, origins, forecast):
        """Quantiles (n, HORIZON, Q) in order, not negative."""
        found = self.quantiles(self.outputs(origins, forecast), origins).swapaxes(0, 1)
        return np.maximum(np.sort(found, axis=-1), 0.0)

    def fit(self, train, valid, **options):
        """Train on windows with origins `train`, keep what is best on `valid`; `options` of `rnncore.nn.fit`."""
        s = self.settings
        return fit(
            self,
            train,
            None,
            self.optimizer(),
            epochs=s.epochs,
            batch_size=s.batch,
            validation=valid,
            schedule=Cosine(s.lr, warmup=100),
            **options,
        )

    def save(self, path, origins):
        """Write the network; `rnncore.load` reads it. Gives the bytes of the file."""
        x = self.series.window(origins, self.settings.context, np.ones(len(origins), bool))
        return common.save_model(path, Sequential(self.layer, self.head), x)


def splits(series, context, valid_start, test_start):
    """Origins of training, validation and test windows; no window's targets reach into the next part."""
    first = max(series.lags) + context
    ends = (valid_start, test_start, len(series.value))
    starts = (first, valid_start, test_start)
    return [np.arange(start, end - HORIZON + 1) for start, end in zip(starts, ends, strict=True)]


def calibrate(quantiles, value, seen, start, hours=672, rate=0.005):
    """Adaptive conformal intervals: as wide as the latest known errors and the latest coverage ask for.

    The margin added to both ends is a quantile of the last scores (how far outside its interval the truth lay, in
    widths of the interval); its level moves by `rate` against every hit or miss, so that coverage stays right
    when errors change with the season. Sources: Romano et al. 2019, Gibbs and Candes 2021.

    Parameters
    ----------
    quantiles : (n, HORIZON, Q)
        Forecasts before n consecutive hours.
    value, seen : (n, HORIZON)
        The truth; an hour that was not measured counts as the one before it.
    start : int
        Row from which on intervals are wanted, more than `hours` + HORIZON; the rows before it served validation.
    hours : int
        How many errors count: for each forecast the latest ones that were known when it was made.

    Returns
    -------
    (n - start, HORIZON, Q)
    """
    n, found = len(quantiles), quantiles[start:].copy()
    last = np.maximum.accumulate(np.where(seen, np.arange(n)[:, np.newaxis], 0), axis=0)
    for level, (low, high) in LEVELS.items():
        width = quantiles[..., high] - quantiles[..., low] + 1.0
        outside = np.maximum(quantiles[..., low] - value, value - quantiles[..., high]) / width
        score = np.take_along_axis(outside, last, axis=0)
        for h in range(HORIZON):
            # The forecast of row r is made before hour r; row r - h - 1 is the last whose hour h is over then.
            margin = _margins(score[:, h].tolist(), h + 1, level, hours, rate)[start:] * width[start:, h]
            found[:, h, low] -= margin
            found[:, h, high] += margin
    return np.maximum(np.sort(found, axis=-1), 0.0)


def _margins(score, delay, level, hours, rate):
    """For each row a margin from the `hours` scores up to `delay` rows before it; zero in the first rows."""
    margins, share = np.zeros(len(score)), level
    latest = sorted(score[:hours])
    for row in range(hours + delay, len(score)):
        known = row - delay
        bisect.insort(latest, score[known])
        del latest[bisect.bisect_left(latest, score[known - hours])]
        if known >= hours + delay:
            share += rate * (level - (score[known] <= margins[known]))
        margins[row] = latest[min(max(int(share * hours), 0), hours - 1)]
    return margins
