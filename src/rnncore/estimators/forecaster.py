# SPDX-License-Identifier: MIT
"""Forecaster: `rnncore.Forecaster` with scikit-learn's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .. import forecast
from ..errors import ArgumentError
from .bases import BaseEstimator


class Forecaster(BaseEstimator):
    """Forecast one or several series of even steps.

    Parameters
    ----------
    horizon : int
        Steps to forecast at most.
    cell, seasons, context, hidden_size, batch_size, weight_decay, dropout, nonnegative, num_threads
        As for `rnncore.Forecaster`, which does the work.
    max_iter : int, optional
        Steps of the optimiser for each network.
    learning_rate_init : float
    random_state : int, RandomState or None
        An int gives the same networks to the last bit.

    Attributes
    ----------
    forecaster_ : rnncore.Forecaster
        Also tests itself against simpler forecasts, and is saved to files.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
    >>> from rnncore.estimators import Forecaster
    >>> y = np.sin(np.arange(200) * 0.7) + 0.01 * np.arange(200)
    >>> model = Forecaster(horizon=6, max_iter=10, random_state=0)
    >>> search = GridSearchCV(model, {"cell": ["gru", "rnn"]}, cv=TimeSeriesSplit(2, test_size=6)).fit(y)
    >>> search.best_estimator_.predict().shape
    (6,)
    """

    def __init__(
        self,
        horizon: int = 12,
        *,
        cell: str = "gru",
        seasons: Sequence[int] | None = None,
        context: int | None = None,
        hidden_size: int | None = None,
        batch_size: int | None = None,
        max_iter: int | None = None,
        learning_rate_init: float = 5e-3,
        weight_decay: float = 0.02,
        dropout: float = 0.1,
        nonnegative: bool | None = None,
        random_state: Any = None,
        num_threads: int | None = None,
    ) -> None:
        self.horizon: int = horizon
        self.cell: str = cell
        self.seasons: Sequence[int] | None = seasons
        self.context: int | None = context
        self.hidden_size: int | None = hidden_size
        self.batch_size: int | None = batch_size
        self.max_iter: int | None = max_iter
        self.learning_rate_init: float = learning_rate_init
        self.weight_decay: float = weight_decay
        self.dropout: float = dropout
        self.nonnegative: bool | None = nonnegative
        self.random_state: Any = random_state
        self.num_threads: int | None = num_threads

    def fit(self, y: Any, X: Any = None) -> Self:
        """Train on all of the series.

        Parameters
        ----------
        y : array (n,) or (n, S), pandas Series or DataFrame, or list of series
            NaN is a missing value.
        X : array or DataFrame (n or more, K), or a list of them, optional
            Covariates that are known ahead; rows after the n-th are those of the steps to come.

        Returns
        -------
        Forecaster

        Raises
        ------
        ValueError
        """
        params = self.get_params(deep=False)
        options = {name: params[name] for name in params if name in forecast.Forecaster().get_params()}
        self.forecaster_: forecast.Forecaster = forecast.Forecaster(
            **options,
            steps=self.max_iter,
            lr=self.learning_rate_init,
            seed=int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max)),
        )
        series, self._is_table = _columns(y)
        self.forecaster_.fit(series, known=_for_each(X, series, self._is_table))
        return self

    def predict(self, horizon: int | None = None) -> Any:
        """Medians of the steps after the series of `fit`.

        Parameters
        ----------
        horizon : int, optional
            At most that of the fit, which is the default.

        Returns
        -------
        numpy.ndarray (horizon,) or (horizon, S), or a list of them
            As y was.
        """
        return self._shaped(self._forecasts(horizon), lambda found: found.median)

    def predict_interval(self, horizon: int | None = None, level: float = 0.8) -> tuple[Any, Any]:
        """Bounds that should hold this share of the true values: (lower, upper), each like `predict`.

        Parameters
        ----------
        horizon
            As in `predict`.
        level : float
            0 < level < 1.
        """
        found = self._forecasts(horizon, level)
        return (
            self._shaped(found, lambda one: one.lower[level]),
            self._shaped(found, lambda one: one.upper[level]),
        )

    def score(self, y: Any) -> float:
        """Minus the mean absolute error of `predict`, given what came after the series of `fit`.

        Parameters
        ----------
        y
            As in `fit`; values after `horizon` do not count.
        """
        series, _ = _columns(y)
        truths = series if isinstance(series, list) else [series]
        found = self._forecasts(None)
        medians = [one.median for one in (found if isinstance(found, list) else [found])]
        if len(truths) != len(medians):
            raise ArgumentError("y", f"{len(medians)} series", len(truths))
        errors = [
            np.abs(np.asarray(truth, np.float64)[: len(median)] - median[: len(truth)])
            for truth, median in zip(truths, medians, strict=True)
        ]
        return -float(np.nanmean(np.concatenate(errors)))

    def _forecasts(self, horizon: int | None, level: float = 0.8) -> Any:
        check_is_fitted(self, "forecaster_")
        return self.forecaster_.forecast(horizon, levels=level)

    def _shaped(self, found: Any, part: Any) -> Any:
        if not isinstance(found, list):
            return part(found)
        parts = [part(one) for one in found]
        return np.stack(parts, axis=1) if self._is_table else parts


def _columns(y: Any) -> tuple[Any, bool]:
    """The series of a table as a list, and whether it was one."""
    if getattr(y, "ndim", 1) != 2:
        return y, False
    if hasattr(y, "iloc"):
        return [y.iloc[:, k] for k in range(y.shape[1])], True
    return list(np.asarray(y).T), True


def _for_each(X: Any, series: Any, is_table: bool) -> Any:
    """Covariates of every series; the columns of a table share them."""
    return [X] * len(series) if is_table and X is not None else X
