# SPDX-License-Identifier: MIT
"""Scoring on Dask: DataFrames partition by partition, and tasks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .arrow import package
from .scorer import Scorer, check_scorer

__all__ = ["score"]


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


def each(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """A function of each item in a task of its own, results as they come; a client is started if there is none.

    What fails raises its error here; what was lost with a worker is done again.
    """
    distributed = package("dask.distributed")
    try:
        client = distributed.get_client()
    except ValueError:
        client = distributed.Client()
    for future in distributed.as_completed(client.map(function, list(items), pure=False)):
        yield future.result()
