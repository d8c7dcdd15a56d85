# SPDX-License-Identifier: MIT
"""What a pool of sessions adds to a step: gathering and scattering states that lie anywhere, finding ids, and Python.

    python bench/sessions.py                    100 000 sessions, GRU and LSTM of 64 units, batches of 1 to 1024
    python bench/sessions.py --hidden 256 --sessions 20000

Each row is a batch of sessions drawn at random. The kinds of work alternate in random order, in blocks of a few
milliseconds, and are measured in processor time of one thread, which other work on the machine matters little to.
Ratios are medians over rounds, each of its own pair of blocks.
"""

import argparse
import itertools
import random
import statistics
import time

import numpy as np

import rnncore
from rnncore.nn.sessions import ROWS

INPUTS = 64
BLOCK_ROWS = 8192
"""Sessions that a block steps, in batches."""
BATCHES = (1, 16, 64, 256, 1024)


class Work:
    """The kinds of work of a step of `n` sessions, each as a function of a number of batches."""

    def __init__(self, layer, pool, n, rng):
        self.pool, self.n = pool, n
        self.sessions, self.streams = pool._sessions, pool._streams
        self.stream = layer.stream(min(n, ROWS))
        self.x = rng.standard_normal((n, INPUTS)).astype(np.float32)
        self.x_parts = [self.x[first : first + ROWS] for first in range(0, n, ROWS)]
        self.batches = itertools.cycle([self.batch(rng) for _ in range(max(8, 32768 // n))])

    def batch(self, rng):
        """Ids, their slots, and the slots of those that are stepped together."""
        ids, slots = rng.choice(self.pool.capacity, self.n, replace=False), np.empty(self.n, np.int64)
        self.sessions.enter(ids, slots, 0.0)
        return ids, slots, [slots[first : first + ROWS] for first in range(0, self.n, ROWS)]

    def step(self):
        for x in self.x_parts:
            self.stream.step(x)

    def states(self):
        """Of another batch than the last ones: their states have left the caches as they would have."""
        for slots in next(self.batches)[2]:
            self.sessions.gather(self.streams, slots)
            self.sessions.scatter(self.streams, slots, None)

    def find(self):
        ids, slots, _ = next(self.batches)
        self.sessions.enter(ids, slots, 0.0)

    def whole(self):
        self.pool.step(next(self.batches)[0], self.x)

    KINDS = ("step", "states", "find", "whole")


def seconds(function, count):
    """Processor time of a call."""
    began = time.process_time()
    for _ in range(count):
        function()
    return (time.process_time() - began) / count


def measure(layer, pool, n, rounds, rng):
    """Median times of a row's kinds of work, and their medians as parts of a step of the same round."""
    work, times = Work(layer, pool, n, rng), {kind: [] for kind in Work.KINDS}
    for _ in range(rounds):
        for kind in random.sample(Work.KINDS, len(Work.KINDS)):
            times[kind].append(seconds(getattr(work, kind), max(1, BLOCK_ROWS // n)))
    parts = {
        kind: statistics.median(a / b for a, b in zip(times[kind], times["step"], strict=True))
        for kind in times
    }
    return {kind: statistics.median(values) for kind, values in times.items()}, parts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    given = parser.parse_args()
    rnncore.set_num_threads(1)
    rng = np.random.default_rng(0)
    print(
        f"{given.sessions} sessions, {INPUTS} inputs, {given.hidden} units; times of a batch in microseconds"
    )
    print("layer  batch    step  states  of it    find  of it   whole  of it  bytes beside a state")
    for cell in ("GRU", "LSTM"):
        layer = getattr(rnncore, cell)(INPUTS, given.hidden, seed=0)
        pool = rnncore.SessionPool(layer, given.sessions)
        beside = pool.nbytes / given.sessions - pool._states.strides[0]
        for ids in np.array_split(np.arange(given.sessions), -(-given.sessions // 1000)):
            pool.step(ids, rng.standard_normal((len(ids), INPUTS)).astype(np.float32))
        for n in given.batches:
            times, parts = measure(layer, pool, n, given.rounds, rng)
            cells = [f"{times['step'] * 1e6:8.1f}"]
            cells += [f"{times[kind] * 1e6:8.1f} {parts[kind]:5.0%} " for kind in ("states", "find", "whole")]
            print(f"{cell:5} {n:6}", *cells, f"{beside:8.1f}", sep="", flush=True)


if __name__ == "__main__":
    main()
