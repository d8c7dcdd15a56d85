# SPDX-License-Identifier: MIT
"""The linear path: a ridge regression for every step ahead, on the network's own inputs.

It is what the network is compared with, and its forecast is one of the network's inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from .windows import thin

STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 10.0)
"""Penalties to choose from; inputs have variance one."""
MAX_CELLS = 250_000
"""Windows times steps ahead that are fitted; neighbouring windows say almost the same, so more are thinned."""


@dataclass(frozen=True)
class LinearPath:
    """Weights (horizon, inputs) and bias (horizon,); the forecast is relative to the level, as the lens sees it."""

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, common, ahead):
        """Forecasts (n, horizon) of `Windows.parts`."""
        split = common.shape[1]
        steps = np.matmul(ahead, self.weight[:, split:, np.newaxis])[..., 0].T
        return common @ self.weight[:, :split].T + steps + self.bias

    def forecast(self, windows, origins):
        """Forecasts (n, horizon) in the units of the series."""
        return windows.back(self(*windows.parts(windows.inputs(origins))), origins)


@dataclass(frozen=True, order=True)
class Choice:
    """How a linear path is fitted: whether the level is an input, what it is drawn to, and how strongly."""

    level_input: bool
    prior: str
    strength: float


@dataclass(frozen=True)
class _Moments:
    """Means, scales, and the eigenvectors of the correlations of one step's inputs."""

    mean: np.ndarray
    scale: np.ndarray
    values: np.ndarray
    vectors: np.ndarray
    target: float
    projected: np.ndarray

    @classmethod
    def both(cls, inputs, targets, level):
        """By whether input number `level` is used, the moments of the inputs."""
        mean, target = inputs.mean(0), targets.mean()
        centred = inputs - mean
        products, slopes = centred.T @ centred / len(inputs), centred.T @ (targets - target) / len(inputs)
        found = {True: cls._of(mean, target, products, slopes)}
        products, slopes = products.copy(), slopes.copy()
        products[level], products[:, level], slopes[level] = 0.0, 0.0, 0.0
        return found | {False: cls._of(mean, target, products, slopes)}

    @classmethod
    def _of(cls, mean, target, products, slopes):
        # Inputs that never change keep a weight of zero.
        scale = np.sqrt(np.maximum(products.diagonal(), 1e-12))
        values, vectors = np.linalg.eigh(products / np.outer(scale, scale))
        return cls(mean, scale, np.maximum(values, 0.0), vectors, target, vectors.T @ (slopes / scale))

    def solve(self, strength, prior):
        """Weights and bias with this penalty on the distance from a weight of one for input number `prior`, if any."""
        start = np.zeros_like(self.mean)
        if prior is not None:
            start[prior] = 1.0
        pull = self.vectors.T @ (start * self.scale)
        found = (self.projected + strength * pull) / (self.values + strength)
        weight = self.vectors @ found / self.scale
        return weight, self.target - self.mean @ weight


@dataclass(frozen=True)
class Candidates:
    """Linear paths with every choice, and what each misses on the validation windows.

    Attributes
    ----------
    choices : list of Choice
    weight : float64 (choices, horizon, inputs)
    bias : float64 (choices, horizon)
    missed : float64 (choices, horizon)
        Mean absolute error in spreads of the lines; NaN without validation windows.
    """

    choices: list
    weight: np.ndarray
    bias: np.ndarray
    missed: np.ndarray

    def path(self, choice):
        """The linear path of this choice."""
        number = self.choices.index(choice)
        return LinearPath(self.weight[number], self.bias[number])


def fit_linear(windows, train, valid=None, choice=None):
    """Fit linear paths on the origins `train`, one with every choice.

    Parameters
    ----------
    windows : Windows
        With the level as an input.
    train : int (n,)
    valid : int (m,), optional
        Where it is seen what each misses.
    choice : Choice, optional
        The only one to try.

    Returns
    -------
    Candidates

    Notes
    -----
    Two eigendecompositions for every step ahead serve all of them.
    """
    horizon, places = windows.shape.horizon, _places(windows)
    choices = (
        [Choice(*found) for found in product((True, False), places, STRENGTHS)]
        if choice is None
        else [choice]
    )
    train = thin(train, MAX_CELLS // horizon)
    parts, wanted = windows.parts(windows.inputs(train)), _seen_targets(windows, train)
    judged = None if valid is None else (windows.parts(windows.inputs(valid)), windows.targets(valid))
    weights, biases, missed = [], [], np.full((len(choices), horizon), np.nan)
    for step in range(horizon):
        targets, there = wanted[0][:, step], wanted[1][:, step]
        inputs = np.concatenate([parts[0], parts[1][step]], axis=1)[there]
        moments = _Moments.both(inputs, targets[there], windows.shape.context)
        solved = (moments[c.level_input].solve(c.strength, places[c.prior]) for c in choices)
        weight, bias = zip(*solved, strict=True)
        weights.append(np.stack(weight))
        biases.append(np.array(bias))
        if judged is not None:
            missed[:, step] = _judge(windows, valid, judged, step, weights[-1], biases[-1])
    return Candidates(choices, np.stack(weights, axis=1), np.stack(biases, axis=1), missed)


def _places(windows):
    """What a strong penalty can draw the forecast to, with the number of that input.

    That is the level, from which forecasts are counted, the last value, or the value of the last season known ahead.
    """
    shape = windows.shape
    places = {"level": None, "last value": shape.context - 1}
    if shape.lags:
        common = shape.context + 1 + windows.past.shape[1]
        places["season"] = common + windows.ahead_width - len(shape.lags)
    return places


def _seen_targets(windows, origins):
    """Targets relative to the level, as the lens sees them, and whether they were there."""
    values, there = windows.targets(origins)
    return windows.lens.see(values, windows.lines(origins)) - windows.level[origins][:, np.newaxis], there


def _judge(windows, valid, judged, step, weights, biases):
    """Mean absolute error on `valid`, in spreads of the lines, of weights (choices, inputs) and biases (choices,)."""
    (common, ahead), (values, there) = judged
    inputs = np.concatenate([common, ahead[step]], axis=1)
    forecasts = windows.back(inputs @ weights.T + biases, valid)
    spread = windows.lens.spread[windows.panel.which[valid]]
    errors = np.abs(forecasts - values[:, step, np.newaxis]) / spread[:, np.newaxis]
    return errors[there[:, step]].mean(axis=0)
