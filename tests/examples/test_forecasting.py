# SPDX-License-Identifier: MIT
"""The forecasting examples: quick runs must reach their quality, and nothing they see may come from the future."""

import dataclasses
import json

import numpy as np
import pytest

import rnncore
from examples import common, data

for package in ("sklearn", "matplotlib", "rich"):
    pytest.importorskip(package, reason='the examples need pip install ".[examples]"')

from tables_training import EXAMPLE_BARS, EXAMPLE_COVERAGE  # noqa: E402

from examples.forecasting import __main__ as command  # noqa: E402
from examples.forecasting import air, baselines, hours, windows  # noqa: E402


@pytest.fixture(autouse=True)
def threads_stay():
    """The command line sets the number of threads; put it back."""
    before = rnncore.get_num_threads()
    yield
    rnncore.set_num_threads(before)


def need(name):
    try:
        data.find(name)
    except data.DataNotFoundError as error:
        pytest.skip(str(error))


def quick(task, out):
    """The figures of a quick run, which are also in results.json."""
    found = command.main([task, "--quick", "--out", str(out)])
    assert (out / "results.json").read_text() == json.dumps(found, indent=1) + "\n"
    assert found["speed"]["rnncore"] > 0
    assert (out / "model.safetensors").exists()
    return found


def below(found, name, column):
    """How far a forecast's error lies below the best naive one's, as a share; columns: 1 h, 24 h, 1 to 24 h."""
    naive = min(
        found["mae"][key][column] for key in ("last value", "same hour yesterday", "same hour last week")
    )
    return 1 - found["mae"][name][column] / naive


@pytest.mark.full
def test_hours(tmp_path):
    need("bike_hour")
    found = quick("hours", tmp_path)
    name = "GRU, weather up to now"
    assert below(found, name, 0) > EXAMPLE_BARS["hours, 1 h"]
    assert below(found, name, 2) > EXAMPLE_BARS["hours, 24 h"]
    assert all(found["mae"][name][k] < found["mae"]["linear, weather up to now"][k] for k in range(3))
    for kind in found["coverage"].values():
        for level, shares in kind.items():
            assert all(abs(share - level) <= EXAMPLE_COVERAGE[level] for share in shares)
    assert (tmp_path / "forecast.png").stat().st_size > 10_000


def test_small_hours(tmp_path, monkeypatch):
    """Everything that the example does, after few steps: better than the naive forecasts already."""
    need("bike_hour")
    linear, compare = baselines.linear, common.compare_speed
    few = lambda series, before, *rest: linear(series, before[::10], *rest)  # noqa: E731
    glance = lambda *args, seconds, **options: compare(*args, seconds=0, **options)  # noqa: E731
    monkeypatch.setattr(hours, "QUICK", dataclasses.replace(hours.QUICK, hidden=16, epochs=1, batch=64))
    monkeypatch.setattr(baselines, "linear", few)
    monkeypatch.setattr(common, "compare_speed", glance)
    found = quick("hours", tmp_path)
    assert below(found, "GRU, weather up to now", 2) > 0
    assert (tmp_path / "forecast.png").stat().st_size > 10_000


@pytest.mark.full
def test_air(tmp_path):
    need("beijing_pm25")
    found = quick("air", tmp_path)
    assert below(found, "GRU, weather up to now", 0) > EXAMPLE_BARS["air, 1 h"]
    assert below(found, "GRU, weather ahead known", 1) > EXAMPLE_BARS["air, 24 h"]


def test_speakers(tmp_path):
    need("japanese_vowels")
    found = quick("speakers", tmp_path)
    assert found["accuracy"]["GRU"] >= EXAMPLE_BARS["speakers"]
    assert found["accuracy"]["GRU"] > found["accuracy"]["1 nearest neighbour"]
    assert (tmp_path / "confusion.png").stat().st_size > 10_000


@pytest.mark.parametrize("task", [hours, air], ids=["hours", "air"])
def test_a_window_sees_nothing_of_the_future(task):
    need(task.SOURCE)
    series = task.series()
    now = 12_000
    later = {name: getattr(series, name).copy() for name in ("value", "seen", "weather", "level")}
    later["value"][now:] += 100
    later["seen"][now:] = ~later["seen"][now:]
    later["weather"][now:] += 1
    later["level"][now + 1 :] += 1
    other = windows.Series(calendar=series.calendar, lags=series.lags, offset=series.offset, **later)
    x, y = (s.window(np.array([now]), 24, [False]) for s in (series, other))
    assert np.array_equal(x, y)
    known, unknown = (series.window(np.array([now]), 24, [k]) for k in (True, False))
    assert not np.array_equal(known, unknown)


@pytest.mark.parametrize("task", [hours, air], ids=["hours", "air"])
def test_the_level_is_known_before_the_hour(task, monkeypatch):
    need(task.SOURCE)
    arrays, column = data.load(task.SOURCE), {hours: "cnt", air: "pollution"}[task]
    before, row = task.series(), 9_000
    arrays[column][row:] += 50
    monkeypatch.setattr(data, "load", lambda name: arrays)
    after = task.series()
    changed = np.flatnonzero(before.value != after.value)[0]
    assert np.array_equal(before.level[: changed + 1], after.level[: changed + 1])
    assert before.level[changed + 1] != after.level[changed + 1]


def intervals(n, rng):
    """Too narrow intervals around zero, and truths whose spread grows: (quantiles, value)."""
    quantiles = np.tile([5.0, 8, 10, 12, 15], (n, windows.HORIZON, 1))
    noise = rng.standard_normal(n + windows.HORIZON) * np.linspace(3, 6, n + windows.HORIZON)
    hours_ahead = np.arange(n)[:, np.newaxis] + np.arange(windows.HORIZON)
    return quantiles, 10 + noise[hours_ahead]


def test_calibrated_intervals_hold_their_share():
    quantiles, value = intervals(3000, np.random.default_rng(0))
    found = windows.calibrate(quantiles, value, np.ones(value.shape, bool), 1000)
    for level, (low, high) in windows.LEVELS.items():
        inside = (value[1000:] >= found[..., low]) & (value[1000:] <= found[..., high])
        raw = (value >= quantiles[..., low]) & (value <= quantiles[..., high])
        assert abs(inside.mean() - level) <= EXAMPLE_COVERAGE[level] < abs(raw.mean() - level)


def test_calibration_uses_what_was_known():
    quantiles, value = intervals(1000, np.random.default_rng(1))
    seen = np.ones(value.shape, bool)
    first = windows.calibrate(quantiles, value, seen, 800)
    now = 900  # what is measured from this hour on must not touch the forecasts made before it or at it
    later = value.copy()
    later[np.arange(1000)[:, np.newaxis] + np.arange(windows.HORIZON) >= now] += 40
    second = windows.calibrate(quantiles, later, seen, 800)
    assert np.array_equal(first[: now - 800 + 1], second[: now - 800 + 1])
    assert not np.array_equal(first[now - 800 + 1], second[now - 800 + 1])
