# SPDX-License-Identifier: MIT
"""RNNRegressor."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d

from .bases import RegressorMixin
from .losses import squared_loss
from .sequences import Sequences
from .training import SequenceModel, given


class RNNRegressor(RegressorMixin, SequenceModel):
    """Predict one or several numbers of each sequence by a recurrent network.

    Parameters
    ----------
    cell, hidden_size, num_layers, bidirectional, pooling, dropout, batch_size, learning_rate_init, weight_decay, \
clip_norm, max_iter, tol, n_iter_no_change, early_stopping, validation_fraction, warm_start, random_state, dtype, \
num_threads
        As for `RNNClassifier`; validation scores are R^2.

    Attributes
    ----------
    network_ : Network
    loss_curve_ : list of float
        Half the mean squared error of each epoch; `loss_` is the last.
    validation_scores_ : list of float
        `best_validation_score_` is the highest.
    n_iter_ : int
    n_features_in_ : int
        T of a table (n, T), else the features of a step.

    Notes
    -----
    Targets far from mean 0 and deviation 1 take long to learn: see scikit-learn's `TransformedTargetRegressor`.

    Examples
    --------
    >>> import numpy as np
    >>> from rnncore.estimators import RNNRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(3 + k % 4, 2)) for k in range(60)]
    >>> y = [sequence[:, 0].mean() for sequence in X]
    >>> model = RNNRegressor(hidden_size=16, pooling="mean", learning_rate_init=0.01, random_state=0).fit(X, y)
    >>> model.predict(X).shape, model.score(X, y) > 0.9
    ((60,), True)
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train.

        Parameters
        ----------
        X : array (n, T) or (n, T, F), list of arrays (T_i, F) or (T_i,), or list column
        y : array (n,) or (n, K)
        sample_weight : array (n,), optional

        Returns
        -------
        RNNRegressor

        Raises
        ------
        ValueError, TypeError
        """
        targets = self._check_y(y)
        return self._fit(X, targets, sample_weight, outputs=targets.shape[1], go_on=self.warm_start)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """One epoch more.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        Returns
        -------
        RNNRegressor

        Raises
        ------
        ValueError, TypeError
        """
        targets = self._check_y(y)
        return self._fit(X, targets, sample_weight, outputs=targets.shape[1], go_on=True, epochs=1)

    def predict(self, X: Any) -> np.ndarray:
        """Predictions (n,) or (n, K), as y was, float64.

        Parameters
        ----------
        X
            As for `fit`.
        """
        outputs = self._outputs(X).astype(np.float64)
        return outputs[:, 0] if self._is_flat else outputs

    def _check_y(self, y: Any) -> np.ndarray:
        """Targets (n, K)."""
        y = given(y, dtype=np.float64)
        self._is_flat: bool = y.ndim != 2 or y.shape[1] == 1
        return column_or_1d(y, warn=True)[:, np.newaxis] if self._is_flat else y

    def _loss(
        self, outputs: np.ndarray, targets: np.ndarray, weight: np.ndarray, x: np.ndarray, lengths: np.ndarray
    ) -> tuple[float, np.ndarray]:
        return squared_loss(outputs, targets, weight)

    def _score_of(self, data: Sequences, rows: np.ndarray, targets: np.ndarray, weight: np.ndarray) -> float:
        outputs = self.network_.outputs(data.some(rows), self.num_threads)
        return float(r2_score(targets, outputs, sample_weight=weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
