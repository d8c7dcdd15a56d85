# SPDX-License-Identifier: MIT
"""Small data, a small network, and its training by `fit`."""

import numpy as np

import rnncore
from rnncore import nn

RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(1, 12, 41)
RAGGED = [RNG.random((int(T), 3), dtype=np.float32) for T in LENGTHS]
LABELS = [(x[:, 0] > 0.5).astype(np.int64) for x in RAGGED]
INVERTED = [1 - one for one in LABELS]
FULL = RNG.random((32, 8, 3), dtype=np.float32)
FULL_LABELS = (FULL[:, :, 0] > 0.5).astype(np.int64)


def network(**options):
    gru = rnncore.GRU(3, 6, num_layers=2, dropout=0.3, seed=1, **options)
    return nn.Sequential(gru, nn.Dropout(0.2, seed=2), rnncore.Linear(6, 2, seed=3))


def train(data=(RAGGED, LABELS), model=None, loss=nn.cross_entropy, **options):
    """A trained model's parameters as bytes, and the run."""
    model = network() if model is None else model
    adam = nn.Adam(model, lr=0.02, weight_decay=0.01, clip_norm=0.5)
    run = nn.fit(model, data, loss, adam, **{"epochs": 3, "batch_size": 12} | options)
    return b"".join(array.tobytes() for array in model.parameters().values()), run
