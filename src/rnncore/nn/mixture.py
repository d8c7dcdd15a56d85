# SPDX-License-Identifier: MIT
"""A mixture of bivariate Gaussians as the output of a network: its loss with explicit backward, and samples.

With the M components' numbers in the last axis of `params`, 6*M in six blocks of M,

    w_j                logits; pi_j = exp(w_j) / sum_k exp(w_k)
    m_j, n_j           means of x and y
    a_j, b_j           logarithms of the standard deviations of x and y
    r_j                rho_j = tanh(r_j), the correlation

the density of a point (x, y) is, in A. Graves, "Generating sequences with recurrent neural networks" (2013,
arXiv:1308.0850), equations 23 to 25,

    p = sum_j pi_j N_j,   log N_j = -log(2 pi) - a_j - b_j - log(1 - rho_j^2) / 2 - Q_j / 2,
    Q_j = (X^2 + Y^2 - 2 rho_j X Y) / (1 - rho_j^2),   X = (x - m_j) exp(-a_j),   Y = (y - n_j) exp(-b_j).

Computed is the same without cancellation, however close rho is to -1 or 1. With u = X - Y and v = X + Y

    Q_j = (u^2 (1 + exp(2 r_j)) + v^2 (1 + exp(-2 r_j))) / 4,
    -log(1 - rho_j^2) / 2 = log cosh r_j = log(1 + exp(2 r_j)) - r_j - log 2.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..engine import draws, sums
from ..errors import ArgumentError, ShapeError, shown
from ..spec import check_type, numbers
from ..spec.checks import finite
from .losses import check_float, check_weight

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


__all__ = ["mixture_loss", "mixture_sample"]

BLOCKS = 6
"""Numbers per component."""
CHUNK = 2**13
"""Numbers of one block that are worked on at once: about 20 arrays of so many float64 stay in a core's L2."""
LOG_4PI = math.log(4.0 * math.pi)


def _check_params(params: ArrayLike) -> tuple[np.ndarray, int]:
    params = check_float("params", params)
    if params.ndim == 0 or params.shape[-1] == 0 or params.shape[-1] % BLOCKS:
        raise ShapeError("params", "(..., 6*M) with M >= 1", str(params.shape))
    return params, params.shape[-1] // BLOCKS


def _shares(weight, shape):
    """What each point of `shape` counts, flat, with sum 1."""
    if weight is None:
        return np.full(math.prod(shape), 1.0 / math.prod(shape))
    weight, total = check_weight(weight, shape)
    return weight.reshape(-1) / total


def mixture_loss(
    params: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None
) -> tuple[float, np.ndarray]:
    """Negative log-density of points under mixtures of bivariate Gaussians, and its gradient.

    Parameters
    ----------
    params : ndarray, float32 or float64, shape (..., 6*M)
        Logits, means of x, means of y, log standard deviations of x, of y, and atanh of the correlations, M each.
    target : array, shape (..., 2)
        The points x, y.
    weight : array, broadcastable to the shape of a point's index (...), optional
        Non-negative; 0 takes a point out (padding). The loss is ``sum(-weight * log p) / sum(weight)``.

    Returns
    -------
    loss : float
        In nats per point, summed in float64.
    dparams : ndarray, shape and dtype of `params`

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        Shapes do not fit, `params` is not a float array or holds no point, weights are negative or sum to zero.

    Notes
    -----
    Computed in float64, in chunks that stay in cache; five exponentials and one logarithm per component and point.
    Finite for logits up to 1e300, log standard deviations and atanh of correlations within -50..50 and points and
    means up to 1e40. The density of a component can grow without bound where points repeat exactly: spread values
    that come rounded over their rounding interval (see ``examples/handwriting``).

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> loss, dparams = rnncore.mixture_loss(np.zeros((1, 12)), np.zeros((1, 2)))  # M = 2, both standard normal
    >>> round(loss, 4), dparams.shape
    (1.8379, (1, 12))
    """
    params, M = _check_params(params)
    target, points = numbers("target", target), params.shape[:-1]
    if target.shape != (*points, 2):
        raise ShapeError("target", str((*points, 2)), str(target.shape))
    if not params.size:
        raise ShapeError("params", "at least one point", str(params.shape))
    share = _shares(weight, points)
    dparams = np.empty(params.shape, params.dtype)
    blocks, dblocks = (array.reshape(-1, BLOCKS, M) for array in (params, dparams))
    xy = target.reshape(-1, 2).T.astype(np.float64)
    loss, step = 0.0, max(1, CHUNK // M)
    for start in range(0, len(blocks), step):
        chunk = slice(start, start + step)
        loss += _loss_chunk(blocks[chunk], xy[:, chunk], share[chunk], dblocks[chunk])
    return loss, dparams


def _log_sum_exp(a):
    """Over the first axis."""
    top = a.max(axis=0)
    return top + sums.apply("log", sums.add_rows(sums.apply("exp", a - top))[0])


def _loss_chunk(params, xy, share, dparams):
    """Share of the loss of some points, params (n, 6, M); their gradient goes to `dparams`."""
    # Components come first and points last, so that sums over components are sums of long vectors.
    w, m, n, a, b, r = np.ascontiguousarray(params.transpose(1, 2, 0), np.float64)
    inv_x, inv_y, e = (sums.apply("exp", power) for power in (-a, -b, 2.0 * r))
    X, Y = (xy[0] - m) * inv_x, (xy[1] - n) * inv_y
    u, v = X - Y, X + Y
    p = 1.0 + e
    up, vq = u * p, v * (p / e)  # q = 1 + exp(-2 r) = p / e
    log_pi = w - _log_sum_exp(w)
    log_cosh = sums.apply("value", 2.0 * r, ("softplus",)) - r  # and log 2
    joint = log_pi + (log_cosh - a - b - (u * up + v * vq) * 0.125 - LOG_4PI)
    log_p = _log_sum_exp(joint)

    responsibility = share * sums.apply("exp", joint - log_p)
    dX, dY = (vq + up) * 0.25, (vq - up) * 0.25  # of Q / 2
    dw, dm, dn, da, db, dr = dparams.transpose(1, 2, 0)
    dw[...] = share * sums.apply("exp", log_pi) - responsibility
    dm[...] = -responsibility * dX * inv_x
    dn[...] = -responsibility * dY * inv_y
    da[...] = responsibility * (1.0 - X * dX)
    db[...] = responsibility * (1.0 - Y * dY)
    dr[...] = responsibility * (2.0 / p - 1.0 + (u * u * e - v * v / e) * 0.25)
    return -sums.total(share, log_p)


def mixture_sample(params: ArrayLike, rng: np.random.Generator, bias: float = 0.0) -> np.ndarray:
    """Draw one point from each mixture.

    Parameters
    ----------
    params : ndarray, float32 or float64, shape (..., 6*M)
        As for `mixture_loss`.
    rng : numpy.random.Generator
    bias : float
        At least 0. Standard deviations are multiplied by ``exp(-bias)`` and logits by ``1 + bias`` (Graves, equations
        61 and 62): 0 draws from the mixture, more gives likelier points, a low temperature.

    Returns
    -------
    ndarray, shape (..., 2), dtype of `params`

    Raises
    ------
    ShapeError, DTypeError, ArgumentError

    Examples
    --------
    >>> import numpy as np, rnncore
    >>> rnncore.mixture_sample(np.zeros((5, 12)), np.random.default_rng(0)).shape
    (5, 2)
    """
    params, M = _check_params(params)
    check_type("rng", rng, np.random.Generator, "a numpy.random.Generator")
    number = finite(bias)
    if number is None or number < 0:
        raise ArgumentError("bias", "a number in [0, inf)", shown(bias))
    w, m, n, a, b, r = np.moveaxis(params.reshape(-1, BLOCKS, M), 1, 0).astype(np.float64)
    w *= 1.0 + number
    cumulated = np.cumsum(sums.apply("exp", w - w.max(axis=-1, keepdims=True)), axis=-1)
    # The first component whose cumulated weight exceeds a uniform share of the whole; a weight of 0 never does.
    threshold = rng.random(len(w)) * cumulated[:, -1]
    rows, j = np.arange(len(w)), (cumulated <= threshold[:, np.newaxis]).sum(axis=-1)
    m, n, a, b, r = (block[rows, j] for block in (m, n, a - number, b - number, r))
    first, second = draws.normal(rng, (2, len(w)))
    a, b, up, down = sums.apply("exp", np.stack([a, b, r, -r]))
    x = m + a * first
    # sqrt(1 - tanh^2) = 1 / cosh
    y = n + b * (sums.apply("value", r, ("tanh",)) * first + 2.0 * second / (up + down))
    return np.stack([x, y], axis=-1).astype(params.dtype).reshape(*params.shape[:-1], 2)
