# SPDX-License-Identifier: MIT
"""Scoring on Ray: datasets of Ray Data, and tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .arrow import package
from .scorer import Scorer, check_scorer

__all__ = ["score"]


def score(dataset: Any, scorer: Scorer, *, batch_size: int | None = 4096, **options: Any) -> Any:
    """Score a dataset of Ray Data; lazy, as all that is done to one.

    Parameters
    ----------
    dataset : ray.data.Dataset
    scorer : Scorer
        Its `threads` are the CPUs of a task, 1 if None.
    batch_size : int or None
        Rows of a call; None: whole blocks.
    **options
        Of ``Dataset.map_batches``, such as `num_cpus` and `concurrency`.

    Returns
    -------
    ray.data.Dataset
        The columns kept and the results, of the same bits however the rows are spread.

    Raises
    ------
    UnsupportedError
        Ray is not installed.
    ArgumentError
    """
    package("ray.data")
    check_scorer(scorer)
    options = {"num_cpus": scorer.threads or 1, "zero_copy_batch": True} | options

    def scored(table: Any) -> Any:
        return scorer(table)

    return dataset.map_batches(scored, batch_format="pyarrow", batch_size=batch_size, **options)


def each(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """A function of each item in a task of its own, results as they come; Ray is started if it is not.

    What fails raises its error here; what was lost with a worker is done again.
    """
    ray = package("ray")
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    task = ray.remote(lambda item: function(item))  # Ray takes functions, not what can be called like one
    waiting = [task.remote(item) for item in items]
    while waiting:
        done, waiting = ray.wait(waiting)
        yield from ray.get(done)
