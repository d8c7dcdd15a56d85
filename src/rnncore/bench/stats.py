# SPDX-License-Identifier: MIT
"""Summaries of timed calls: medians, quartiles and tails, and ratios between interleaved systems."""

from collections.abc import Sequence
from typing import Any

import numpy as np

TAILS = {"p99": (0.99, 100), "p999": (0.999, 1000)}
"""Quantile and the fewest samples it is quoted for: with less, the quantile is just the maximum."""


def summarise(rounds: Sequence[np.ndarray]) -> dict[str, Any]:
    """Summarise the calls of one system.

    Parameters
    ----------
    rounds : sequence of float64 arrays
        Seconds of each call, one array per round, none empty.

    Returns
    -------
    dict
        ``median``, ``q1``, ``q3``, ``p99``, ``p999`` (None with too few samples) in seconds over all calls;
        ``samples``; ``rounds``, the median of each round.

    Raises
    ------
    ValueError
        No round, or an empty one.
    """
    if not rounds or any(len(part) == 0 for part in rounds):
        raise ValueError("rounds: expected at least one round with at least one call each, got an empty one")
    calls = np.concatenate(rounds)
    q1, median, q3 = np.quantile(calls, (0.25, 0.5, 0.75))
    summary = {"median": float(median), "q1": float(q1), "q3": float(q3)}
    for name, (quantile, enough) in TAILS.items():
        summary[name] = float(np.quantile(calls, quantile)) if len(calls) >= enough else None
    summary["samples"] = len(calls)
    summary["rounds"] = [float(np.median(part)) for part in rounds]
    return summary


def paired_ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """Median over rounds of slow / fast: a drift of the machine that hits both in a round cancels.

    Parameters
    ----------
    slow, fast : sequences of the same length
        Medians of the rounds.
    """
    return float(np.median(np.asarray(slow) / np.asarray(fast)))


def add_ratios(systems: list[dict[str, Any]]) -> None:
    """Give every correct system its best other: sets ``best_other`` and ``ratio`` (above 1: faster than it),
    or None.

    A system marked ``ours`` is compared with the best peer, not with its own variants; a peer likewise.
    """
    correct = [system for system in systems if system["status"] == "ok"]
    for system in systems:
        system["best_other"] = system["ratio"] = None
        others = [other for other in correct if other is not system and not other["ours"]]
        if system["status"] == "ok" and others:
            best = min(others, key=lambda other: other["median"])
            system["best_other"] = best["name"]
            system["ratio"] = paired_ratio(best["rounds"], system["rounds"])


def geometric_mean(values: Sequence[float]) -> float:
    """Geometric mean of positive numbers. ValueError when there are none."""
    if not len(values):
        raise ValueError("values: expected at least one, got none")
    return float(np.exp(np.mean(np.log(np.asarray(values, dtype=float)))))
