# SPDX-License-Identifier: MIT
"""The linear path: a ridge regression for every step ahead, on the network's own inputs.

It is what the network is compared with, and its forecast is one of the network's inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .windows import thin

STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
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


@dataclass(frozen=True)
class _Moments:
    """Means, scales, and the eigenvectors of the correlations of one step's inputs."""

    mean: np.ndarray
    scale: np.ndarray
    target: float
    values: np.ndarray
    vectors: np.ndarray
    projected: np.ndarray

    @classmethod
    def of(cls, inputs, targets):
        mean, target = inputs.mean(0), targets.mean()
        centred = inputs - mean
        products = centred.T @ centred / len(inputs)
        # Inputs that never change keep a weight of zero.
        scale = np.sqrt(np.maximum(products.diagonal(), 1e-12))
        values, vectors = np.linalg.eigh(products / np.outer(scale, scale))
        return cls(
            mean,
            scale,
            target,
            np.maximum(values, 0.0),
            vectors,
            vectors.T @ (centred.T @ (targets - target) / len(inputs) / scale),
        )

    def solve(self, strength):
        """Weights and bias with this penalty."""
        weight = self.vectors @ (self.projected / (self.values + strength)) / self.scale
        return weight, self.target - self.mean @ weight


def fit_linear(windows, train, valid=None, strength=None):
    """Fit the linear path on the origins `train`.

    Parameters
    ----------
    windows : Windows
    train : int (n,)
    valid : int (m,), optional
        Where the penalty is chosen, by the absolute error in the units of the series.
    strength : float, optional
        The penalty, if it is not to be chosen.

    Returns
    -------
    path : LinearPath
    strength : float
    missed : float64 (horizon,)
        Mean absolute error on `valid` for every step ahead, in spreads of the lines; NaN without `valid`.

    Notes
    -----
    One eigendecomposition for every step ahead serves all penalties.
    """
    horizon = windows.shape.horizon
    strengths = STRENGTHS if strength is None else (strength,)
    train = thin(train, MAX_CELLS // horizon)
    parts, wanted = windows.parts(windows.inputs(train)), _seen_targets(windows, train)
    judged = None if valid is None else (windows.parts(windows.inputs(valid)), windows.targets(valid))
    solutions, missed = [], np.full((len(strengths), horizon), np.nan)
    for step in range(horizon):
        targets, there = wanted[0][:, step], wanted[1][:, step]
        inputs = np.concatenate([parts[0], parts[1][step]], axis=1)[there]
        moments = _Moments.of(inputs, targets[there])
        solutions.append([moments.solve(s) for s in strengths])
        if judged is not None:
            missed[:, step] = _judge(windows, valid, judged, step, solutions[-1])
    best = 0 if judged is None else int(np.argmin(missed.mean(axis=1)))
    weight, bias = zip(*(found[best] for found in solutions), strict=True)
    return LinearPath(np.stack(weight), np.array(bias)), strengths[best], missed[best]


def _seen_targets(windows, origins):
    """Targets relative to the level, as the lens sees them, and whether they were there."""
    values, there = windows.targets(origins)
    return windows.lens.see(values, windows.lines(origins)) - windows.level[origins][:, np.newaxis], there


def _judge(windows, valid, judged, step, solutions):
    """Mean absolute error of each solution on `valid`, in spreads of the lines."""
    (common, ahead), (values, there) = judged
    inputs = np.concatenate([common, ahead[step]], axis=1)
    weight, bias = zip(*solutions, strict=True)
    forecasts = windows.back(inputs @ np.stack(weight, axis=1) + np.array(bias), valid)
    spread = windows.lens.spread[windows.panel.which[valid]]
    errors = np.abs(forecasts - values[:, step, np.newaxis]) / spread[:, np.newaxis]
    return errors[there[:, step]].mean(axis=0)
