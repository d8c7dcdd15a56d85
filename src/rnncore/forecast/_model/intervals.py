# SPDX-License-Identifier: MIT
"""Prediction intervals from errors on windows that the networks did not train on (split conformal prediction).

The network says how uncertain it is at each step by its quantiles 0.1 and 0.9; errors measured in these widths
then say how many widths an interval of any level needs. Sources: Romano et al. 2019, Vovk et al. 2005.
"""

from __future__ import annotations

import numpy as np

from ...errors import ArgumentError

FLOOR = 1e-6
"""The narrowest width, in spreads of the series: nothing is divided by zero."""


def widths(quantiles, spread):
    """(below, above) the median of quantiles (n, horizon, 3), each (n, horizon); `spread` (n,)."""
    floor = FLOOR * spread[:, np.newaxis]
    low, median, high = np.moveaxis(quantiles, -1, 0)
    return np.maximum(median - low, floor), np.maximum(high - median, floor)


def scores(quantiles, truth, there, spread):
    """How far the truth lay below and above the median, in widths, (2, n, horizon); NaN where it is not known."""
    median = quantiles[..., 1]
    below, above = widths(quantiles, spread)
    found = np.stack([(median - truth) / below, (truth - median) / above])
    return np.where(there, found, np.nan)


def factors(found, level):
    """Widths below and above that hold `level` of the scores `found` (2, n, horizon), as (2, horizon).

    The quantile carries the finite-sample correction of split conformal prediction.
    """
    n = np.isfinite(found[0]).sum(axis=0)
    tails = np.minimum((1.0 + level) / 2.0 * (n + 1) / np.maximum(n, 1), 1.0)
    return np.array([[np.nanquantile(side[:, h], tails[h]) for h in range(side.shape[1])] for side in found])


def bounds(quantiles, found, level, spread):
    """Lower and upper bounds (n, horizon) that hold `level` of the truth, around the median."""
    below, above = widths(quantiles, spread)
    down, up = np.maximum(factors(found, level), 0.0)
    median = quantiles[..., 1]
    return median - down * below, median + up * above


def check_levels(levels):
    """Return levels as a tuple of floats in (0, 1), ascending and each once."""
    levels = (levels,) if isinstance(levels, (int, float)) else tuple(levels)
    for level in levels:
        if isinstance(level, bool) or not isinstance(level, (int, float)) or not 0 < level < 1:
            raise ArgumentError("levels", "numbers between 0 and 1", repr(level))
    return tuple(sorted({float(level) for level in levels}))
