# SPDX-License-Identifier: MIT
"""What the three models share: where the models lie, timing, and plain NumPy cells to compare with."""

import os
import pathlib
import time

import numpy as np

from examples.data import DataNotFoundError

HERE = pathlib.Path(__file__).resolve()
DATA = pathlib.Path(os.environ.get("RNNCORE_DATA", HERE.parents[3] / "shared" / "models"))


def open_model(name):
    """The folder of a model, its weights and its reference inputs and outputs."""
    folder = next((path for path in (DATA / name, DATA / "models" / name) if path.is_dir()), None)
    if folder is None:
        raise DataNotFoundError(f"no {name} in {DATA}: set RNNCORE_DATA to the folder that holds it")
    arrays = []
    for part in ("weights", "reference"):
        with np.load(folder / f"{part}.npz", allow_pickle=False) as file:
            arrays.append({key: file[key] for key in file.files})
    return folder, *arrays


def sigmoid(x):
    """As the plain NumPy programs compute it."""
    return 1 / (1 + np.exp(-x))


def numpy_gru(x, h, w_ih, w_hh, b_ih, b_hh):
    """One step of a GRU (gates r z n, reset after the product), x (N, I), h (N, H)."""
    H = h.shape[-1]
    a, b = x @ w_ih.T + b_ih, h @ w_hh.T + b_hh
    r, z = sigmoid(a[:, :H] + b[:, :H]), sigmoid(a[:, H : 2 * H] + b[:, H : 2 * H])
    n = np.tanh(a[:, 2 * H :] + r * b[:, 2 * H :])
    return (1 - z) * n + z * h


def numpy_lstm(x, h, c, w_ih, w_hh, bias):
    """One step of an LSTM (gates i f g o), x (N, I), h and c (N, H)."""
    H = h.shape[-1]
    a = x @ w_ih.T + h @ w_hh.T + bias
    c = sigmoid(a[:, H : 2 * H]) * c + sigmoid(a[:, :H]) * np.tanh(a[:, 2 * H : 3 * H])
    return sigmoid(a[:, 3 * H :]) * np.tanh(c), c


def best_time(run, repeats=3):
    """Seconds of the fastest of some runs after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def agree(log, name, got, expected, tolerance):
    """Assert that arrays agree and log how well."""
    error = float(np.max(np.abs(np.asarray(got, np.float64) - expected)))
    assert error <= tolerance, f"{name}: off by {error}, allowed {tolerance}"
    log(f"{name}: largest difference from the reference {error:.1e}")


def report(log, what, ours, plain, count, unit):
    """Log both times per unit."""
    log(
        f"{what}: {ours / count * 1e6:.1f} us per {unit}, plain NumPy {plain / count * 1e6:.1f} us "
        f"({plain / ours:.1f} times as long)"
    )
