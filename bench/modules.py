# SPDX-License-Identifier: MIT
"""How long modules and losses take beside the NumPy that their kernels replace, at the sizes of the examples.

    python bench/modules.py                 all rows, one thread
    python bench/modules.py --only linear   those whose name begins so

A row is a forward and a backward call, of a loss its value and gradient. Beside it stands the same call with NumPy's
products, sums and functions in place of `rnncore.engine.sums`. Both take turns, in processor time of one thread, so
that other work on the machine matters little; the ratio, the time beside it over ours, is the median over the turns.
The last rows leave out the gradient of x; beside them is the same call with it.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import contextlib
import statistics
import time

import numpy as np

import rnncore
from rnncore import nn
from rnncore.engine import sums

RNG = np.random.default_rng(0)
BURST = 5e-3
"""Seconds of a turn, at least one call."""

# What stands in `rnncore.engine.sums`, in NumPy.


def multiply(form, a, b, bias=None):
    if form == "nt":
        b = b.swapaxes(-1, -2)
    elif form == "tn":
        a = a.swapaxes(-1, -2)
    out = np.dot(a, b) if a.ndim == 2 else a @ b
    if bias is not None:
        out += bias
    return out


def total(a, b=None):
    return float(a.sum(dtype=np.float64)) if b is None else float(np.vdot(a, b))


def dot_rows(a, b=None):
    return (a if b is None else a * b).sum(axis=-1, keepdims=True)


def add_rows(a, index=None, count=1):
    if index is None:
        return a.sum(axis=0)[np.newaxis]
    found, order = np.zeros((count, a.shape[1]), a.dtype), np.argsort(index, kind="stable")
    rows, starts = np.unique(index[order], return_index=True)
    found[rows] = np.add.reduceat(a[order], starts, axis=0)
    return found


def softmax(a, lengths=None):
    lowest, valid = np.finfo(a.dtype).min, True
    if lengths is not None:
        valid = np.arange(a.shape[-1]) < lengths.reshape(*a.shape[:-1], 1)
    top = np.max(a, axis=-1, keepdims=True, where=valid, initial=lowest)
    out = np.exp(a - top, out=np.zeros_like(a), where=valid)
    sizes = np.maximum(out.sum(axis=-1, keepdims=True), np.finfo(a.dtype).tiny)
    out /= sizes
    return out, np.concatenate([top, np.log(sizes)], axis=-1, dtype=np.float64).reshape(-1, 2)


def apply(operation, a, function=None):
    if operation == "value":
        assert function == ("softplus",)
        return np.logaddexp(a, 0.0)
    return {"exp": np.exp, "log": np.log}[operation](a)


PLAIN = {each.__name__: each for each in (multiply, total, dot_rows, add_rows, softmax, apply)}
OURS = {name: getattr(sums, name) for name in PLAIN}


@contextlib.contextmanager
def in_numpy():
    """While the block runs modules and losses add up in NumPy."""
    for name, function in PLAIN.items():
        setattr(sums, name, function)
    try:
        yield
    finally:
        for name, function in OURS.items():
            setattr(sums, name, function)


# What is called; each gives a function without arguments, whose results are compared.


def normal(*shape):
    return RNG.standard_normal(shape, dtype=np.float32)


def module(make, *shapes, **more):
    """A forward and a backward call of a module, of normal inputs of these shapes."""
    owner, inputs = make(), [normal(*shape) for shape in shapes]
    dy = normal(*owner.forward(*inputs, **more)[0].shape)

    def call():
        *_, tape = owner.forward(*inputs, **more)
        grads = owner.backward(tape, dy)
        names = ("x", "queries", "memory")
        found = [getattr(grads, name) for name in names if getattr(grads, name, None) is not None]
        return [*found, *grads.params.values()]

    return call


def linear(rows, inputs, outputs):
    return module(lambda: nn.Linear(inputs, outputs, seed=0), (rows, inputs))


def attention(queries, steps, rows, features):
    lengths = RNG.integers(1, steps + 1, rows)
    shapes = (queries, rows, features), (steps, rows, features)
    return module(lambda: nn.Attention(scale=features**-0.5), *shapes, lengths=lengths)


def embedding(words, features, steps, rows):
    table, ids = nn.Embedding(words, features, seed=0), RNG.integers(0, words, (steps, rows))
    dy = normal(steps, rows, features)

    def call():
        _, tape = table.forward(ids)
        return [table.backward(tape, dy).params["weight"]]

    return call


def classes(rows, count):
    logits, labels = normal(rows, count), RNG.integers(0, count, rows)
    return lambda: [*nn.cross_entropy(logits, labels)]


def squares(*shape):
    pred, target = normal(*shape), normal(*shape)
    return lambda: [*nn.mse_loss(pred, target)]


def quantiles(steps, rows, count):
    pred, target, weight = normal(steps, rows, count), normal(steps, rows), RNG.random((steps, rows))
    shares = np.linspace(0.1, 0.9, count)
    return lambda: [*nn.quantile_loss(pred, target, shares, weight)]


def mixture(points, components):
    params, target = normal(points, 6 * components), normal(points, 2)
    return lambda: [*nn.mixture_loss(params, target)]


def training(cell, input_grad, steps=50, rows=32, size=128):
    layer = getattr(rnncore, cell)(size, size, seed=0)
    x, dy = np.random.default_rng(1).standard_normal((2, steps, rows, size), dtype=np.float32)

    def call():
        tape = layer.forward(x)[2]
        return list(layer.backward(tape, dy, input_grad=input_grad).params.values())

    return call


ROWS = {
    "linear, bridge of translation": (linear, 576, 512, 256),
    "linear, words of translation": (linear, 560, 256, 2700),
    "linear, words of captions": (linear, 700, 128, 2447),
    "linear, writer": (linear, 1250, 256, 123),
    "linear, quantiles of hours": (linear, 1536, 64, 5),
    "linear, speakers": (linear, 64, 64, 9),
    "attention, translation": (attention, 9, 9, 64, 256),
    "attention, captions": (attention, 12, 8, 64, 128),
    "embedding, translation": (embedding, 2700, 256, 9, 64),
    "layer norm": (module, lambda: nn.LayerNorm(256), (576, 256)),
    "cross-entropy, words of translation": (classes, 560, 2700),
    "cross-entropy, words of captions": (classes, 700, 2447),
    "cross-entropy, pen": (classes, 1250, 3),
    "squared error": (squares, 50, 32, 8),
    "quantile loss, hours": (quantiles, 24, 64, 5),
    "mixture loss, writer": (mixture, 1250, 20),
}


def burst(call, repeats, how):
    with how():
        started = time.process_time()
        for _ in range(repeats):
            call()
        return (time.process_time() - started) / repeats


def differ(found, other):
    """The largest difference of two lists of results, relative to the largest number."""
    pairs = [
        (np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in zip(found, other, strict=True)
    ]
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def show(name, ours, theirs, turns):
    """Time two calls, each with how it is to be run, in turns."""
    with theirs[1]():
        other = theirs[0]()
    difference = differ(ours[0](), other)
    repeats = [max(1, int(BURST / burst(call, 3, how))) for call, how in (ours, theirs)]
    times = [
        [burst(call, count, how) for (call, how), count in zip((ours, theirs), repeats, strict=True)]
        for _ in range(turns)
    ]
    ratio = statistics.median(b / a for a, b in times)
    a, b = (1e6 * min(each) for each in zip(*times, strict=True))
    print(f"{name:36}{a:9.1f}us{b:11.1f}us{ratio:8.2f}  {difference:.0e}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="beginning of the names")
    parser.add_argument("--turns", type=int, default=41)
    given = parser.parse_args()
    rnncore.set_num_threads(1)
    print(f"{'':36}{'ours':>11}{'beside it':>13}   ratio  differ by")
    for name, (make, *sizes) in ROWS.items():
        if name.startswith(given.only):
            call = make(*sizes)
            show(name, (call, contextlib.nullcontext), (call, in_numpy), given.turns)
    for cell in ("LSTM", "GRU", "RNN"):
        name = f"{cell} without the gradient of x"
        if name.startswith(given.only):
            calls = [(training(cell, wanted), contextlib.nullcontext) for wanted in (False, True)]
            show(name, *calls, given.turns)


if __name__ == "__main__":
    main()
