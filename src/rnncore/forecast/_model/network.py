# SPDX-License-Identifier: MIT
"""One network of a `Forecaster`: it reads the past rows of a window and goes on over the rows to come.

    s_t = cell(x_t, s_{t-1}),   o_t = W s_t + b,   q_t = back(a_h + d_h o_t)

`x_t` is a row of `windows`; a_h, the anchor, is the level before the origin or the linear path's forecast h steps
ahead, and d_h how far values are from it in the training part. The three outputs are the quantiles 0.1, 0.5 and 0.9;
training minimises their quantile loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ... import layers
from ...errors import ArgumentError, shown
from ...nn import Adam, Linear, quantile_loss
from ...nn.schedules import cos_pi
from ...spec import CELLS

QUANTILES = np.array([0.1, 0.5, 0.9])
MEDIAN = 1
START = np.array([-1.0, 0.0, 1.0], np.float32)
"""Outputs before training, about the quantiles of a normal distribution."""
CHUNK = 512
"""Windows that are forecast in one call: their inputs stay within some megabytes."""


def title_of(cell):
    """The name of a cell's layer; ArgumentError unless it is a cell."""
    if not isinstance(cell, str) or cell not in CELLS:
        raise ArgumentError("cell", "one of " + ", ".join(CELLS), shown(cell))
    return CELLS[cell].title


@dataclass
class Member:
    """A network with the linear path that it reads; `anchor` is "level" or "linear", `spread` (horizon,) is d_h."""

    path: object
    anchor: str
    spread: np.ndarray
    layer: object
    head: Linear

    @classmethod
    def make(cls, path, anchor, spread, width, cell, hidden_size, seed):
        """A new network for inputs of this width; its head gives START until it is trained."""
        layer = getattr(layers, title_of(cell))(width, hidden_size, seed=seed)
        head = Linear(hidden_size, len(QUANTILES), seed=0)
        head.update_parameters({"weight": np.zeros_like(head.parameters()["weight"]), "bias": START})
        return cls(path, anchor, spread, layer, head)

    def inputs(self, windows, origins):
        """Inputs of the windows, the linear path's forecasts among them, and those alone (n, horizon)."""
        x = windows.inputs(origins)
        linear = self.path(*windows.parts(x))
        x[windows.shape.context :, :, -1] = linear.T
        return x, linear

    def relative(self, outputs, linear):
        """Outputs (horizon, n, 3) as quantiles relative to the level, (n, horizon, 3), float64."""
        relative = outputs.swapaxes(0, 1).astype(np.float64) * self.spread[:, np.newaxis]
        return relative + linear[..., np.newaxis] if self.anchor == "linear" else relative

    def forecast(self, windows, origins, num_threads=None):
        """Quantiles (n, horizon, 3), in order, in the units of the series."""
        found = []
        for some in np.array_split(origins, -(-len(origins) // CHUNK)):
            x, linear = self.inputs(windows, some)
            y, _ = self.layer(x, num_threads=num_threads)
            outputs = self.head(y[windows.shape.context :])
            found.append(np.sort(windows.back(self.relative(outputs, linear), some), axis=-1))
        return np.concatenate(found)


class Drawn(NamedTuple):
    """A batch of windows: origins, inputs, the linear path's forecasts, and what dropout leaves of the outputs."""

    origins: np.ndarray
    x: np.ndarray
    linear: np.ndarray
    mask: np.ndarray


class Job:
    """The training of one member: its windows, its optimiser, and its best parameters so far."""

    def __init__(self, member, windows, train, valid, weight, settings, seed):
        self.member, self.windows = member, windows
        self.train, self.valid, self.weight, self.settings = train, valid, weight, settings
        self.rng = np.random.default_rng(seed)
        self.optimizer = Adam(
            [member.layer, member.head], lr=settings.lr, weight_decay=settings.weight_decay, clip_norm=1.0
        )
        self.best, self.best_state = np.inf, self.state()

    def kind(self):
        """What jobs that can be trained together have in common."""
        shape, member = self.windows.shape, self.member
        return repr((member.layer, member.head, self.settings, shape.context, shape.horizon))

    def draw(self):
        """The batch of a step."""
        settings, horizon = self.settings, self.windows.shape.horizon
        origins = self.rng.choice(self.train, settings.batch_size)
        x, linear = self.member.inputs(self.windows, origins)
        shape = (horizon, len(origins), settings.hidden_size)
        kept = self.rng.random(shape, dtype=np.float32) >= settings.dropout
        return Drawn(origins, x, linear, kept.astype(np.float32) / np.float32(1 - settings.dropout))

    def loss(self, outputs, origins, linear):
        """Quantile loss in spreads of the lines, and its gradient with respect to the outputs."""
        windows, member = self.windows, self.member
        lines = windows.lines(origins)
        values, there = windows.targets(origins)
        spread = windows.lens.spread[lines]
        relative = member.relative(outputs, linear)
        quantiles = windows.back(relative, origins) / spread[..., np.newaxis]
        loss, slope = quantile_loss(quantiles, values / spread, QUANTILES, self.weight * there)
        level = windows.level[origins][:, np.newaxis, np.newaxis]
        slope *= windows.lens.slope(relative + level, lines[..., np.newaxis]) / spread[..., np.newaxis]
        slope *= member.spread[:, np.newaxis]
        return loss, slope.swapaxes(0, 1).astype(np.float32)

    def judge(self):
        """Loss on the validation windows; the parameters are kept if they are the best so far."""
        member, total = self.member, 0.0
        for some in np.array_split(self.valid, -(-len(self.valid) // CHUNK)):
            x, linear = member.inputs(self.windows, some)
            y, _ = member.layer(x, num_threads=self.settings.num_threads)
            total += self.loss(member.head(y[self.windows.shape.context :]), some, linear)[0] * len(some)
        error = total / len(self.valid)
        if error < self.best:
            self.best, self.best_state = error, self.state()
        return error

    def state(self):
        """Copies of the parameters: (layer's, head's)."""
        return self.member.layer.state_dict(), self.member.head.state_dict()

    def restore_best(self):
        """Put the best parameters in place."""
        self.member.layer.load_state_dict(self.best_state[0])
        self.member.head.load_state_dict(self.best_state[1])


def learning_rate(share_done):
    """Learning rate of a step as a share of the highest: it rises over a tenth of the run, then falls on a cosine."""
    return min(10.0 * share_done + 0.02, 0.5 + 0.5 * cos_pi(min(share_done, 1.0)))
