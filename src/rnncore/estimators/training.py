# SPDX-License-Identifier: MIT
"""What the estimators share: their settings, and training with scikit-learn's words for its parts."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted

from .. import spec
from ..engine import sums
from ..errors import ArgumentError, ShapeError
from ..nn import Adam, Batch, fit
from ..spec.checks import finite
from .bases import BaseEstimator
from .network import Network
from .sequences import Sequences, read

POOLINGS = ("last", "mean")
AUTO_BATCH = 200


def given(y: Any, dtype: Any) -> np.ndarray:
    """Targets as an array of finite values."""
    if y is None:
        raise ValueError("this estimator requires y to be passed, but the target y is None")
    return check_array(y, ensure_2d=False, dtype=dtype, input_name="y")


class Training:
    """What `fit` trains: an estimator's network on numbered sequences."""

    def __init__(
        self, estimator: SequenceModel, data: Sequences, targets: np.ndarray, weight: np.ndarray
    ) -> None:
        self.estimator: SequenceModel = estimator
        self.data: Sequences = data
        self.targets: np.ndarray = targets
        self.weight: np.ndarray = weight

    def gradients(self, batch: Batch) -> tuple[float, int, list[Any]]:
        """Loss, number of sequences and gradients; sums over sequences."""
        own, some, count = self.estimator, batch.data[batch.rows], len(batch.rows)
        x, lengths = self.data.batch(some)
        with own.network_.keyed(batch):
            outputs, tapes = own.network_.forward(x, lengths, own.num_threads)
        loss, slopes = own._loss(outputs, self.targets[some], self.weight[some], x, lengths)
        return loss * count, count, own.network_.backward(tapes, slopes * slopes.dtype.type(count))


class SequenceModel(BaseEstimator):
    """The base of classifier, regressor and transformer: everything but targets, loss and score."""

    network_: Network
    loss_curve_: list[float]
    validation_scores_: list[float]
    n_iter_: int
    _optimizer: Adam
    _step_features: int
    _random_state: np.random.RandomState

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
        warm_start: bool = False,
        random_state: Any = None,
        dtype: str = "float32",
        num_threads: int | None = None,
    ) -> None:
        self.cell: str = cell
        self.hidden_size: int = hidden_size
        self.num_layers: int = num_layers
        self.bidirectional: bool = bidirectional
        self.pooling: str = pooling
        self.dropout: float = dropout
        self.batch_size: int | str = batch_size
        self.learning_rate_init: float = learning_rate_init
        self.weight_decay: float = weight_decay
        self.clip_norm: float | None = clip_norm
        self.max_iter: int = max_iter
        self.tol: float = tol
        self.n_iter_no_change: int = n_iter_no_change
        self.early_stopping: bool = early_stopping
        self.validation_fraction: float = validation_fraction
        self.warm_start: bool = warm_start
        self.random_state: Any = random_state
        self.dtype: str = dtype
        self.num_threads: int | None = num_threads

    # What a subclass says ----------------------------------------------------------------------------------

    def _strata(self, targets: np.ndarray) -> np.ndarray | None:
        """What the validation part has in equal shares."""
        return None

    def _loss(
        self, outputs: np.ndarray, targets: np.ndarray, weight: np.ndarray, x: np.ndarray, lengths: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """Loss of a batch and its gradient with respect to the outputs."""
        raise NotImplementedError

    def _score_of(self, data: Sequences, rows: np.ndarray, targets: np.ndarray, weight: np.ndarray) -> float:
        """How good the network is on some rows; more is better."""
        raise NotImplementedError

    # Training ----------------------------------------------------------------------------------------------

    def _fit(
        self,
        X: Any,
        targets: np.ndarray | None,
        sample_weight: Any = None,
        *,
        outputs: int | None = None,
        factor: np.ndarray | float = 1.0,
        go_on: bool,
        epochs: int | None = None,
    ) -> Self:
        """Train a new network, or go on with the present one; so many epochs, or until it is good enough.

        `targets` are as `_loss` takes them, `outputs` is K (the features of a step if left out), and `factor` what
        the weights of samples are multiplied with.
        """
        self._check_settings()
        fresh = not (go_on and hasattr(self, "network_"))
        data = read(self, X, reset=fresh, dtype=self.dtype)
        targets = np.zeros((len(data), 0)) if targets is None else targets
        check_consistent_length(data.lengths, targets)
        weight = _check_sample_weight(sample_weight, data.lengths, dtype=np.float64) * factor
        if not weight.min() >= 0 or not weight.any():
            hint = "sample weights must contain at least one non-zero number"
            raise ArgumentError(
                "sample_weight", "weights from 0 on, not all of them 0", f"{weight.min()}", hint
            )
        rows = np.flatnonzero(weight > 0)  # a sample without weight is as if it were not there
        weight *= len(rows) / sums.total(weight)
        if fresh:
            self._start(self._step_features if outputs is None else outputs)
        elif outputs not in (None, self.network_.head.hidden_size):
            raise ShapeError("y", f"{self.network_.head.hidden_size} outputs, as before", str(outputs))
        elif epochs is None:
            self._random_state = check_random_state(self.random_state)
            self._optimizer = self.network_.optimizer(self)
        if epochs is None:
            self._converge(data, targets, weight, rows)
        else:
            for _ in range(epochs):
                self._epoch(data, targets, weight, rows)
        return self

    def _start(self, outputs: int) -> None:
        """A new network and an empty history."""
        self._random_state = check_random_state(self.random_state)
        seed = self._random_state.randint(np.iinfo(np.int32).max)
        self.network_ = Network(self._step_features, outputs, self._trained_pooling(), seed, self)
        self._optimizer = self.network_.optimizer(self)
        self.loss_curve_, self.validation_scores_, self.n_iter_ = [], [], 0

    def _trained_pooling(self) -> str:
        return self.pooling

    def _converge(self, data: Sequences, targets: np.ndarray, weight: np.ndarray, rows: np.ndarray) -> None:
        """Train until neither the loss nor, with early stopping, the validation score becomes better."""
        held = None
        if self.early_stopping:
            strata = self._strata(targets[rows])
            options = {"test_size": self.validation_fraction, "random_state": self._random_state}
            rows, held = train_test_split(rows, stratify=strata, **options)
        best, best_state, stale = -np.inf, None, 0
        for _ in range(self.max_iter):
            score = -self._epoch(data, targets, weight, rows)
            if held is not None:
                score = self._score_of(data, held, targets[held], weight[held])
                self.validation_scores_.append(score)
            stale = stale + 1 if score < best + self.tol else 0
            if score > best:
                best, best_state = score, None if held is None else self.network_.state()
            if stale > self.n_iter_no_change:
                break
        else:
            what = f"the loss still fell after max_iter={self.max_iter} epochs"
            warnings.warn(what, ConvergenceWarning, stacklevel=4)
        if held is not None:
            self.best_validation_score_: float = best
        if best_state is not None:
            self.network_.restore(best_state)

    def _epoch(self, data: Sequences, targets: np.ndarray, weight: np.ndarray, rows: np.ndarray) -> float:
        """One pass over the rows in a new order; gives the mean loss.

        It is a run of its own, so that an epoch of `partial_fit` is one of `fit`.
        """
        run = fit(
            Training(self, data, targets, weight),
            rows,
            None,
            self._optimizer,
            epochs=1,
            batch_size=min(AUTO_BATCH, len(rows)) if self.batch_size == "auto" else int(self.batch_size),
            shards=1,
            seed=int(self._random_state.randint(np.iinfo(np.int32).max)),
        )
        self.n_iter_ += 1
        self.loss_: float = run.loss
        self.loss_curve_.append(run.loss)
        return run.loss

    def _check_settings(self) -> None:
        """What no other part checks, or by another name."""
        spec.check_choice("cell", self.cell, tuple(spec.CELLS))
        spec.check_choice("pooling", self.pooling, POOLINGS)
        spec.check_dtype("dtype", self.dtype)
        spec.check_probability("dropout", self.dropout)
        if not (finite(self.learning_rate_init) or 0) > 0:
            raise ArgumentError("learning_rate_init", "a finite number > 0", repr(self.learning_rate_init))
        if self.batch_size != "auto":
            spec.check_int("batch_size", self.batch_size, 1)
        spec.check_int("max_iter", self.max_iter, 1)
        spec.check_int("n_iter_no_change", self.n_iter_no_change, 1)
        if spec.check_probability("validation_fraction", self.validation_fraction) == 0:
            raise ArgumentError("validation_fraction", "a number p, 0 < p < 1", self.validation_fraction)

    def _outputs(self, X: Any) -> np.ndarray:
        """The network's outputs for X, (n, K)."""
        check_is_fitted(self, "network_")
        data = read(self, X, reset=False, dtype=self.dtype)
        return self.network_.outputs(data, self.num_threads)
