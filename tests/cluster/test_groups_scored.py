# SPDX-License-Identifier: MIT
"""Windows of series, and score_groups: forecasts with their ids, each of its own model."""

import numpy as np
import pyarrow as pa
import pytest
from group_tables import WEEK, digest, fitted, series

from rnncore.cluster import GroupRun, Windows, score_groups
from rnncore.errors import ArgumentError, RnncoreError
from rnncore.formats import from_bytes
from rnncore.nn.order import shuffled

TABLE = series()
MODELS = fitted(TABLE, epochs=1)


def scored(table=TABLE, models=MODELS, **options):
    return score_groups(table, "store", models, **{"predict": WEEK.predict, "time": "day", **options})


def group(name, table=TABLE):
    return table.filter(pa.array(np.array(table["store"].to_pylist()) == name))


def model_of(name):
    return from_bytes(group(name, MODELS)["model"][0].as_py())


# Windows


def test_windows_are_those_of_the_series_and_scaled_by_what_they_hold():
    y = group("s3")["y"].to_numpy()
    x, target = Windows("y", context=6, horizon=2, dtype="float64")(group("s3"))
    assert x.shape == (13, 6, 1) and target.shape == (13, 2)
    for k in range(13):
        window = y[k : k + 6]
        np.testing.assert_allclose(x[k, :, 0], (window - window.mean()) / window.std())
        np.testing.assert_allclose(target[k], (y[k + 6 : k + 8] - window.mean()) / window.std())


def test_windows_without_scale_are_views_of_the_numbers():
    table = pa.table({"y": np.arange(10), "price": np.arange(10) * 2.0})
    x, target = Windows(["y", "price"], context=3, horizon=2, scale=False)(table)
    assert x[:, :, 0].tolist() == [[k, k + 1, k + 2] for k in range(6)]
    np.testing.assert_array_equal(x[:, :, 1], 2 * x[:, :, 0])
    assert target.tolist() == [[k + 3, k + 4] for k in range(6)] and x.dtype == target.dtype == np.float32


def test_no_value_to_be_judged_is_a_target_before():
    rows = pa.table({"y": np.arange(20.0)})
    x, target, (judged, truth) = Windows("y", context=5, horizon=2, holdout=4, scale=False)(rows)
    assert target.max() == 15 and truth.min() == 16 and truth.max() == 19
    assert len(x) == len(target) == 10 and len(judged) == len(truth) == 3
    assert judged[0, :, 0].tolist() == [11, 12, 13, 14, 15]


def test_constant_windows_are_zeros():
    x, target = Windows("y", context=4)(pa.table({"y": [5.0] * 8 + [6.0]}))
    assert not x[:-1].any() and not target[:-1].any() and target[-1] == 1


def test_forecasts_follow_the_units_of_the_series():
    """A factor that is a power of two, and no other, leaves all bits of the scaled windows."""
    larger = TABLE.set_column(2, "y", pa.compute.multiply(TABLE["y"], 4.0))
    one, four = (np.array(scored(table)["y"].to_pylist()) for table in (TABLE, larger))
    np.testing.assert_array_equal(4 * one, four)


@pytest.mark.parametrize(
    "options",
    [
        {"columns": 3},
        {"columns": []},
        {"context": 0},
        {"horizon": 2.5},
        {"holdout": 1, "horizon": 2},
        {"scale": 1},
        {"dtype": "int8"},
    ],
    ids=repr,
)
def test_windows_check_their_arguments(options):
    with pytest.raises(RnncoreError):
        Windows(**options)


# Scores


def test_a_forecast_is_the_models_own():
    found = scored(ids="day")
    assert found.column_names == ["store", "day", "y", "error"]
    assert found["error"].null_count == 12 and set(found["day"].to_pylist()) == {19}
    for row in found.to_pylist():
        rows = group(row["store"])
        assert row["y"] == WEEK.predict(model_of(row["store"]), rows)[0].tolist()


def test_each_row_has_the_forecast_of_what_came_before():
    found = scored(predict=WEEK.predict_each, ids=["day"])
    rows = group("s4", found)
    assert rows["day"].to_pylist() == list(range(20))
    assert rows["y"].is_null().to_pylist() == [True] * 5 + [False] * 15
    for last in (5, 11, 19):
        alone = WEEK.predict(model_of("s4"), group("s4").slice(0, last + 1))
        assert rows["y"][last].as_py() == alone[0].tolist()


def test_order_and_partitions_do_not_matter():
    whole = digest(scored(predict=WEEK.predict_each, ids="day"))
    table = TABLE.take(shuffled(len(TABLE), 1))
    stores = np.array([int(name[1:]) for name in table["store"].to_pylist()])
    parts = [
        scored(table.filter(pa.array(stores % 5 == k)), predict=WEEK.predict_each, ids="day")
        for k in range(5)
    ]
    assert digest(pa.concat_tables(parts)) == whole


def test_all_models_of_a_search_are_applied():
    models = fitted(TABLE, configs=[{"hidden": 3}, {"hidden": 4}], epochs=1)
    found = scored(models=models)
    assert found["config"].to_pylist() == [0, 1] * 12
    first = found.filter(pa.compute.equal(found["config"], 0))
    assert first["y"].to_pylist() == scored()["y"].to_pylist()


def test_what_cannot_be_scored_is_a_row_with_an_error():
    few = MODELS.slice(1).append_column("x", pa.array([0] * 11))
    short = TABLE.filter(
        pa.array((np.array(TABLE["store"].to_pylist()) != "s2") | (TABLE["day"].to_numpy() < 3))
    )
    found = {row["store"]: row for row in scored(short, few, ids="day").to_pylist()}
    assert "no model of this key" in found["s0"]["error"] and found["s0"]["y"] is None
    assert "expected at least 6 rows, got 3" in found["s2"]["error"]
    assert found["s1"]["error"] is None and len(found["s1"]["y"]) == 2
    failed = fitted(short, epochs=1)
    assert "the series is too short" in group("s2", scored(short, failed))["error"][0].as_py()


def test_two_models_of_a_key_are_refused():
    """Each would give every row of the group a result."""
    twice = pa.concat_tables([MODELS, MODELS.slice(3, 1)])
    with pytest.raises(
        ArgumentError, match=r"models: expected one model of each key and config, got two of \('s"
    ):
        scored(models=twice)
    searched = fitted(TABLE.slice(0, 20), configs=[{"hidden": 3}, {"hidden": 4}], epochs=1)
    with pytest.raises(ArgumentError, match="two of"):
        scored(models=pa.concat_tables([searched, searched.slice(1)]))


def test_results_may_be_of_any_function():
    def last_two(model, rows):
        return rows["y"].to_numpy()[-2:].reshape(1, 2, 1)

    found = scored(predict=last_two)
    assert found["y"][0].as_py() == group("s0")["y"].to_pylist()[-2:]
    wrong = scored(predict=lambda model, rows: np.zeros((3, 2)))
    assert {"predict: expected 1 row or 20" in error for error in wrong["error"].to_pylist()} == {True}


@pytest.mark.parametrize(
    "options",
    [{"models": 3}, {"models": TABLE}, {"predict": 1}, {"ids": "hour"}, {"ids": "store"}, {"ids": "y"}, {"time": 4}],
    ids=["models", "no models", "predict", "ids", "key as id", "id of the result", "time"],
)  # fmt: skip
def test_arguments_are_checked(options):
    with pytest.raises(ArgumentError):
        scored(**options)


def test_a_run_says_where_it_stands():
    assert str(GroupRun(groups=5000)) == "0 of 5,000 groups  0/s"
    run = GroupRun(groups=5000, done=2000, kept=1000, failed=3, seconds=4.0)
    assert str(run) == "2,000 of 5,000 groups  250/s  0:12 left  3 failed"
