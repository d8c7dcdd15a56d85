# SPDX-License-Identifier: MIT
"""Losses beside those of `training`: the quantile loss."""

import numpy as np

from .errors import ArgumentError, DTypeError, ShapeError


def quantile_loss(pred, target, quantiles, weight=None):
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
    """
    pred, target = np.asarray(pred), np.asarray(target)
    if pred.dtype not in (np.float32, np.float64):
        raise DTypeError("pred", "float32 or float64", str(pred.dtype))
    quantiles = np.asarray(quantiles, np.float64)
    if quantiles.ndim != 1 or not ((quantiles > 0) & (quantiles < 1)).all():
        raise ArgumentError("quantiles", "numbers in (0, 1)", str(quantiles))
    if not pred.size or pred.shape[-1:] != quantiles.shape:
        raise ShapeError("pred", f"(..., {quantiles.size}), not empty", str(pred.shape))
    if target.shape != pred.shape[:-1]:
        raise ShapeError("target", str(pred.shape[:-1]), str(target.shape))
    weight = np.ones(()) if weight is None else np.asarray(weight, np.float64)
    try:
        weight = np.broadcast_to(weight, target.shape)
    except ValueError:
        raise ShapeError("weight", f"broadcastable to {target.shape}", str(weight.shape)) from None
    total = float(weight.sum())
    if not (total > 0 and weight.min() >= 0):
        raise ArgumentError("weight", "non-negative weights with a positive sum", f"a sum of {total}")
    known = weight > 0
    error = np.where(known, target, 0.0)[..., np.newaxis] - pred.astype(np.float64)
    share = np.where(known, weight, 0.0)[..., np.newaxis] / (total * quantiles.size)
    slope = (quantiles - (error < 0)) * share
    return float(np.vdot(slope, error)), (-slope).astype(pred.dtype)
