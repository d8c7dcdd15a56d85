# SPDX-License-Identifier: MIT
"""Sequences to score, models that score them, and what each must get: each sequence by itself, in a batch of one."""

import hashlib
import os
import signal
import uuid
from pathlib import Path

import numpy as np
import pyarrow

import rnncore
from rnncore import nn
from rnncore.cluster import Scorer
from rnncore.cluster import scorer as scorers
from rnncore.engine.threads import given_threads


def _chain(*modules):
    return nn.Sequential(*modules)


MODELS = {
    "layer": (3, lambda: rnncore.LSTM(3, 4, seed=0)),
    "both directions, rows first": (
        3,
        lambda: rnncore.GRU(3, 2, bidirectional=True, batch_first=True, seed=0),
    ),
    "one number a step": (1, lambda: _chain(rnncore.GRU(1, 4, seed=0), nn.Linear(4, 1, seed=1))),
    "classes a sequence": (
        2,
        lambda: _chain(
            nn.Recurrent(rnncore.LSTM(2, 4, seed=0), return_sequences=False), nn.Linear(4, 3, seed=1)
        ),
    ),
    "a number a sequence, float64": (
        1,
        lambda: _chain(
            nn.Recurrent(rnncore.RNN(1, 4, dtype="float64", seed=0), return_sequences=False),
            nn.Linear(4, 1, dtype="float64", seed=1),
        ),
    ),
    "words": (None, lambda: _chain(nn.Embedding(9, 4, seed=0), rnncore.GRU(4, 3, seed=1))),
}
"""Features of a step (None: an integer) and the model."""


def sequences(features, lengths, seed=0):
    """Nested lists of float32 numbers; of integers where there are no features."""
    rng = np.random.default_rng(seed)
    if features is None:
        return [rng.integers(0, 9, T).tolist() for T in lengths]
    shape = () if features == 1 else (features,)
    return [rng.standard_normal((T, *shape), dtype=np.float32).tolist() for T in lengths]


def kind(features, dtype=None, large=False, size=None):
    """Arrow's type of a column of such sequences."""
    number = dtype or (pyarrow.int32() if features is None else pyarrow.float32())
    step = number if features in (None, 1) else pyarrow.list_(number, features)
    if size is not None:
        return pyarrow.list_(step, size)
    return pyarrow.large_list(step) if large else pyarrow.list_(step)


def alone(model, features, row, steps="all"):
    """The result of one sequence as Arrow shows it; None where there is none."""
    if row is None:
        return None
    model = nn.Recurrent(model) if hasattr(model, "spec") else model
    leaves = model.leaves().values() if hasattr(model, "leaves") else [model]
    specs = [leaf.spec for leaf in leaves if hasattr(leaf, "spec")]
    dtype = np.int64 if features is None else specs[0].dtype
    x = np.array(row, dtype).reshape(len(row), 1, *([] if features is None else [features]))
    y = model(x.swapaxes(0, 1) if specs[0].batch_first else x)
    if y.ndim == 3:
        y = (
            (y[0] if specs[0].batch_first else y[:, 0]).squeeze(-1)
            if y.shape[-1] == 1
            else (y[0] if specs[0].batch_first else y[:, 0])
        )
        if steps == "all":
            return y.tolist()
        return y[-1].tolist() if len(row) else None
    return (y[0, 0] if y.shape[-1] == 1 else y[0]).tolist() if len(row) else None


def table(count, seed=0):
    """Ids and ragged sequences of two features, some null; rows of all lengths from 0 on."""
    rng = np.random.default_rng(seed)
    rows = sequences(2, rng.integers(0, 30, count), seed)
    rows = [None if k % 17 == 3 else row for k, row in enumerate(rows)]
    names = {"id": np.arange(count), "name": [f"row {k}" for k in range(count)]}
    return pyarrow.table({**names, "x": pyarrow.array(rows, kind(2))})


def hashes(scored):
    """A hash of each id's result: of its values' bits, or that it is null."""
    found = {}
    for key, value in zip(scored["id"].to_pylist(), scored["score"].to_pylist(), strict=True):
        data = b"null" if value is None else np.array(value, np.float32).tobytes()
        assert key not in found
        found[key] = hashlib.sha256(data).hexdigest()
    return found


_load = scorers.load


def _noted(path):
    """Load a model, and leave a note beside its file."""
    Path(f"{path} loaded {os.getpid()} {uuid.uuid4()}").touch()
    return _load(path)


class Watched(Scorer):
    """A scorer that leaves notes beside its model's file: which process has loaded it, and on how many threads it runs.

    With `deadly` its first batch ends the process it comes to.
    """

    def __init__(self, *arguments, deadly=False, **options):
        super().__init__(*arguments, **options)
        self.deadly = deadly

    def __call__(self, batch):
        if self.deadly and len(batch):
            try:
                Path(self.path).with_name("killed").touch(exist_ok=False)
            except FileExistsError:
                return self.watched(batch)
            os.kill(os.getpid(), signal.SIGKILL)
        return self.watched(batch)

    def watched(self, batch):
        scorers.load = _noted
        Path(f"{self.path} threads {given_threads()} {uuid.uuid4()}").touch()
        return super().__call__(batch)

    def notes(self, kind):
        """What stands behind a kind of note: processes, or numbers of threads."""
        notes = [path.name.split() for path in Path(self.path).parent.iterdir()]
        return [words[2] for words in notes if words[1:2] == [kind]]
