# SPDX-License-Identifier: MIT
"""What rnncore.torch costs over rnncore's own calls, and gains over torch.nn's: `python bench/torch_door.py`.

Calls in turn on one thread, float32; medians. Overhead: an LSTM of 8 units, 4 steps, one row, beside the same call on
arrays. Gain: the same model before and after `accelerate`, and what the NumPy calls gain over torch.nn.
"""

import argparse
import copy
import functools
import statistics
import time

import torch

import rnncore
import rnncore.torch
from rnncore import engine


def medians(calls, rounds, inner):
    """Median seconds of each call, in turn."""
    times = [[] for _ in calls]
    for _ in range(rounds):
        for call, kept in zip(calls, times, strict=True):
            began = time.perf_counter()
            for _ in range(inner):
                call()
            kept.append((time.perf_counter() - began) / inner)
    return [statistics.median(kept) for kept in times]


def calls_of(theirs, x):
    """For inference and for training: the call of torch.nn's layer, of rnncore.torch's, of rnncore's on arrays."""
    ours = copy.deepcopy(theirs)
    rnncore.torch.accelerate(ours)
    kind = type(theirs).__name__
    spec = engine.Spec(kind.lower(), theirs.input_size, theirs.hidden_size)
    values = {name: weight.detach().numpy() for name, weight in theirs.named_parameters()}
    packed = engine.pack(spec, values)
    array = x.numpy()

    evaluated = [copy.deepcopy(layer).eval() for layer in (theirs, ours)]

    def infer(layer):
        with torch.no_grad():
            layer(x)

    def train(layer):
        y, _ = layer(x)
        torch.autograd.backward(y, torch.ones_like(y))
        for weight in layer.parameters():
            weight.grad = None

    def infer_arrays():
        engine.forward(packed, engine.Call(spec, array))

    def train_arrays():
        weights = engine.pack(spec, values, engine.needed(training=True))  # weights change with every step
        y, _, tape = engine.record(weights, engine.Call(spec, array))
        engine.backward(tape, y)

    yield "inference", [*(functools.partial(infer, layer) for layer in evaluated), infer_arrays]
    yield "training", [functools.partial(train, theirs), functools.partial(train, ours), train_arrays]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=41)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rnncore.set_num_threads(1)
    print(f"{rnncore.isas()[0]}, PyTorch {torch.__version__}")
    print("layer   T   N   H  call       torch.nn us  rnncore.torch us  arrays us   gain  kept")
    for T, N, H in ((4, 1, 8), (50, 1, 64), (50, 16, 64), (50, 32, 128)):
        for kind in (torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN):
            torch.manual_seed(0)
            for name, calls in calls_of(kind(H, H), torch.randn(T, N, H)):
                inner = 20 if T * N * H < 1000 else 1
                theirs, ours, arrays = (1e6 * value for value in medians(calls, arguments.rounds, inner))
                print(
                    f"{kind.__name__:5} {T:3} {N:3} {H:3}  {name:9} {theirs:12.1f} {ours:17.1f} {arrays:10.1f}"
                    f" {theirs / ours:6.2f} {arrays / ours:5.0%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
