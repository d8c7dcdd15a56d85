# SPDX-License-Identifier: MIT
"""What the network reads before and after an origin, laid out once for training, test and forecast.

A window has `context` rows before its origin and `horizon` from it on. The columns of a row t are

    calendar and covariates known ahead | values `lags` rows back | seen, level, value | covariates of the past | linear

From the origin on, what is not known then is zero: seen, value and the covariates of the past. `linear` holds
the forecast of the linear path there, and zero before. Values are relative to the level before the origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .views import running_level


@dataclass(frozen=True)
class Shape:
    """Sizes of windows. `tables`: for each code of a row the numbers it stands for, (codes, width)."""

    context: int
    horizon: int
    lags: tuple[int, ...]
    level_rows: int
    tables: tuple[np.ndarray, ...]

    @property
    def first(self):
        """Rows that a window needs before its origin."""
        return max(self.context, *self.lags, 1)


class Windows:
    """The windows of a `Panel` seen through a `Lens`.

    `scales` are mean and standard deviation of covariates, ``{"known": (2, K), "past": (2, W)}``.
    """

    def __init__(self, panel, lens, shape, scales):
        self.panel, self.lens, self.shape = panel, lens, shape
        self.seen_values = lens.see(panel.values, panel.which)
        self.level = running_level(panel, lens, shape.level_rows)
        self.known, self.past = (
            (getattr(panel, name) - scales[name][0]) / scales[name][1] for name in ("known", "past")
        )
        widths = [table.shape[1] for table in shape.tables]
        self.ahead_width = sum(widths) + self.known.shape[1] + len(shape.lags)
        self.width = self.ahead_width + 3 + self.past.shape[1] + 1

    def inputs(self, origins):
        """Inputs (context + horizon, n, width), float32, `linear` still zero."""
        shape, panel, context = self.shape, self.panel, self.shape.context
        rows = origins + np.arange(-context, shape.horizon)[:, np.newaxis]
        level = self.level[origins]
        x = np.zeros((*rows.shape, self.width), np.float32)
        at = 0
        for number, table in enumerate(shape.tables):
            x[..., at : at + table.shape[1]] = table[panel.codes[rows, number]]
            at += table.shape[1]
        x[..., at : at + self.known.shape[1]] = self.known[rows]
        at += self.known.shape[1]
        start = panel.starts[panel.which[origins]]
        for lag in shape.lags:
            x[..., at] = self.seen_values[np.maximum(rows - lag, start)] - level
            at += 1
        before = rows[:context]
        x[:context, :, at] = panel.seen[before]
        if self.lens.level_input:
            x[..., at + 1] = level / 2
        x[:context, :, at + 2] = self.seen_values[before] - level
        x[:context, :, at + 3 : -1] = self.past[before]
        return x

    def parts(self, x):
        """What the linear path takes from inputs: (n, common) and (horizon, n, ahead_width), float64.

        Common to all steps ahead are the values before the origin, the level, and the newest covariates of the past.
        """
        context, at = self.shape.context, self.ahead_width
        newest = x[context - 1]
        common = np.concatenate(
            [x[:context, :, at + 2].T, newest[:, at + 1 : at + 2], newest[:, at + 3 : -1]], 1
        )
        return common.astype(np.float64), x[context:, :, :at].astype(np.float64)

    def lines(self, origins):
        """Line of each origin, (n, 1)."""
        return self.panel.which[origins][:, np.newaxis]

    def targets(self, origins):
        """Values from each origin on, and whether they were there, each (n, horizon)."""
        rows = origins[:, np.newaxis] + np.arange(self.shape.horizon)
        return self.panel.values[rows], self.panel.seen[rows]

    def back(self, relative, origins):
        """Forecasts relative to the level (n, ...) in the units of the series."""
        shape = (-1,) + (1,) * (relative.ndim - 1)
        return self.lens.back(
            relative + self.level[origins].reshape(shape), self.panel.which[origins].reshape(shape)
        )


def thin(origins, limit):
    """At most `limit` of the origins, ascending, drawn by a fixed seed: an even step might meet one hour of the day."""
    if len(origins) <= limit:
        return origins
    chosen = np.random.default_rng(0).choice(len(origins), limit, replace=False)
    return origins[np.sort(chosen)]
