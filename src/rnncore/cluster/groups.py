# SPDX-License-Identifier: MIT
"""One small model for each group of a table: `fit_groups` trains them, `score_groups` applies them.

What a group gives follows from its rows, its key and the arguments alone, so tables may be cut, shuffled, and done
again in any way.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, shown
from ..nn import mse_loss
from .groups_fitting import Fitting
from .groups_parts import GroupRun, check_progress
from .groups_scoring import Scoring
from .groups_windows import Windows

WINDOWS = Windows()
"""What a group becomes where nothing else is said."""


def fit_groups(
    table: Any,
    key: str | Sequence[str],
    model: Callable[..., Any],
    seed: int = 0,
    *,
    data: Callable[[Any], tuple[Any, ...]] = WINDOWS,
    time: str | None = None,
    configs: Sequence[Mapping[str, Any]] | None = None,
    loss: Callable[..., tuple[float, np.ndarray]] = mse_loss,
    epochs: int = 20,
    batch_size: int = 32,
    patience: int | None = None,
    schedule: Callable[[int, int], float] | None = None,
    folder: Any = None,
    progress: Callable[[GroupRun], Any] | None = None,
) -> Any:
    """Train one small model for each group of rows: series, store, sensor.

    Parameters
    ----------
    table : pyarrow.Table, data frame, dataset or dict of columns
    key : str or list of str
        Columns of texts, integers or times that tell groups apart; an empty list makes the table one group.
    model : callable
        ``model(seed)`` gives a module or recurrent layer, or a pair of it and its optimiser; without one it is
        ``Adam(module, lr=1e-2, clip_norm=1.0)``. The seed follows from `seed` and the key.
    seed : int
    data : callable
        ``data(group)`` gives (x, target) as `nn.fit` takes them, or (x, target, validation) with a pair for
        validation, of the pyarrow.Table of a group's rows. `Windows`, which is the default, cuts series.
    time : str, optional
        Column by which the rows of a group are sorted; else they stay in the order in which they came, and the
        result follows from it.
    configs : list of dicts, optional
        A search: of each group a model for each, ``model(seed, **config)``.
    loss, epochs, batch_size, patience, schedule
        As for `nn.fit`.
    folder : path, optional
        Where finished parts are kept: the same call goes on where a former one was stopped. A function that changes
        under its old name is not noticed.
    progress : callable, optional
        Called with a `GroupRun` after each part; ``print`` shows it.

    Returns
    -------
    pyarrow.Table
        Sorted by key: the key's columns; `config`, the number of the config, if there are any; `model`, bytes of
        rnncore's file format, which `formats.from_bytes` reads; `samples`, `epochs`, `loss` of the last epoch,
        `validation_loss` of the best one, number `best_epoch`, whose parameters the model has; `error`. A group that
        cannot be trained has an error, and nulls for the rest.

    Raises
    ------
    ArgumentError
        An argument does not fit. What a group does not fit is its row's error.
    UnsupportedError
        pyarrow is not installed.
    FormatError, OSError
        Of the folder.

    Notes
    -----
    A group's result depends on its rows, its key and the arguments alone: neither on other groups nor on how they are
    cut into parts. Beside the training a group costs about a third of a millisecond, and each step some 20
    microseconds; in a fleet of 32 a fifth of that.

    Examples
    --------
    >>> import numpy as np, pyarrow as pa
    >>> from rnncore.cluster import Windows, fit_groups
    >>> t = np.arange(60)
    >>> table = pa.table({"store": np.repeat(["a", "b"], 60), "y": np.sin(np.concatenate([t, t + 3]) / 4)})
    >>> def model(seed):
    ...     layer = rnncore.nn.Recurrent(rnncore.GRU(1, 4, seed=seed), return_sequences=False)
    ...     return rnncore.nn.Sequential(layer, rnncore.Linear(4, 1, seed=seed))
    >>> fitted = fit_groups(table, "store", model, data=Windows("y", context=12), epochs=2)
    >>> fitted.column_names[:3], fitted["samples"].to_pylist()
    (['store', 'model', 'samples'], [48, 48])
    """
    given = {name: value for name, value in locals().items() if name not in {"table", "progress"}}
    return Fitting(**given)(table, check_progress(progress))


def score_groups(
    table: Any,
    key: str | Sequence[str],
    models: Any,
    *,
    predict: Callable[[Any, Any], Any] = WINDOWS.predict,
    time: str | None = None,
    ids: str | Sequence[str] = (),
    progress: Callable[[GroupRun], Any] | None = None,
) -> Any:
    """Apply the models of `fit_groups`, each to its group.

    Parameters
    ----------
    table, key, time, progress
        As for `fit_groups`.
    models : pyarrow.Table or another table
        What `fit_groups` gave, or some of its rows.
    predict : callable
        ``predict(model, group)`` gives an array with a row for each row of the group, or with one for all of it, such
        as `Windows.predict`, which is the default, and `Windows.predict_each`.
    ids : str or list of str
        Columns that results keep: of their rows, or where there is one result for a group, of its last row.

    Returns
    -------
    pyarrow.Table
        The key's columns; `config` if the models have it; the ids; `y`, the result's numbers as a list, null where
        all are NaN; `error`, with one row for a group that has no model or cannot be scored.

    Raises
    ------
    ArgumentError
        An argument does not fit. What a group does not fit is its row's error.
    UnsupportedError
        pyarrow is not installed.

    Examples
    --------
    >>> import numpy as np, pyarrow as pa
    >>> from rnncore.cluster import Windows, fit_groups, score_groups
    >>> table = pa.table({"store": np.repeat([1, 2], 40), "day": np.tile(np.arange(40), 2), "y": np.arange(80.0)})
    >>> def model(seed):
    ...     layer = rnncore.nn.Recurrent(rnncore.GRU(1, 4, seed=seed), return_sequences=False)
    ...     return rnncore.nn.Sequential(layer, rnncore.Linear(4, 7, seed=seed))
    >>> week = Windows("y", context=14, horizon=7)
    >>> fitted = fit_groups(table, "store", model, data=week, time="day", epochs=1)
    >>> scored = score_groups(table, "store", fitted, predict=week.predict, time="day", ids="day")
    >>> scored["day"].to_pylist(), [len(y) for y in scored["y"].to_pylist()]
    ([39, 39], [7, 7])
    """
    return Scoring(key, models, predict, time, ids)(table, check_progress(progress))


def fitting(key: Any, model: Any, seed: Any, options: Mapping[str, Any]) -> Fitting:
    """`fit_groups` with these arguments, as a function of a table for the tasks of an engine."""
    return Fitting(**_given(fit_groups, options, key=key, model=model, seed=seed))


def scoring(key: Any, models: Any, options: Mapping[str, Any]) -> Scoring:
    """`score_groups` with these arguments, as a function of a table for the tasks of an engine."""
    return Scoring(**_given(score_groups, options, key=key, models=models))


def _given(function: Callable[..., Any], options: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """All arguments of a function but its table, those that are left out as they are there."""
    if "progress" in options:
        raise ArgumentError("progress", "none", shown(options["progress"]), "engines show their own")
    bound = inspect.signature(function).bind(None, **options, **more)
    bound.apply_defaults()
    return {name: value for name, value in bound.arguments.items() if name not in {"table", "progress"}}
