# SPDX-License-Identifier: MIT
"""Forecaster: recurrent networks trained on one or several series, and what they forecast."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any

import numpy as np

from ...errors import ArgumentError
from . import fitting, intervals, seasons
from .files import ForecasterFile
from .inputs import as_lines, tail
from .network import title_of
from .origins import Fitted
from .panel import Line, Panel
from .results import Backtest, Forecast
from .training import Progress, Run, identify
from .windows import Windows, thin

__all__ = ["Forecaster", "fit_together"]

MAX_ORIGINS = 1_000
FINGERPRINT = 16
"""So many of the last values that were trained on tell whether a series is the one that was."""


class Forecaster(ForecasterFile):
    """Forecast evenly spaced series with recurrent networks.

    A network reads what came before, the calendar where dates are given, and the forecast of a linear
    autoregression, and gives the quantiles of every step to come. What it adds to the linear autoregression is chosen
    on windows that it did not train on, and intervals are as wide as the errors on those windows ask for.

    Parameters
    ----------
    horizon : int
        Steps to forecast at once.
    cell : {"gru", "lstm", "rnn", "min_gru", "min_lstm"}
    seasons : sequence of int, optional
        Steps in each season, shortest first; () for none. Left out, dates say them or the autocorrelation does.
    context : int, optional
        Steps that the network reads before it goes on; values of earlier seasons are inputs besides.
    hidden_size : int, optional
        Units of each network; chosen by the number of windows if left out, as are `batch_size` and `steps`.
    batch_size : int, optional
    steps : int, optional
        Steps of the optimiser for each network.
    lr, weight_decay, dropout : float
    budget : float, optional
        Seconds of training. A run that this cuts short does not repeat bit for bit.
    nonnegative : bool, optional
        Never forecast below zero; left out, this holds where no value of the series is below zero.
    seed : int
    num_threads : int, optional
        Passed to the layers; results do not depend on it.

    Attributes
    ----------
    horizon, seasons_, parts_, shape_, share_ : what `fit` settled
        `share_` is the networks' part of the forecast, 0 to 1; the rest is the linear autoregression's.
    interrupted_ : bool
        Whether Ctrl-C or `progress` ended the training early; the best parameters so far are in place.

    Notes
    -----
    One network serves all series of a list; each keeps its own scale. Up to 2500 windows give five networks that are
    validated on a fifth each; more give two that are validated on the last eighth.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> t = np.arange(200)
    >>> model = rnncore.Forecaster(horizon=6, steps=20).fit(np.sin(t * 0.7) + 0.01 * t)
    >>> model.forecast().median.shape
    (6,)
    """

    # What `fit` leaves behind beside the facts of `fitting.prepare`.
    history_: list[Line]
    trained_: list[np.ndarray]
    future_: list[Any]
    interrupted_: bool

    def __init__(
        self,
        horizon: int = 12,
        *,
        cell: str = "gru",
        seasons: Sequence[int] | None = None,
        context: int | None = None,
        hidden_size: int | None = None,
        batch_size: int | None = None,
        steps: int | None = None,
        lr: float = 5e-3,
        weight_decay: float = 0.02,
        dropout: float = 0.1,
        budget: float | None = None,
        nonnegative: bool | None = None,
        seed: int = 0,
        num_threads: int | None = None,
    ) -> None:
        self.horizon: int = horizon
        self.cell: str = cell
        self.seasons: Sequence[int] | None = seasons
        self.context: int | None = context
        self.hidden_size: int | None = hidden_size
        self.batch_size: int | None = batch_size
        self.steps: int | None = steps
        self.lr: float = lr
        self.weight_decay: float = weight_decay
        self.dropout: float = dropout
        self.budget: float | None = budget
        self.nonnegative: bool | None = nonnegative
        self.seed: int = seed
        self.num_threads: int | None = num_threads
        self.shape_: Any = None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Arguments of the constructor by name, as scikit-learn has it."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Forecaster:
        """Set arguments of the constructor.

        Raises
        ------
        ArgumentError
            An unknown name.
        """
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ArgumentError(name, "one of " + ", ".join(known), "an unknown name")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = {name: p.default for name, p in inspect.signature(type(self)).parameters.items()}
        given = [f"{name}={value!r}" for name, value in self.get_params().items() if value != defaults[name]]
        return f"Forecaster({', '.join(given)})"

    # -- fitting --------------------------------------------------------------------------------------------

    def fit(
        self,
        series: Any,
        *,
        known: Any = None,
        past: Any = None,
        progress: Callable[[Progress], object] | None = None,
        checkpoint: str | PathLike[str] | None = None,
    ) -> Forecaster:
        """Train on all of `series`.

        Parameters
        ----------
        series : array (n,), pandas Series, or a list of them
            NaN stands for a missing value: inputs repeat the last one, and nothing is trained or scored on it. An index
            of dates must be even; the calendar is then an input.
        known : array or DataFrame (n + horizon or n, K), or a list, optional
            Covariates that are known ahead. Rows after the n-th are those of the steps to come.
        past : array or DataFrame (n, W), or a list, optional
            Covariates that are known up to now.
        progress : callable, optional
            Called with a `Progress` after every step; the training ends there if it returns true.
        checkpoint : path, optional
            The state of the run is kept here; if the file exists, the run goes on from it.

        Returns
        -------
        Forecaster

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            A setting is wrong, a series too short, without change or infinite; another run's checkpoint.
        """
        fit_together([self], [(series, known, past)], progress=progress, checkpoint=checkpoint)
        return self

    def _finish(self, prepared, entries, interrupted):
        """Keep what the run has found: the members, their share, and the errors of what they did not train on."""
        fitting.finish(self, prepared, entries)
        self.history_ = [tail(line, self.shape_) for line in prepared.lines]
        panel = prepared.panel
        self.trained_ = [panel.values[max(end - FINGERPRINT, 0) : end] for end in panel.ends]
        self.interrupted_ = interrupted

    def update(self, series: Any, *, known: Any = None, past: Any = None) -> Forecaster:
        """Take a newer history to forecast from; nothing is trained.

        Parameters
        ----------
        series, known, past
            As for `fit`, in the same order and at least as long as `shape_.first`.

        Returns
        -------
        Forecaster

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
        """
        self._require_fit()
        lines, self.future_, _ = self._lines(series, known, past)
        self.history_ = [tail(line, self.shape_) for line in lines]
        return self

    # -- using ----------------------------------------------------------------------------------------------

    def forecast(
        self,
        horizon: int | None = None,
        *,
        series: Any = None,
        known: Any = None,
        past: Any = None,
        levels: float | Sequence[float] = (0.8, 0.95),
    ) -> Any:
        """Forecast the steps after the series of `fit`, or after a newer `series`.

        Parameters
        ----------
        horizon : int, optional
            At most that of the fit, which is the default.
        series, known, past : optional
            As for `fit`, at least as long as `shape_.first`; `known` with the rows to come.
        levels : float or sequence of float
            Shares of true values that the intervals should hold.

        Returns
        -------
        Forecast, or a list of them for a list of series

        Raises
        ------
        ArgumentError, ShapeError, DTypeError
            Not fitted, horizon too long, history too short, covariates missing.
        """
        self._require_fit()
        horizon = self.horizon if horizon is None else fitting.check_int("horizon", horizon)
        if horizon > self.horizon:
            raise ArgumentError("horizon", f"at most {self.horizon}, the horizon of the fit", horizon)
        if series is None:
            lines, indices, single = self.history_, self.future_, self.single_
        else:
            lines, indices, single = self._lines(series, known, past)
        for line in lines:
            if line.known.shape[1] and len(line.known) < len(line.values) + self.horizon:
                rows = f"{len(line.values)} rows and {self.horizon} of the steps to come"
                raise ArgumentError("known", rows, len(line.known))
        panel = Panel.of(lines, self.horizon)
        quantiles, bounds = self._quantiles(panel, panel.ends, intervals.check_levels(levels))
        found = [
            Forecast.of(quantiles[k], {level: bounds[level][:, k] for level in bounds}, indices[k], horizon)
            for k in range(len(lines))
        ]
        return found[0] if single else found

    def backtest(
        self,
        series: Any,
        start: int | Sequence[int] | None = None,
        *,
        known: Any = None,
        past: Any = None,
        levels: float | Sequence[float] = (0.8, 0.95),
        step: int = 1,
        limit: int = MAX_ORIGINS,
    ) -> Backtest:
        """Test on the values from `start` on, against naive forecasts and a linear autoregression.

        From every origin a forecast is made with the true values before it; nothing is trained again.

        Parameters
        ----------
        series, known, past
            As for `fit`: the fitted series followed by the test values.
        start : int or sequence of int, optional
            First test index of all or of each series; default: where the fitted series ends.
        levels : float or sequence of float
        step : int
            Values between origins; the last origin is always `horizon` values before the end.
        limit : int
            At most so many origins; more are thinned at random, by a fixed seed.

        Returns
        -------
        Backtest

        Raises
        ------
        ArgumentError
            The test part overlaps the values the model was fitted on, or is shorter than the horizon.
        """
        self._require_fit()
        lines, _, _ = self._lines(series, known, past)
        panel = Panel.of(lines, self.horizon)
        given = np.atleast_1d(self.counts_ if start is None else start)
        starts = np.broadcast_to([fitting.check_int("start", one, 0) for one in given], len(lines))
        fitted = Fitted(self.counts_, self.trained_, self.shape_)
        origins = thin(fitted.test_origins(panel, starts, fitting.check_int("step", step)), limit)
        windows = self._windows(panel)
        truth, there = windows.targets(origins)
        quantiles, bounds = self._quantiles(panel, origins, intervals.check_levels(levels), windows)
        forecasts = {f"rnncore {title_of(self.cell)}": quantiles[..., 1]}
        forecasts["linear autoregression"] = self._clip(self._linear(panel, origins))
        forecasts |= seasons.naive_forecasts(panel, origins, self.horizon, self.seasons_)
        lines = panel.which[origins]
        truth = np.where(there, truth, np.nan)
        return Backtest(forecasts, bounds, truth, origins - panel.starts[lines], lines)

    def _require_fit(self):
        if self.shape_ is None:
            raise ArgumentError("Forecaster", "a fitted or loaded model", "an unfitted one", "call fit first")

    def _lines(self, series, known, past):
        """What was handed over as lines that fit this model: (lines, dates to come, whether it was one)."""
        lines, indices, single = as_lines(series, known, past, self.horizon, self.parts_, self.freq_)
        if len(lines) != len(self.counts_):
            raise ArgumentError("series", f"{len(self.counts_)} of them", len(lines))
        for line in lines:
            if len(line.values) < self.shape_.first:
                raise ArgumentError("series", f"at least {self.shape_.first} values", len(line.values))
            for name in ("known", "past"):
                wanted, got = self.scales_[name].shape[1], getattr(line, name).shape[1]
                if got != wanted:
                    raise ArgumentError(name, f"{wanted} covariates", got)
        return lines, indices, single

    def _windows(self, panel, lens=None):
        return Windows(panel, lens or self.lens_, self.shape_, self.scales_)

    def _linear(self, panel, origins):
        return self.linear_.forecast(self._windows(panel, self.linear_lens_), origins)

    def _quantiles(self, panel, origins, levels, windows=None):
        """Quantiles (n, horizon, 3) and bounds, level -> (2, n, horizon)."""
        windows = windows or self._windows(panel)
        quantiles = np.mean([m.forecast(windows, origins, self.num_threads) for m in self.members_], axis=0)
        quantiles = fitting.blend(quantiles, self._linear(panel, origins), self.share_)
        spread = self.lens_.spread[panel.which[origins]]
        found = {
            level: self._clip(np.stack(intervals.bounds(quantiles, self.scores_, level, spread)))
            for level in levels
        }
        return self._clip(quantiles), found

    def _clip(self, values):
        return np.maximum(values, 0.0) if self.nonnegative_ else values


def fit_together(
    models: Sequence[Forecaster],
    inputs: Sequence[tuple[Any, Any, Any]],
    *,
    budget: float | None = None,
    progress: Callable[[Progress], object] | None = None,
    checkpoint: str | PathLike[str] | None = None,
) -> None:
    """Train several models in one run, a step of each in turn, within one budget.

    Each trains as many steps as the one with most windows would alone, and without a budget gets the networks of its
    own `fit` where its own number is that one.

    Parameters
    ----------
    models : list of Forecaster
    inputs : list of (series, known, past)
        What each model is fitted on; see `Forecaster.fit`.
    budget : float, optional
        Seconds; that of the first model if left out.
    progress, checkpoint
        As for `Forecaster.fit`.

    Raises
    ------
    ArgumentError, ShapeError, DTypeError
        As `Forecaster.fit`; nothing is trained then.
    """
    prepared = [fitting.prepare(model, *given) for model, given in zip(models, inputs, strict=True)]
    entries = [entry for k, p in enumerate(prepared) for entry in p.entries(k)]
    budget = models[0].budget if budget is None else budget
    settings = [
        {name: value for name, value in model.get_params().items() if name not in ("budget", "num_threads")}
        for model in models
    ]
    identity = identify(settings, [p.panel for p in prepared])
    steps = max(p.steps for p in prepared)
    run = Run(entries, steps, budget, progress, checkpoint, identity)
    run.train()
    for k, (model, found) in enumerate(zip(models, prepared, strict=True)):
        model._finish(found, [entry for entry in run.running() if entry.model == k], run.stopped)
