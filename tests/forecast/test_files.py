# SPDX-License-Identifier: MIT
"""Files of the forecaster: interrupted and killed runs go on, saved models forecast the same, damage is refused."""

import json

import numpy as np
import pytest
from series import FAST, stop_after, waves

from rnncore.errors import ArgumentError
from rnncore.forecast import Forecaster
from rnncore.forecast._model import training

safetensors = pytest.importorskip("safetensors.numpy", reason="the reader of others checks ours")


@pytest.fixture(scope="module")
def fitted():
    return Forecaster(**FAST).fit(waves()[:100])


# -- interrupted ----------------------------------------------------------------------------------------------


def test_ctrl_c_keeps_the_best_weights():
    model = Forecaster(**FAST).fit(waves()[:100], progress=stop_after(12, KeyboardInterrupt()))
    assert model.interrupted_
    scores = model.backtest(waves()).scores
    assert scores["rnncore GRU"][0] < scores["last value"][0]
    assert not model.fit(waves()[:100]).interrupted_


@pytest.mark.parametrize("steps", [1, 6, pytest.param(19, marks=pytest.mark.full)])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path, monkeypatch, fitted, steps):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    path = tmp_path / "run"
    with pytest.raises(ZeroDivisionError):
        Forecaster(**FAST).fit(
            waves()[:100], progress=stop_after(steps, ZeroDivisionError()), checkpoint=path
        )
    seen = []
    model = Forecaster(**FAST).fit(waves()[:100], progress=seen.append, checkpoint=path)
    assert len(seen) == 20 - steps // training.STRETCH[0] * training.STRETCH[0]
    np.testing.assert_array_equal(model.forecast().median, fitted.forecast().median)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_an_interrupted_run_goes_on_where_it_stood(tmp_path, fitted):
    path = tmp_path / "run"
    Forecaster(**FAST).fit(waves()[:100], progress=stop_after(6, KeyboardInterrupt()), checkpoint=path)
    seen = []
    model = Forecaster(**FAST, budget=600.0).fit(waves()[:100], progress=seen.append, checkpoint=path)
    assert len(seen) == 15  # the last check was after step 5
    np.testing.assert_array_equal(model.forecast().median, fitted.forecast().median)
    trained_again = stop_after(1, AssertionError("trained again"))
    done = Forecaster(**FAST).fit(waves()[:100], progress=trained_again, checkpoint=path)
    np.testing.assert_array_equal(done.forecast().median, fitted.forecast().median)


def test_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run"
    Forecaster(**FAST).fit(waves(), checkpoint=path)
    for model, values in ((Forecaster(**FAST, seed=1), waves()), (Forecaster(**FAST), waves(seed=1))):
        with pytest.raises(ArgumentError, match="same series and settings"):
            model.fit(values, checkpoint=path)


# -- saved ----------------------------------------------------------------------------------------------------


def test_a_saved_model_forecasts_the_same(tmp_path, fitted):
    path = tmp_path / "model.safetensors"
    fitted.save(path)
    loaded = Forecaster.load(path)
    mine, theirs = fitted.forecast(), loaded.forecast()
    np.testing.assert_array_equal(theirs.median, mine.median)
    for level in (0.8, 0.95):
        np.testing.assert_array_equal(theirs.lower[level], mine.lower[level])
        np.testing.assert_array_equal(theirs.upper[level], mine.upper[level])
    assert repr(loaded) == repr(fitted)
    assert loaded.backtest(waves()).scores == fitted.backtest(waves()).scores


def test_a_saved_model_keeps_calendar_covariates_and_dates(tmp_path):
    pd = pytest.importorskip("pandas")
    dates = pd.date_range("2020-01-01", periods=104, freq="D", tz="Europe/Berlin")
    series = [pd.Series(waves(100, seed), dates[:100]) for seed in (0, 1)]
    known = [np.arange(104.0)[:, np.newaxis] % 5] * 2
    past = [np.arange(100.0)[:, np.newaxis] % 3] * 2
    model = Forecaster(**{**FAST, "seasons": None, "steps": 2}).fit(series, known=known, past=past)
    model.save(tmp_path / "model.safetensors")
    loaded = Forecaster.load(tmp_path / "model.safetensors")
    for mine, theirs in zip(model.forecast(), loaded.forecast(), strict=True):
        np.testing.assert_array_equal(theirs.median, mine.median)
        assert theirs.index.equals(mine.index)
        assert theirs.index[0] == pd.Timestamp("2020-04-10", tz="Europe/Berlin")


def rewrite(path, change):
    """Save the file again after `change(tensors, meta)`."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        meta = json.loads(file.metadata()["rnncore"])
    tensors = safetensors.load_file(path)
    change(tensors, meta)
    safetensors.save_file(tensors, path, {"rnncore": json.dumps(meta)})


MODEL_DAMAGE = {
    "hidden-size-bomb": lambda t, m: m.update(hidden_size=10**12),
    "context-bomb": lambda t, m: m["shape"].__setitem__(0, 10**12),
    "horizon": lambda t, m: m["shape"].__setitem__(1, 5),
    "lag": lambda t, m: m["shape"][2].append(-1),
    "unknown-setting": lambda t, m: m["params"].update(magic=1),
    "bad-cell": lambda t, m: m["params"].update(cell="__init__"),
    "no-params": lambda t, m: m.pop("params"),
    "no-anchors": lambda t, m: m["anchors"].clear(),
    "too-many-anchors": lambda t, m: m["anchors"].append("level"),
    "unknown-anchor": lambda t, m: m["anchors"].__setitem__(0, "sideways"),
    "unknown-view": lambda t, m: m["views"][0].__setitem__(0, "sideways"),
    "unknown-part": lambda t, m: m["parts"].append("eon"),
    "missing-array": lambda t, m: t.pop("0.linear.bias"),
    "missing-weight": lambda t, m: t.pop("0.layer.weight_hh_l0"),
    "nan-lens": lambda t, m: t["lens"].fill(np.nan),
    "wrong-shape": lambda t, m: t.update({"0.head.bias": np.zeros(9, np.float32)}),
    "nan-history": lambda t, m: t["history.0.values"].fill(np.nan),
    "short-history": lambda t, m: t.update({"history.0.values": np.zeros(3)}),
    "scores": lambda t, m: t.update(scores=np.zeros((2, 3, 9), np.float32)),
    "other-format": lambda t, m: m.update(format="rnncore-forecaster-0"),
    "not-an-object": lambda t, m: m.update(params=[1, 2]),
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


def test_a_missing_model_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Forecaster.load(tmp_path / "none")
