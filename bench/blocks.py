# SPDX-License-Identifier: MIT
"""What training from a file takes that is larger than what is held of it: memory and time, beside the same in memory.

    python bench/blocks.py                  400 000 sequences of 200 steps, 320 MB, of which 2**14 are held
    python bench/blocks.py --rows 2000000   1.6 GB

Each way is a process of its own, one after the other, in turns. Memory is the most that the process had, less what it
had before it read anything; time is its processor time for an epoch.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

import rnncore
from rnncore import nn
from rnncore.blocks import Blocks

STEPS, HELD, GROUP = 200, 2**14, 2**12
"""Steps of a sequence; rows that are held at a time, and those of a row group."""


def write(path, rows):
    """Random sequences and labels, row group by row group."""
    rng = np.random.default_rng(0)
    kind = pyarrow.schema([("x", pyarrow.list_(pyarrow.float32(), STEPS)), ("label", pyarrow.int64())])
    with pyarrow.parquet.ParquetWriter(path, kind, use_dictionary=False, compression="none") as file:
        for first in range(0, rows, GROUP):
            count = min(GROUP, rows - first)
            values = rng.standard_normal(count * STEPS, dtype=np.float32)
            x = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(values), STEPS)
            label = pyarrow.array((values.reshape(-1, STEPS).sum(axis=1) > 0).astype(np.int64))
            file.write_batch(pyarrow.record_batch([x, label], schema=kind))


def in_memory(path):
    """The file as arrays."""
    table = pyarrow.parquet.read_table(path).combine_chunks()
    x = table["x"].combine_chunks().flatten().to_numpy().reshape(-1, STEPS, 1)
    return x, table["label"].to_numpy()


def most():
    """The most memory that this process had so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def train(way, path):
    """Train for an epoch, and print memory and time."""
    rnncore.set_num_threads(1)
    layer = nn.Recurrent(rnncore.GRU(1, 8, seed=0), return_sequences=False)
    model = nn.Sequential(layer, nn.Linear(8, 2, seed=1))
    before, started = most(), time.process_time()
    data = Blocks(path, "x", "label", rows=HELD) if way == "blocks" else in_memory(path)
    run = nn.fit(model, data, nn.cross_entropy, nn.Adam(model), epochs=1, batch_size=64)
    print(most() - before, time.process_time() - started, run.losses[-1])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--train", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train:
        train(*given.train)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.parquet"
        write(path, given.rows)
        print(f"{given.rows} rows, {path.stat().st_size / 1e6:.0f} MB", flush=True)
        found = {"blocks": [], "memory": []}
        for _ in range(given.rounds):
            for way, each in found.items():
                command = [sys.executable, __file__, "--train", way, str(path)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                each.append([float(word) for word in done.stdout.split()])
        for way, each in found.items():
            memory, seconds, loss = map(statistics.median, zip(*each, strict=True))
            print(f"{way:6}  {memory:6.0f} MB  {seconds:6.1f} s  loss {loss:.4f}")
        ratio = statistics.median(a[1] / b[1] for a, b in zip(*found.values(), strict=True))
        print(f"blocks take {ratio:.2f} of the time of what is in memory")


if __name__ == "__main__":
    main()
