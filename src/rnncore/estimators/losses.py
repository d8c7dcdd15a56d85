# SPDX-License-Identifier: MIT
"""Losses with a weight for each sample: (outputs (n, K), targets, weight (n,)) -> (loss, slope of the outputs).

A loss is sum(weight * loss of a sample) / n, in float64; the slope has the dtype of the outputs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..engine import sums
from ..nn import sigmoid

Loss = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[float, np.ndarray]]


def _weighted(
    losses: np.ndarray, slopes: np.ndarray, weight: np.ndarray, dtype: np.dtype
) -> tuple[float, np.ndarray]:
    share = weight / len(weight)
    return sums.total(share, losses), (share[:, np.newaxis] * slopes).astype(dtype)


def softmax_loss(outputs: np.ndarray, targets: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    """Cross-entropy of class numbers, targets (n,)."""
    scores, rows = outputs.astype(np.float64), np.arange(len(outputs))
    slopes, of_rows = sums.softmax(scores)
    top, log_total = of_rows.T
    losses = log_total - (scores[rows, targets] - top)
    slopes[rows, targets] -= 1
    return _weighted(losses, slopes, weight, outputs.dtype)


def logistic_loss(outputs: np.ndarray, targets: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    """Cross-entropies of labels that are there or not, targets (n, K) of 0 and 1, summed over labels."""
    scores = outputs.astype(np.float64)
    losses = sums.dot_rows(sums.apply("value", scores, ("softplus",)) - targets * scores)[:, 0]
    return _weighted(losses, sigmoid(scores) - targets, weight, outputs.dtype)


def squared_loss(outputs: np.ndarray, targets: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    """Half the squared error, targets (n, K), averaged over outputs."""
    errors = outputs - targets.astype(np.float64)
    K = errors.shape[1]
    return _weighted(sums.dot_rows(errors, errors)[:, 0] / (2 * K), errors / K, weight, outputs.dtype)
