# SPDX-License-Identifier: MIT
"""Memory of training: truncated backpropagation in constant memory, tapes as large as they say, blocks used again."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tables_training as tables
from compiled import assert_near, assert_same_bits, clean_environment

import rnncore
from examples.truncated_bptt import __main__ as truncated_bptt

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(code):
    """What a fresh process prints as its last line."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True
    )
    return done.stdout.strip().splitlines()[-1]


def test_a_long_series_is_learnt_in_constant_memory():
    code = """
from examples.truncated_bptt.__main__ import train
result = train(20000)
print(result["error"], result["persistence"], result["grown"])
"""
    error, persistence, grown = map(float, run(code).split())
    assert error < tables.PERSISTENCE_SHARE * persistence
    assert grown <= tables.GROWN_BYTES


def test_gradients_stop_at_the_window():
    """The sum over windows of what each gives, with the state of the one before as a constant."""
    layer = rnncore.LSTM(3, 5, dtype="float64", seed=1)
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((12, 2, 3)), rng.standard_normal((12, 2, 5))
    whole = layer(x)[0]
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    oracle = torch.nn.LSTM(3, 5, dtype=torch.float64)
    oracle.load_state_dict({name: torch.from_numpy(value) for name, value in layer.state_dict().items()})
    state, theirs, sums = None, None, dict.fromkeys(layer.parameters(), 0.0)
    for begin, end in ((0, 5), (5, 6), (6, 12)):
        y, state, tape = layer.forward(x[begin:end], state)
        assert_same_bits(y, whole[begin:end])
        for name, grad in layer.backward(tape, dy[begin:end]).params.items():
            sums[name] = sums[name] + grad
        out, theirs = oracle(torch.from_numpy(x[begin:end]), theirs)
        out.backward(torch.from_numpy(dy[begin:end]))
        theirs = tuple(part.detach() for part in theirs)
    right = {name: value.grad.numpy() for name, value in oracle.named_parameters()}
    assert_near("gradient", "float64", sums, right)


PEAK = """
import numpy as np, rnncore
def peak():
    with open("/proc/self/status") as lines:
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
def call(layer, x):
    y, state, tape = layer.forward(x, num_threads={threads}, checkpoint={checkpoint!r})
    layer.backward(tape, y)
T, N, H = {size}
layer = rnncore.{cell}(H, H, {layers}, bidirectional={directions} == 2, seed=0)
x = np.ones((T, N, H), np.float32)
call(layer, x[:10])  # packed weights, threads
before = peak()
call(layer, x)
print(peak() - before, layer.tape_bytes(T, N, checkpoint={checkpoint!r}), x.nbytes)
"""
# Values of a unit that are computed again: gates, c of an LSTM, the recurrent part of n of a GRU.
SLOTS = {"LSTM": 5, "GRU": 4, "RNN": 1}


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads peak memory in /proc")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("cell", "layers", "directions"),
    [("LSTM", 1, 1), ("LSTM", 2, 2), ("GRU", 3, 1), ("GRU", 1, 2), ("RNN", 2, 1), ("RNN", 2, 2)],
)
@pytest.mark.parametrize("checkpoint", [None, "gates", 5])
def test_peak_memory_is_the_tape_and_what_the_caller_gets(cell, layers, directions, threads, checkpoint):
    T, N, H = 1000, 64, 64
    code = PEAK.format(
        size=(T, N, H),
        cell=cell,
        layers=layers,
        directions=directions,
        threads=threads,
        checkpoint=checkpoint,
    )
    grown, tape, array = map(int, run(code).split())
    # y and dx; between layers the gradients of one or two outputs; with a checkpoint one segment of gates.
    returned = (directions + 1) * array
    between = directions * array * min(layers - 1, 2)
    steps = {None: 0, "gates": 33, 5: 200}[checkpoint]
    segment = directions * SLOTS[cell] * array * steps // T
    expected = tape + returned + between + segment
    assert abs(grown - expected) <= tables.PEAK_TOLERANCE * expected, (grown, expected)


def test_the_memory_of_a_tape_is_used_again():
    code = """
import resource, numpy as np, rnncore
layer = rnncore.LSTM(128, 128, seed=0)
x = np.ones((100, 64, 128), np.float32)
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    y, _, tape = layer.forward(x, num_threads=1); layer.backward(tape, y)
before = faults()
for _ in range(10):
    y, _, tape = layer.forward(x, num_threads=1); layer.backward(tape, y)
print(4096 * (faults() - before) / 10, tape.nbytes)
"""
    fresh, tape = map(float, run(code).split())
    assert fresh < tape / 10


def test_the_example_is_a_module_without_side_effects():
    pieces = truncated_bptt.windows(iter(range(10**6)), 500, 20, np.random.default_rng(0))
    sizes = [len(piece) - 1 for piece in pieces]
    assert sum(sizes) == 500
    assert len(set(sizes)) > 3
