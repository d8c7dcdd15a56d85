# SPDX-License-Identifier: MIT
"""SequenceScaler."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .bases import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from .sequences import Sequences, like, read

DTYPES: list[Any] = [np.float64, np.float32]


class SequenceScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Give every feature mean 0 and deviation 1 over all steps of all sequences.

    Parameters
    ----------
    with_mean, with_std : bool

    Attributes
    ----------
    mean_, scale_, var_ : float64 (F,)
        `scale_` is 1 where a feature does not change.
    n_steps_seen_ : int
    n_features_in_ : int
        T of a table (n, T), whose rows are sequences of one feature, else F.

    Examples
    --------
    >>> import numpy as np
    >>> from rnncore.estimators import SequenceScaler
    >>> scaler = SequenceScaler().fit([np.array([[1.0], [3.0]]), np.array([[5.0]])])
    >>> scaler.mean_.tolist(), scaler.transform([np.array([[3.0], [3.0]])])
    ([3.0], [array([[0.],
           [0.]])])
    """

    mean_: np.ndarray
    var_: np.ndarray
    scale_: np.ndarray
    n_steps_seen_: int

    def __init__(self, *, with_mean: bool = True, with_std: bool = True) -> None:
        self.with_mean: bool = with_mean
        self.with_std: bool = with_std

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn mean and deviation.

        Parameters
        ----------
        X : array (n, T) or (n, T, F), list of arrays (T_i, F) or (T_i,), or list column
        y : ignored

        Returns
        -------
        SequenceScaler

        Raises
        ------
        ValueError, TypeError
        """
        return self._update(read(self, X, reset=True, dtype=DTYPES), first=True)

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from more sequences.

        Parameters
        ----------
        X, y
            As for `fit`.

        Returns
        -------
        SequenceScaler

        Raises
        ------
        ValueError, TypeError
        """
        first = not hasattr(self, "mean_")
        return self._update(read(self, X, reset=first, dtype=DTYPES), first)

    def transform(self, X: Any) -> Any:
        """Scaled sequences, shaped and listed as X is.

        Parameters
        ----------
        X
            As for `fit`.

        Returns
        -------
        numpy.ndarray or list of numpy.ndarray
            float32 for float32, else float64.
        """
        return self._mapped(X, lambda values: (values - self._shift()) / self._unit())

    def inverse_transform(self, X: Any) -> Any:
        """Reverse of `transform`."""
        return self._mapped(X, lambda values: values * self._unit() + self._shift())

    def _update(self, data: Sequences, first: bool) -> Self:
        values = data.values.astype(np.float64)
        count, mean = len(values), values.mean(axis=0)
        squares = np.square(values - mean).sum(axis=0)
        if not first:
            # Mean and squares of both parts together (Chan, Golub and LeVeque 1983).
            before, total = self.n_steps_seen_, self.n_steps_seen_ + count
            squares += self.var_ * before + np.square(mean - self.mean_) * before * count / total
            count, mean = total, self.mean_ + (mean - self.mean_) * (count / total)
        self.n_steps_seen_, self.mean_, self.var_ = count, mean, squares / count
        deviation = np.sqrt(self.var_)
        # What rounding leaves of a feature that does not change is no deviation.
        still = deviation <= 10 * np.finfo(np.float64).eps * np.abs(mean)
        self.scale_ = np.where(still, 1.0, deviation)
        return self

    def _shift(self) -> np.ndarray | float:
        return self.mean_ if self.with_mean else 0.0

    def _unit(self) -> np.ndarray | float:
        return self.scale_ if self.with_std else 1.0

    def _mapped(self, X: Any, function: Any) -> Any:
        check_is_fitted(self)
        data = read(self, X, reset=False, dtype=DTYPES)
        return like(X, Sequences(function(data.values).astype(data.values.dtype), data.lengths))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
