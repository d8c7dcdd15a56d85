# SPDX-License-Identifier: MIT
"""A forecast from series to figures: what is held out, what is trained, what is tested, what comes next."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from ...errors import ArgumentError
from .._model import calendars
from .._model.forecaster import Forecaster, fit_together
from .._model.modelfile import prefixed, read_file, strip, write_file

STUDY_FORMAT = "rnncore-forecast-2"
SHORT = 1_000
"""Up to so many values a fifth is held out for the test, of more a tenth, but not more than MOST_TESTED."""
MOST_TESTED = 10_000
DEFAULT_HORIZON = 12


@dataclass(frozen=True)
class Plan:
    """What is to be done with the series.

    Attributes
    ----------
    horizon, test : int
        Steps to forecast; values held out of every series.
    known, past : tuple of str
        Covariates known ahead, and up to now.
    keep_gaps : bool
        Whether gaps that repeat the last value are handed to the model as missing.
    """

    horizon: int
    test: int
    known: tuple[str, ...]
    past: tuple[str, ...]
    keep_gaps: bool


@dataclass
class Study:
    """Series with the models that forecast them, one for each column; `tested` has a `Backtest` for each."""

    tracks: object
    wanted: object
    plan: Plan
    models: dict[str, Forecaster] = field(default_factory=dict)
    tested: dict = field(default_factory=dict)

    @property
    def columns(self):
        """Columns in order."""
        return list(dict.fromkeys(track.column for track in self.tracks.tracks))

    def of(self, column):
        """Series of one column."""
        return [track for track in self.tracks.tracks if track.column == column]

    def handed(self, column, cut=0):
        """(series, known, past) for the model of `column`, without the last `cut` values of each series."""
        tracks = self.of(column)
        known, past = (
            [self._covariates(track, names, cut, ahead) for track in tracks]
            for names, ahead in ((self.plan.known, self.plan.horizon), (self.plan.past, 0))
        )
        return [self._series(track, cut) for track in tracks], known, past

    def _series(self, track, cut):
        values = np.where(track.seen, track.values, np.nan) if self.plan.keep_gaps else track.values
        stop = len(values) - cut
        return (
            pd.Series(values[:stop], track.index[:stop])
            if isinstance(track.index, pd.DatetimeIndex)
            else values[:stop]
        )

    def _covariates(self, track, names, cut, ahead):
        if not names:
            return None
        chosen = [self.wanted.covariates.index(name) for name in names]
        return track.covariates[: len(track.values) - cut + ahead, chosen]

    # -- training and testing -------------------------------------------------------------------------------

    def fit(self, settings, budget, progress, checkpoint):
        """Train a model for each column, together; `settings` are those of `Forecaster`."""
        self.models = {column: Forecaster(self.plan.horizon, **settings) for column in self.columns}
        handed = [self.handed(column, self.plan.test) for column in self.columns]
        for column in self.columns:
            self._check_length(column)
        fit_together(
            list(self.models.values()), handed, budget=budget, progress=progress, checkpoint=checkpoint
        )
        for column, model in self.models.items():
            series, known, past = self.handed(column)
            model.update(series, known=known, past=past)

    def _check_length(self, column):
        for track in self.of(column):
            left = len(track.values) - self.plan.test
            if left < 3 * self.plan.horizon + 24:
                name = f'"{column}"' + (f" of {track.group}" if track.group else "")
                raise ArgumentError(
                    name,
                    f"at least {3 * self.plan.horizon + 24} values to train on, for {self.plan.horizon} steps ahead",
                    f"{len(track.values)} values less {self.plan.test} for the test",
                    "a smaller --horizon needs fewer",
                )

    def test(self, levels, starts=None):
        """Test every model on the values after those it was trained on; of values that were filled none is scored."""
        for column, model in self.models.items():
            if starts is not None or self.plan.test:
                self.tested[column] = self._backtest(column, model, levels, starts)

    def _backtest(self, column, model, levels, starts, **how):
        series, known, past = self.handed(column)
        own = None if starts is None else starts[column]
        result = model.backtest(series, own, known=known, past=past, levels=levels, **how)
        tracks, horizon = self.of(column), self.plan.horizon
        seen = np.stack(
            [
                tracks[line].seen[origin : origin + horizon]
                for line, origin in zip(result.lines, result.origins, strict=True)
            ]
        )
        return replace(result, truth=np.where(seen, result.truth, np.nan))

    def rows(self, column, levels, starts=None):
        """Forecasts of one column's series, a list for each: (index of the first step, median, lower, upper).

        First those of the test part, one horizon after the other, then what comes next; `lower`, `upper` by level.
        """
        model, tracks = self.models[column], self.of(column)
        series, known, past = self.handed(column)
        found = [[] for _ in tracks]
        if column in self.tested:
            result = self._backtest(column, model, levels, starts, step=self.plan.horizon, limit=10**9)
            median = next(iter(result.forecasts.values()))
            for k, (line, origin) in enumerate(zip(result.lines, result.origins, strict=True)):
                low, high = (
                    {level: both[side, k] for level, both in result.bounds.items()} for side in (0, 1)
                )
                found[line].append((int(origin), median[k], low, high))
        future = model.forecast(series=series, known=known, past=past, levels=levels)
        for line, made in enumerate(future):
            found[line].append((len(tracks[line].values), made.median, made.lower, made.upper))
        return found

    # -- files ----------------------------------------------------------------------------------------------

    def save(self, path, notes):
        """Write all models to one file, with `notes`, which are JSON."""
        tensors, metas = {}, []
        for number, model in enumerate(self.models.values()):
            own, meta = model.state()
            tensors |= prefixed(f"{number}.", own)
            metas.append(meta)
        write_file(path, tensors, {"format": STUDY_FORMAT, "models": metas, "notes": notes})


def load_models(path):
    """(models, notes) of a file that `Study.save` wrote.

    Raises
    ------
    FormatError
        Another file, or a damaged one.
    """
    tensors, meta = read_file(path, STUDY_FORMAT)
    models = [Forecaster.of_state(path, strip(tensors, f"{k}."), own) for k, own in enumerate(meta["models"])]
    return models, meta["notes"]


def plan(tracks, covariates, *, horizon=None, test=None, keep_gaps=False):
    """Settle what was left open: how far ahead, how much is held out, which covariates are known ahead."""
    shortest = min(len(track.values) for track in tracks.tracks)
    ahead = min((len(track.covariates) - len(track.values) for track in tracks.tracks), default=0)
    if horizon is None:
        horizon = DEFAULT_HORIZON
        if not isinstance(tracks.freq, float):
            horizon = calendars.usual_horizon(tracks.freq)
        horizon = max(min(horizon, shortest // 8), 1)
        horizon = min(horizon, ahead) if covariates and ahead else horizon
    if test is None:
        test = max(shortest // 5 if shortest <= SHORT else min(shortest // 10, MOST_TESTED), horizon)
    elif 0 < test < horizon:
        raise ArgumentError("--test", f"0, or at least the horizon, {horizon}", test)
    known = tuple(
        name
        for number, name in enumerate(covariates)
        if all(_is_known(track, number, horizon) for track in tracks.tracks)
    )
    past = tuple(name for name in covariates if name not in known)
    return Plan(horizon, test, known, past, keep_gaps)


def _is_known(track, number, horizon):
    ahead = track.covariates[len(track.values) : len(track.values) + horizon, number]
    return len(ahead) == horizon and bool(np.isfinite(ahead).all())
