# SPDX-License-Identifier: MIT
"""Scoring on Spark: DataFrames through `mapInArrow`, and tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .arrow import package
from .scorer import Scorer, check_scorer

__all__ = ["score"]

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

    def scored(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            found = scorer(batch)
            yield found.set_column(len(kept), scorer.output, found.column(len(kept)).cast(kind))

    fields = [*(df.schema[name] for name in kept), StructField(scorer.output, from_arrow_type(kind))]
    needed = dict.fromkeys([*kept, *scorer.columns])
    return df.select(*needed).mapInArrow(scored, StructType(fields))


def _without_sizes(kind: Any) -> Any:
    """A type of Arrow's with lists in place of lists of a fixed size, which Spark has not."""
    import pyarrow

    if not hasattr(kind, "value_type"):
        return kind
    return pyarrow.list_(_without_sizes(kind.value_type))


def each(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """A function of each item in a task of its own, results as they come; the session is started if it is not.

    What fails raises its error here; what was lost with a worker is done again.
    """
    context = package("pyspark.sql").SparkSession.builder.getOrCreate().sparkContext
    left, width = list(items), WAVE * context.defaultParallelism
    for start in range(0, len(left), width):
        some = left[start : start + width]
        yield from context.parallelize(some, len(some)).map(function).collect()
