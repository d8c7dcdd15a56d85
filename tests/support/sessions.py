# SPDX-License-Identifier: MIT
"""What tests of session pools share: a chain with every kind of state, and the streams that a pool stands for."""

import numpy as np

import rnncore
from rnncore import nn


def chain(seed=0):
    """Layers of both kinds of state, in a chain within a chain, and modules before, between and behind them."""
    inner = nn.Sequential(
        nn.Linear(5, 4, seed=seed), rnncore.LSTM(4, 6, num_layers=2, proj_size=2, seed=seed)
    )
    return nn.Sequential(
        nn.Linear(4, 3, seed=seed), rnncore.GRU(3, 5, seed=seed), inner, nn.Linear(2, 3, seed=seed)
    )


def inputs(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


class Solo:
    """A stream for each session, as one would have them without a pool."""

    def __init__(self, model):
        self.model, self.streams = model, {}

    def step(self, ids, x):
        for one in ids:
            if one not in self.streams:
                self.streams[one] = self.model.stream()
        steps = [self.streams[one].step(row[np.newaxis]) for one, row in zip(ids, x, strict=True)]
        return np.concatenate(steps)
