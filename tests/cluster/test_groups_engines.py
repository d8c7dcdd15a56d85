# SPDX-License-Identifier: MIT
"""fit_groups and score_groups on Ray, Spark and Dask, started for real: one hash of the table, as on one machine."""

import importlib
from functools import partial

import group_tables
import pyarrow as pa
import pytest
from group_tables import WEEK, digest, fitted, series, spoilt

from rnncore.cluster import score_groups
from rnncore.errors import ArgumentError
from rnncore.nn.order import shuffled

TABLE = spoilt(series(), "s3", "y", [float("nan")])
each_engine = pytest.mark.parametrize("name", ["ray", "spark", "dask"])


def module(name):
    return importlib.import_module(f"rnncore.cluster.{name}")


def given(name, engine, table):
    """A table as an engine has it, in three parts that take no care of groups."""
    table = table.take(shuffled(len(table), 1))
    if name == "ray":
        return engine.data.from_arrow([table[k : k + 100] for k in range(0, len(table), 100)])
    if name == "spark":
        return engine.createDataFrame([tuple(row.values()) for row in table.to_pylist()], table.column_names)
    import dask.dataframe

    return dask.dataframe.from_pandas(table.to_pandas(), npartitions=3)


def taken(name, engine, found):
    """An engine's table as Arrow's."""
    if name == "ray":
        return pa.concat_tables(engine.get(found.to_arrow_refs()))
    return found.toArrow() if name == "spark" else pa.Table.from_pandas(found.compute(), preserve_index=False)


@pytest.fixture(scope="module")
def expected():
    return fitted(TABLE)


def fit(name, data, model=group_tables.model, **options):
    options = {"data": WEEK, "time": "day", "epochs": 2, **options}
    return module(name).fit_groups(data, "store", model, 7, **options)


@pytest.mark.full
@each_engine
@pytest.mark.parametrize("partitions", [1, 2, 7])
def test_models_are_those_of_one_machine(name, partitions, request, expected):
    engine = request.getfixturevalue(name)
    found = taken(name, engine, fit(name, given(name, engine, TABLE), partitions=partitions))
    assert digest(found) == digest(expected)
    assert found.column_names == expected.column_names and expected["error"].null_count == 11


@pytest.mark.full
@each_engine
def test_scores_are_those_of_one_machine(name, request, expected):
    engine = request.getfixturevalue(name)
    options = {"predict": WEEK.predict, "time": "day", "ids": "day"}
    scored = module(name).score_groups(given(name, engine, TABLE), "store", expected, partitions=3, **options)
    assert digest(taken(name, engine, scored)) == digest(score_groups(TABLE, "store", expected, **options))


@each_engine
def test_a_killed_worker_changes_nothing(name, request, expected, tmp_path):
    engine = request.getfixturevalue(name)
    deadly = partial(group_tables.deadly, str(tmp_path / "killed"))
    found = taken(name, engine, fit(name, given(name, engine, TABLE), deadly, partitions=4))
    assert digest(found) == digest(expected) and (tmp_path / "killed").exists()


@pytest.mark.full
@each_engine
def test_parts_are_kept_by_the_workers(name, request, expected, tmp_path):
    engine = request.getfixturevalue(name)
    data = given(name, engine, TABLE)
    first = taken(name, engine, fit(name, data, partitions=2, folder=tmp_path))
    files = sorted(tmp_path.glob("groups-*.arrow"))
    again = taken(name, engine, fit(name, data, partitions=2, folder=tmp_path))
    assert files and digest(first) == digest(again) == digest(expected)


@pytest.mark.full
@each_engine
def test_a_table_without_a_key_is_one_group(name, request):
    engine = request.getfixturevalue(name)
    table = TABLE.slice(0, 20)
    options = {"data": WEEK, "time": "day", "epochs": 1}
    found = module(name).fit_groups(given(name, engine, table), [], group_tables.model, 7, **options)
    alone = group_tables.fit_groups(table, [], group_tables.model, 7, **options)
    assert digest(taken(name, engine, found)) == digest(alone)


@each_engine
def test_arguments_are_checked_before_anything_runs(name, request):
    engine = request.getfixturevalue(name)
    data = given(name, engine, TABLE)
    for wrong in ({"epochs": 0}, {"partitions": 0}, {"progress": print}):
        with pytest.raises(ArgumentError):
            fit(name, data, **wrong)
    with pytest.raises(ArgumentError):
        module(name).score_groups(data, "store", 3)
