# SPDX-License-Identifier: MIT
"""Series and a fast model for the tests of the forecaster."""

import numpy as np

FAST = {"horizon": 4, "context": 10, "seasons": (6,), "hidden_size": 3, "batch_size": 8, "steps": 20}


def waves(n=120, seed=0):
    """A season of six with a trend and some noise, above zero."""
    time = np.arange(n)
    return 5 + 0.02 * time + np.sin(2 * np.pi * time / 6) + 0.1 * np.random.default_rng(seed).normal(size=n)


def logistic(n, start=0.3):
    """The logistic map: each value is a parabola of the one before, which no regression sees."""
    values = [start]
    for _ in range(n - 1):
        values.append(3.8 * values[-1] * (1 - values[-1]))
    return np.array(values)


def stop_after(steps, error):
    """A callback that raises `error` after so many steps."""
    count = iter(range(1, steps + 1))

    def progress(_):
        if next(count) == steps:
            raise error

    return progress
