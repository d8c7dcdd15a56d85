# SPDX-License-Identifier: MIT
"""Scoring, and models for groups, on Dask: DataFrames partition by partition, and tasks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from .. import spec
from .arrow import package
from .groups import fitting, scoring
from .groups_parts import in_task
from .scorer import Scorer, check_scorer

__all__ = ["fit_groups", "score", "score_groups"]


def score(ddf: Any, scorer: Scorer) -> Any:
    """Score a DataFrame of Dask; lazy, as all that is done to one.

    Parameters
    ----------
    ddf : dask.dataframe.DataFrame
        Sequences are list columns of pandas' `ArrowDtype`; lists and arrays as objects cost a copy, and Dask makes text
        of them unless ``dataframe.convert-string`` is off.
    scorer : Scorer

    Returns
    -------
    dask.dataframe.DataFrame
        The columns kept and the results, as an `ArrowDtype`, of the same bits however the rows are spread.

    Raises
    ------
    UnsupportedError
        Dask is not installed.
    ArgumentError
    """
    package("dask.dataframe")
    check_scorer(scorer)
    import pandas

    kept = scorer.kept(list(ddf.columns))
    results = pandas.Series([], dtype=pandas.ArrowDtype(scorer.type))
    meta = ddf._meta[kept].assign(**{scorer.output: results})
    alone = copy.copy(scorer)
    alone.keep = ()  # frames keep their own columns, and their index
    return ddf.map_partitions(_scored, alone, kept, meta=meta)


def _scored(frame: Any, scorer: Scorer, kept: list[str]) -> Any:
    """A DataFrame of pandas with its results."""
    import pandas
    import pyarrow

    table = pyarrow.Table.from_pandas(frame[list(scorer.columns)], preserve_index=False)
    results = pandas.arrays.ArrowExtensionArray(scorer(table).column(scorer.output))
    column = pandas.Series(results, index=frame.index)
    return frame[kept].assign(**{scorer.output: column})


def fit_groups(
    ddf: Any,
    key: str | Sequence[str],
    model: Callable[..., Any],
    seed: int = 0,
    *,
    partitions: int | None = None,
    **options: Any,
) -> Any:
    """Train a model for each group of a DataFrame of Dask; lazy, as all that is done to one.

    Parameters
    ----------
    ddf : dask.dataframe.DataFrame
    key, model, seed
        As for `rnncore.cluster.fit_groups`.
    partitions : int, optional
        Parts into which the groups are dealt; a task trains those of one. As many as `ddf` has if left out.
    **options
        As for `rnncore.cluster.fit_groups`; without `progress`, which Dask shows. A `folder` is one that all workers
        see.

    Returns
    -------
    dask.dataframe.DataFrame
        The rows of `rnncore.cluster.fit_groups`, of the same bits, in any order, as `ArrowDtype`.

    Raises
    ------
    UnsupportedError
        Dask is not installed.
    ArgumentError
    """
    package("dask.dataframe")
    return _by_group(ddf, fitting(key, model, seed, options), partitions)


def score_groups(
    ddf: Any, key: str | Sequence[str], models: Any, *, partitions: int | None = None, **options: Any
) -> Any:
    """Apply the models of `fit_groups` to a DataFrame of Dask; lazy.

    Parameters
    ----------
    ddf : dask.dataframe.DataFrame
    key, models, **options
        As for `rnncore.cluster.score_groups`; every task gets all models.
    partitions : int, optional
        As for `fit_groups`.

    Returns
    -------
    dask.dataframe.DataFrame
        The rows of `rnncore.cluster.score_groups`, in any order, as `ArrowDtype`.

    Raises
    ------
    UnsupportedError
        Dask is not installed.
    ArgumentError
    """
    package("dask.dataframe")
    return _by_group(ddf, scoring(key, models, options), partitions)


def _by_group(ddf: Any, work: Any, partitions: int | None) -> Any:
    """What `work` makes of the groups: a partition holds all rows of those that are in it."""
    import pyarrow

    if partitions is not None:
        spec.check_int("partitions", partitions, 1)
    schema = work.schema(pyarrow.Schema.from_pandas(ddf._meta_nonempty, preserve_index=False))
    keys = work.keys
    dealt = ddf.shuffle(on=keys, npartitions=partitions) if keys else ddf.repartition(npartitions=1)
    return dealt.map_partitions(_groups, work, schema, meta=_framed(schema.empty_table()))


def _groups(frame: Any, work: Any, schema: Any) -> Any:
    """What `work` makes of a DataFrame of pandas."""
    import pyarrow

    if not len(frame):  # whose columns may have lost their types
        return _framed(schema.empty_table())
    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    return _framed(in_task(work, table).cast(schema))


def _framed(table: Any) -> Any:
    import pandas

    return table.to_pandas(types_mapper=pandas.ArrowDtype)


def each(function: Callable[[Any], Any], items: Iterable[Any], cores: int = 1) -> Iterator[Any]:
    """A function of each item in a task of its own, results as they come; a client is started if there is none.

    What fails raises its error here; what was lost with a worker is done again. A task has one of a worker's threads,
    however many cores are asked for.
    """
    distributed = package("dask.distributed")
    try:
        client = distributed.get_client()
    except ValueError:
        client = distributed.Client()
    for future in distributed.as_completed(client.map(function, list(items), pure=False)):
        yield future.result()
