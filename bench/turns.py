# SPDX-License-Identifier: MIT
"""What the scripts beside this one share: calls that are timed in turn, so that what disturbs one disturbs all."""

import time

import numpy as np


def seconds(call):
    """Time of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measure(calls, rounds):
    """Shortest time of each call, called in turn."""
    for call in calls:
        call()
    return np.min([[seconds(call) for call in calls] for _ in range(rounds)], axis=0)


def data(*shape):
    """Random numbers, the same in every run."""
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)
