# SPDX-License-Identifier: MIT
"""How calls scale with threads, and what they could reach: `python bench/scaling.py [--threads 1 2 4 ...]`.

One row, a batch and a training call of the same work on each number of threads, in turns; the shortest of many calls
counts. Beside it stand its speed-up over one thread and, in brackets, the speed-up of the limit: the arithmetic at the
peak and the weights at the bandwidth of so many threads, and, where rows are too few to share, one meeting a step: a
flag from one core to another and back, once up to eight threads, twice up to 64. Without `--threads`: powers of two and
all cores that the process may use.

Hardware threads of one core count once. Where the system does not tell them apart, give one of each:
`taskset -c 0-7 python bench/scaling.py`.
"""

import argparse
import dataclasses
import itertools
import time
from functools import partial

import numpy as np

import rnncore
from rnncore.bench import limits, machine
from rnncore.bench.cases import Case
from rnncore.engine.cores import usable

CASES = {
    "one row": [Case("lstm", 100, 1, H, H) for H in (128, 256, 512, 1024)],
    "batch": [Case("lstm", 50, N, 256, 256) for N in (16, 64, 256)] + [Case("gru", 50, 64, 128, 128)],
    "training": [Case("lstm", 50, 64, H, H, mode="train") for H in (128, 256)],
}
MEET = 8
"""Threads that meet at once, RC_MEET of csrc/base/tuning.h."""
LAYERS = {"lstm": rnncore.LSTM, "gru": rnncore.GRU, "rnn": rnncore.RNN}


def call_of(case, threads):
    """The case as a call on so many threads."""
    layer = LAYERS[case.cell](case.I, case.H, seed=0)
    x = np.random.default_rng(0).standard_normal((case.T, case.N, case.I)).astype(np.float32)
    if not case.trains:
        return partial(layer, x, num_threads=threads)
    dy = np.ones((case.T, case.N, case.H), np.float32)

    def train():
        tape = layer.forward(x, num_threads=threads)[2]
        layer.backward(tape, dy)

    return train


def shortest(calls, rounds):
    """Shortest time of each call, called in turn with pauses in which a team of threads goes to sleep."""
    best = np.full(len(calls), np.inf)
    for _ in range(rounds + 1):
        for i, call in enumerate(calls):
            call()  # wakes the threads
            began = time.perf_counter()
            call()
            best[i] = min(best[i], time.perf_counter() - began)
            time.sleep(0.001)
    return best


def possible(case, measured, threads):
    """Seconds that a call cannot beat: `limit_seconds`, and a meeting a step where rows are too few to share."""
    found = limits.limit_seconds(dataclasses.replace(case, threads=threads), measured)
    if threads <= max(case.N, 1):
        return found
    rounds = next(k for k in itertools.count(1) if MEET**k >= threads)
    meeting = 2 * (measured.flag_latency or 0.0) * rounds
    return found + case.T * meeting * (2 if case.trains else 1)


def main():
    cores = usable()
    powers = [2**i for i in range(cores.bit_length()) if 2**i < cores]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", nargs="+", type=int, default=[*powers, cores])
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    counts = sorted({1, *given.threads})
    measured = limits.measure(tuple(counts))
    if measured is None:
        raise SystemExit("rnncore was built without what measures this machine's limits")
    print(f"{machine.describe()['cpu']}, {cores} cores, {measured.isa}, threads {counts}")
    print(f"peaks {[round(measured.peak('float32', n) / 1e9) for n in counts]} GFLOP/s, ", end="")
    print(f"a flag in {(measured.flag_latency or 0) * 1e9:.0f} ns")
    for part, cases in CASES.items():
        print(f"{part}: us a call, times as fast as one thread (at best)")
        for case in cases:
            best = shortest([call_of(case, n) for n in counts], given.rounds)
            limit = [possible(case, measured, n) for n in counts]
            figures = (
                f"{own * 1e6:9.0f} {best[0] / own:5.2f} ({limit[0] / least:.2f})"
                for own, least in zip(best, limit, strict=True)
            )
            print(f"{case.cell} N={case.N} H={case.H}".ljust(18), *figures, flush=True)


if __name__ == "__main__":
    main()
