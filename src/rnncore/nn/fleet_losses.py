# SPDX-License-Identifier: MIT
"""Losses of fleets: of each model its own, with the bits that the loss of one model gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .. import spec
from ..engine import _core, sums
from ..engine.backends import current_isa
from ..errors import ShapeError
from .losses import check_float, check_labels, cross_entropy, mse_loss

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def fleet_mse_loss(pred: ArrayLike, target: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Mean squared error of each model and its gradient, with the bits of `mse_loss` for each.

    Parameters
    ----------
    pred : ndarray (M, ...), float32 or float64
    target : array, the shape of `pred`

    Returns
    -------
    losses : float64 (M,)
    dpred : ndarray, shape and dtype of `pred`

    Raises
    ------
    ShapeError, DTypeError

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> rnncore.nn.fleet_mse_loss(np.array([[1.0, 3.0], [2.0, 2.0]]), np.ones((2, 2)))[0]
    array([2., 1.])
    """
    pred, target = check_float("pred", pred), spec.numbers("target", target)
    spec.check_shape("target", target, pred.shape)
    if pred.ndim < 2 or not pred.size:
        raise ShapeError("pred", "(M, ...) with at least one element", str(pred.shape))
    error = np.ascontiguousarray(pred.astype(np.float64) - target)
    slope = error / error[0].size
    return _totals(error, slope), (2.0 * slope).astype(pred.dtype)


def _totals(a: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    """The sum of each model's values, or products; float64 and dense."""
    found = np.empty(len(a))
    _core.rows("sum", len(a), a[0].size, a, current_isa(), b=b, sums=found)
    return found


def fleet_cross_entropy(
    logits: ArrayLike, labels: ArrayLike, ignore_index: int = -100
) -> tuple[np.ndarray, np.ndarray]:
    """Softmax cross-entropy of each model and its gradient, with the bits of `cross_entropy` for each.

    Parameters
    ----------
    logits : ndarray, float32 or float64, shape (M, ..., C)
    labels : array of integers, shape (M, ...)
        Class numbers 0..C-1, or `ignore_index` where a position must not count (padding).
    ignore_index : int

    Returns
    -------
    losses : float64 (M,)
        Of each model the mean over its positions that count; 0.0 where none does.
    dlogits : ndarray, shape and dtype of `logits`
        Zero at ignored positions.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        As of `cross_entropy`.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> losses, _ = rnncore.nn.fleet_cross_entropy(np.zeros((2, 3, 4), np.float32), np.array([[0, 1, 2], [3, 3, -100]]))
    >>> losses.round(4).tolist()
    [1.3863, 1.3863]
    """
    logits, labels = check_labels(logits, labels, ignore_index)
    if logits.ndim < 2 or not len(logits):
        raise ShapeError("logits", "(M, ..., C) with M >= 1", str(logits.shape))
    models, classes = len(logits), logits.shape[-1]
    flat, wanted = logits.reshape(-1, classes), labels.reshape(-1)
    counts = wanted != ignore_index
    rows = np.flatnonzero(counts)
    if not rows.size:
        return np.zeros(models), np.zeros_like(logits)
    slopes, of_rows = sums.softmax(flat)
    top, log_total = of_rows.T
    values = np.zeros(len(flat))
    values[rows] = log_total[rows] - (flat[rows, wanted[rows]].astype(np.float64) - top[rows])
    slopes[rows, wanted[rows]] -= 1.0
    slopes[~counts] = 0.0
    counts, values = counts.reshape(models, -1), values.reshape(models, -1)
    of_models = np.maximum(counts.sum(axis=1), 1)
    # A sum goes over the values that count and no others: zeros between them would change its bits.
    whole = counts.all()
    found = _totals(values) if whole else [sums.total(v[c]) for v, c in zip(values, counts, strict=True)]
    slopes = slopes.reshape(models, -1) / of_models[:, np.newaxis].astype(slopes.dtype)
    return np.asarray(found) / of_models, slopes.reshape(logits.shape)


FLEET_LOSSES: dict[Callable[..., object], Callable[..., tuple[np.ndarray, np.ndarray]]] = {
    mse_loss: fleet_mse_loss,
    cross_entropy: fleet_cross_entropy,
}
"""What computes a loss for all models of a fleet at once; others are called for one after the other."""
