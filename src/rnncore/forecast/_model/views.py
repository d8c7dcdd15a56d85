# SPDX-License-Identifier: MIT
"""Two ways to see values: as they are, or in logarithms; and the level from which a forecast starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...engine import sums

LOG_OFFSET = 0.02
"""Values are seen as log(value / mean + LOG_OFFSET): zeros count as a fiftieth of the mean, not as nothing."""
LARGEST = 20.0
"""Logarithms above this are cut, so that an untrained network cannot overflow."""


def _log(values):
    return sums.apply("log", np.maximum(values, 0.0) + LOG_OFFSET)


def _exp(seen):
    return _exp_slope(seen) - LOG_OFFSET


def _exp_slope(seen):
    return sums.apply("exp", np.minimum(seen, LARGEST))


VIEWS = {
    # name: (to the view, back, slope of the way back)
    "level": (lambda v: v, lambda s: s, np.ones_like),
    "log": (_log, _exp, _exp_slope),
}


@dataclass(frozen=True)
class Lens:
    """A view with the scale of each line: a value is seen as ``f((value - centre) / unit)``.

    Attributes
    ----------
    view : str
        Name in VIEWS.
    centre, unit : float64 (S,)
        Mean and standard deviation of a line, or 0 and its mean where the view is logarithmic.
    spread : float64 (S,)
        Standard deviation of a line; errors are measured in it, whatever the view.
    level_input : bool
        Whether the level itself is an input. It says where a series returns to, and misleads where levels are new.
    """

    view: str
    centre: np.ndarray
    unit: np.ndarray
    spread: np.ndarray
    level_input: bool = True

    @classmethod
    def of(cls, view, panel):
        """The lens that fits the values of `panel`."""
        lines = [
            panel.values[start:end][panel.seen[start:end]]
            for start, end in zip(panel.starts, panel.ends, strict=True)
        ]
        mean, spread = np.array([v.mean() for v in lines]), np.array([v.std() for v in lines])
        spread = np.where(spread > 0, spread, 1.0)
        centre, unit = (np.zeros_like(mean), mean) if view == "log" else (mean, spread)
        return cls(view, centre, unit, spread)

    def scaled(self, values, which):
        """Values of lines `which` in units of their line."""
        return (values - self.centre[which]) / self.unit[which]

    def see(self, values, which):
        """Values as the view shows them."""
        return VIEWS[self.view][0](self.scaled(values, which))

    def back(self, seen, which):
        """Reverse of `see`."""
        return VIEWS[self.view][1](seen) * self.unit[which] + self.centre[which]

    def slope(self, seen, which):
        """Derivative of `back`."""
        return VIEWS[self.view][2](seen) * self.unit[which]


def possible_views(panel):
    """Views that fit `panel`: logarithms only where no value is negative and every line has a positive mean."""
    positive = all(
        panel.values[start:end].min() >= 0 and panel.values[start:end].max() > 0
        for start, end in zip(panel.starts, panel.ends, strict=True)
    )
    return ("level", "log") if positive else ("level",)


def running_level(panel, lens, rows):
    """Level before every row: the mean of up to `rows` values of its line before it, as `lens` sees it; (R,)."""
    total = np.concatenate([[0.0], np.cumsum(panel.values)])
    here = np.arange(len(panel.values))
    start = np.maximum(here - rows, panel.starts[panel.which])
    mean = (total[here] - total[start]) / np.maximum(here - start, 1)
    return lens.see(np.where(here > start, mean, panel.values), panel.which)
