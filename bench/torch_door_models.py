# SPDX-License-Identifier: MIT
"""Five usual models before and after `rnncore.torch.accelerate`.

`PYTHONPATH=tests/support python bench/torch_door_models.py`: a call of each, and a training step (forward, backward,
SGD), in turn on one thread; the fastest, milliseconds, as a table in Markdown. The models are the tests', wider.
"""

import argparse
import copy
import time

import torch
from torch_models import MODELS
from torch_twins import assert_close, loss

import rnncore
import rnncore.torch

WIDTHS = {"voice": 8, "denoiser": 16, "reader": 16, "separator": 16, "tagger": 16}
TITLES = {
    "voice": "voice activity, 2 LSTM of 128, 24 chunks of 14 steps",
    "denoiser": "speech enhancement, 2 GRU of 320, 96 steps",
    "reader": "text in pictures, 2 bidirectional LSTM of 160, 48 steps",
    "separator": "source separation, 2 bidirectional LSTM of 128, 127 steps",
    "tagger": "tagger, bidirectional GRU of 160, packed, up to 72 words",
}


def fastest(calls, rounds):
    """Least milliseconds of each call, in turn."""
    times = [[] for _ in calls]
    for _ in range(rounds):
        for call, kept in zip(calls, times, strict=True):
            began = time.perf_counter()
            call()
            kept.append(1000 * (time.perf_counter() - began))
    return [min(kept) for kept in times]


def infer(model, inputs):
    with torch.no_grad():
        return model(*inputs)


def train(model, optimiser, inputs):
    optimiser.zero_grad()
    loss(model(*inputs)).backward()
    optimiser.step()


def calls_of(name):
    """Pairs of calls, of the model as it is and accelerated, for inference and training."""
    torch.manual_seed(0)
    model, inputs = MODELS[name](WIDTHS[name], rows=8, steps=8 if name != "reader" else 4)
    models = [model, copy.deepcopy(model)]
    if rnncore.torch.accelerate(models[1]).left:
        raise RuntimeError(f"{name}: not all layers were taken")
    evaluated = [copy.deepcopy(one).eval() for one in models]
    assert_close(*(infer(one, inputs) for one in reversed(evaluated)))
    yield [lambda one=one: infer(one, inputs) for one in evaluated]
    optimisers = [torch.optim.SGD(one.parameters(), lr=1e-6) for one in models]
    yield [lambda one=one, by=by: train(one, by, inputs) for one, by in zip(models, optimisers, strict=True)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rnncore.set_num_threads(1)
    print(f"{rnncore.isas()[0]}, PyTorch {torch.__version__}\n")
    print("| model | call before | after | gain | training step before | after | gain |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, title in TITLES.items():
        cells = []
        for calls in calls_of(name):
            before, after = fastest(calls, arguments.rounds)
            cells += [f"{before:.2f}", f"{after:.2f}", f"{before / after:.2f}"]
        print(f"| {title} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
