# SPDX-License-Identifier: MIT
"""RNNTransformer."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .bases import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from .losses import squared_loss
from .network import has_next
from .sequences import Sequences, read
from .training import SequenceModel


class RNNTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, SequenceModel):
    """Describe each sequence by the state of a recurrent network that has learnt to predict the next step.

    Parameters
    ----------
    cell, hidden_size, num_layers, pooling, dropout, batch_size, learning_rate_init, weight_decay, clip_norm, \
max_iter, tol, n_iter_no_change, early_stopping, validation_fraction, warm_start, random_state, dtype, num_threads
        As for `RNNClassifier`. `pooling` says what describes a sequence: the state after its last step, or the mean of
        all outputs. Validation scores are losses with a minus.

    Attributes
    ----------
    network_ : Network
    loss_curve_ : list of float
        Half the mean squared error of the next steps in each epoch.
    n_iter_, n_features_in_ : int

    Notes
    -----
    Needs no targets. Sequences of one step teach nothing: there is no next one.

    Examples
    --------
    >>> import numpy as np
    >>> from rnncore.estimators import RNNTransformer
    >>> X = [np.sin(np.arange(10 + k) / (1 + k % 3)) for k in range(12)]
    >>> RNNTransformer(hidden_size=8, max_iter=5, random_state=0, tol=1.0).fit_transform(X).shape
    (12, 8)
    """

    def __init__(
        self,
        cell: str = "gru",
        hidden_size: int = 64,
        num_layers: int = 1,
        *,
        pooling: str = "last",
        dropout: float = 0.0,
        batch_size: int | str = "auto",
        learning_rate_init: float = 1e-3,
        weight_decay: float = 0.0,
        clip_norm: float | None = 1.0,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        random_state: Any = None,
        dtype: str = "float32",
        num_threads: int | None = None,
    ) -> None:
        super().__init__(
            cell,
            hidden_size,
            num_layers,
            pooling=pooling,
            dropout=dropout,
            batch_size=batch_size,
            learning_rate_init=learning_rate_init,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            max_iter=max_iter,
            tol=tol,
            n_iter_no_change=n_iter_no_change,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            warm_start=warm_start,
            random_state=random_state,
            dtype=dtype,
            num_threads=num_threads,
        )

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn to predict next steps.

        Parameters
        ----------
        X : array (n, T) or (n, T, F), list of arrays (T_i, F) or (T_i,), or list column
        y : ignored

        Returns
        -------
        RNNTransformer

        Raises
        ------
        ValueError, TypeError
        """
        return self._fit(X, None, go_on=self.warm_start)

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """One epoch more.

        Parameters
        ----------
        X, y
            As for `fit`.

        Returns
        -------
        RNNTransformer

        Raises
        ------
        ValueError, TypeError
        """
        return self._fit(X, None, go_on=True, epochs=1)

    def transform(self, X: Any) -> np.ndarray:
        """The description of each sequence, (n, hidden_size), dtype of the network.

        Parameters
        ----------
        X
            As for `fit`.
        """
        check_is_fitted(self, "network_")
        data = read(self, X, reset=False, dtype=self.dtype)
        return self.network_.pooled(data, self.pooling, self.num_threads)

    @property
    def _n_features_out(self) -> int:
        return self.network_.layer.spec.y_size

    def _trained_pooling(self) -> str:
        return "next"

    def _loss(
        self, outputs: np.ndarray, targets: np.ndarray, weight: np.ndarray, x: np.ndarray, lengths: np.ndarray
    ) -> tuple[float, np.ndarray]:
        following = x[1:][has_next(len(x), lengths)[:-1]]
        return squared_loss(outputs, following, np.ones(len(following)))

    def _score_of(self, data: Sequences, rows: np.ndarray, targets: np.ndarray, weight: np.ndarray) -> float:
        total, steps, held = 0.0, 0, data.some(rows)
        for some in held.chunks():
            x, lengths = held.batch(some)
            outputs = self.network_.run(x, lengths, self.num_threads)
            total += self._loss(outputs, targets, weight, x, lengths)[0] * len(outputs)
            steps += len(outputs)
        return -total / max(steps, 1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = [self.dtype]
        return tags
