# SPDX-License-Identifier: MIT
"""What `cluster.fit_groups` costs beside the training itself, and what it saves by training series together.

    python bench/groups.py                      some series against bare training loops, in turns
    python bench/groups.py --packs 1 8 16 32    series in fleets of so many, against one after the other, in turns
    python bench/groups.py --packs 1 32 --series 1000 --rows 1095 --hidden 16 --rounds 1    three years of days
    python bench/groups.py --packs 1 32 --rows 1095 --least 365 ...    series of one to three years
    python bench/groups.py --engine ray --engine spark --engine dask --series 10000 --rows 60 --epochs 3
                                                on engines with two workers, of which one is killed; one hash

The bare loops, one of series after series and one of fleets of them, have the same models, windows, batches and
steps, and nothing else: `forward`, loss, `backward`, `step`; their windows are there before. Times are the process's
own, which other work on the machine matters less to, but with engines the clock's. All must come to the same
parameters, to the last bit.
"""

import argparse
import functools
import hashlib
import importlib
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from scale import start

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


def bare_fleets(samples, epochs):
    """The same, of fleets of as many series as `fit_groups` puts into one."""
    models = []
    for first in range(0, len(samples), stacks.PACK):
        some = samples[first : first + stacks.PACK]
        fleet = nn.stack([model(seed) for seed, _ in some])
        optimizer = nn.FleetAdam(fleet, lr=1e-2, clip_norm=1.0)
        x, target = (np.stack([pair[k] for _, pair in some]) for k in (0, 1))
        places = np.arange(len(some))[:, np.newaxis]
        for epoch in range(epochs):
            order = np.stack([shuffled(x.shape[1], seed, epoch) for seed, _ in some])
            for begin in range(0, x.shape[1], BATCH):
                rows = order[:, begin : begin + BATCH]
                y, tape = fleet.forward(x[places, rows].swapaxes(1, 2))
                _, dy = nn.fleet_mse_loss(y, target[places, rows])
                count = np.float32(rows.shape[1])
                grads = fleet.backward(tape, dy * count, input_grad=False)
                optimizer.step(grads, grad_scale=1 / float(count))
        models += nn.unstack(fleet)
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
    """Print milliseconds a series, with and without what stands around the training, one by one and in fleets."""
    rnncore.set_num_threads(1)
    count, pack = given.series, stacks.PACK
    table = series(count, given.rows)
    samples = [(seed_of(0, (k,)), WINDOWS(table.slice(k * given.rows, given.rows))) for k in range(count)]
    steps = given.epochs * -(-len(samples[0][1][0]) // BATCH)
    print(f"{count} series of {given.rows} rows, {steps} steps each, {given.rounds} rounds in turns")
    for what, size, loop in (("one by one", 1, bare), (f"in fleets of {pack}", pack, bare_fleets)):
        plain, whole = [], []
        for _ in range(given.rounds):
            stacks.PACK = size
            seconds, models = timed(loop, samples, given.epochs)
            plain.append(1e3 * seconds / count)
            seconds, found = timed(fitted, table, given.epochs, size)
            whole.append(1e3 * seconds / count)
        assert [to_bytes(one) for one in models] == found["model"].to_pylist()
        median = statistics.median(b - a for a, b in zip(plain, whole, strict=True))
        more = min(whole) - min(plain)
        print(f"{what}: the bare loop takes {min(plain):.2f} ms a series, fit_groups {more:.2f} ms more")
        print(f"(the fastest rounds; the median of the differences is {median:.2f} ms)", flush=True)


def deadly(marker, seed):
    """A model; the first of all ends the process that asks for it."""
    try:
        Path(marker).touch(exist_ok=False)
    except FileExistsError:
        return model(seed)
    os.kill(os.getpid(), signal.SIGKILL)


def digest(table):
    """A hash of all rows, by their keys."""
    found = hashlib.sha256()
    for row in table.sort_by("store").to_pylist():
        found.update(repr(sorted(row.items())).encode())
    return found.hexdigest()


def on_engine(name, table, partitions, make, options):
    """The result of an engine that is given the table in parts that take no care of series."""
    module = importlib.import_module(f"rnncore.cluster.{name}")
    options = {"partitions": partitions, **options}
    if name == "ray":
        import ray

        size = -(-len(table) // 16)
        data = ray.data.from_arrow([table[k : k + size] for k in range(0, len(table), size)])
        found = module.fit_groups(data, "store", make, **options)
        return pa.concat_tables(ray.get(found.to_arrow_refs()))
    if name == "spark":
        from pyspark.sql import SparkSession

        df = SparkSession.getActiveSession().createDataFrame(table)
        return module.fit_groups(df, "store", make, **options).toArrow()
    import dask.dataframe

    ddf = dask.dataframe.from_pandas(table.to_pandas(), npartitions=16)
    found = module.fit_groups(ddf, "store", make, **options).compute()
    return pa.Table.from_pandas(found, preserve_index=False)


def engines(given):
    """Fit all series here and on engines, shuffled, in several partitions and after a worker's death: one hash."""
    table, options = (
        series(given.series, given.rows),
        {"data": WINDOWS, "time": "day", "epochs": given.epochs},
    )
    dealt = table.take(shuffled(len(table), 1))
    started = time.perf_counter()
    expected = digest(fit_groups(dealt, "store", model, **options))
    print(f"{given.series} series of {given.rows} rows, {given.epochs} epochs, hash {expected[:16]}")
    print(f"here: {time.perf_counter() - started:.1f} s", flush=True)
    for name in given.engine:
        held = start(name)
        with tempfile.TemporaryDirectory() as folder:
            makes = [(count, model, "") for count in (1, 2, 7)]
            makes.append((7, functools.partial(deadly, f"{folder}/killed"), ", a worker killed"))
            for count, make, what in makes:
                started = time.perf_counter()
                found = digest(on_engine(name, dealt, count, make, options))
                seconds = time.perf_counter() - started
                print(f"{name}, {count} partitions{what}: {seconds:.1f} s, hash {found[:16]}", flush=True)
                assert found == expected
            assert Path(f"{folder}/killed").exists()
        if held is not None:
            held.close()


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
    parser.add_argument("--series", type=int, default=64)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--least", type=int)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--hidden", type=int, default=HIDDEN)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--packs", type=int, nargs="+")
    parser.add_argument("--engine", action="append", default=[], choices=("ray", "spark", "dask"))
    given = parser.parse_args()
    (packs if given.packs else engines if given.engine else overhead)(given)
