# SPDX-License-Identifier: MIT
"""Learning rates over a run. A schedule is a callable of (step, steps) that gives the rate of a step, 0 .. steps-1."""

from __future__ import annotations

import dataclasses
import math

from ..errors import ArgumentError, shown
from ..spec import check_int


@dataclasses.dataclass(frozen=True)
class Cosine:
    """A rate that rises for `warmup` steps and then falls from `lr` to `low` on half a cosine.

    Parameters
    ----------
    lr, low : float
        From 0 on.
    warmup : int

    Raises
    ------
    ArgumentError
        One of them is something else.

    Notes
    -----
    The cosine is computed by additions and multiplications alone, so that it is the same on every machine.

    Examples
    --------
    >>> rate = rnncore.nn.Cosine(0.1, warmup=2)
    >>> [round(rate(step, 6), 4) for step in range(6)]
    [0.05, 0.1, 0.1, 0.0854, 0.05, 0.0146]
    """

    lr: float
    low: float = 0.0
    warmup: int = 0

    def __post_init__(self) -> None:
        for name in ("lr", "low"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise ArgumentError(name, "a number from 0 on", shown(value))
        check_int("warmup", self.warmup, 0)

    def __call__(self, step: int, steps: int) -> float:
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        share = (step - self.warmup) / max(steps - self.warmup, 1)
        return self.low + (self.lr - self.low) * 0.5 * (1.0 + cos_pi(min(share, 1.0)))


def cos_pi(x: float) -> float:
    """cos(pi * x) for x in 0..1, by its Taylor series around 1/2, where it is -sin(pi * (x - 1/2))."""
    z = math.pi * (x - 0.5)
    term, total = z, z
    for k in range(3, 22, 2):
        term *= -z * z / (k * (k - 1))
        total += term
    return -total
