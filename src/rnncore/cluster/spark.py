# SPDX-License-Identifier: MIT
"""Scoring, and models for groups, on Spark: DataFrames through `mapInArrow`, and tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from .. import spec
from ..errors import ArgumentError
from .arrow import package
from .groups import fitting, scoring
from .groups_parts import in_task
from .scorer import Scorer, check_scorer

__all__ = ["fit_groups", "score", "score_groups"]

WAVE = 4
"""Tasks for each core of the cluster that are handed over together: results come when all of them are done."""


def score(df: Any, scorer: Scorer) -> Any:
    """Score a DataFrame of Spark; lazy, as all that is done to one.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
        Sequences are arrays of numbers.
    scorer : Scorer
        With `threads` None a call has ``spark.task.cpus`` of them.

    Returns
    -------
    pyspark.sql.DataFrame
        The columns kept and the results, of the same bits however the rows are spread. Lists are arrays.

    Raises
    ------
    UnsupportedError
        pyspark is not installed.
    ArgumentError
    """
    package("pyspark.sql")
    check_scorer(scorer)
    from pyspark.sql.pandas.types import from_arrow_type
    from pyspark.sql.types import StructField, StructType

    kept, kind = scorer.kept(df.columns), _without_sizes(scorer.type)
    needed = list(dict.fromkeys([*kept, *scorer.columns]))

    def scored(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow

        for batch in batches:
            found = scorer(pyarrow.RecordBatch.from_arrays(batch.columns, names=needed))
            yield found.set_column(len(kept), scorer.output, found.column(len(kept)).cast(kind))

    fields = [*(df.schema[name] for name in kept), StructField(scorer.output, from_arrow_type(kind))]
    return _numbered(df, needed).mapInArrow(scored, StructType(fields))


def _numbered(df: Any, names: Sequence[str]) -> Any:
    """These columns as c0, c1, ...: `mapInArrow` reads a dot in a name as a path."""
    for name in names:
        if df.columns.count(name) != 1:
            expected = f"one of {', '.join(df.columns)}, which stands there once"
            raise ArgumentError("columns", expected, name)
    plain = df.toDF(*(f"c{k}" for k in range(len(df.columns))))
    places = [df.columns.index(name) for name in names]
    return plain.select(*(f"c{k}" for k in places)).toDF(*(f"c{k}" for k in range(len(places))))


def _without_sizes(kind: Any) -> Any:
    """A type of Arrow's with lists in place of lists of a fixed size, which Spark has not."""
    import pyarrow

    if not hasattr(kind, "value_type"):
        return kind
    return pyarrow.list_(_without_sizes(kind.value_type))


def fit_groups(
    df: Any,
    key: str | Sequence[str],
    model: Callable[..., Any],
    seed: int = 0,
    *,
    partitions: int | None = None,
    **options: Any,
) -> Any:
    """Train a model for each group of a DataFrame of Spark; lazy, as all that is done to one.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    key, model, seed
        As for `rnncore.cluster.fit_groups`.
    partitions : int, optional
        Parts into which the groups are dealt; a task trains those of one. ``spark.sql.shuffle.partitions`` if left out.
    **options
        As for `rnncore.cluster.fit_groups`; without `progress`, which Spark shows. A `folder` is one that all workers
        see.

    Returns
    -------
    pyspark.sql.DataFrame
        The rows of `rnncore.cluster.fit_groups`, of the same bits, in any order.

    Raises
    ------
    UnsupportedError
        pyspark is not installed.
    ArgumentError
    """
    package("pyspark.sql")
    return _by_group(df, fitting(key, model, seed, options), partitions)


def score_groups(
    df: Any, key: str | Sequence[str], models: Any, *, partitions: int | None = None, **options: Any
) -> Any:
    """Apply the models of `fit_groups` to a DataFrame of Spark; lazy.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    key, models, **options
        As for `rnncore.cluster.score_groups`; every task gets all models.
    partitions : int, optional
        As for `fit_groups`.

    Returns
    -------
    pyspark.sql.DataFrame
        The rows of `rnncore.cluster.score_groups`, in any order.

    Raises
    ------
    UnsupportedError
        pyspark is not installed.
    ArgumentError
    """
    package("pyspark.sql")
    return _by_group(df, scoring(key, models, options), partitions)


def _by_group(df: Any, work: Any, partitions: int | None) -> Any:
    """What `work` makes of the groups: a partition holds all rows of those that are in it."""
    from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

    schema = work.schema(to_arrow_schema(df.schema))
    count = [] if partitions is None else [spec.check_int("partitions", partitions, 1)]
    names = list(df.columns)
    plain, keys = _numbered(df, names), [f"c{names.index(name)}" for name in work.keys]
    dealt = plain.repartition(*count, *keys) if keys else plain.repartition(1)

    def groups(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow

        found = list(batches)
        if found:
            table = pyarrow.Table.from_batches(found).rename_columns(names)
            yield from in_task(work, table).to_batches()

    return dealt.mapInArrow(groups, from_arrow_schema(schema))


def each(function: Callable[[Any], Any], items: Iterable[Any], cores: int = 1) -> Iterator[Any]:
    """A function of each item in a task of its own, results as they come; the session is started if it is not.

    What fails raises its error here; what was lost with a worker is done again. A task has the cores of
    ``spark.task.cpus``, however many are asked for.
    """
    context = package("pyspark.sql").SparkSession.builder.getOrCreate().sparkContext
    left, width = list(items), WAVE * context.defaultParallelism
    for start in range(0, len(left), width):
        some = left[start : start + width]
        yield from context.parallelize(some, len(some)).map(function).collect()
