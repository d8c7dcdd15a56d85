# SPDX-License-Identifier: MIT
"""Losses with a weight for each sample: (outputs (n, K), targets, weight (n,)) -> (loss, slope of the outputs).

A loss is sum(weight * loss of a sample) / n, in float64; the slope has the dtype of the outputs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..nn import sigmoid

Loss = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[float, np.ndarray]]


def _weighted(
    losses: np.ndarray, slopes: np.ndarray, weight: np.ndarray, dtype: np.dtype
) -> tuple[float, np.ndarray]:
    share = weight / len(weight)
    return float((share * losses).sum()), (share[:, np.newaxis] * slopes).astype(dtype)


def softmax_loss(outputs: np.ndarray, targets: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    """Cross-entropy of class numbers, targets (n,)."""
    scores = outputs.astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    rows, slopes = np.arange(len(scores)), np.exp(scores)
    totals = slopes.sum(axis=1)
    losses = np.log(totals) - scores[rows, targets]
    slopes /= totals[:, np.newaxis]
    slopes[rows, targets] -= 1
    return _weighted(losses, slopes, weight, outputs.dtype)


def logistic_loss(outputs: np.ndarray, targets: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    """Cross-entropies of labels that are there or not, targets (n, K) of 0 and 1, summed over labels."""
    scores = outputs.astype(np.float64)
    losses = (np.logaddexp(0.0, scores) - targets * scores).sum(axis=1)
    return _weighted(losses, sigmoid(scores) - targets, weight, outputs.dtype)


def squared_loss(outputs: np.ndarray, targets: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    """Half the squared error, targets (n, K), averaged over outputs."""
    errors = outputs - targets.astype(np.float64)
    K = errors.shape[1]
    return _weighted(np.square(errors).sum(axis=1) / (2 * K), errors / K, weight, outputs.dtype)
