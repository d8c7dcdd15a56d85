# SPDX-License-Identifier: MIT
"""What cells with options cost beside the usual ones: ratios of times, interleaved, medians; prints a Markdown table.

python bench/cell_options.py
"""

import platform
import statistics
import time

import numpy as np

import rnncore

SIZES = {"stream, H = 32": (1, 1, 32), "T = 100, N = 32, H = 128": (100, 32, 128)}
ROUNDS, SECONDS = 21, 0.02

HARD = ("hard_sigmoid", 0.2, 0.5)
ROWS = [
    ("LSTM", "clip beyond all values", {"clip": 1e6}),
    ("LSTM", "peepholes", {"peepholes": True}),
    ("LSTM", "coupled gates", {"coupled": True}),
    ("LSTM", "hard sigmoid at i f o", {"activations": {"i": HARD, "f": HARD, "o": HARD}}),
    ("GRU", "clip beyond all values", {"clip": 1e6}),
    ("GRU", "hard sigmoid, softplus", {"activations": {"r": HARD, "z": HARD, "n": "softplus"}}),
    ("RNN", "elu", {"activations": {"h": "elu"}}),
]


def call(cell, T, N, H, options, train):
    """A function to time: steps of a stream, a call, or a call with its gradients."""
    layer = getattr(rnncore, cell)(H, H, seed=0, **options)
    x = np.random.default_rng(0).standard_normal((T, N, H), dtype=np.float32)
    if T == 1:
        stream, out, step = layer.stream(N), np.empty((N, H), np.float32), x[0]
        return lambda: [stream.step(step, out) for _ in range(100)]
    if not train:
        return lambda: layer(x, num_threads=1)
    dy = np.ones((T, N, H), np.float32)

    def forward_backward():
        *_, tape = layer.forward(x, num_threads=1)
        layer.backward(tape, dy)

    return forward_backward


def ratio(one, other):
    """How many times as long `other` takes: the median over interleaved rounds."""
    found = []
    repeats = 1
    while (spent := timed(one, repeats)) < SECONDS / 2:
        repeats = max(repeats + 1, int(repeats * SECONDS / 2 / max(spent, 1e-9)))
    for _ in range(ROUNDS):
        found.append(timed(other, repeats) / timed(one, repeats))
    return statistics.median(found)


def timed(run, repeats):
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return time.perf_counter() - start


def main():
    print(f"{platform.processor() or platform.machine()}, {rnncore.isas()[0]}, float32, one thread\n")
    columns = [*((name, size, False) for name, size in SIZES.items())]
    columns.append(("the same with gradients", columns[-1][1], True))
    print("| cell | option | " + " | ".join(name for name, *_ in columns) + " |")
    print("| --- " * (2 + len(columns)) + "|")
    for cell, words, options in ROWS:
        values = [
            ratio(call(cell, *size, {}, train), call(cell, *size, options, train))
            for _, size, train in columns
        ]
        print(f"| {cell} | {words} | " + " | ".join(f"{value:.2f}" for value in values) + " |", flush=True)


if __name__ == "__main__":
    main()
