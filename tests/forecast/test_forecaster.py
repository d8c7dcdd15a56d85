# SPDX-License-Identifier: MIT
"""Forecaster: it wins, it does not look ahead, it repeats, it refuses, it takes several series and covariates."""

import inspect
import itertools
import types

import numpy as np
import pytest
import tables_training as tables
from series import FAST, logistic, waves

from rnncore.errors import ArgumentError, DTypeError, ShapeError
from rnncore.forecast import Forecaster, fit_together
from rnncore.forecast._model import training


@pytest.fixture(scope="module")
def fitted():
    return Forecaster(**FAST).fit(waves()[:100])


@pytest.mark.parametrize("cell", ["gru", pytest.param("lstm", marks=pytest.mark.full), "rnn"])
def test_forecasts_beat_the_naive_ones(cell):
    values = waves(160)
    result = Forecaster(**{**FAST, "cell": cell, "steps": 60}).fit(values[:120]).backtest(values)
    scores = {name: np.array(score) for name, score in result.scores.items()}
    mine = scores.pop(f"rnncore {cell.upper()}")
    for name in ("seasonal naive (6)", "last value"):
        assert (mine < tables.BASELINE_MARGIN * scores[name]).all()
    assert set(result.coverage) == {0.8, 0.95}
    assert tables.COVERAGE[0] <= result.coverage[0.95] <= tables.COVERAGE[1]
    assert result.coverage[0.8] <= result.coverage[0.95]
    assert result.truth.shape == (37, 4)
    assert {made.shape for made in result.forecasts.values()} == {(37, 4)}


def test_networks_learn_what_the_linear_autoregression_cannot():
    values = logistic(260)
    settings = {"horizon": 1, "context": 4, "seasons": (), "hidden_size": 8, "dropout": 0.0, "lr": 2e-2}
    result = Forecaster(**settings, steps=200).fit(values[:200]).backtest(values)
    mine, linear = (result.scores[name][0] for name in ("rnncore GRU", "linear autoregression"))
    assert mine < tables.LEARNED_RATIO * linear


def test_forecasts_use_nothing_after_their_origin(fitted):
    values = waves()
    result = fitted.backtest(values)
    changed = values.copy()
    changed[104:] = 0.0
    again = fitted.backtest(changed)
    for name, made in result.forecasts.items():
        np.testing.assert_array_equal(again.forecasts[name][:5], made[:5])
    part = fitted.forecast(series=values[:103])
    own = result.forecasts["rnncore GRU"]
    np.testing.assert_allclose(part.median, own[3], rtol=tables.OPTIMIZER_RTOL["float32"])
    assert (part.lower[0.8] < part.median).all()
    assert (part.median < part.upper[0.8]).all()


def test_forecasts_of_counts_never_fall_below_zero():
    values = np.maximum(np.sin(2 * np.pi * np.arange(120) / 6) - 0.5, 0.0)
    part = Forecaster(**FAST).fit(values).forecast()
    assert min(part.median.min(), part.lower[0.95].min()) >= 0.0


def test_shorter_horizons_are_prefixes(fitted):
    np.testing.assert_array_equal(fitted.forecast(2).median, fitted.forecast().median[:2])


def test_wider_levels_give_wider_intervals(fitted):
    made = fitted.forecast(levels=(0.5, 0.95))
    assert (made.upper[0.95] - made.lower[0.95] > made.upper[0.5] - made.lower[0.5]).all()


def test_seed_decides_everything_and_threads_nothing(fitted):
    again = Forecaster(**FAST, num_threads=2).fit(waves()[:100]).forecast()
    other = Forecaster(**FAST, seed=1).fit(waves()[:100]).forecast()
    np.testing.assert_array_equal(again.median, fitted.forecast().median)
    np.testing.assert_array_equal(again.upper[0.8], fitted.forecast().upper[0.8])
    assert not np.array_equal(other.median, fitted.forecast().median)


def test_sizes_are_taken_from_the_series():
    model = Forecaster(2, hidden_size=3, steps=1).fit(waves(200))
    assert (model.seasons_, model.shape_.context, model.nonnegative_) == ((6,), 24, True)
    model.fit(np.random.default_rng(0).normal(size=150))
    assert (model.seasons_, model.nonnegative_) == ((), False)


# -- several series, covariates, gaps -------------------------------------------------------------------------


def test_one_model_serves_several_series_of_any_scale():
    series = [waves(), 1000 * waves(90, seed=1)]
    model = Forecaster(**FAST).fit(series)
    first, second = model.forecast()
    assert 0 < first.median.mean() < 100 < second.median.mean()
    assert model.backtest([np.append(s, s[-6:]) for s in series]).lines.tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(ArgumentError, match="expected 2 of them"):
        model.forecast(series=waves())


@pytest.mark.parametrize("ahead", [True, False], ids=["known", "past"])
def test_a_covariate_helps(ahead):
    rng = np.random.default_rng(0)
    cause = rng.normal(size=204)
    effect = (cause if ahead else np.roll(cause, 1))[:200] + 0.1 * rng.normal(size=200)
    settings = {"horizon": 1, "context": 6, "seasons": (), "hidden_size": 4, "steps": 60}
    name = "known" if ahead else "past"
    covariate = cause if ahead else cause[:200]
    with_it = Forecaster(**settings).fit(effect[:150], **{name: covariate[:151]})
    without = Forecaster(**settings).fit(effect[:150])
    helped = with_it.backtest(effect, **{name: covariate}).scores["rnncore GRU"][0]
    assert helped < tables.LEARNED_RATIO * without.backtest(effect).scores["rnncore GRU"][0]


def test_known_covariates_need_the_steps_to_come():
    known = np.zeros((100, 1))
    known[::2] = 1
    model = Forecaster(**FAST).fit(waves()[:100], known=known)
    with pytest.raises(ArgumentError, match="4 of the steps to come"):
        model.forecast()
    assert model.forecast(series=waves()[:96], known=known).median.shape == (4,)
    with pytest.raises(ArgumentError, match="known: expected 1 covariates, got 0"):
        model.forecast(series=waves())


def test_gaps_are_neither_trained_on_nor_scored():
    values = waves()
    values[[50, 51, 110]] = np.nan
    model = Forecaster(**FAST).fit(values[:100])
    result = model.backtest(values)
    assert np.isnan(result.truth).sum() == 4
    assert all(np.isfinite(score).all() for score in map(np.array, result.scores.values()))
    assert np.isfinite(model.forecast().median).all()


# -- what is refused ------------------------------------------------------------------------------------------

SERIES_ERRORS = {
    "inf": (np.r_[np.inf, waves()], ArgumentError, "inf at index 0"),
    "mostly-nan": (np.where(np.arange(120) % 3, np.nan, waves()), ArgumentError, "mostly numbers"),
    "rank": (waves().reshape(60, 2), ShapeError, "one dimension"),
    "text": (np.array(["1", "2"]), DTypeError, "real numbers"),
    "complex": (waves() * 1j, DTypeError, "real numbers"),
    "bool": (waves() > 5, DTypeError, "real numbers"),
    "short": (waves()[:30], ArgumentError, "at least 34 values for horizon 4 and context 10, got 30"),
    "empty": (np.empty(0), ArgumentError, "values, got none"),
    "no-series": ([], ArgumentError, "at least one, got an empty list"),
    "constant": (np.full(200, 3.0), ArgumentError, "vary"),
    "overflow": (waves() * 1e200, ArgumentError, "vary"),
}


@pytest.mark.parametrize("case", SERIES_ERRORS, ids=str)
def test_bad_series_are_refused(case):
    series, error, words = SERIES_ERRORS[case]
    with pytest.raises(error, match=words):
        Forecaster(**FAST).fit(series)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cell", "transformer"),
        ("cell", ["gru"]),
        ("horizon", 0),
        ("horizon", 2.5),
        ("context", 0),
        ("seasons", ("year",)),
        ("hidden_size", True),
        ("batch_size", 0),
        ("steps", 0),
        ("lr", -1.0),
        ("dropout", 1.0),
        ("weight_decay", "much"),
        ("budget", 0),
        ("budget", "long"),
        ("seed", -1),
    ],
)
def test_bad_settings_are_refused(name, value):
    with pytest.raises(ArgumentError, match=name):
        Forecaster(**{**FAST, name: value}).fit(waves())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.forecast(5), "at most 4"),
        (lambda m: m.forecast(0), "horizon"),
        (lambda m: m.forecast(levels=1.0), "levels"),
        (lambda m: m.forecast(series=waves()[:9]), "at least 12 values"),
        (lambda m: m.forecast(series=np.r_[waves(), np.inf]), "inf at index"),
        (lambda m: m.backtest(waves(), 60), "training values"),
        (lambda m: m.backtest(waves()[:102]), "values after those of the fit"),
        (lambda m: m.backtest(waves(), -1), "start"),
        (lambda m: m.backtest(waves(), step=0), "step"),
        (lambda m: m.set_params(folds=2), "unknown name"),
        (lambda m: Forecaster().forecast(), "call fit first"),
        (lambda m: Forecaster().save("never"), "call fit first"),
    ],
    ids=[
        *("long", "zero", "level", "short", "inf", "leak", "no-test", "early", "step", "setting"),
        *("unfitted", "unfitted-save"),
    ],
)
def test_wrong_use_is_refused(fitted, call, words):
    with pytest.raises(ArgumentError, match=words):
        call(fitted)


def test_settings_are_those_of_scikit_learn():
    model = Forecaster(horizon=3)
    assert set(model.get_params()) == set(inspect.signature(Forecaster).parameters)
    assert model.set_params(cell="rnn", horizon=2).get_params()["cell"] == "rnn"
    assert repr(model) == "Forecaster(horizon=2, cell='rnn')"


# -- the run --------------------------------------------------------------------------------------------------


def test_progress_is_reported_after_every_step():
    seen = []
    Forecaster(**FAST).fit(waves(), progress=seen.append)
    assert [(p.step, p.steps) for p in seen] == [(k, 20) for k in range(1, 21)]
    assert all(p.windows_per_second > 0 and p.remaining >= 0 for p in seen)
    assert seen[-1].remaining == 0
    assert all(np.isfinite([p.loss, p.best]).all() for p in seen)


def test_budget_ends_the_training(monkeypatch):
    """By a clock that goes on by a second whenever it is asked."""
    ticks = itertools.count()
    monkeypatch.setattr(training, "time", types.SimpleNamespace(perf_counter=lambda: next(ticks)))
    seen = []
    model = Forecaster(**{**FAST, "steps": 10**6, "budget": 200}).fit(waves(), progress=seen.append)
    assert 200 <= next(ticks) < 240
    assert seen[-1].step == seen[-1].steps < 200
    assert np.isfinite(model.forecast().median).all()


def test_models_are_trained_together_as_alone():
    inputs = [(waves()[:100], None, None), (waves(seed=1)[:100], None, None)]
    models = [Forecaster(**FAST) for _ in inputs]
    fit_together(models, inputs)
    for model, (series, _, _) in zip(models, inputs, strict=True):
        alone = Forecaster(**FAST).fit(series).forecast()
        np.testing.assert_array_equal(model.forecast().median, alone.median)
