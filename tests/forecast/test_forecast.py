# SPDX-License-Identifier: MIT
"""Forecaster and its parts: no leakage, repeatable, interruptible, resumable, safe files."""

import collections
import itertools
import json
import types

import numpy as np
import pytest
import tables_training as tables

from rnncore import ensemble, forecasting
from rnncore.errors import ArgumentError, DTypeError, ShapeError
from rnncore.estimators import Forecaster

FAST = {"horizon": 4, "window": 10, "period": 6, "hidden_size": 3, "folds": 2, "epochs": 4, "patience": 9}


def waves(n=120, seed=0):
    time = np.arange(n)
    return 5 + 0.02 * time + np.sin(2 * np.pi * time / 6) + 0.1 * np.random.default_rng(seed).normal(size=n)


@pytest.fixture(scope="module")
def fitted():
    return Forecaster(**FAST).fit(waves()[:100])


# -- parts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [4, 11, 52])
def test_period_is_found(period):
    time = np.arange(12 * period)
    series = (
        np.sin(2 * np.pi * time / period)
        + 0.01 * time
        + 0.2 * np.random.default_rng(1).normal(size=time.size)
    )
    assert forecasting.detect_period(series) == period


@pytest.mark.parametrize(
    "series",
    [np.arange(100.0), np.random.default_rng(0).normal(size=300), np.ones(5)],
    ids=["line", "noise", "tiny"],
)
def test_no_period_is_made_up(series):
    assert forecasting.detect_period(series) == 1


@pytest.mark.parametrize("view", forecasting.VIEWS)
def test_views_hide_and_show_are_inverse_and_see_only_the_past(view):
    values, origins = waves(), np.array([20, 40])
    seen = forecasting.look(view, values, origins, 10)
    targets = forecasting.gather(values, origins, 0, 4)
    np.testing.assert_allclose(seen.show(seen.hide(targets)), targets, rtol=tables.OPTIMIZER_RTOL["float64"])
    changed = values.copy()
    changed[40:] += 100.0
    np.testing.assert_array_equal(forecasting.look(view, changed, origins, 10).inputs, seen.inputs)


def test_gather_by_hand():
    np.testing.assert_array_equal(forecasting.gather(np.arange(9.0), [3, 5], -2, 1), [[1, 2, 3], [3, 4, 5]])


def test_folds_keep_training_targets_out_of_their_validation_block():
    values = waves()
    for fold in forecasting.blocked_folds(values, 10, 4, 5, 1000):
        block = set(np.concatenate([np.arange(o, o + 4) for o in fold.valid]).tolist())
        trained = set(np.concatenate([np.arange(o, o + 4) for o in fold.train]).tolist())
        assert fold.train.size
        assert block
        assert not block & trained
        changed = values.copy()
        changed[min(block) : max(block) + 1] = 1e9
        again = forecasting.blocked_folds(changed, 10, 4, 5, 1000)
        assert any((f.mean, f.std) == (fold.mean, fold.std) for f in again)


def test_long_series_are_thinned():
    fold = forecasting.blocked_folds(waves(1000), 10, 4, 2, 100)[0]
    assert fold.train.size <= 100
    assert fold.train[-1] - fold.train[0] > 400


def test_linear_path_continues_a_sine_exactly():
    values = np.sin(0.7 * np.arange(200))
    origins = np.arange(10, 190)
    inputs, targets = forecasting.gather(values, origins, -10, 0), forecasting.gather(values, origins, 0, 3)
    ((weights, intercept),) = forecasting.fit_linear([(inputs, targets, inputs, targets, np.ones((180, 1)))])
    # The smallest penalty of the table shrinks the weights by about 1e-3 / (window / 2).
    assert np.abs(inputs @ weights + intercept - targets).max() < forecasting.RIDGE_STRENGTHS[0]


def test_baselines_by_hand():
    named = forecasting.baselines(np.arange(10.0), [6], 5, 3)
    np.testing.assert_array_equal(named["seasonal naive"], [[3, 4, 5, 3, 4]])
    np.testing.assert_array_equal(named["last value"], [[5, 5, 5, 5, 5]])


def test_interval_holds_its_level():
    residuals = np.arange(1.0, 100.0)[:, None]
    lower, upper = forecasting.residual_interval(residuals, 0.9)
    assert np.mean((residuals >= lower) & (residuals <= upper)) >= 0.9
    wide = forecasting.residual_interval(residuals[:5], 0.9)
    np.testing.assert_array_equal(np.ravel(wide), [1.0, 5.0])


SERIES_ERRORS = {
    "nan": (np.r_[waves(), np.nan], ArgumentError, "nan at index 120"),
    "inf": (np.r_[np.inf, waves()], ArgumentError, "inf at index 0"),
    "rank": (waves().reshape(60, 2), ShapeError, "one dimension"),
    "text": (np.array(["1", "2"]), DTypeError, "real numbers"),
    "complex": (waves() * 1j, DTypeError, "real numbers"),
    "bool": (waves() > 5, DTypeError, "real numbers"),
    "short": (waves()[:49], ArgumentError, "at least 50 values for horizon 4 and window 10, got 49"),
    "empty": (np.empty(0), ArgumentError, "at least"),
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
        ("horizon", 0),
        ("horizon", 2.5),
        ("window", 1),
        ("hidden_size", True),
        ("folds", 1),
        ("dtype", "float16"),
        ("seconds", 0),
        ("seconds", "long"),
        ("seed", -1),
        ("num_threads", 0),
        ("epochs", None),
    ],
)
def test_bad_settings_are_refused(name, value):
    with pytest.raises(ArgumentError, match=name):
        Forecaster(**{**FAST, name: value})


# -- the whole ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_forecast_beats_the_baselines(cell):
    values = waves(160)
    result = Forecaster(cell, **{**FAST, "epochs": 8}).fit(values[:120]).backtest(values)
    mine = np.array(result.scores[f"rnncore {cell}"])
    for name in ("seasonal naive", "last value"):
        assert (mine < tables.BASELINE_MARGIN * np.array(result.scores[name])).all()
    assert tables.COVERAGE[0] <= result.coverage <= tables.COVERAGE[1]
    assert result.forecasts.shape == result.truth.shape == (37, 4)


def test_networks_learn_what_the_linear_path_cannot():
    # The logistic map: a parabola, invisible to a regression.
    values = [0.3]
    for _ in range(260):
        values.append(3.8 * values[-1] * (1 - values[-1]))
    settings = {"horizon": 1, "window": 4, "period": 1, "hidden_size": 8, "folds": 2, "lr": 2e-2}
    result = Forecaster(**settings, epochs=20, batch_size=16).fit(values[:200]).backtest(np.array(values))
    assert result.scores["rnncore lstm"][0] < tables.LEARNED_RATIO * result.scores["linear path alone"][0]


def test_sizes_are_taken_from_the_series():
    model = Forecaster(hidden_size=3, epochs=1).fit(waves(200))
    assert (model.period, model.horizon, model.window, model.nonnegative) == (6, 6, 24, True)
    model.fit(np.random.default_rng(0).normal(size=150))
    assert (model.period, model.horizon, model.nonnegative) == (1, 12, False)


def test_forecast_uses_nothing_after_its_origin(fitted):
    values = waves()
    result = fitted.backtest(values)
    changed = values.copy()
    changed[104:] = 0.0
    np.testing.assert_array_equal(fitted.backtest(changed).forecasts[:5], result.forecasts[:5])
    part = fitted.predict(series=values[:103])
    np.testing.assert_allclose(part.mean, result.forecasts[3], rtol=tables.OPTIMIZER_RTOL["float32"])
    assert (part.lower < part.mean).all()
    assert (part.mean < part.upper).all()


def test_predictions_never_fall_below_zero_for_counts():
    values = np.maximum(np.sin(2 * np.pi * np.arange(120) / 6) - 0.5, 0.0)
    part = Forecaster(**FAST).fit(values).predict()
    assert min(part.mean.min(), part.lower.min()) >= 0.0


def test_shorter_horizons_are_prefixes(fitted):
    np.testing.assert_array_equal(fitted.predict(2).mean, fitted.predict().mean[:2])


def test_wider_levels_give_wider_intervals(fitted):
    narrow, wide = fitted.predict(level=0.5), fitted.predict(level=0.95)
    assert (wide.upper - wide.lower > narrow.upper - narrow.lower).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.predict(5), "at most 4"),
        (lambda m: m.predict(0), "horizon"),
        (lambda m: m.predict(level=1.0), "level"),
        (lambda m: m.predict(series=waves()[:9]), "at least 10 values"),
        (lambda m: m.predict(series=np.r_[waves(), np.nan]), "nan at index"),
        (lambda m: m.backtest(waves(), 60), "training values"),
        (lambda m: m.backtest(waves()[:102]), "test values"),
        (lambda m: m.backtest(waves(seed=1), 3), "at least 10"),
        (lambda m: Forecaster().predict(), "call fit first"),
        (lambda m: Forecaster().save("never"), "call fit first"),
    ],
    ids=["long", "zero", "level", "short", "nan", "leak", "no-test", "early", "unfitted", "unfitted-save"],
)
def test_wrong_use_is_refused(fitted, call, words):
    with pytest.raises(ArgumentError, match=words):
        call(fitted)


def test_seed_decides_everything(fitted):
    again, other = Forecaster(**FAST).fit(waves()[:100]), Forecaster(**FAST, seed=1).fit(waves()[:100])
    np.testing.assert_array_equal(again.predict().mean, fitted.predict().mean)
    assert not np.array_equal(other.predict().mean, fitted.predict().mean)


def test_progress_is_reported_after_every_epoch():
    seen = []
    Forecaster(**FAST).fit(waves(), progress=seen.append)
    assert [(p.member, p.epoch) for p in seen] == [(m, e) for m in range(1, 7) for e in range(1, 5)]
    assert all(p.members == 6 and p.windows_per_second > 0 and p.remaining >= 0 for p in seen)
    assert seen[-1].remaining == 0
    assert all(np.isfinite([p.loss, p.valid_loss]).all() and p.best_loss <= p.valid_loss for p in seen)


def test_budget_ends_the_training(monkeypatch):
    """By a clock that goes on by a second whenever it is asked; the members share the time out evenly."""
    ticks = itertools.count()
    monkeypatch.setattr(ensemble, "time", types.SimpleNamespace(perf_counter=lambda: next(ticks)))
    seen = []
    model = Forecaster(**{**FAST, "epochs": 10**6, "patience": 10**6}, seconds=600).fit(
        waves(), progress=seen.append
    )
    epochs = collections.Counter(p.member for p in seen)
    assert sorted(epochs) == [1, 2, 3, 4, 5, 6]
    assert max(epochs.values()) <= min(epochs.values()) + 1
    assert 600 < next(ticks) < 660
    assert np.isfinite(model.predict().mean).all()


# -- interruption and resuming ------------------------------------------------------------------------------


def stop_after(epochs, error):
    """Return a callback that raises `error` after so many epochs over all."""
    count = iter(range(1, epochs + 1))

    def progress(_):
        if next(count) == epochs:
            raise error

    return progress


def test_ctrl_c_keeps_the_best_weights():
    model = Forecaster(**FAST).fit(waves()[:100], progress=stop_after(7, KeyboardInterrupt()))
    assert model.interrupted
    result = model.backtest(waves())
    assert result.scores["rnncore lstm"][0] < result.scores["last value"][0]
    assert not model.fit(waves()[:100]).interrupted


@pytest.mark.parametrize("epochs", [1, 4, 7, 23])
def test_killed_run_goes_on_as_if_nothing_had_happened(tmp_path, monkeypatch, fitted, epochs):
    monkeypatch.setattr(ensemble, "CHECKPOINT_SECONDS", 0.0)
    path = tmp_path / "run"
    with pytest.raises(ZeroDivisionError):
        Forecaster(**FAST).fit(
            waves()[:100], progress=stop_after(epochs, ZeroDivisionError()), checkpoint=path
        )
    seen = []
    model = Forecaster(**FAST).fit(waves()[:100], progress=seen.append, checkpoint=path)
    assert len(seen) == 24 - epochs
    np.testing.assert_array_equal(model.predict().mean, fitted.predict().mean)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_interrupted_run_goes_on_where_it_stood(tmp_path, fitted):
    path = tmp_path / "run"
    Forecaster(**FAST).fit(waves()[:100], progress=stop_after(6, KeyboardInterrupt()), checkpoint=path)
    seen = []
    model = Forecaster(**FAST, seconds=600.0).fit(waves()[:100], progress=seen.append, checkpoint=path)
    assert len(seen) == 18
    np.testing.assert_array_equal(model.predict().mean, fitted.predict().mean)
    Forecaster(**FAST).fit(
        waves()[:100], progress=stop_after(1, AssertionError("trained again")), checkpoint=path
    )


def test_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run"
    Forecaster(**FAST).fit(waves(), checkpoint=path)
    for model, values in ((Forecaster(**FAST, seed=1), waves()), (Forecaster(**FAST), waves(seed=1))):
        with pytest.raises(ArgumentError, match="same series and settings"):
            model.fit(values, checkpoint=path)


# -- files --------------------------------------------------------------------------------------------------


def test_saved_model_forecasts_the_same(tmp_path, fitted):
    path = tmp_path / "model.safetensors"
    fitted.save(path)
    loaded = Forecaster.load(path)
    for name in ("mean", "lower", "upper"):
        np.testing.assert_array_equal(getattr(loaded.predict(), name), getattr(fitted.predict(), name))
    assert repr(loaded) == repr(fitted)
    assert loaded.backtest(waves()).scores == fitted.backtest(waves()).scores


def rewrite(path, change):
    """Save the file again after `change(tensors, meta)`."""
    safetensors = pytest.importorskip("safetensors.numpy", reason="models are safetensors files")
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        meta = json.loads(file.metadata()["rnncore"])
    tensors = safetensors.load_file(path)
    change(tensors, meta)
    safetensors.save_file(tensors, path, {"rnncore": json.dumps(meta)})


MODEL_DAMAGE = {
    "hidden-size-bomb": lambda t, m: m["config"].update(hidden_size=10**12),
    "layer-bomb": lambda t, m: m["config"].update(num_layers=10**12),
    "window": lambda t, m: m["config"].update(window=10**12),
    "horizon": lambda t, m: m["config"].update(horizon=5),
    "unknown-setting": lambda t, m: m["config"].update(magic=1),
    "bad-setting": lambda t, m: m["config"].update(cell="__init__"),
    "no-config": lambda t, m: m.pop("config"),
    "no-members": lambda t, m: m["members"].clear(),
    "too-many-members": lambda t, m: m["members"].append(["level", 0]),
    "unknown-view": lambda t, m: m["members"].__setitem__(0, ["sideways", 0]),
    "missing-array": lambda t, m: t.pop("3.linear.bias"),
    "missing-weight": lambda t, m: t.pop("3.rnn.weight_hh_l0"),
    "nan-scaling": lambda t, m: t["0.scaling"].fill(np.nan),
    "wrong-shape": lambda t, m: t.update({"0.head.bias": np.zeros(9, np.float32)}),
    "nan-series": lambda t, m: t["series"].fill(np.nan),
    "other-format": lambda t, m: m.update(format="rnncore-forecaster-0"),
    "not-an-object": lambda t, m: m.update(config=[1, 2]),
}


@pytest.mark.parametrize("damage", MODEL_DAMAGE, ids=str)
def test_damaged_models_are_refused(tmp_path, fitted, damage):
    path = tmp_path / "model.safetensors"
    fitted.save(path)
    rewrite(path, MODEL_DAMAGE[damage])
    with pytest.raises(ArgumentError, match=r"model\.safetensors: expected"):
        Forecaster.load(path)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_models_are_refused(tmp_path, fitted, keep):
    path = tmp_path / "model.safetensors"
    fitted.save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ArgumentError, match=r"model\.safetensors: expected"):
        Forecaster.load(path)


def test_missing_model_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Forecaster.load(tmp_path / "none")
