# SPDX-License-Identifier: MIT
"""Losses with their gradients: mean squared error, cross-entropy, quantiles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..engine import sums
from ..errors import ArgumentError, DTypeError, ShapeError
from ..spec import check_type, numbers, read_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def check_float(name: str, array: ArrayLike) -> np.ndarray:
    """A float array, not cast."""
    array = read_array(name, array)
    if array.dtype not in (np.float32, np.float64):
        raise DTypeError(name, "float32 or float64", str(array.dtype))
    return array


def check_weight(weight: ArrayLike, shape: tuple[int, ...]) -> tuple[np.ndarray, float]:
    """Weights of this shape, in float64, and their sum."""
    weight = numbers("weight", weight, np.float64)
    try:
        weight = np.broadcast_to(weight, shape)
    except ValueError:
        raise ShapeError("weight", f"broadcastable to {shape}", str(weight.shape)) from None
    total = sums.total(weight)
    if not (0 < total < math.inf and weight.min() >= 0):
        raise ArgumentError("weight", "non-negative weights with a positive sum", f"a sum of {total}")
    return weight, total


def mse_loss(pred: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None) -> tuple[float, np.ndarray]:
    """Mean squared error and its gradient.

    Parameters
    ----------
    pred : ndarray, float32 or float64, any shape
    target : array, the shape of `pred`
    weight : array, broadcastable to `pred`, optional
        Non-negative weights; the loss is ``sum(weight * (pred - target)**2) / sum(weight)``.

    Returns
    -------
    loss : float
        Summed in float64.
    dpred : ndarray, shape and dtype of `pred`

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        Shapes differ, `pred` is not a float array or is empty, weights are negative or sum to zero.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> rnncore.mse_loss(np.array([1.0, 3.0]), [1.0, 1.0])
    (2.0, array([0., 2.]))
    """
    pred, target = check_float("pred", pred), numbers("target", target)
    if target.shape != pred.shape:
        raise ShapeError("target", str(pred.shape), str(target.shape))
    if not pred.size:
        raise ShapeError("pred", "at least one element", str(pred.shape))
    error = np.subtract(pred, target, dtype=np.float64)
    if weight is None:
        slope = error / error.size
    else:
        weight, total = check_weight(weight, pred.shape)
        slope = error * weight / total
    return sums.total(error, slope), (2.0 * slope).astype(pred.dtype, copy=False)


def cross_entropy(logits: ArrayLike, labels: ArrayLike, ignore_index: int = -100) -> tuple[float, np.ndarray]:
    """Softmax cross-entropy averaged over the labels that count, and its gradient.

    Parameters
    ----------
    logits : ndarray, float32 or float64, shape (..., C)
    labels : array of integers, shape (...)
        Class numbers 0..C-1, or `ignore_index` where a position must not count (padding).
    ignore_index : int

    Returns
    -------
    loss : float
        Mean over the positions that count; 0.0 where none does.
    dlogits : ndarray, shape and dtype of `logits`
        Zero at ignored positions.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        Shapes do not fit, labels are not integers, or a label lies outside 0..C-1.

    Notes
    -----
    The largest logit is subtracted first, so no exponential overflows. Three passes in the dtype of `logits`.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> loss, dlogits = rnncore.cross_entropy(np.zeros((3, 4), np.float32), np.array([0, 1, -100]))
    >>> round(loss, 4), dlogits[0].tolist()
    (1.3863, [-0.375, 0.125, 0.125, 0.125])
    """
    logits, labels = check_labels(logits, labels, ignore_index)
    flat, wanted = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
    counts = wanted != ignore_index
    rows = np.flatnonzero(counts)
    if not rows.size:
        return 0.0, np.zeros_like(logits)
    slopes, of_rows = sums.softmax(flat)
    top, log_total = of_rows.T
    chosen = flat[rows, wanted[rows]].astype(np.float64) - top[rows]
    loss = sums.total(log_total[rows] - chosen) / rows.size
    slopes[rows, wanted[rows]] -= 1.0
    slopes /= rows.size
    slopes[~counts] = 0.0
    return loss, slopes.reshape(logits.shape)


def check_labels(logits: ArrayLike, labels: ArrayLike, ignore_index: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits (..., C), and integers 0..C-1 or `ignore_index` of their shape without C; raises what they do not fit."""
    logits, labels = check_float("logits", logits), read_array("labels", labels)
    check_type("ignore_index", ignore_index, (int, np.integer), "an integer")
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ShapeError("logits", "(..., C) with C >= 1", str(logits.shape))
    if labels.shape != logits.shape[:-1]:
        raise ShapeError("labels", str(logits.shape[:-1]), str(labels.shape))
    if labels.dtype.kind not in "iu":
        raise DTypeError("labels", "integers", str(labels.dtype))
    classes = logits.shape[-1]
    bad = labels[(labels != ignore_index) & ((labels < 0) | (labels >= classes))]
    if bad.size:
        raise ArgumentError("labels", f"0..{classes - 1} or {ignore_index}", str(bad[0]))
    return logits, labels


def quantile_loss(
    pred: ArrayLike, target: ArrayLike, quantiles: ArrayLike, weight: ArrayLike | None = None
) -> tuple[float, np.ndarray]:
    """Quantile (pinball) loss averaged over elements and quantiles, and its gradient.

    The expected value of ``max(q * (target - pred), (q - 1) * (target - pred))`` is least where `pred` is the
    q-quantile of `target`; with q = 0.5 it is half the absolute error.

    Parameters
    ----------
    pred : ndarray, float32 or float64, shape (..., Q)
        A forecast of each quantile; not put in order.
    target : array, shape (...)
    quantiles : sequence of Q floats, each in (0, 1)
    weight : array, broadcastable to `target`, optional
        Non-negative weights, zero where the target is unknown (it may be NaN there).

    Returns
    -------
    loss : float
        Summed in float64.
    dpred : ndarray, shape and dtype of `pred`

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        Shapes do not fit, `pred` is not a float array or is empty, a quantile lies outside (0, 1), weights are
        negative or sum to zero.

    Notes
    -----
    A few passes in float64. Source: Koenker and Bassett 1978.

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> loss, dpred = rnncore.nn.quantile_loss(np.array([[0.0, 0.0]]), [1.0], [0.25, 0.75])
    >>> loss, dpred.tolist()
    (0.5, [[-0.125, -0.375]])
    """
    pred, target = check_float("pred", pred), numbers("target", target)
    quantiles = numbers("quantiles", quantiles, np.float64)
    if quantiles.ndim != 1 or not ((quantiles > 0) & (quantiles < 1)).all():
        raise ArgumentError("quantiles", "numbers in (0, 1)", str(quantiles))
    if not pred.size or pred.shape[-1:] != quantiles.shape:
        raise ShapeError("pred", f"(..., {quantiles.size}), not empty", str(pred.shape))
    if target.shape != pred.shape[:-1]:
        raise ShapeError("target", str(pred.shape[:-1]), str(target.shape))
    weight, total = check_weight(1.0 if weight is None else weight, target.shape)
    known = weight > 0
    if not known.all():  # what is unknown may be NaN
        target = np.where(known, target, 0.0)
    error = np.subtract(target[..., np.newaxis], pred, dtype=np.float64)
    slope = quantiles - (error < 0)
    slope *= (weight / (total * quantiles.size))[..., np.newaxis]
    return sums.total(slope, error), np.negative(slope, out=slope).astype(pred.dtype, copy=False)
