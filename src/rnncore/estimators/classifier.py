# SPDX-License-Identifier: MIT
"""RNNClassifier."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils import column_or_1d, compute_sample_weight
from sklearn.utils.multiclass import _check_partial_fit_first_call, check_classification_targets

from ..engine import sums
from ..errors import ArgumentError
from ..nn import sigmoid, softmax
from .bases import ClassifierMixin
from .losses import logistic_loss, softmax_loss
from .sequences import Sequences
from .training import SequenceModel, given


class RNNClassifier(ClassifierMixin, SequenceModel):
    """Classify sequences by a recurrent network.

    Parameters
    ----------
    cell : {"gru", "lstm", "rnn", "min_gru", "min_lstm"}
    hidden_size, num_layers : int
    bidirectional : bool
    pooling : {"last", "mean"}
        Whether the state after the last step or the mean of all outputs is classified.
    dropout : float
        Probability of dropping an output of a layer, in training.
    batch_size : int or "auto"
        "auto" is ``min(200, n_samples)``.
    learning_rate_init : float
        Of Adam.
    weight_decay : float
        As in AdamW.
    clip_norm : float or None
        Bound of the gradients' norm.
    max_iter : int
        Epochs.
    tol, n_iter_no_change : float, int
        Training ends when the loss, or with early stopping the validation score, has not become better by `tol`
        for more than so many epochs.
    early_stopping : bool
        Whether a part of the samples validates; the best parameters are kept then.
    validation_fraction : float
    class_weight : dict, "balanced" or None
    warm_start : bool
        Whether `fit` goes on with the present network.
    random_state : int, RandomState or None
        An int gives the same network to the last bit, whatever `num_threads` is.
    dtype : "float32" or "float64"
        Of the network.
    num_threads : int, optional
        At most this many threads; 1 is best beside scikit-learn's `n_jobs`.

    Attributes
    ----------
    classes_ : array (n_classes,)
    network_ : Network
    loss_curve_ : list of float
        One for each epoch; `loss_` is the last.
    validation_scores_ : list of float
        Accuracies; `best_validation_score_` is the highest.
    n_iter_ : int
    n_features_in_ : int
        T of a table (n, T), else the features of a step.

    Examples
    --------
    >>> import numpy as np
    >>> from rnncore.estimators import RNNClassifier
    >>> X = [np.sin(np.arange(20 + k % 10) * (1 + k % 2))[:, np.newaxis] for k in range(40)]
    >>> y = ["fast" if k % 2 else "slow" for k in range(40)]
    >>> model = RNNClassifier(hidden_size=16, pooling="mean", learning_rate_init=0.05, max_iter=40, random_state=0)
    >>> model = model.set_params(tol=0.02).fit(X, y)
    >>> model.predict(X[:2]).tolist(), model.predict_proba(X).shape
    (['slow', 'fast'], (40, 2))
    """

    classes_: np.ndarray

    def __init__(
        self,
        cell: str = "gru",
        hidden_size: int = 64,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
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
        class_weight: Any = None,
        warm_start: bool = False,
        random_state: Any = None,
        dtype: str = "float32",
        num_threads: int | None = None,
    ) -> None:
        super().__init__(
            cell,
            hidden_size,
            num_layers,
            bidirectional=bidirectional,
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
        self.class_weight: Any = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train.

        Parameters
        ----------
        X : array (n, T) or (n, T, F), list of arrays (T_i, F) or (T_i,), or list column
        y : array (n,) of classes, or (n, K) of 0 and 1 for K labels
        sample_weight : array (n,), optional

        Returns
        -------
        RNNClassifier

        Raises
        ------
        ValueError, TypeError
        """
        y = self._check_y(y)
        if not (self.warm_start and hasattr(self, "network_")):
            self.classes_ = np.unique(y) if y.ndim == 1 else np.arange(y.shape[1])
        return self._train(X, y, sample_weight, self.warm_start)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """One epoch more.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes : array, optional
            All classes that will come; needed by the first call.

        Returns
        -------
        RNNClassifier

        Raises
        ------
        ValueError, TypeError
        """
        if self.class_weight == "balanced":
            hint = "weigh by a dict: a batch does not tell how frequent a class is"
            raise ArgumentError("class_weight", "a dict or None in partial_fit", '"balanced"', hint)
        y = self._check_y(y)
        _check_partial_fit_first_call(self, classes)
        return self._train(X, y, sample_weight, True, epochs=1)

    def predict(self, X: Any) -> np.ndarray:
        """Classes (n,) of the highest probability; labels (n, K) of more than a half.

        Parameters
        ----------
        X
            As for `fit`.
        """
        outputs = self._outputs(X)
        if self._is_multilabel:
            return (outputs > 0).astype(np.int64)
        codes = outputs.argmax(axis=1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0).astype(np.int64)
        return self.classes_[codes]

    def decision_function(self, X: Any) -> np.ndarray:
        """What the network gives, float64: (n,) for two classes, of the second; else (n, n_classes).

        Parameters
        ----------
        X
            As for `fit`.
        """
        outputs = self._outputs(X).astype(np.float64)
        return outputs if outputs.shape[1] > 1 or self._is_multilabel else outputs[:, 0]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, n_classes), float64, in the order of `classes_`.

        Parameters
        ----------
        X
            As for `fit`.
        """
        outputs = self._outputs(X).astype(np.float64)
        if self._is_multilabel:
            return sigmoid(outputs)
        if outputs.shape[1] == 1:
            return np.concatenate([sigmoid(-outputs), sigmoid(outputs)], axis=1)
        return softmax(outputs)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithm of `predict_proba`."""
        return sums.apply("log", self.predict_proba(X))

    # Parts

    def _check_y(self, y: Any) -> np.ndarray:
        """Classes (n,), or labels (n, K)."""
        y = given(y, dtype=None)
        if y.ndim != 2 or y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        if y.ndim == 2 and not np.isin(y, (0, 1)).all():
            raise ArgumentError("y", "classes (n,), or labels (n, K) of 0 and 1", f"other values {y.shape}")
        return y

    def _train(
        self, X: Any, y: np.ndarray, sample_weight: Any, go_on: bool, epochs: int | None = None
    ) -> Self:
        self._is_multilabel: bool = y.ndim == 2
        factor = 1.0 if self.class_weight is None else compute_sample_weight(self.class_weight, y)
        targets = y.astype(np.float64) if self._is_multilabel else self._codes(y)
        binary = len(self.classes_) == 2 and not self._is_multilabel
        return self._fit(
            X,
            targets[:, np.newaxis].astype(np.float64) if binary else targets,
            sample_weight,
            outputs=1 if binary else len(self.classes_),
            factor=factor,
            go_on=go_on,
            epochs=epochs,
        )

    def _codes(self, y: np.ndarray) -> np.ndarray:
        """Numbers of the classes in `classes_`."""
        if len(self.classes_) < 2:
            raise ArgumentError("y", "at least two classes", f"{len(self.classes_)} class")
        codes = np.minimum(np.searchsorted(self.classes_, y), len(self.classes_) - 1)
        unknown = self.classes_[codes] != y
        if unknown.any():
            known = ", ".join(map(repr, self.classes_[:10].tolist()))
            raise ArgumentError("y", f"classes {known}", repr(y[unknown].tolist()[0]))
        return codes

    def _strata(self, targets: np.ndarray) -> np.ndarray | None:
        return None if self._is_multilabel else targets

    def _loss(
        self, outputs: np.ndarray, targets: np.ndarray, weight: np.ndarray, x: np.ndarray, lengths: np.ndarray
    ) -> tuple[float, np.ndarray]:
        return (softmax_loss if targets.ndim == 1 else logistic_loss)(outputs, targets, weight)

    def _score_of(self, data: Sequences, rows: np.ndarray, targets: np.ndarray, weight: np.ndarray) -> float:
        outputs = self.network_.outputs(data.some(rows), self.num_threads)
        guess = outputs.argmax(axis=1) if targets.ndim == 1 else (outputs > 0).astype(np.float64)
        right = guess == targets if targets.ndim == 1 else (guess == targets).all(axis=1)
        return float(np.average(right, weights=weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
