# SPDX-License-Identifier: MIT
"""What small stores of weights gain over float32: `python bench/stores.py`.

Calls of one layer and of its quantised copies in turn, one thread, T = 100, I = H; the ratio of the shortest ones. A
row alone is bound by the bytes of the weights, a batch by arithmetic.
"""

import argparse
import time

import numpy as np

import rnncore
from rnncore.engine.config import config

STORES = ("int8", "int8x16", "bfloat16", "float16")
CELLS = {"LSTM": rnncore.LSTM, "GRU": rnncore.GRU}


def seconds(layer, x):
    began = time.perf_counter()
    layer(x, num_threads=1)
    return time.perf_counter() - began


def measure(layers, x, rounds):
    """Shortest time of each layer, called in turn."""
    for layer in layers:
        layer(x, num_threads=1)
    return np.min([[seconds(layer, x) for layer in layers] for _ in range(rounds)], axis=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512, 1024], metavar="H")
    given = parser.parse_args()
    print(f"isa {config()['isa']}, one thread, T = 100, I = H, times faster than float32")
    print(f"{'cell':5} {'N':>3} {'H':>5} {'float32':>10}  " + "".join(f"{name:>9}" for name in STORES))
    for name, make in CELLS.items():
        for N in (1, 64):
            for H in given.sizes:
                layer = make(H, H, seed=0)
                x = np.random.default_rng(0).standard_normal((100, N, H)).astype(np.float32)
                times = measure([layer, *(layer.quantize(store) for store in STORES)], x, given.rounds)
                gains = "".join(f"{times[0] / own:9.2f}" for own in times[1:])
                print(f"{name:5} {N:3} {H:5} {times[0] * 1e6:7.0f} us  {gains}", flush=True)


if __name__ == "__main__":
    main()
