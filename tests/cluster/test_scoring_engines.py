# SPDX-License-Identifier: MIT
"""The same model and table on Ray, Spark and Dask, started for real: one hash for each id, whatever happens there."""

import importlib
import os
import shutil
import subprocess
import sys
from functools import partial

import group_tables
import numpy as np
import pytest
import scoring
from compiled import PATIENCE

import rnncore
from rnncore import errors, nn
from rnncore.cluster import Scorer

pyarrow = pytest.importorskip("pyarrow", reason="scorers read Arrow's record batches")

ROWS = 400
ENGINES = ("ray", "spark", "dask")
each_engine = pytest.mark.parametrize("name", ENGINES)


@pytest.fixture(scope="module")
def table():
    return scoring.table(ROWS)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A file of a model that gives two numbers a sequence."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    layer = nn.Recurrent(rnncore.GRU(2, 5, seed=0), return_sequences=False)
    nn.Sequential(layer, nn.Linear(5, 2, seed=1)).save(path)
    return path


@pytest.fixture(scope="module")
def expected(path, table):
    return scoring.hashes(Scorer(path, "x")(table))


def module(name):
    return importlib.import_module(f"rnncore.cluster.{name}")


def scored(name, engine, table, scorer, parts, **options):
    """The table with its results, computed by an engine in so many parts."""
    score = partial(module(name).score, **options)
    size = -(-len(table) // parts)
    if name == "ray":
        data = engine.data.from_arrow([table[k : k + size] for k in range(0, len(table), size)])
        return pyarrow.concat_tables(engine.get(score(data, scorer).to_arrow_refs()))
    if name == "spark":
        rows = [tuple(row.values()) for row in table.to_pylist()]
        df = engine.createDataFrame(rows, "id long, name string, x array<array<float>>")
        return score(df.repartition(parts), scorer).toArrow()
    import dask.dataframe
    import pandas

    ddf = dask.dataframe.from_pandas(table.to_pandas(types_mapper=pandas.ArrowDtype), npartitions=parts)
    return pyarrow.Table.from_pandas(score(ddf, scorer).compute(), preserve_index=False)


@each_engine
def test_rows_in_any_order_and_partition_get_the_same_results(name, request, table, path, expected):
    engine, order = request.getfixturevalue(name), np.random.default_rng(1).permutation(len(table))
    for parts, rows in ((1, table), (5, table.take(order))):
        found = scored(name, engine, rows, Scorer(path, "x"), parts)
        assert found.column_names == ["id", "name", "score"]
        assert scoring.hashes(found) == expected


@each_engine
def test_a_killed_worker_changes_nothing_and_each_loads_once(name, request, table, tmp_path):
    engine, path = request.getfixturevalue(name), tmp_path / "model.safetensors"
    rnncore.GRU(2, 3, seed=hash(name) % 2**32).save(path)  # no worker has it yet
    scorer = scoring.Watched(path, "x", None, deadly=True)
    found = scored(name, engine, table, scorer, 6)
    assert scoring.hashes(found) == scoring.hashes(Scorer(path, "x")(table))
    loaded = scorer.notes("loaded")
    assert (tmp_path / "killed").exists() and len(loaded) == len(set(loaded)) >= 1
    assert set(scorer.notes("threads")) == {"1"}


def test_ray_gives_a_task_the_threads_of_its_cpus(ray, table, path):
    scorer = scoring.Watched(path, "x", None)
    scored("ray", ray, table, scorer, 2, num_cpus=2)
    assert set(scorer.notes("threads")) == {str(min(2, rnncore.get_num_threads()))}


ALONE = """
import sys
import scoring
from pyspark.sql import SparkSession
from rnncore.cluster import spark

builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
session = builder.config("spark.task.cpus", 2).getOrCreate()
session.sparkContext.setLogLevel("OFF")
scorer = scoring.Watched(sys.argv[1], "x", None)
df = session.createDataFrame([(k, [[0.5, 0.5]]) for k in range(4)], "id long, x array<array<float>>")
print(spark.score(df, scorer).count(), *spark.each(int, [sys.argv[2]]))
session.stop()
"""


@pytest.mark.full
def test_spark_gives_a_task_its_cores(spark, path, tmp_path):
    """In a process of its own, for a session's cores of a task do not change."""
    model = shutil.copy(path, tmp_path)
    command = [sys.executable, "-c", ALONE, model, "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout.split() == ["4", "7"], done.stderr
    notes = [file.name.split() for file in tmp_path.iterdir()]
    assert {words[2] for words in notes if words[1:2] == ["threads"]} == {
        str(min(2, rnncore.get_num_threads()))
    }


def told_threads(_):
    return os.environ["OMP_NUM_THREADS"]


def test_ray_tasks_have_the_cores_that_are_asked_for_and_end_with_who_asks(ray, monkeypatch):
    assert list(module("ray").each(told_threads, range(2), 2)) == ["2", "2"]
    cancelled, cancel = [], ray.cancel
    monkeypatch.setattr(ray, "cancel", lambda task: (cancelled.append(task), cancel(task)))
    results = module("ray").each(square, range(20))
    next(results)
    results.close()
    assert len(cancelled) == 19


def test_names_with_dots_are_names_to_spark(spark, path):
    df = spark.createDataFrame([(7, [[0.5, 0.5]])], "`an.id` long, `x.y``z` array<array<float>>")
    (row,) = module("spark").score(df, Scorer(path, "x.y`z")).collect()
    assert row["an.id"] == 7 and len(row["score"]) == 2
    dealt = spark.createDataFrame(
        [(k % 2, k, float(k)) for k in range(60)], "`a.key` long, day long, y double"
    )
    fitted = module("spark").fit_groups(
        dealt, "a.key", group_tables.model, data=group_tables.WEEK, epochs=1, time="day"
    )
    assert sorted(row["a.key"] for row in fitted.collect()) == [0, 1]


@each_engine
def test_what_fails_is_an_error_in_one_sentence(name, request, table, path, tmp_path):
    engine = request.getfixturevalue(name)
    rnncore.GRU(5, 3, seed=0).save(tmp_path / "other.safetensors")
    other = Scorer(tmp_path / "other.safetensors", "x")
    with pytest.raises(Exception, match="x: expected 5 features a step, got 2"):
        scored(name, engine, table, other, 2)
    with pytest.raises(errors.ArgumentError, match="scorer: expected a Scorer"):
        scored(name, engine, table, path, 2)


def square(k):
    if k == 99:
        raise errors.ArgumentError("k", "less", k)
    return k * k


@each_engine
def test_each_gives_the_result_of_every_item(name, request):
    request.getfixturevalue(name)
    assert sorted(module(name).each(square, range(20))) == [k * k for k in range(20)]
    with pytest.raises(Exception, match="k: expected less, got 99"):
        list(module(name).each(square, [1, 99]))


MISSING = """
import sys
for name in ("ray", "pyspark", "dask"):
    sys.modules[name] = None  # importing it is an ImportError
from rnncore.cluster import dask, ray, spark
for module in (ray, spark, dask):
    for function in (lambda: next(module.each(abs, [1])), lambda: module.score(None, None)):
        try:
            function()
        except ValueError as error:
            print(error)
"""


def test_an_engine_that_is_missing_is_named():
    done = subprocess.run([sys.executable, "-c", MISSING], capture_output=True, text=True, check=True)
    expected = 'engine: expected the package {}, got none (pip install "rnncore[{}]")'
    names = (("ray", "ray"), ("pyspark", "spark"), ("dask", "dask"))
    assert done.stdout.splitlines() == [expected.format(*pair) for pair in names for _ in range(2)]
