# SPDX-License-Identifier: MIT
"""What rnncore.torch costs over rnncore's own calls, and gains over torch.nn's: `python bench/torch_door.py`.

Calls in turn on one thread, float32, the fastest of many. Overhead: an LSTM of 8 units, 4 steps, one row, beside the
same call on arrays, and beside what PyTorch itself takes for an empty module, or an empty Function, of as many tensors.
Gain: the same layer before and after `accelerate`, and what the calls on arrays gain over torch.nn.
"""

import argparse
import copy
import functools
import time

import torch

import rnncore
import rnncore.torch
from rnncore import engine


def fastest(calls, rounds=2000, inner=10):
    """Least seconds of each call, in turn."""
    times = [[] for _ in calls]
    for _ in range(rounds):
        for call, kept in zip(calls, times, strict=True):
            began = time.perf_counter()
            for _ in range(inner):
                call()
            kept.append((time.perf_counter() - began) / inner)
    return [min(kept) for kept in times]


class Empty(torch.autograd.Function):
    """As many tensors in, saved and out as an LSTM's call has, and no work."""

    @staticmethod
    def forward(ctx, results, grads, x, h, c, *weights):
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, h, c, *weights)
        ctx.grads = grads
        return tuple(torch.empty_like(one) for one in results)

    @staticmethod
    def backward(ctx, dy, dh, dc):
        return (None,) * 5 + tuple(torch.empty_like(one) for one in ctx.grads)


def show_overhead():
    layer = torch.nn.LSTM(8, 8)
    x = torch.randn(4, 1, 8)
    (_, (_, infer, infer_arrays)), (_, (_, train, train_arrays)) = calls_of(layer, x)
    weights = [*layer.parameters()]
    y, (h, c) = layer(x)
    results, ones = [one.detach() for one in (y, h, c)], torch.ones_like(y)
    identity = torch.nn.Identity()

    def pass_on():
        identity(x)
        return [torch.empty_like(one) for one in results]

    def train_nothing():
        y, *_ = Empty.apply(results, weights, x, None, None, *weights)
        torch.autograd.backward(y, ones)
        for weight in weights:
            weight.grad = None

    for name, calls in (
        ("inference", (infer, infer_arrays, pass_on)),
        ("training", (train, train_arrays, train_nothing)),
    ):
        with torch.set_grad_enabled(name == "training"):
            ours, arrays, nothing = (1e6 * value for value in fastest(calls))
        print(f"{name:9} {ours:6.1f} us, on arrays {arrays:5.1f}, an empty one of PyTorch {nothing:5.1f}")


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
    ones = torch.ones_like(theirs(x)[0])

    def train(layer, weights):
        y, _ = layer(x)
        torch.autograd.backward(y, ones)
        for weight in weights:
            weight.grad = None

    def infer_arrays():
        engine.forward(packed, engine.Call(spec, array))

    def train_arrays():
        weights = engine.pack(spec, values, engine.needed(training=True))  # weights change with every step
        y, _, tape = engine.record(weights, engine.Call(spec, array))
        engine.backward(tape, y)

    trained = [functools.partial(train, layer, [*layer.parameters()]) for layer in (theirs, ours)]
    yield "inference", [*(functools.partial(layer, x) for layer in evaluated), infer_arrays]
    yield "training", [*trained, train_arrays]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=101)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rnncore.set_num_threads(1)
    print(f"{rnncore.isas()[0]}, PyTorch {torch.__version__}")
    show_overhead()
    print("layer   T   N   H  call       torch.nn us  rnncore.torch us  arrays us   gain  kept")
    for T, N, H in ((4, 1, 8), (50, 1, 64), (50, 16, 64), (50, 32, 128)):
        for kind in (torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN):
            torch.manual_seed(0)
            for name, calls in calls_of(kind(H, H), torch.randn(T, N, H)):
                inner = 10 if T * N * H < 10000 else 3
                with torch.set_grad_enabled(name == "training"):
                    times = fastest(calls, arguments.rounds, inner)
                theirs, ours, arrays = (1e6 * value for value in times)
                print(
                    f"{kind.__name__:5} {T:3} {N:3} {H:3}  {name:9} {theirs:12.1f} {ours:17.1f} {arrays:10.1f}"
                    f" {theirs / ours:6.2f} {arrays / ours:5.0%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
