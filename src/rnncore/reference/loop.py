# SPDX-License-Identifier: MIT
"""The time loop of one layer in one direction, forward and backward, with ragged rows and zoneout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .parts import Arrays, Weights


def walk(T: int, lengths: np.ndarray, reverse: bool) -> Iterator[tuple[int, np.ndarray]]:
    """Steps in the order of computation, each with the rows that are valid there.

    A row takes part in step t iff t < its length; otherwise it keeps its state.  So the forward direction
    ends, and the reverse direction starts, at each row's own last step.
    """
    for t in range(T - 1, -1, -1) if reverse else range(T):
        yield t, np.flatnonzero(lengths > t)


# Zoneout (Krueger et al. 2017) of any cell's h, and of the LSTM's c: new is what the cell gives, and the LSTM's m sees
# c before zoneout.  z is 1 with probability p, else 0; without a tape it is its expectation, p.
#
#   h_t = z * h_{t-1} + (1 - z) * new
#
#   dnew = (1 - z) * dh_t           dh_{t-1} += z * dh_t


class Zone:
    """Zoneout of one part of the state: `keep` and `take`, float64 scalars or (T, N, features) of 0 and 1."""

    def __init__(self, keep: float | np.ndarray, take: float | np.ndarray) -> None:
        self.keep: float | np.ndarray = keep
        self.take: float | np.ndarray = take

    def of(self, rows: Any) -> Zone:
        """The zone of some rows of the batch."""
        return Zone(self.keep[:, rows], self.take[:, rows]) if np.ndim(self.keep) else self

    def at(self, t: int, rows: np.ndarray) -> tuple[float | np.ndarray, float | np.ndarray]:
        """`keep` and `take` of a step."""
        return (self.keep[t, rows], self.take[t, rows]) if np.ndim(self.keep) else (self.keep, self.take)


NO_ZONES: tuple[Zone, ...] = (Zone(0.0, 1.0),) * 2


def zone_forward(zone: Zone, t: int, rows: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The new value of a part of the state; a factor of 0 takes nothing, not even NaN."""
    keep, take = zone.at(t, rows)
    return np.where(keep == 0, new, np.where(take == 0, old, keep * old + take * new))


def run_forward(
    step: Callable[..., Any],
    w: Weights,
    x: np.ndarray,
    state: Arrays,
    lengths: np.ndarray,
    reverse: bool,
    zones: Sequence[Zone] = NO_ZONES,
) -> tuple[np.ndarray, list[Any]]:
    """One layer, one direction.

    Parameters
    ----------
    x : float64 (T, N, in)
    state : tuple of float64 (N, features); updated in place to the final state
    lengths : int (N,)
    zones : Zone of each part of the state

    Returns
    -------
    y : float64 (T, N, H or P), zero at padding
    records : list, what the backward pass needs, one entry per step in order of computation
    """
    T, N, _ = x.shape
    y = np.zeros((T, N, state[0].shape[1]))
    records = []
    for t, rows in walk(T, lengths, reverse):
        new, saved = step(w, x[t, rows], tuple(part[rows] for part in state))
        for part, part_new, zone in zip(state, new, zones, strict=False):
            part[rows] = zone_forward(zone, t, rows, part[rows], part_new)
        y[t, rows] = state[0][rows]
        records.append((t, rows, saved))
    return y, records


def run_backward(
    step: Callable[..., Any],
    w: Weights,
    dw: Weights,
    records: list[Any],
    x_shape: tuple[int, ...],
    dy: np.ndarray,
    dstate: Arrays,
    zones: Sequence[Zone] = NO_ZONES,
) -> np.ndarray:
    """Reverse `run_forward`: adds to `dw`, turns `dstate` into the initial state's gradient, gives dx."""
    dx = np.zeros(x_shape)
    for t, rows, saved in reversed(records):
        dh, *others = (part[rows] for part in dstate)
        after = (dh + dy[t, rows], *others)
        factors = [zone.at(t, rows) for zone in zones[: len(after)]]
        new = tuple(take * part for (_, take), part in zip(factors, after, strict=True))
        dx[t, rows], before = step(w, dw, saved, new)
        for part, part_before, d, (keep, _) in zip(dstate, before, after, factors, strict=True):
            part[rows] = part_before + keep * d
    return dx
