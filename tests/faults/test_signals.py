# SPDX-License-Identifier: MIT
"""Signals end long calls on their way, and leave parameters, state and other calls as they were."""

import contextlib
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tables
from compiled import PATIENCE, assert_same_bits, build, clean_environment

import rnncore
from rnncore import errors

if not hasattr(signal, "setitimer"):
    pytest.skip("this system has no interval timers", allow_module_level=True)

# A call of seconds; its first tokens are a call of moments.
LONG = tables.Shape(40_000, 1, 16, 256)
SHORT = 20
LSTM = next(cell for cell in tables.CELLS if cell.id == "lstm")


class Stop(Exception):
    """What the handler of these tests raises."""


@contextlib.contextmanager
def ticking(handler):
    """The handler runs every few milliseconds, in between whatever the main thread does."""
    before = signal.signal(signal.SIGALRM, lambda *_: handler())
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Counter:
    """Raises at its third tick. One call has one tick when it is over, and three only while it runs."""

    def __init__(self):
        self.ticks = 0

    def __call__(self):
        self.ticks += 1
        if self.ticks == 3:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise Stop


@pytest.fixture(scope="module")
def layer():
    return build(LSTM, LONG)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).standard_normal((LONG.T, LONG.N, LONG.I)).astype(np.float32)


def recorded(layer, x, threads):
    *_, tape = layer.forward(x, num_threads=threads)
    return tape


def naively(layer, x, threads):
    with rnncore.use_backend("naive"):
        layer(x, num_threads=threads)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "call",
    [lambda layer, x, threads: layer(x, num_threads=threads), recorded, naively],
    ids=["inference", "training", "naive"],
)
def test_a_handler_that_raises_ends_the_call(layer, x, call, threads):
    expected = layer(x[:SHORT])
    out = np.full((LONG.T, LONG.N, LONG.H), np.nan, np.float32)
    stream = layer.stream(1)
    step = stream.step(x[0])
    with pytest.raises(Stop), ticking(Counter()):
        call(layer, x, threads)
    assert_same_bits(layer(x[:SHORT]), expected)
    assert_same_bits(step, expected[0][0])
    assert_same_bits(stream.step(x[1]), expected[0][1])
    with pytest.raises(Stop), ticking(Counter()):
        layer(x, out=out, num_threads=threads)
    assert np.isnan(out[-1]).all()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("checkpoint", [None, 8])
def test_an_ended_backward_uses_up_its_tape_alone(layer, x, threads, checkpoint):
    x = x[: LONG.T // 2]
    dy = np.ones((len(x), LONG.N, LONG.H), np.float32)
    *_, other = layer.forward(x[:SHORT])
    *_, tape = layer.forward(x, checkpoint=checkpoint, num_threads=threads)
    with pytest.raises(Stop), ticking(Counter()):
        layer.backward(tape, dy)
    with pytest.raises(errors.TapeError):
        layer.backward(tape, dy)
    *_, again = layer.forward(x[:SHORT])
    assert_same_bits(layer.backward(other, dy[:SHORT]).x, layer.backward(again, dy[:SHORT]).x)


def test_a_handler_that_returns_changes_nothing_and_may_call(layer, x):
    x = x[: LONG.T // 4]
    expected, short, seen = layer(x), layer(x[:SHORT]), []

    def call_the_same_layer():
        seen.append(layer(x[:SHORT], num_threads=2))

    with ticking(call_the_same_layer):
        got = layer(x, num_threads=2)
    assert_same_bits(got, expected)
    for result in seen:
        assert_same_bits(result, short)


def heed_interrupts():
    """In a new process: SIGINT is neither ignored nor blocked, whatever other tests' engines have left here."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def test_keyboard_interrupt_leaves_the_program_going():
    code = (
        "import numpy as np, rnncore\n"
        "layer = rnncore.LSTM(64, 512, seed=0)\n"
        "x, out = np.ones((100_000, 1, 64), np.float32), np.full((100_000, 1, 512), np.nan, np.float32)\n"
        "expected = layer(x[:5])[0]\n"
        "try:\n"
        "    print('calls', flush=True)\n"
        "    layer(x, out=out)\n"
        "except KeyboardInterrupt:\n"
        "    print('early' if np.isnan(out[-1]).all() else 'late')\n"
        "print('same' if np.array_equal(layer(x[:5])[0], expected) else 'other')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(),
        preexec_fn=heed_interrupts,
    )
    assert process.stdout.readline() == "calls\n"
    os.kill(process.pid, signal.SIGINT)
    assert process.communicate(timeout=PATIENCE)[0].split() == ["early", "same"]
