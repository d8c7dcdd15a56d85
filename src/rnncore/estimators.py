# SPDX-License-Identifier: MIT
"""Forecaster: train an ensemble of small recurrent networks on one series and forecast it.

Each network sees a window through one view (`forecasting.VIEWS`) and learns what a ridge regression on the
same window leaves over; it starts at zero, so an unfinished or interrupted training is never worse than the
regression. Every block of the series validates one fold: early stopping and prediction intervals use
errors on windows that the network in question did not train on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import forecasting, layers
from .ensemble import Member, Progress, Run
from .errors import ArgumentError
from .modelfile import expect, prefixed, read_file, strip, write_file
from .nn import Linear

__all__ = ["Backtest", "Forecast", "Forecaster", "Progress"]

MODEL_FORMAT = "rnncore-forecaster-1"
DEFAULT_HORIZON = 12
MIN_WINDOW = 24
LONG_WINDOW = 128
"""Up to here a window holds three seasons, beyond it one and MIN_WINDOW: its length is the cost."""
MAX_AUTO_PERIOD = 400
MIN_TRAIN_WINDOWS = 16
MAX_ORIGINS = 1_000
"""Origins of a backtest; more are thinned evenly."""


@dataclass(frozen=True)
class Forecast:
    """Forecast `mean` and the bounds `lower`, `upper` that hold `level` of the truth; each (horizon,)."""

    mean: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    level: float


@dataclass(frozen=True)
class Backtest:
    """Rolling-origin test: `scores[name] = (mae, rmse)` for the model and the baselines.

    `scores` also has ``linear path alone``, what the ensemble would forecast without its networks.
    `origins` (n,), `forecasts` and `truth` (n, horizon); `coverage` is the share of true values inside the
    interval of the given `level`.
    """

    scores: dict[str, tuple[float, float]]
    coverage: float
    level: float
    origins: np.ndarray
    forecasts: np.ndarray
    truth: np.ndarray


def _positive_int(name: str, value: Any, *, optional: bool = False, low: int = 1) -> Any:
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise ArgumentError(name, f"an integer >= {low}", repr(value))
    return int(value)


class Forecaster:
    """Forecast one evenly spaced series with an ensemble of recurrent networks.

    Parameters
    ----------
    cell : "lstm", "gru" or "rnn"
    horizon : int or None
        Values to forecast at once; None takes one season, or 12 where the series has none.
    window : int or None
        Past values a forecast looks at; None takes three seasons and at least 24, and for long seasons
        one season and 24.
    period : int or None
        Length of a season (1: none); None detects it from the autocorrelation.
    hidden_size, num_layers : int
    folds : int
        Blocks of the series that take turns as validation part, fewer where the series is short; the ensemble
        has ``3 * folds`` networks.
    epochs, patience : int
        Longest training of a network, and the epochs without improvement after which it stops.
    batch_size, lr, clip_norm, weight_decay
        Mini-batch size and `Adam`'s settings.
    seconds : float or None
        Training budget of `fit` in seconds; a run that it cuts short does not repeat bit for bit.
    nonnegative : bool or None
        Never forecast below zero; None does so when no value of the series is below zero.
    dtype : "float32" or "float64"
    seed : int
    num_threads : int or None
        Passed to the layers.

    Examples
    --------
    >>> model = rnncore.Forecaster(horizon=12).fit(series)
    >>> model.predict().mean
    """

    horizon: int
    window: int
    period: int
    hidden_size: int
    num_layers: int
    folds: int
    epochs: int
    patience: int
    batch_size: int
    lr: float
    clip_norm: float
    weight_decay: float
    nonnegative: bool
    seed: Any
    num_threads: int | None
    interrupted: bool

    def __init__(
        self,
        cell: str = "lstm",
        *,
        horizon: Any = None,
        window: int | None = None,
        period: Any = None,
        hidden_size: Any = 12,
        num_layers: Any = 1,
        folds: Any = 6,
        epochs: Any = 150,
        patience: Any = 25,
        batch_size: Any = 32,
        lr: float = 5e-3,
        clip_norm: float = 1.0,
        weight_decay: float = 0.0,
        seconds: float | None = None,
        nonnegative: bool | None = None,
        dtype: Any = "float32",
        seed: Any = 0,
        num_threads: int | None = None,
    ) -> None:
        if cell not in ("lstm", "gru", "rnn"):
            raise ArgumentError("cell", "'lstm', 'gru' or 'rnn'", repr(cell))
        if dtype not in ("float32", "float64"):
            raise ArgumentError("dtype", "'float32' or 'float64'", repr(dtype))
        if seconds is not None and not (isinstance(seconds, (int, float)) and seconds > 0):
            raise ArgumentError("seconds", "a number > 0 or None", repr(seconds))
        self.cell, self.dtype = cell, dtype
        self.horizon = _positive_int("horizon", horizon, optional=True)
        self.window = _positive_int("window", window, optional=True, low=2)
        self.period = _positive_int("period", period, optional=True)
        self.hidden_size = _positive_int("hidden_size", hidden_size)
        self.num_layers = _positive_int("num_layers", num_layers)
        self.folds = _positive_int("folds", folds, low=2)
        self.epochs = _positive_int("epochs", epochs)
        self.patience = _positive_int("patience", patience)
        self.batch_size = _positive_int("batch_size", batch_size)
        self.seed = _positive_int("seed", seed, low=0)
        self.num_threads = _positive_int("num_threads", num_threads, optional=True)
        self.lr, self.clip_norm, self.weight_decay = lr, clip_norm, weight_decay
        self.seconds = seconds
        self.nonnegative = nonnegative
        self.interrupted = False
        # What a fit may fill in; kept, so that the next fit decides afresh.
        self._given = {
            "horizon": self.horizon,
            "window": self.window,
            "period": self.period,
            "folds": self.folds,
            "nonnegative": nonnegative,
        }
        self._series = None
        self._members = []
        self._residuals = None

    def __repr__(self) -> str:
        state = "not fitted" if self._series is None else f"fitted on {len(self._series)} values"
        return (
            f"Forecaster(cell={self.cell!r}, horizon={self.horizon}, window={self.window}, "
            f"period={self.period}, hidden_size={self.hidden_size}, folds={self.folds}): {state}"
        )

    # -- fitting ------------------------------------------------------------------------------------------

    def fit(
        self, series: Any, progress: Callable[..., Any] | None = None, checkpoint: Any = None
    ) -> Forecaster:
        """Train on all of `series`.

        Parameters
        ----------
        series : array of real numbers, (n,)
            Evenly spaced, oldest first, without gaps.
        progress : callable, optional
            Called with a `Progress` after every epoch.
        checkpoint : path, optional
            Where to keep the state of the run, about once a second and atomically. If the file exists the
            run goes on from there, and ends with the same networks as an uninterrupted run.

        Returns
        -------
        Forecaster
            Itself. After Ctrl-C the best weights so far are in place and `interrupted` is True.

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            NaN or infinite values, a constant or too short series, or a checkpoint of another run.
        """
        values = forecasting.check_series(series)
        self._series, self.interrupted = None, False
        self._plan(values)
        run = Run(self, values, progress, checkpoint)
        try:
            run.train()
        except KeyboardInterrupt:
            # Ctrl-C means "that is good enough": every member holds its best weights or its linear path.
            self.interrupted = True
            run.stop()
        self._residuals = self._out_of_fold(values, run.fold_list)
        self._series = values
        return self

    def _plan(self, values: np.ndarray[Any, Any]) -> Any:
        """Fill in the sizes that were left to the series, and check that it is long enough for them."""
        n = len(values)
        with np.errstate(over="ignore"):  # an overflow shows as an infinite spread, refused below
            spread = float(values.std()) if n else 0.0
        if n and not (np.isfinite(spread) and spread > 1e-12 * np.abs(values).max()):
            raise ArgumentError("series", "values that vary and can be squared", f"a spread of {spread:g}")
        for name, value in self._given.items():
            setattr(self, name, value)
        if self.period is None:
            found = forecasting.detect_period(values)
            self.period = found if found <= MAX_AUTO_PERIOD else 1
        if self.horizon is None:
            self.horizon = min(self.period if self.period > 1 else DEFAULT_HORIZON, max(n // 8, 1))
        if self.window is None:
            seasons = min(3 * self.period, max(self.period + MIN_WINDOW, LONG_WINDOW))
            self.window = min(max(seasons, MIN_WINDOW), max(n // 4, 2))
        if self.nonnegative is None:
            self.nonnegative = bool(n and values.min() >= 0)
        # Every fold then has a target to validate on and MIN_TRAIN_WINDOWS windows elsewhere.
        block = self.horizon + MIN_TRAIN_WINDOWS
        needed = max(self.window + 2 * block, self.period)
        if n < needed:
            raise ArgumentError(
                "series",
                f"at least {needed} values for horizon {self.horizon} and window {self.window}",
                f"{n}",
            )
        self.folds = min(self.folds, (n - self.window) // block)

    def _new_layer(self, seed: Any) -> Any:
        layer = getattr(layers, self.cell.upper())
        return layer(1, self.hidden_size, self.num_layers, dtype=self.dtype, seed=seed)

    def _new_member(
        self, number: int, view: Any, fold: int, mean: Any, std: Any, weights: Any, intercept: Any, scale: Any
    ) -> Any:
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        head = Linear(self.hidden_size, self.horizon, dtype=self.dtype, seed=0)
        # The head starts at zero: the member begins as its linear path and can only be stopped above it.
        head.update_parameters({name: np.zeros_like(array) for name, array in head.parameters().items()})
        return Member(view, fold, mean, std, weights, intercept, scale, self._new_layer(seed), head)

    def _out_of_fold(self, values: np.ndarray[Any, Any], fold_list: Any) -> Any:
        """Truth minus forecast (m, horizon) on all validation windows, each by its own fold's members."""
        parts = []
        for number, fold in enumerate(fold_list):
            truth = forecasting.gather(values, fold.valid, 0, self.horizon)
            parts.append(truth - self._mean(values, fold.valid, number))
        return np.concatenate(parts)

    # -- using --------------------------------------------------------------------------------------------

    def _mean(
        self, values: np.ndarray[Any, Any], origins: np.ndarray[Any, Any], fold: int | None = None
    ) -> Any:
        """Average forecast (n, horizon) of the members, or of those of one fold."""
        chosen = [m for m in self._members if fold is None or m.fold == fold]
        total = sum(m.predict(values, origins, self.window, self.num_threads) for m in chosen)
        return self._clip(total / len(chosen))

    def _clip(self, forecast: np.ndarray[Any, Any]) -> Any:
        return np.maximum(forecast, 0.0) if self.nonnegative else forecast

    def _require_fit(self) -> Any:
        if self._series is None:
            raise ArgumentError("Forecaster", "a fitted or loaded model", "an unfitted one", "call fit first")

    def _interval(self, level: float) -> Any:
        if not (isinstance(level, (int, float)) and 0 < level < 1):
            raise ArgumentError("level", "a number between 0 and 1", repr(level))
        return forecasting.residual_interval(self._residuals, level)

    def predict(self, horizon: Any = None, *, series: Any = None, level: float = 0.9) -> Any:
        """Forecast the values that follow `series` (default: the series of `fit`).

        Parameters
        ----------
        horizon : int, optional
            How many values, at most the horizon of the fit (the default).
        series : array, (n,), n >= window, optional
            A newer history to go on from.
        level : float
            Share of true values the interval should hold.

        Returns
        -------
        Forecast

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            Not fitted, horizon too long, history too short or with gaps.
        """
        self._require_fit()
        horizon = self.horizon if horizon is None else _positive_int("horizon", horizon)
        if horizon > self.horizon:
            raise ArgumentError("horizon", f"at most {self.horizon}, the horizon of the fit", str(horizon))
        values = self._series if series is None else forecasting.check_series(series)
        if len(values) < self.window:
            raise ArgumentError(
                "series", f"at least {self.window} values (the window)", f"{len(values)} values"
            )
        lower, upper = self._interval(level)
        mean = self._mean(values, np.array([len(values)]))[0]
        return Forecast(
            mean[:horizon],
            self._clip(mean + lower)[:horizon],
            self._clip(mean + upper)[:horizon],
            float(level),
        )

    def backtest(self, series: Any, start: Any = None, *, level: float = 0.9) -> Any:
        """Test on the values from `start` on, against the seasonal-naive and last-value forecasts.

        Every origin from `start` to ``n - horizon`` is forecast from the true values before it (of
        more than 1000 an even selection); the networks are not trained again.

        Parameters
        ----------
        series : array, (n,)
            The fitted series followed by the test values.
        start : int, optional
            First test index; default: where the fitted series ends.
        level : float

        Returns
        -------
        Backtest

        Raises
        ------
        ArgumentError
            The test part overlaps the values the model was fitted on, or is shorter than the horizon.
        """
        self._require_fit()
        values = forecasting.check_series(series)
        fitted = len(self._series)
        start = fitted if start is None else _positive_int("start", start)
        if start < fitted and np.array_equal(values[:fitted], self._series[: len(values)]):
            raise ArgumentError(
                "start",
                f"at least {fitted}, where the fitted series ends",
                str(start),
                "testing on training values would flatter the model",
            )
        if start < max(self.window, self.period):
            raise ArgumentError("start", f"at least {max(self.window, self.period)}", str(start))
        if len(values) - start < self.horizon:
            raise ArgumentError(
                "series",
                f"at least {self.horizon} test values from index {start} on",
                f"{max(len(values) - start, 0)}",
            )
        origins = forecasting.thin(np.arange(start, len(values) - self.horizon + 1), MAX_ORIGINS)
        truth = forecasting.gather(values, origins, 0, self.horizon)
        forecasts = self._mean(values, origins)
        named = {
            f"rnncore {self.cell}": forecasts,
            "linear path alone": self._linear_mean(values, origins),
            **forecasting.baselines(values, origins, self.horizon, self.period),
        }
        scores = {
            name: (float(np.abs(f - truth).mean()), float(np.sqrt(np.square(f - truth).mean())))
            for name, f in named.items()
        }
        lower, upper = self._interval(level)
        inside = (truth >= self._clip(forecasts + lower)) & (truth <= self._clip(forecasts + upper))
        return Backtest(scores, float(inside.mean()), float(level), origins, forecasts, truth)

    def _linear_mean(self, values: np.ndarray[Any, Any], origins: np.ndarray[Any, Any]) -> Any:
        """What the ensemble would forecast without its networks."""
        total = np.zeros((len(origins), self.horizon))
        for m in self._members:
            seen = forecasting.look(m.view, (values - m.mean) / m.std, origins, self.window)
            total += seen.show(m.linear(seen.inputs)) * m.std + m.mean
        return self._clip(total / len(self._members))

    # -- files --------------------------------------------------------------------------------------------

    def _config(self) -> Any:
        names = (
            "cell",
            "horizon",
            "window",
            "period",
            "hidden_size",
            "num_layers",
            "folds",
            "epochs",
            "patience",
            "batch_size",
            "lr",
            "clip_norm",
            "weight_decay",
            "seconds",
            "nonnegative",
            "dtype",
            "seed",
            "num_threads",
        )
        return {name: getattr(self, name) for name in names}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a safetensors file (atomically); the settings are JSON in its header.

        Raises
        ------
        ArgumentError
            Not fitted.
        ImportError
            The package ``safetensors`` is missing.
        """
        self._require_fit()
        tensors = {"series": self._series, "residuals": self._residuals}
        for i, m in enumerate(self._members):
            tensors[f"{i}.scaling"] = np.array([m.mean, m.std, m.scale])
            tensors[f"{i}.linear.weight"], tensors[f"{i}.linear.bias"] = m.weights, m.intercept
            tensors.update(prefixed(f"{i}.rnn.", m.layer.state_dict()))
            tensors.update(prefixed(f"{i}.head.", m.head.state_dict()))
        meta = {
            "format": MODEL_FORMAT,
            "config": self._config(),
            "members": [[m.view, m.fold] for m in self._members],
        }
        write_file(path, tensors, meta)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Forecaster:
        """Read a model that `save` wrote.

        Raises
        ------
        ArgumentError
            Not such a file, or a damaged one. OSError where it cannot be read.
        """
        tensors, meta = read_file(path, MODEL_FORMAT)
        try:
            return cls._from_tensors(tensors, meta)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ArgumentError(str(path), "a complete forecaster model", reason) from error

    @classmethod
    def _from_tensors(cls, tensors: dict[str, Any], meta: dict[str, Any]) -> Any:
        model = cls(**meta["config"])
        if not meta["members"]:
            raise ArgumentError("members", "at least one network", "none")
        units = tensors["0.rnn.weight_hh_l0"].shape[1]
        if units != model.hidden_size or model.num_layers > len(tensors):
            # Before any layer is made: a wrong header must not decide how much memory is taken.
            raise ArgumentError("hidden_size", str(units), str(model.hidden_size))
        expect("residuals", tensors["residuals"], (len(tensors["residuals"]), model.horizon))
        for number, (view, fold) in enumerate(meta["members"]):
            if view not in forecasting.VIEWS or not isinstance(fold, int):
                raise ArgumentError(
                    f"members[{number}]",
                    f"a view ({', '.join(forecasting.VIEWS)}) and a fold",
                    f"{view!r}, {fold!r}",
                )
            own = strip(tensors, f"{number}.")
            expect("linear.weight", own["linear.weight"], (model.window, model.horizon))
            expect("linear.bias", own["linear.bias"], (model.horizon,))
            expect("scaling", own["scaling"], (3,))
            mean, std, scale = own["scaling"].tolist()
            member = model._new_member(
                number, view, fold, mean, std, own["linear.weight"], own["linear.bias"], scale
            )
            member.layer.load_state_dict(strip(own, "rnn."))
            member.head.load_state_dict(strip(own, "head."))
            model._members.append(member)
        model._residuals = tensors["residuals"]
        model._series = forecasting.check_series(tensors["series"])
        return model
