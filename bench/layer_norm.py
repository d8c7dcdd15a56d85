# SPDX-License-Identifier: MIT
"""What layer normalisation costs beside the plain cell: `python bench/layer_norm.py`.

Calls of both cells in turn, one thread, float32, T = 50, I = H; the ratio of the shortest ones, for inference and
with gradients.
"""

import argparse
import time

import numpy as np

import rnncore
from rnncore.engine.config import config

CELLS = {"LSTM": rnncore.LSTM, "GRU": rnncore.GRU}


def infer(layer, x):
    layer(x, num_threads=1)


def train(layer, x):
    y, _, tape = layer.forward(x, num_threads=1)
    layer.backward(tape, y)


def seconds(call, layer, x):
    began = time.perf_counter()
    call(layer, x)
    return time.perf_counter() - began


def ratio(call, layers, x, rounds):
    """Shortest time of the second layer over that of the first."""
    times = [[seconds(call, layer, x) for layer in layers] for _ in range(rounds)]
    return min(pair[1] for pair in times) / min(pair[0] for pair in times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21)
    arguments = parser.parse_args()
    print(f"{config()['cpu']}, {rnncore.isas()[0]}")
    print("cell    H   N  inference  with gradients")
    for name, make in CELLS.items():
        for H in (32, 64, 128, 256, 512):
            for N in (1, 16, 64):
                layers = [make(H, H, seed=0), make(H, H, seed=0, layer_norm=True)]
                x = np.random.default_rng(0).standard_normal((50, N, H), dtype=np.float32)
                values = [ratio(call, layers, x, arguments.rounds) for call in (infer, train)]
                print(f"{name:4} {H:4} {N:3} {values[0]:10.2f} {values[1]:15.2f}", flush=True)


if __name__ == "__main__":
    main()
