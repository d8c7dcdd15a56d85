# SPDX-License-Identifier: MIT
"""What ``rnncore verify`` does: train a small model of each cell and hash its parameters.

Sequences of different lengths, two layers in both directions, a linear head, cross-entropy, dropout, clipping, AdamW
and a schedule. All numbers that go in are made of integers, so that the hash depends on what rnncore computes alone.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from . import nn
from .layers import GRU, LSTM, RNN
from .nn.order import key_of, shuffled

CELLS: dict[str, Any] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
SAMPLES, LONGEST, INPUTS, UNITS, CLASSES = 48, 24, 7, 12, 5
EPOCHS, BATCH = 5, 16


def numbers(shape: tuple[int, ...], *words: int) -> np.ndarray:
    """Multiples of 2**-10 from -0.5 to 0.5, as float32.

    Examples
    --------
    >>> from rnncore.verify import numbers
    >>> numbers((4,), 1).tolist()
    [0.5, -0.1669921875, 0.1669921875, -0.5]
    """
    n = int(np.prod(shape))
    ranks = shuffled(n, *words) * 1024 // max(n - 1, 1)
    return ((ranks - 512) / 1024).astype(np.float32).reshape(shape)


def samples(seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Sequences of different lengths and labels of their steps: which of some inputs is largest."""
    lengths = [1 + key_of(seed, k) % LONGEST for k in range(SAMPLES)]
    x = [numbers((T, INPUTS), seed, k) for k, T in enumerate(lengths)]
    return x, [one[:, :CLASSES].argmax(axis=1) for one in x]


def train(cell: str, comm: nn.Comm | None = None, **options: Any) -> str:
    """Train one cell.

    Parameters
    ----------
    cell : {"rnn", "lstm", "gru"}
    comm : optional
        What connects workers.
    **options
        More for `fit`.

    Returns
    -------
    str
        SHA-256 of the parameters, in hexadecimal digits.

    Examples
    --------
    >>> from rnncore.verify import train
    >>> train("gru", epochs=1) == train("gru", epochs=1)
    True
    """
    layer = CELLS[cell](INPUTS, UNITS, num_layers=2, bidirectional=True, dropout=0.25, seed=0)
    model = nn.Sequential(layer, nn.Dropout(0.125, seed=0), nn.Linear(2 * UNITS, CLASSES, seed=0))
    shapes = {name: array.shape for name, array in model.parameters().items()}
    model.update_parameters({name: numbers(shape, 7, k) for k, (name, shape) in enumerate(shapes.items())})
    optimizer = nn.Adam(model, weight_decay=0.125, clip_norm=0.25)
    how = {
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "schedule": nn.Cosine(0.0625, warmup=3),
        "comm": comm,
        "seed": 1,
    }
    nn.fit(model, samples(1), nn.cross_entropy, optimizer, **how | options)
    values = hashlib.sha256()
    for array in model.parameters().values():
        values.update(array.astype("<f4").tobytes())
    return values.hexdigest()


def verify(comm: nn.Comm | None = None) -> dict[str, str]:
    """The hash of each cell, and one of them all, as "all".

    Examples
    --------
    >>> from rnncore.verify import verify
    >>> list(verify())
    ['rnn', 'lstm', 'gru', 'all']
    """
    found = {cell: train(cell, comm) for cell in CELLS}
    return found | {"all": hashlib.sha256(" ".join(found.values()).encode()).hexdigest()}
