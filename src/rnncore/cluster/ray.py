# SPDX-License-Identifier: MIT
"""Scoring, and models for groups, on Ray: datasets of Ray Data, and tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from .. import spec
from .arrow import package
from .groups import fitting, scoring
from .groups_parts import in_task
from .scorer import Scorer, check_scorer

__all__ = ["fit_groups", "score", "score_groups"]


def score(dataset: Any, scorer: Scorer, *, batch_size: int | None = None, **options: Any) -> Any:
    """Score a dataset of Ray Data; lazy, as all that is done to one.

    Parameters
    ----------
    dataset : ray.data.Dataset
    scorer : Scorer
        Its `threads` are the CPUs of a task, 1 if None.
    batch_size : int, optional
        Rows of a batch; whole blocks if left out, as Ray has them in memory, which costs least.
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


def fit_groups(
    dataset: Any,
    key: str | Sequence[str],
    model: Callable[..., Any],
    seed: int = 0,
    *,
    partitions: int = 16,
    **options: Any,
) -> Any:
    """Train a model for each group of a dataset of Ray Data; lazy, as all that is done to one.

    Parameters
    ----------
    dataset : ray.data.Dataset
    key, model, seed
        As for `rnncore.cluster.fit_groups`.
    partitions : int
        Parts into which the groups are dealt; a task trains those of one, on one CPU.
    **options
        As for `rnncore.cluster.fit_groups`; without `progress`, which Ray shows. A `folder` is one that all workers
        see.

    Returns
    -------
    ray.data.Dataset
        The rows of `rnncore.cluster.fit_groups`, of the same bits, in any order.

    Raises
    ------
    UnsupportedError
        Ray is not installed.
    ArgumentError
    """
    package("ray.data")
    return _by_group(dataset, fitting(key, model, seed, options), partitions)


def score_groups(
    dataset: Any, key: str | Sequence[str], models: Any, *, partitions: int = 16, **options: Any
) -> Any:
    """Apply the models of `fit_groups` to a dataset of Ray Data; lazy.

    Parameters
    ----------
    dataset : ray.data.Dataset
    key, models, **options
        As for `rnncore.cluster.score_groups`; every task gets all models.
    partitions : int
        As for `fit_groups`.

    Returns
    -------
    ray.data.Dataset
        The rows of `rnncore.cluster.score_groups`, in any order.

    Raises
    ------
    UnsupportedError
        Ray is not installed.
    ArgumentError
    """
    package("ray.data")
    return _by_group(dataset, scoring(key, models, options), partitions)


def _by_group(dataset: Any, work: Any, partitions: int) -> Any:
    """What `work` makes of the groups: a block holds all rows of those that are in it, and is one call."""
    partitions = spec.check_int("partitions", partitions, 1)
    dealt = dataset.repartition(partitions, keys=work.keys) if work.keys else dataset.repartition(1)

    def groups(table: Any) -> Any:
        return in_task(work, table)

    return dealt.map_batches(groups, batch_format="pyarrow", batch_size=None, zero_copy_batch=True)


def each(function: Callable[[Any], Any], items: Iterable[Any], cores: int = 1) -> Iterator[Any]:
    """A function of each item in a task of its own, on so many cores; results as they come.

    Ray is started if it is not. What fails raises its error here; what was lost with a worker is done again. Who stops
    in between stops the tasks.
    """
    ray = package("ray")
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    # Ray takes functions, not what can be called like one.
    task = ray.remote(num_cpus=cores)(lambda item: function(item))
    waiting = [task.remote(item) for item in items]
    try:
        while waiting:
            done, waiting = ray.wait(waiting)
            yield from ray.get(done)
    finally:
        for left in waiting if ray.is_initialized() else ():
            ray.cancel(left)
