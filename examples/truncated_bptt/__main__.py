# SPDX-License-Identifier: MIT
"""Truncated backpropagation through time (Williams and Peng 1990) over a series of any length in constant memory.

The series comes window by window and is never held. The state at the end of a window starts the next one; the
gradient stops there: what `forward` returns as state is plain numbers. Windows may have any length; the layer keeps
the memory of one tape, so a window of about the size of the last costs no new memory.

    python -m examples.truncated_bptt [--quick]

learns to forecast the next value of the Mackey-Glass series (tau = 17) and prints the error of the last tenth beside
that of persistence (the next value is the present one), and the memory the process grew by after its first windows.
"""

import time
from collections import deque

import numpy as np

import rnncore
from examples import common
from rnncore.nn import Adam, Linear, mse_loss

WARM_WINDOWS = 50
"""After so many windows the process has all the memory it needs."""


def mackey_glass(rng, tau=17):
    """Yields the series x' = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x, ten Euler steps per value, for ever."""
    past = deque(1.2 + 0.2 * rng.standard_normal(10 * tau))
    x = past[-1]
    while True:
        for _ in range(10):
            late = past.popleft()
            x += 0.1 * (0.2 * late / (1 + late**10) - 0.1 * x)
            past.append(x)
        yield x - 1.0


def windows(series, steps, size, rng):
    """Yields pieces (T + 1, 1, 1) of `steps` values in all, T between size / 2 and 3 size / 2; each begins with the
    last value of the one before."""
    first = next(series)
    while steps > 0:
        T = min(steps, int(rng.integers(size // 2, 3 * size // 2 + 1)))
        piece = np.array([first, *(next(series) for _ in range(T))], np.float32)
        first, steps = piece[-1], steps - T
        yield piece[:, np.newaxis, np.newaxis]


def train(steps, size=50, hidden_size=32, seed=0):
    """Train over the whole series once.

    Returns
    -------
    dict
        "error" and "persistence": mean squared errors over the last tenth; "grown": bytes by which the peak memory rose
        after the first windows; "seconds".
    """
    rng = np.random.default_rng(seed)
    layer = rnncore.LSTM(1, hidden_size, seed=seed)
    head = Linear(hidden_size, 1, seed=seed + 1)
    optimizer = Adam([layer, head], lr=3e-3, clip_norm=1.0)
    state, done, squares, began, warm = None, 0, np.zeros(3), time.perf_counter(), 0
    for number, piece in enumerate(windows(mackey_glass(rng), steps, size, rng)):
        x, target = piece[:-1], piece[1:]
        y, state, tape = layer.forward(x, state)  # the next window starts where this one ends
        pred, head_tape = head.forward(y)
        loss, dpred = mse_loss(pred, target)
        head_grads = head.backward(head_tape, dpred)
        grads = layer.backward(tape, head_grads.x)  # no gradient comes from beyond the window
        optimizer.step([grads.params, head_grads.params])
        done += len(x)
        if done > 0.9 * steps:
            squares += len(x), loss * len(x), float(np.sum((target - x) ** 2))
        if number == WARM_WINDOWS:
            warm = peak_bytes()
    return {
        "error": squares[1] / squares[0],
        "persistence": squares[2] / squares[0],
        "grown": peak_bytes() - warm,
        "seconds": time.perf_counter() - began,
    }


def peak_bytes():
    """The most memory this process has had; `getrusage` would count that of the process it was forked from."""
    with open("/proc/self/status") as lines:
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main(argv=None):
    """Run; returns what was reached."""
    about = "Training over a series of any length in constant memory."
    parser = common.parser("truncated_bptt", about, trains=False)
    parser.add_argument("--seed", type=int, default=1, help="of series and parameters (default: 1)")
    parser.add_argument("--steps", type=int, help="length of the series (1 000 000, with --quick 50 000)")
    parser.add_argument("--window", type=int, default=50, help="mean length of a window (default: 50)")
    arguments = parser.parse_args(argv)
    rnncore.set_num_threads(arguments.threads)
    steps = arguments.steps or (50_000 if arguments.quick else 1_000_000)
    log = common.Log(common.out_folder(arguments, "truncated_bptt"))
    result = train(steps, arguments.window, seed=arguments.seed)
    log(f"{steps:,} steps, windows of about {arguments.window}, seed {arguments.seed}")
    log(f"mean squared error of the last tenth  {result['error']:.2e}")
    log(f"of persistence                        {result['persistence']:.2e}")
    log(f"memory grown after {WARM_WINDOWS} windows         {result['grown'] / 1e6:.1f} MB")
    log(f"time                                  {result['seconds']:.1f} s")
    return result


if __name__ == "__main__":
    common.start(main)
