# SPDX-License-Identifier: MIT
"""Runs of `fit` of a fleet beside those of each of its models alone, which must be the same to the last bit."""

import numpy as np
from compiled import assert_same_bits

import rnncore
from rnncore import nn
from rnncore.spec import CELLS

M, COUNT, T = 9, 23, 6  # more than half the lanes of a vector
RNG = np.random.default_rng(0)
X = RNG.standard_normal((M, COUNT, T, 2)).astype(np.float32)
TARGET = RNG.standard_normal((M, COUNT, T, 2)).astype(np.float32)
LAST = TARGET[:, :, 0]
LABELS = RNG.integers(0, 2, (M, COUNT, T))
LENGTHS = RNG.integers(1, T + 1, (M, COUNT))
RATES = np.geomspace(3e-3, 3e-1, M)
SEEDS = [3, 5, 8, 13, 2**62, *range(M - 5)]


def network(m, cell="gru", last=False, dropout=0.0, **options):
    make = getattr(rnncore, CELLS[cell].title)
    layer = make(2, 5, seed=m, **options, **({"dropout": dropout} if options.get("num_layers") else {}))
    drops = [nn.Dropout(dropout, seed=m)] if dropout else []
    size = 10 if options.get("bidirectional") else 5
    return nn.Sequential(
        nn.Recurrent(layer, return_sequences=not last),
        *drops,
        nn.Linear(size, 2, seed=m),
        nn.Activation("tanh"),
    )


def pairs(x, target):
    return list(zip(x, target, strict=True))


def alone(networks, data, loss=nn.mse_loss, seeds=SEEDS, validation=None, **options):
    """Runs of each model of its own."""
    runs = []
    for m, model in enumerate(networks):
        adam = nn.Adam(model, lr=float(RATES[m]), clip_norm=0.5, weight_decay=0.01)
        own = {"epochs": 3, "batch_size": 8, "seed": seeds[m], **options}
        held = validation[m] if isinstance(validation, list) else validation
        given = data[m] if isinstance(data, list) else data
        runs.append(nn.fit(model, given, loss, adam, validation=held, **own))
    return runs


def as_fleet(networks, data, loss=nn.mse_loss, seeds=SEEDS, **options):
    fleet = nn.stack(networks)
    adam = nn.FleetAdam(fleet, lr=RATES, clip_norm=0.5, weight_decay=0.01)
    own = {"epochs": 3, "batch_size": 8, "seed": seeds, **options}
    return fleet, nn.fit(fleet, data, loss, adam, **own)


def assert_same_run(found, run):
    for name in (
        "epoch",
        "epochs",
        "step",
        "steps",
        "losses",
        "validation_losses",
        "best",
        "best_epoch",
        "tokens",
        "loss",
        "lr",
        "norm",
    ):
        np.testing.assert_equal(getattr(found, name), getattr(run, name), name)
    assert found.stopped == run.stopped


def assert_same_models(make, data, loss=nn.mse_loss, **options):
    networks = [make(m) for m in range(M)]
    fleet, run = as_fleet(networks, data, loss, **options)  # of copies
    runs = alone(networks, data, loss, **options)
    assert isinstance(run, nn.FleetRun)
    for m, (model, own) in enumerate(zip(nn.unstack(fleet), networks, strict=True)):
        assert_same_bits(model.parameters(), own.parameters())
        assert_same_run(run[m], runs[m])
    return run
