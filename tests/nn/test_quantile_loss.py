# SPDX-License-Identifier: MIT
"""The quantile loss: its value, its gradient, where it is least, and what it refuses."""

import numpy as np
import pytest

from rnncore.errors import ArgumentError, DTypeError, ShapeError
from rnncore.nn import quantile_loss

QUANTILES = (0.125, 0.5, 0.75, 0.875)
# All numbers are small multiples of powers of two, so that sums and differences are exact.
PRED = np.array([[1.0, 2.0, 4.0, 8.0], [0.5, 0.5, 3.0, 2.0]])
TARGET = np.array([2.0, 1.0])


def test_value_by_hand():
    loss, slope = quantile_loss(PRED, TARGET, QUANTILES)
    # Errors 1, 0, -2, -6 and 0.5, 0.5, -2, -1, each times q, or q - 1 where it is negative.
    assert loss == (0.125 + 0 + 0.5 + 0.75 + 0.0625 + 0.25 + 0.5 + 0.125) / 8
    assert np.array_equal(slope * 8, [[-0.125, -0.5, 0.25, 0.125]] * 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradient_is_the_difference_quotient(dtype):
    weight = np.array([1.0, 3.0])
    _, slope = quantile_loss(PRED.astype(dtype), TARGET, QUANTILES, weight)
    assert slope.dtype == dtype
    step = 2.0**-10
    for place in np.ndindex(PRED.shape):
        if place == (0, 1):
            continue  # the error is 0 there: a corner
        high, low = PRED.copy(), PRED.copy()
        high[place] += step
        low[place] -= step
        losses = [quantile_loss(p, TARGET, QUANTILES, weight)[0] for p in (high, low)]
        quotient = (losses[0] - losses[1]) / (2 * step)
        assert np.float32(quotient) == np.float32(slope[place])


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_least_at_the_quantile(q):
    target = np.arange(101.0)
    losses = [quantile_loss(np.full((101, 1), level), target, [q])[0] for level in target]
    assert np.argmin(losses) == round(100 * q)


def test_targets_without_weight_may_be_unknown():
    known, slope_known = quantile_loss(PRED[:1], TARGET[:1], QUANTILES)
    loss, slope = quantile_loss(PRED, [2.0, np.nan], QUANTILES, [1.0, 0.0])
    assert loss == known
    assert np.array_equal(slope, [*slope_known, [0, 0, 0, 0]])


@pytest.mark.parametrize(
    "error, arguments",
    [
        (DTypeError, (PRED.astype(int), TARGET, QUANTILES)),
        (ShapeError, (PRED[:, :2], TARGET, QUANTILES)),
        (ShapeError, (PRED, TARGET[:1], QUANTILES)),
        (ShapeError, (PRED[:0], TARGET[:0], QUANTILES)),
        (ShapeError, (PRED, TARGET, QUANTILES, np.ones(3))),
        (ArgumentError, (PRED, TARGET, (0.1, 0.5, 1.0))),
        (ArgumentError, (PRED, TARGET, QUANTILES, [-1.0, 2.0])),
        (ArgumentError, (PRED, TARGET, QUANTILES, [0.0, 0.0])),
    ],
    ids=["integers", "quantiles", "target", "empty", "weight-shape", "quantile-1", "negative", "no-weight"],
)
def test_refusals(error, arguments):
    with pytest.raises(error):
        quantile_loss(*arguments)
