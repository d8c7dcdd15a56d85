# SPDX-License-Identifier: MIT
"""What `cluster.fit_groups` costs beside the training itself, and what it saves by training series together.

    python bench/groups.py                      some series, one by one, against the bare training loop, in turns
    python bench/groups.py --packs 1 8 16 32    series in fleets of so many, against one after the other, in turns
    python bench/groups.py --packs 1 32 --series 1000 --rows 1095 --hidden 16 --rounds 1    three years of days
    python bench/groups.py --packs 1 32 --rows 1095 --least 365 ...    series of one to three years

The bare loop has the same models, windows, batches and steps, and nothing else: `forward`, loss, `backward`, `step`;
its windows are there before. Times are the process's own, which other work on the machine matters less to. All must
come to the same parameters, to the last bit.
"""

import argparse
import functools
import statistics
import time

import numpy as np
import pyarrow as pa

import rnncore
from rnncore import nn
from rnncore.cluster import Windows, fit_groups
from rnncore.cluster.groups_table import seed_of
from rnncore.formats import to_bytes
from rnncore.nn import stacks
from rnncore.nn.order import shuffled

WINDOWS = Windows("y", context=24, horizon=1)
BATCH, HIDDEN = 32, 8


def series(count, rows, least=None):
    """A table of seasonal series with noise; with `least` they have from so many rows on, evenly, in a random order."""
    rng = np.random.default_rng(0)
    t = np.tile(np.arange(rows), count)
    y = np.sin(t / 4 + np.repeat(rng.random(count), rows)) + 0.1 * rng.standard_normal(count * rows)
    table = pa.table({"store": np.repeat(np.arange(count), rows), "day": t, "y": y})
    lengths = rng.permutation(np.linspace(least or rows, rows, count).round())
    return table.filter(pa.array(t < np.repeat(lengths, rows)))


def model(seed, hidden=HIDDEN):
    layer = nn.Recurrent(rnncore.GRU(1, hidden, seed=seed), return_sequences=False)
    return nn.Sequential(layer, nn.Linear(hidden, 1, seed=seed + 1))


def bare(samples, epochs):
    """The training of all series, of samples that are there already; their models."""
    models = []
    for seed, (x, target) in samples:
        network = model(seed)
        optimizer = nn.Adam(network, lr=1e-2, clip_norm=1.0)
        for epoch in range(epochs):
            order = shuffled(len(x), seed, epoch)
            for first in range(0, len(x), BATCH):
                rows = order[first : first + BATCH]
                y, tape = network.forward(x[rows].swapaxes(0, 1))
                _, dy = nn.mse_loss(y, target[rows])
                count = np.float32(len(rows))
                grads = network.backward(tape, dy * count, input_grad=False)
                optimizer.step(grads, grad_scale=1 / float(count))
        models.append(network)
    return models


def fitted(table, epochs, pack=1, hidden=HIDDEN, batch=BATCH):
    """`fit_groups` with at most so many models in a fleet."""
    stacks.PACK = pack
    make = functools.partial(model, hidden=hidden)
    return fit_groups(table, "store", make, data=WINDOWS, time="day", epochs=epochs, batch_size=batch)


def timed(function, *args):
    """Processor time, and the result."""
    started = time.process_time()
    found = function(*args)
    return time.process_time() - started, found


def overhead(given):
    """Print milliseconds a series, with and without what stands around the training."""
    rnncore.set_num_threads(1)
    count = given.series
    table = series(count, given.rows)
    samples = [(seed_of(0, (k,)), WINDOWS(table.slice(k * given.rows, given.rows))) for k in range(count)]
    steps = given.epochs * -(-len(samples[0][1][0]) // BATCH)
    plain, whole = [], []
    for _ in range(given.rounds):
        seconds, models = timed(bare, samples, given.epochs)
        plain.append(1e3 * seconds / count)
        seconds, found = timed(fitted, table, given.epochs)
        whole.append(1e3 * seconds / count)
    assert [to_bytes(one) for one in models] == found["model"].to_pylist()
    median = statistics.median(b - a for a, b in zip(plain, whole, strict=True))
    print(f"{count} series of {given.rows} rows, {steps} steps each, {given.rounds} rounds in turns")
    print(
        f"the bare loop takes {min(plain):.2f} ms a series, fit_groups {min(whole) - min(plain):.2f} ms more"
    )
    print(f"(the fastest rounds; the median of the differences is {median:.2f} ms)")


def packs(given):
    """Print milliseconds a series in fleets of several sizes, and how many times faster that is than the first."""
    rnncore.set_num_threads(given.threads)
    table = series(given.series, given.rows, given.least)
    seconds, walls, models = {size: [] for size in given.packs}, {size: [] for size in given.packs}, None
    for _ in range(given.rounds):
        for size in given.packs:
            started = time.perf_counter()
            spent, found = timed(fitted, table, given.epochs, size, given.hidden, given.batch)
            seconds[size].append(spent)
            walls[size].append(time.perf_counter() - started)
            models = models or found["model"].to_pylist()
            assert found["model"].to_pylist() == models
    print(
        f"{given.series} series of {given.least or given.rows} to {given.rows} rows, {given.hidden} units, "
        f"{given.epochs} epochs of batches of {given.batch}, {given.threads} threads, {given.rounds} rounds in turns"
    )
    for what, times in (("processor time", seconds), ("wall time", walls)):
        for size, own in times.items():
            ratio = statistics.median(a / b for a, b in zip(times[given.packs[0]], own, strict=True))
            each = 1e3 * min(own) / given.series
            print(f"{what}, {size:3} models: {each:8.2f} ms a series, {ratio:5.2f} times as fast")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--series", type=int, default=20)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--least", type=int)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--hidden", type=int, default=HIDDEN)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--packs", type=int, nargs="+")
    given = parser.parse_args()
    (packs if given.packs else overhead)(given)
