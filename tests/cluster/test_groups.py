# SPDX-License-Identifier: MIT
"""fit_groups: a model for each group, the same whatever the cut; a bad group is a row, a killed run goes on."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from compiled import PATIENCE
from group_tables import WEEK, digest, fitted, model, series, spoilt

import rnncore
from rnncore import nn
from rnncore.cluster import fit_groups, groups_packs, groups_parts
from rnncore.cluster.groups_table import seed_of
from rnncore.errors import ArgumentError, FormatError, RnncoreError
from rnncore.formats import from_bytes
from rnncore.nn import stacks
from rnncore.nn.order import shuffled
from rnncore.nn.sequential import models_of

TABLE = series()


@pytest.fixture(scope="module")
def whole():
    return fitted(TABLE)


def partitions(table, count):
    """The table in so many, each with all rows of its stores, dealt out in turn."""
    stores = sorted(set(table["store"].to_pylist()))
    for k in range(count):
        yield table.filter(pa.compute.is_in(table["store"], pa.array(stores[k::count])))


# One table


@pytest.mark.parametrize("count", [1, 2, 7])
def test_any_partitions_and_any_order_give_one_hash(whole, count):
    order = shuffled(len(TABLE), count)
    parts = [fitted(part) for part in partitions(TABLE.take(order), count)]
    assert digest(pa.concat_tables(parts)) == digest(whole)
    assert len(whole) == 12 and whole["error"].null_count == 12


@pytest.mark.full
def test_ten_thousand_series_have_one_hash(tmp_path, monkeypatch):
    table = series(10_000)
    found = digest(fitted(table, epochs=1, folder=tmp_path))
    for path in sorted(tmp_path.iterdir())[::3]:
        path.unlink()  # what a killed run had not finished
    assert digest(fitted(table, epochs=1, folder=tmp_path)) == found
    for count in (2, 7):
        shuffle = table.take(shuffled(len(table), count))
        parts = [fitted(part, epochs=1) for part in partitions(shuffle, count)]
        assert digest(pa.concat_tables(parts)) == found


def test_a_model_is_that_of_the_loop_written_out(whole):
    group = TABLE.slice(0, 20)
    seed = seed_of(7, ("s0",))
    x, target = WEEK(group)
    own = model(seed)
    run = nn.fit(own, (x, target), nn.mse_loss, nn.Adam(own, lr=1e-2, clip_norm=1.0),
                 epochs=2, batch_size=32, shards=1, seed=seed)  # fmt: skip
    row = whole.slice(0, 1).to_pylist()[0]
    assert row["model"] == rnncore.formats.to_bytes(own)
    assert (row["store"], row["samples"], row["epochs"], row["loss"]) == ("s0", 13, 2, run.losses[-1])
    assert row["validation_loss"] is None and row["best_epoch"] is None


def test_other_seeds_give_other_models(whole):
    models = whole["model"].to_pylist()
    other = fit_groups(TABLE, "store", model, 8, data=WEEK, time="day", epochs=2)["model"].to_pylist()
    assert len({*models, *other}) == 24


def test_seeds_are_of_values_not_of_their_width():
    narrow = TABLE.set_column(
        0, "store", pa.array([int(s[1:]) for s in TABLE["store"].to_pylist()], pa.int8())
    )
    wide = narrow.set_column(0, "store", narrow["store"].cast(pa.int64()))
    assert fitted(narrow)["model"].equals(fitted(wide)["model"])


def test_seeds_are_pinned():
    """Whoever changes the hash changes every model that was ever fitted."""
    assert seed_of(0, ()) == 7703092714891988220
    assert seed_of(7, ("s0",)) == 1856050323877662379
    assert seed_of(7, (3, True, None, b"x")) == 6142258960362619528
    keys = [(1,), ("1",), (b"1",), (True,), (None,), ("n",), (1, 1), (11,), ("1", "1"), ("11",)]
    assert len({seed_of(0, key) for key in keys}) == len(keys)


def test_frames_dicts_and_categories_are_tables(whole):
    frame = TABLE.to_pandas()
    assert fitted(frame)["model"].equals(whole["model"])
    assert fitted(frame.astype({"store": "category"}))["model"].equals(whole["model"])
    assert fitted({name: TABLE[name] for name in TABLE.column_names})["model"].equals(whole["model"])


def test_frames_of_polars_are_tables(whole):
    polars = pytest.importorskip("polars")
    assert fitted(polars.from_arrow(TABLE))["model"].equals(whole["model"])


def test_no_key_makes_the_table_one_group():
    found = fit_groups(TABLE.slice(0, 20).drop(["store"]), [], model, 7, data=WEEK, epochs=1)
    assert found.column_names[0] == "model" and len(found) == 1 and found["error"].null_count == 1


def test_an_empty_table_has_the_columns_of_any(whole):
    found = fitted(TABLE.slice(0, 0))
    assert len(found) == 0 and found.schema == whole.schema


# Searches


def test_a_search_has_a_row_for_each_config(whole):
    found = fitted(TABLE, configs=[{"hidden": 3}, {"hidden": 4}])
    assert found["config"].to_pylist() == [0, 1] * 12
    assert found.filter(pa.compute.equal(found["config"], 0))["model"].equals(whole["model"])
    assert from_bytes(found["model"][1].as_py())[0].layer.hidden_size == 4


def test_a_factory_may_bring_its_optimiser(whole):
    def with_optimizer(seed):
        network = model(seed)
        return network, nn.Adam(network, lr=1e-2, clip_norm=1.0)

    assert fit_groups(TABLE, "store", with_optimizer, 7, data=WEEK, time="day", epochs=2).equals(whole)


def test_validation_keeps_the_best_epoch():
    held = rnncore.cluster.Windows("y", context=6, horizon=2, holdout=4)
    found = fitted(TABLE, data=held, epochs=6, patience=2)
    assert found["error"].null_count == 12 and found["samples"].to_pylist() == [9] * 12
    for row in found.to_pylist():
        assert 1 <= row["best_epoch"] <= row["epochs"] <= row["best_epoch"] + 2
        group = TABLE.filter(pa.compute.equal(TABLE["store"], row["store"]))
        x, target = held(group)[2]
        y = from_bytes(row["model"])(x.swapaxes(0, 1))
        assert nn.mse_loss(y, target)[0] * len(x) / len(x) == row["validation_loss"]


# Fleets


def _searched(seed, hidden=3, lr=1e-2, momentum=None):
    network = model(seed, hidden)
    return network, nn.Adam(network, lr=lr) if momentum is None else nn.SGD(network, lr=lr, momentum=momentum)


def _together(monkeypatch, **options):
    """The result of groups in fleets, which is that of one after the other, and the models of each `fit`."""
    sizes, fit = [], nn.fit

    def noted(network, *args, **given):
        sizes.append(max(models_of(network), default=1))
        return fit(network, *args, **given)

    monkeypatch.setattr(groups_packs, "fit", noted)
    found = fitted(**options)
    together = list(sizes)
    monkeypatch.setattr(stacks, "PACK", 1)
    assert digest(fitted(**options)) == digest(found)
    return found, together


def test_groups_of_one_form_are_a_fleet(whole, monkeypatch):
    found, sizes = _together(monkeypatch, table=TABLE)
    assert found.equals(whole) and sizes == [12]


def test_series_of_any_lengths_are_one_fleet(monkeypatch):
    number = np.char.strip(np.array(TABLE["store"].to_pylist()), "s").astype(int)
    uneven = TABLE.filter(pa.array(TABLE["day"].to_numpy() >= number))  # 9 to 20 rows
    assert _together(monkeypatch, table=uneven)[1] == [12]
    monkeypatch.setattr(stacks, "PACK", 5)
    held = rnncore.cluster.Windows("y", context=4, horizon=2, holdout=3)
    options = {
        "data": held,
        "epochs": 9,
        "patience": 2,
        "batch_size": 4,
        "schedule": nn.Cosine(0.1, warmup=2),
    }
    found, sizes = _together(monkeypatch, table=uneven, **options)
    assert sizes == [5, 5, 2] and len(set(found["epochs"].to_pylist())) > 1


def test_other_models_are_other_fleets(monkeypatch):
    configs = [{"hidden": 3}, {"lr": 0.1}, {"hidden": 4}, {"momentum": 0.5}, {"momentum": 0.5, "lr": 0.3}]
    monkeypatch.setattr(stacks, "PACK", 100)
    found = fit_groups(TABLE, "store", _searched, 7, data=WEEK, time="day", epochs=2, configs=configs)
    monkeypatch.setattr(stacks, "PACK", 1)
    again = fit_groups(TABLE, "store", _searched, 7, data=WEEK, time="day", epochs=2, configs=configs)
    assert digest(found) == digest(again) and found["error"].null_count == 60


def test_early_stopping_in_a_fleet(monkeypatch):
    held = rnncore.cluster.Windows("y", context=6, horizon=2, holdout=4)
    schedule = nn.Cosine(0.1, warmup=2)
    found, sizes = _together(monkeypatch, table=TABLE, data=held, epochs=9, patience=2, schedule=schedule)
    assert sizes == [12] and len(set(found["epochs"].to_pylist())) > 1


def test_a_series_that_diverges_does_not_spoil_its_fleet(whole, monkeypatch):
    def diverging(group):
        x, target = WEEK(group)
        return (x * np.float32(np.nan) if group["store"][0].as_py() == "s5" else x), target

    found, sizes = _together(monkeypatch, table=TABLE, data=diverging)
    assert sizes == [12, 1]
    errors = found["error"].to_pylist()
    assert [error for error in errors if error] == [
        "ArgumentError: grads: expected finite gradients, got a norm of nan (the training has diverged)"
    ]
    rest = pa.compute.not_equal(whole["store"], "s5")
    assert digest(found.filter(rest)) == digest(whole.filter(rest))


def test_a_loss_that_fails_for_one_series_does_not_spoil_its_fleet(whole, monkeypatch):
    bad = WEEK(TABLE.slice(40, 20))[1]

    def failing(y, target):
        if (target[:, np.newaxis] == bad).all(-1).any():
            raise ZeroDivisionError("in the loss")
        return nn.mse_loss(y, target)

    found, sizes = _together(monkeypatch, table=TABLE, loss=failing)
    assert sizes == [12] + [1] * 12
    assert sorted(map(str, found["error"].to_pylist())) == ["None"] * 11 + ["ZeroDivisionError: in the loss"]


# Bad groups


def failing(seed):
    if seed == seed_of(7, ("s1",)):
        raise OSError("no such luck")
    return model(seed)


def raising(y, target):
    if len(y) == 13:
        raise ZeroDivisionError("in the loss")
    return nn.mse_loss(y, target)


def shortened(table):
    rows = np.array(table["store"].to_pylist()) == "s1"
    return table.filter(pa.array(~(rows & (table["day"].to_numpy() >= 7))))


def spoiling(column, *values):
    return lambda table: spoilt(table, "s1", column, values)


@pytest.mark.parametrize(
    "change, factory, text",
    [
        (shortened, model, "ArgumentError: group: expected at least 8 rows, got 7 (the series is too short)"),
        (spoiling("y", 0.0, float("nan")), model, "y: expected finite numbers, got nan in row 1"),
        (spoiling("y", float("inf")), model, "y: expected finite numbers, got inf in row 0"),
        (spoiling("y", None), model, "y: expected finite numbers, got nan in row 0"),
        (spoiling("y", *[1e300, -1e300] * 10), model, "group: expected values whose squares are finite"),
        (spoiling("day", 3, 3, 3), model, "time: expected a time of its own for each row, got two rows of 3"),
        (spoiling("day", None), model, "time: expected a time of its own for each row, got a null"),
        (spoiling("day"), failing, "OSError: no such luck"),
    ],
    ids=["short", "nan", "inf", "null", "huge", "two of a time", "no time", "factory"],
)
def test_a_bad_group_is_a_row_with_an_error(whole, change, factory, text):
    table = change(spoilt(TABLE, "s1", "day", []))
    found = fit_groups(table, "store", factory, 7, data=WEEK, time="day", epochs=2)
    is_bad = np.array(found["store"].to_pylist()) == "s1"
    (bad,) = found.filter(pa.array(is_bad)).to_pylist()
    assert text in bad["error"] and bad["model"] is None and bad["loss"] is None
    assert digest(found.filter(pa.array(~is_bad))) == digest(whole.filter(pa.array(~is_bad)))


def test_what_no_group_fits_is_the_error_of_each():
    text = TABLE.set_column(2, "y", TABLE["y"].cast(pa.string()))
    assert {"expected a column of numbers" in error for error in fitted(text)["error"].to_pylist()} == {True}
    raised = fitted(TABLE, loss=raising)["error"].to_pylist()
    assert raised == ["ZeroDivisionError: in the loss"] * 12
    diverged = fitted(TABLE, data=lambda group: (np.full((9, 4, 1), np.nan, "f4"), np.zeros((9, 2), "f4")))
    assert all("the training has diverged" in error for error in diverged["error"].to_pylist())
    shapes = fitted(TABLE, data=rnncore.cluster.Windows("y", context=6, horizon=3))
    assert shapes["model"].null_count == 12 and all(shapes["error"].to_pylist())


@pytest.mark.parametrize(
    "options",
    [
        {"key": "shop"},
        {"key": ["store", "store"]},
        {"key": "y"},
        {"time": "hour"},
        {"model": None},
        {"data": 3},
        {"epochs": 0},
        {"patience": 0},
        {"seed": -1},
        {"configs": []},
        {"configs": [3]},
        {"progress": 1},
        {"table": 5},
        {"table": {"model": [1]}, "key": "model"},
    ],
    ids=repr,
)
def test_arguments_are_checked_before_anything_runs(options):
    given = {"table": TABLE, "key": "store", "model": model, "data": WEEK, "epochs": 1, **options}
    with pytest.raises(ArgumentError):
        fit_groups(**given)


# Going on


def test_a_killed_run_goes_on(whole, tmp_path, monkeypatch):
    script = Path(__file__).resolve().parents[1] / "support/group_tables.py"
    done = subprocess.run([sys.executable, script, tmp_path], timeout=PATIENCE, capture_output=True)
    assert done.returncode < 0, done.stderr
    monkeypatch.setattr(groups_parts, "PACK", 4)
    seen = []
    found = fitted(TABLE, folder=tmp_path, progress=lambda run: seen.append((run.done, run.kept, str(run))))
    assert digest(found) == digest(whole)
    assert [one[:2] for one in seen] == [(4, 4), (8, 8), (12, 8)]
    assert seen[-1][2].startswith("12 of 12 groups")


def test_a_folder_knows_its_recipe_and_its_rows(whole, tmp_path):
    kept = []

    def note(run):
        kept.append(run.kept)

    fitted(TABLE, folder=tmp_path)
    fitted(TABLE, folder=tmp_path, progress=note)
    fitted(TABLE, folder=tmp_path, progress=note, epochs=3)
    fitted(TABLE.slice(0, 220), folder=tmp_path, progress=note)
    fit_groups(TABLE, "store", lambda seed: model(seed, 4), 7, data=WEEK, time="day", epochs=2,
               folder=tmp_path, progress=note)  # fmt: skip
    assert kept == [12, 0, 0, 0]


def test_a_damaged_part_is_named(tmp_path):
    fitted(TABLE, folder=tmp_path)
    (part,) = tmp_path.iterdir()
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(FormatError, match=part.name):
        fitted(TABLE, folder=tmp_path)


def test_an_interruption_is_not_an_error_of_a_group():
    def stop(seed):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_groups(TABLE, "store", stop, data=WEEK)


# Bytes of models


@pytest.mark.parametrize("thing", [model(3), rnncore.LSTM(3, 4, seed=0), nn.Linear(2, 3, seed=1)], ids=repr)
def test_bytes_are_those_of_a_file(thing, tmp_path):
    thing.save(tmp_path / "a.safetensors")
    data = rnncore.formats.to_bytes(thing)
    assert data == (tmp_path / "a.safetensors").read_bytes()
    again = from_bytes(data)
    assert repr(again) == repr(thing)
    assert all(np.array_equal(a, again.parameters()[name]) for name, a in thing.parameters().items())


@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"\xff" * 20, 3, None], ids=repr)
def test_other_bytes_are_refused(data):
    with pytest.raises(RnncoreError):
        from_bytes(data)
