# SPDX-License-Identifier: MIT
"""Covering arrays: few rows in which every combination of values of any few factors stands at least once."""

import itertools
import math

import numpy as np


def covering_rows(factors, strength, candidates=30, seed=0):
    """Rows of a covering array, the same ones in every run.

    Parameters
    ----------
    factors : dict of str to sequence
        The values of each factor.
    strength : int
        For any so many factors, each combination of their values is in some row.
    candidates, seed : int
        Each row is the best of so many random ones, which begin with a combination that is still missing.

    Returns
    -------
    list of dict of str to value
    """
    rng = np.random.default_rng(seed)
    sizes = np.array([len(values) for values in factors.values()])
    groups = np.array(list(itertools.combinations(range(len(sizes)), strength)))
    # Combinations are numbered through, group by group, in C order of the values within it.
    steps = np.array([[math.prod(sizes[group[k + 1 :]]) for k in range(strength)] for group in groups])
    starts = np.concatenate([[0], np.cumsum(sizes[groups].prod(axis=1))])
    missing = np.ones(starts[-1], bool)

    def combinations(pool):
        return starts[:-1] + (pool[:, groups] * steps).sum(axis=-1)

    rows = []
    while missing.any():
        pool = rng.integers(0, sizes, (candidates, len(sizes)))
        for candidate, number in zip(pool, rng.choice(np.flatnonzero(missing), candidates), strict=True):
            group = np.searchsorted(starts, number, side="right") - 1
            candidate[groups[group]] = np.unravel_index(number - starts[group], sizes[groups[group]])
        found = combinations(pool)
        best = np.argmax(missing[found].sum(axis=1))
        missing[found[best]] = False
        rows.append({name: values[k] for (name, values), k in zip(factors.items(), pool[best], strict=True)})
    return rows
