# SPDX-License-Identifier: MIT
"""Scorers: every result is that of the sequence alone, read where Arrow has it; what travels is a path and a digest."""

import dataclasses
import os
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import scoring

import rnncore
from rnncore import errors, formats, nn, ragged
from rnncore.cluster import Scorer, arrow
from rnncore.cluster import scorer as module
from rnncore.engine import threads

pyarrow = pytest.importorskip("pyarrow", reason="scorers read Arrow's record batches")

RAGGED = (3, 0, 1, 7, 3, 2)
EVEN = (4, 4, 4, 4, 4, 4)
KINDS = {
    "lists": (RAGGED, {}),
    "large lists": (RAGGED, {"large": True}),
    "lists of one length": (EVEN, {}),
    "fixed-size lists": (EVEN, {"size": 4}),
}


@pytest.fixture
def saved(tmp_path):
    """A function that saves a model under a name and gives the path."""

    def save(model, name="model.safetensors"):
        rnncore.save(model, tmp_path / name)
        return tmp_path / name

    return save


def batch_of(column):
    return pyarrow.record_batch({"id": pyarrow.array(range(len(column))), "x": column})


def column_of(features, kind, nulls=False, **more):
    """A column, and the sequences in it; with nulls rows 1 and 4 are some."""
    lengths, options = KINDS[kind]
    rows = scoring.sequences(features, lengths)
    if nulls:
        rows[1] = rows[4] = None
    return pyarrow.array(rows, scoring.kind(features, **options, **more)), rows


@pytest.mark.parametrize("steps", module.STEPS)
@pytest.mark.parametrize("nulls", [False, True], ids=["no nulls", "nulls"])
@pytest.mark.parametrize("cut", [slice(0, 6), slice(1, 5), slice(2, 2)], ids=["whole", "slice", "empty"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", scoring.MODELS)
def test_results_are_those_of_each_sequence_alone(name, kind, cut, nulls, steps, saved):
    features, make = scoring.MODELS[name]
    model = make()
    column, rows = column_of(features, kind, nulls)
    scorer = Scorer(saved(model), "x", steps=steps)
    scored = scorer(batch_of(column)[cut])
    assert scored.schema.names == ["id", "score"] and scored["score"].type == scorer.type
    assert scored["id"].to_pylist() == list(range(6))[cut]
    expected = [scoring.alone(model, features, row, steps) for row in rows[cut]]
    assert scored["score"].to_pylist() == expected
    scored.validate(full=True)


def test_a_null_step_makes_its_sequence_one(saved):
    scorer = Scorer(saved(rnncore.GRU(2, 3, seed=0)), "x", steps="last")
    rows = [[[1, 2]], [[1, None]], [None, [3, 4]], [[5, 6]]]
    column = pyarrow.array(rows, scoring.kind(2))
    for cut, valid in ((slice(0, 4), [True, False, False, True]), (slice(2, 4), [False, True])):
        assert scorer(batch_of(column)[cut])["score"].is_valid().to_pylist() == valid


def test_null_rows_may_hide_anything(saved):
    """A null row of Arrow's may span values; words that are none are not looked up."""
    offsets, words = pyarrow.array([0, 2, 4, 5], pyarrow.int32()), pyarrow.array([1, 2, 10**6, -1, 3])
    mask = pyarrow.array([False, True, False])
    column = pyarrow.ListArray.from_arrays(offsets, words, mask=mask)
    model = scoring.MODELS["words"][1]()
    scored = Scorer(saved(model), "x")(batch_of(column))
    assert scored["score"].to_pylist() == [scoring.alone(model, None, row) for row in ([1, 2], None, [3])]


def test_a_column_of_nulls_alone(saved):
    scored = Scorer(saved(rnncore.GRU(2, 3, seed=0)), "x")(batch_of(pyarrow.nulls(3)))
    assert scored["score"].to_pylist() == [None] * 3


def address_of(column):
    """Where the numbers of a column begin that it shows."""
    size = column.type.list_size if pyarrow.types.is_fixed_size_list(column.type) else None
    first = column.offset * size if size else (column.offsets[0].as_py() if len(column) else 0)
    numbers, step = column.values, 1
    if pyarrow.types.is_fixed_size_list(numbers.type):
        step, numbers = numbers.type.list_size, numbers.values
    return numbers.buffers()[1].address + (numbers.offset + first * step) * numbers.type.bit_width // 8


@pytest.mark.parametrize("nulls", [False, True], ids=["no nulls", "nulls"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("features", [1, 2])
@pytest.mark.parametrize("start", [0, 2], ids=["whole", "slice"])
def test_sequences_lie_where_the_column_does(features, kind, nulls, start):
    column = column_of(features, kind, nulls)[0][start:]
    found = ragged.spans(column)
    assert found.values.ctypes.data == address_of(column)
    assert not found.values.flags.writeable
    for k, row in enumerate(column.to_pylist()):
        steps = found.values[found.starts[k] :][: found.lengths[k]]
        assert steps.tolist() == (row or [])


@pytest.fixture
def seen(monkeypatch):
    """A function that makes a scorer whose model notes what it is called with: input and threads."""

    def watch(scorer):
        model, calls = module._models[scorer.digest], []

        def run(x, lengths):
            calls.append((x, threads.threads_for(None)))
            return model.run(x, lengths)

        watched = dataclasses.replace(model, run=run)
        monkeypatch.setitem(module._models, scorer.digest, watched)
        return calls

    return watch


@pytest.mark.parametrize("kind", ["lists of one length", "fixed-size lists"])
@pytest.mark.parametrize("features", [1, 2])
def test_the_model_reads_the_columns_own_memory(features, kind, saved, seen):
    column = column_of(features, kind)[0][1:]
    scorer = Scorer(saved(rnncore.GRU(features, 3, seed=0)), "x")
    calls = seen(scorer)
    scored = scorer(batch_of(column))
    ((x, _),) = calls
    assert x.ctypes.data == address_of(column) and x.shape == (4, 5, features)
    assert len(scored) == 5


def test_what_is_kept_is_not_copied(saved):
    column, _ = column_of(1, "lists")
    batch = batch_of(column)
    scored = Scorer(saved(rnncore.GRU(1, 3, seed=0)), "x")(batch)
    assert scored["id"].buffers()[1].address == batch["id"].buffers()[1].address


def test_results_are_the_arrays_that_were_computed():
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    found = arrow.result(values, np.array([True, False, True]), None)
    assert found.values.buffers()[1].address == values.ctypes.data
    assert found.to_pylist() == [[0, 1], None, [4, 5]]


def test_columns_stand_side_by_side_as_features(saved):
    model = rnncore.GRU(3, 2, seed=0)
    a, left = column_of(1, "lists", nulls=True)
    b, right = column_of(2, "lists")
    batch = pyarrow.record_batch({"a": a, "b": b})
    rows = [
        None if one is None else [[p, *q] for p, q in zip(one, two, strict=True)]
        for one, two in zip(left, right, strict=True)
    ]
    scored = Scorer(saved(model), ["a", "b"])(batch)
    assert scored.schema.names == ["score"]
    assert scored["score"].to_pylist() == [scoring.alone(model, 3, row) for row in rows]
    shorter = pyarrow.array([[1.0]] * 6, scoring.kind(1))
    with pytest.raises(errors.LengthsError, match="b: expected 3 steps in row 0, as a has, got 1"):
        Scorer(saved(rnncore.GRU(2, 2, seed=0)), ["a", "b"])(pyarrow.record_batch({"a": a, "b": shorter}))


@pytest.mark.parametrize("dtype", [pyarrow.float64(), pyarrow.float16(), pyarrow.int16()], ids=str)
def test_numbers_become_the_models(dtype, saved):
    model, rows = rnncore.GRU(1, 3, seed=0), [[1, 2, 3], [4]]
    column = pyarrow.array([[np.float16(n) for n in row] for row in rows], pyarrow.list_(pyarrow.float16()))
    scored = Scorer(saved(model), "x")(batch_of(column.cast(pyarrow.list_(dtype))))
    assert scored["score"].to_pylist() == [scoring.alone(model, 1, row) for row in rows]


def test_tables_keep_their_chunks_and_what_else_has_arrows_interface_becomes_one(saved):
    scorer = Scorer(saved(rnncore.GRU(2, 3, seed=0)), "x", keep=["id"])
    whole = scoring.table(50)
    expected = scoring.hashes(scorer(whole.to_batches()[0]))
    cut = pyarrow.concat_tables([whole[:20], whole[20:]])
    assert scoring.hashes(scorer(cut)) == expected and scorer(cut)["score"].num_chunks == 2
    assert scorer(whole[:0]).schema == scorer(whole).schema == scorer.schema(whole.schema)
    polars = pytest.importorskip("polars")
    assert scoring.hashes(scorer(polars.from_arrow(whole))) == expected


def test_many_rows_take_several_calls_and_give_the_same(saved, seen):
    scorer = Scorer(saved(rnncore.GRU(2, 3, seed=0)), "x", steps="last")
    whole = scoring.table(3000).combine_chunks().to_batches()[0]
    calls = seen(scorer)
    found = scoring.hashes(scorer(whole))
    assert len(calls) > 1 and max(x.shape[0] * x.shape[1] for x, _ in calls) <= arrow.MOST_STEPS
    parts = [scoring.hashes(scorer(whole[k : k + 700])) for k in range(0, 3000, 700)]
    assert {key: value for part in parts for key, value in part.items()} == found


def test_files_of_other_systems(tmp_path):
    layer = rnncore.LSTM(2, 3, seed=0)
    column, rows = column_of(2, "lists")
    expected = [scoring.alone(layer, 2, row) for row in rows]
    for ending, package in ((".onnx", "onnx"), (".pt", "torch")):
        pytest.importorskip(package)
        formats.save(layer, tmp_path / f"model{ending}")
        assert Scorer(tmp_path / f"model{ending}", "x")(batch_of(column))["score"].to_pylist() == expected


def test_a_uri_names_a_file(saved):
    path = saved(rnncore.GRU(2, 3, seed=0), "a model.safetensors")
    assert Scorer(path.as_uri(), "x").path == str(path)
    with pytest.raises(errors.UnsupportedError, match="uri: expected a path or file://, got s3://bucket"):
        Scorer("s3://bucket/model.safetensors", "x")


# What travels


def test_what_travels_is_a_path_and_a_digest(saved):
    scorer = Scorer(saved(rnncore.LSTM(64, 256, seed=0)), "x", steps="last")
    data = pickle.dumps(scorer)
    assert len(data) < 1000 and scorer.digest.encode() in data and scorer.path.encode() in data
    assert pickle.loads(data).__dict__ == scorer.__dict__


def test_a_process_loads_a_model_once(saved, monkeypatch):
    loads, load = [], module.load

    def counted(path):
        loads.append(path)
        return load(path)

    monkeypatch.setattr(module, "load", counted)
    path = saved(rnncore.GRU(1, 3, seed=11))
    scorer = Scorer(path, "x")
    column, _ = column_of(1, "lists")
    others = [pickle.loads(pickle.dumps(scorer)) for _ in range(4)]
    workers = [threading.Thread(target=other, args=[batch_of(column)]) for other in others]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    Scorer(path, "x", output="again")(batch_of(column))
    assert loads == [str(path)]
    monkeypatch.delitem(module._models, scorer.digest)
    others[0](batch_of(column))
    assert len(loads) == 2


def test_a_process_keeps_the_models_used_last(saved, monkeypatch):
    monkeypatch.setattr(module, "_models", {})
    monkeypatch.setattr(module, "MOST_MODELS", 2)
    batch = batch_of(column_of(1, "lists")[0])
    scorers = [Scorer(saved(rnncore.GRU(1, 3, seed=k), f"{k}.safetensors"), "x") for k in range(3)]
    first = [scoring.hashes(scorer(batch)) for scorer in scorers]
    assert list(module._models) == [scorers[1].digest, scorers[2].digest]
    scorers[1](batch)
    assert [scoring.hashes(scorer(batch)) for scorer in scorers] == first
    assert len(module._models) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_child_of_a_fork_does_not_wait_for_a_load_of_its_parent(saved):
    scorer = Scorer(saved(rnncore.GRU(1, 3, seed=0)), "x")
    column, _ = column_of(1, "lists")
    held, done = threading.Event(), threading.Event()

    def hold():
        with module._loading:
            held.set()
            done.wait()

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    child = os.fork()
    if not child:
        os._exit(len(scorer(batch_of(column))))
    status = os.waitpid(child, 0)[1]
    done.set()
    other.join()
    assert os.waitstatus_to_exitcode(status) == 6


def test_another_file_in_its_place_is_an_error(saved, monkeypatch):
    path = saved(rnncore.GRU(1, 3, seed=0))
    scorer = Scorer(path, "x")
    monkeypatch.setattr(module, "_models", {})
    rnncore.GRU(1, 3, seed=5).save(path)
    with pytest.raises(errors.FormatError, match=r"SHA-256 .*, got .* \(it has changed since"):
        scorer(batch_of(column_of(1, "lists")[0]))
    Path(path).unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        scorer(batch_of(column_of(1, "lists")[0]))


# Threads


def test_calls_use_the_threads_of_the_scorer(saved, seen, monkeypatch):
    monkeypatch.setattr(threads, "_num_threads", 8)
    path, batch = saved(rnncore.GRU(1, 3, seed=0)), batch_of(column_of(1, "lists")[0])
    calls = seen(Scorer(path, "x"))
    Scorer(path, "x")(batch)
    Scorer(path, "x", threads=3)(batch)
    for told in ("2", "4,1", "", "junk", "99"):
        monkeypatch.setenv("OMP_NUM_THREADS", told)
        Scorer(path, "x", threads=None)(batch)
    assert [used for _, used in calls] == [1, 3, 2, 4, 8, 8, 8]
    assert threads.threads_for(None) == 8


# What is refused


def test_models_of_two_outputs_are_refused(saved):
    both = nn.Recurrent(rnncore.GRU(2, 3, bidirectional=True, seed=0), merge=None)
    with pytest.raises(errors.UnsupportedError, match="expected a model of one output, got a pair"):
        Scorer(saved(both), "x")


@pytest.mark.parametrize(
    "model, text",
    [
        (rnncore.Fleet("gru", 2, 3, models=4, seed=0), "a fleet .nn.unstack gives its models"),
        (nn.Sequential(nn.FleetLinear(3, 2, models=4, seed=0)), "a fleet"),
        (nn.Attention(), "two inputs"),
    ],
    ids=["fleet", "chain of fleets", "attention"],
)
def test_what_is_no_model_of_one_input_is_refused(model, text, saved):
    with pytest.raises(
        errors.UnsupportedError, match=f"safetensors: expected a model of one input, got {text}"
    ):
        Scorer(saved(model), "x")


REFUSED = {
    "no such column": ({"columns": "z"}, errors.ArgumentError, "columns: expected one of id, x, .* got z"),
    "no such column to keep": (
        {"keep": ["z"]},
        errors.ArgumentError,
        "keep: expected one of id, x, .* got z",
    ),
    "a name that is there": ({"output": "id"}, errors.ArgumentError, "output: expected a name that no other"),
    "a column that is there twice": (
        {"columns": "y", "keep": ["x"]},
        errors.ArgumentError,
        "keep: expected one of id, x, y, x, which stands there once, got x",
    ),
    "another number of features": (
        {"columns": ["x", "y"]},
        errors.ShapeError,
        "x, y: expected 1 features a step, got 2",
    ),
    "numbers": ({"columns": "id"}, errors.UnsupportedError, "id: expected a column of lists, got int64"),
}


@pytest.mark.parametrize("options, error, text", REFUSED.values(), ids=REFUSED)
def test_columns_that_do_not_fit_are_refused(options, error, text, saved):
    column, _ = column_of(1, "lists")
    batch = batch_of(column)
    batch = batch.append_column("y", column) if "y" in options.get("columns", ()) else batch
    batch = batch.append_column("x", column) if options.get("columns") == "y" else batch
    with pytest.raises(error, match=text):
        Scorer(saved(rnncore.GRU(1, 3, seed=0)), **{"columns": "x", **options})(batch)


def test_words_must_be_integers(saved):
    scorer = Scorer(saved(scoring.MODELS["words"][1]()), "x")
    with pytest.raises(errors.DTypeError, match="x: expected integers, got float32"):
        scorer(batch_of(column_of(1, "lists")[0]))
    with pytest.raises(errors.ShapeError, match="x: expected one integer a step, got 2"):
        scorer(batch_of(column_of(2, "lists")[0]))
    with pytest.raises(errors.ArgumentError, match="a record batch or a table of Arrow's"):
        scorer([1.0])
