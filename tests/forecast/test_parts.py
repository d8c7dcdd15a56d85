# SPDX-License-Identifier: MIT
"""Parts of the forecaster: seasons, views, windows, folds, the linear path, intervals, calendars."""

import numpy as np
import pytest
import tables_training as tables
from series import FAST, waves

from rnncore.forecast import Forecaster
from rnncore.forecast._model import fitting, intervals, seasons, views
from rnncore.forecast._model.linear import STRENGTHS, Choice, fit_linear
from rnncore.forecast._model.panel import Line, Panel
from rnncore.forecast._model.windows import Shape, Windows, thin

NO_SCALES = {name: np.zeros((2, 0), np.float32) for name in ("known", "past")}


def line(values):
    """A series without covariates and calendar."""
    values = np.asarray(values, np.float64)
    empty = np.zeros((len(values), 0), np.float32)
    return Line(values, empty, empty, empty.astype(np.int32))


def windows(values, horizon=4, view="level", lags=(6,)):
    """Windows of one series."""
    panel = Panel.of([line(values)], horizon)
    shape = Shape(10, horizon, lags, 12, ())
    return Windows(panel, views.Lens.of(view, panel), shape, NO_SCALES)


@pytest.mark.parametrize("season", [4, 11, 52])
def test_a_season_is_found(season):
    time = np.arange(12 * season)
    noise = 0.2 * np.random.default_rng(1).normal(size=time.size)
    assert seasons.detect_season(np.sin(2 * np.pi * time / season) + 0.01 * time + noise) == season


@pytest.mark.parametrize(
    "series",
    [np.arange(100.0), np.random.default_rng(0).normal(size=300), np.ones(5)],
    ids=["line", "noise", "tiny"],
)
def test_no_season_is_made_up(series):
    assert seasons.detect_season(series) == 1


def test_lags_are_known_ahead():
    assert seasons.lags((24, 168), 24, 1000) == (24, 48, 168, 336)
    assert seasons.lags((24,), 30, 1000) == (48, 72)
    assert seasons.lags((24, 168), 24, 100) == (24, 48)


def test_naive_forecasts_by_hand():
    panel = Panel.of([line(np.arange(10.0))], 5)
    found = seasons.naive_forecasts(panel, np.array([6]), 5, (3,))
    np.testing.assert_array_equal(found["seasonal naive (3)"], [[3, 4, 5, 3, 4]])
    np.testing.assert_array_equal(found["last value"], [[5, 5, 5, 5, 5]])


def test_gaps_repeat_the_last_value_and_are_not_seen():
    panel = Panel.of([line([np.nan, 1.0, np.nan, 3.0]), line([7.0, np.nan])], 2)
    np.testing.assert_array_equal(panel.values, [1, 1, 1, 3, 3, 3, 7, 7, 7, 7])
    np.testing.assert_array_equal(panel.seen, [False, True, False, True, False, False, True, *[False] * 3])
    assert panel.starts.tolist() == [0, 6]
    assert panel.which.tolist() == [0] * 6 + [1] * 4


@pytest.mark.parametrize("view", views.VIEWS)
def test_views_and_back_are_inverse(view):
    found = windows(waves(), view=view)
    origins = np.array([20, 40])
    truth, there = found.targets(origins)
    seen = found.lens.see(truth, found.lines(origins)) - found.level[origins][:, np.newaxis]
    assert there.all()
    np.testing.assert_allclose(found.back(seen, origins), truth, rtol=tables.OPTIMIZER_RTOL["float64"])


@pytest.mark.parametrize("view", views.VIEWS)
def test_windows_see_only_what_lies_before_their_origin(view):
    values, origins = waves(), np.array([30, 40])
    panel = Panel.of([line(values)], 4)
    lens, shape = views.Lens.of(view, panel), Shape(10, 4, (6,), 12, ())
    changed = values.copy()
    changed[40:] += 100.0
    before = Windows(panel, lens, shape, NO_SCALES).inputs(origins)
    after = Windows(Panel.of([line(changed)], 4), lens, shape, NO_SCALES).inputs(origins)
    np.testing.assert_array_equal(before, after)
    assert np.ptp(before) > 0


def test_series_of_a_panel_do_not_see_each_other():
    shape, origins = Shape(10, 4, (6,), 12, ()), np.array([120 + 4 + 10])
    first = [Panel.of([line(waves(seed=seed)), line(waves(seed=9))], 4) for seed in (0, 1)]
    one, other = (
        Windows(panel, views.Lens.of("level", panel), shape, NO_SCALES).inputs(origins) for panel in first
    )
    np.testing.assert_array_equal(one, other)


def test_folds_keep_training_targets_out_of_their_validation_block():
    panel = Panel.of([line(waves()), line(waves(90))], 4)
    shape = Shape(10, 4, (6,), 12, ())
    folds = fitting._folds(panel, shape)
    assert len(folds) > 1
    for fold in folds:
        block = set(np.concatenate([np.arange(o, o + 4) for o in fold.valid]).tolist())
        trained = set(np.concatenate([np.arange(o, o + 4) for o in fold.train]).tolist())
        assert block
        assert trained
        assert not block & trained


def test_thinning_keeps_order_and_repeats():
    origins = np.arange(1000)
    some = thin(origins, 100)
    assert len(some) == 100
    assert (np.diff(some) > 0).all()
    np.testing.assert_array_equal(some, thin(origins, 100))
    np.testing.assert_array_equal(thin(origins, 2000), origins)


def test_linear_path_continues_a_sine_exactly():
    found = windows(np.sin(0.7 * np.arange(200)), horizon=3, lags=())
    origins = np.arange(10, 190)
    candidates = fit_linear(found, origins, origins)
    best = candidates.choices[int(candidates.missed.mean(axis=1).argmin())]
    forecast = candidates.path(best).forecast(found, origins)
    np.testing.assert_allclose(forecast, found.targets(origins)[0], atol=tables.SINE_ATOL)


@pytest.mark.parametrize("prior, place", [("last value", 9), ("season", -1)])
def test_penalties_draw_the_linear_path_to_their_place(prior, place):
    candidates = fit_linear(windows(waves()), np.arange(20, 110))
    drawn, level = (
        candidates.path(Choice(True, name, STRENGTHS[-1])).weight[:, place] for name in (prior, "level")
    )
    assert (drawn > level).all()
    assert (drawn <= 1).all()


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_intervals_hold_their_level(level):
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(400, 2))
    quantiles = np.broadcast_to(np.array([-0.3, 0.0, 0.3]), (400, 2, 3))
    spread = np.ones(400)
    scores = intervals.scores(quantiles, truth, np.ones_like(truth, bool), spread)
    low, high = intervals.bounds(quantiles, scores, level, spread)
    inside = ((truth >= low) & (truth <= high)).mean()
    assert abs(inside - level) < tables.sampling_error(0.5, truth.size)


@pytest.mark.parametrize("levels", [0, 1.0, (0.8, 2), ("a",), (True,)], ids=str)
def test_levels_outside_are_refused(levels):
    from rnncore.errors import ArgumentError

    with pytest.raises(ArgumentError, match="levels"):
        intervals.check_levels(levels)


def test_calendar_is_an_input_where_there_are_dates():
    pd = pytest.importorskip("pandas")
    values = pd.Series(waves(200), pd.date_range("2020-01-01", periods=200, freq="D"))
    model = Forecaster(**{**FAST, "seasons": None, "steps": 1}).fit(values)
    assert model.parts_ == ("weekday",)
    assert model.seasons_ == (7,)
    assert model.forecast().index[0] == pd.Timestamp("2020-07-19")
    with pytest.raises(ValueError, match="frequency D, that of the fit"):
        model.update(pd.Series(waves(200), pd.date_range("2020-01-01", periods=200, freq="h")))
