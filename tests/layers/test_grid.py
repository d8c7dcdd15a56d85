# SPDX-License-Identifier: MIT
"""One grid, cells x dtypes x instruction sets x calls x threads: the compiled layers against the twins, forward and
all gradients, and against the naive loop to the last bit.

A call is a shape with a set of options; together they visit every option, every cell visits them all.
"""

import functools

import numpy as np
import pytest
import tables
from compiled import CELL, DTYPE, ISA, assert_near, assert_same_bits, build, draw

import rnncore

# Options, and how the call is made: "state" passes an initial state, "ragged" lengths that include 0 and T,
# "unbatched" a 2-D x.
PLAIN = (dict(), ())
DEEP = (dict(num_layers=3, bidirectional=True), ("state", "ragged"))
FIRST = (dict(num_layers=2, batch_first=True, bias=False), ("state", "ragged"))
BOTH = (dict(num_layers=2, batch_first=True, bidirectional=True, dropout=0.4), ("ragged",))
SINGLE = (dict(num_layers=2, bidirectional=True, dropout=0.3), ("state", "unbatched"))
STACK = (dict(num_layers=3), ("state",))

# Small shapes run on one thread whatever is allowed.  The last three have work for several: rows to split, pre-
# activations of more than one chunk and more than one block of gradient rows; fewer rows than threads; one row, whose
# directions or units are shared out.
SPLIT, FEW, LONE = tables.Shape(43, 16, 6, 33), tables.Shape(24, 2, 24, 72), tables.Shape(40, 1, 24, 72)
CALLS = {
    f"{shape.id}-{name}": (shape, *variant)
    for shape, name, variant in [
        *((shape, "plain", PLAIN) for shape in tables.SHAPES),
        (tables.SHAPES[1], "deep", DEEP),
        (tables.SHAPES[2], "deep", DEEP),
        (tables.SHAPES[3], "both", BOTH),
        (tables.SHAPES[4], "first", FIRST),
        (tables.SHAPES[5], "single", SINGLE),
        (SPLIT, "plain", PLAIN),
        (SPLIT, "deep", DEEP),
        (SPLIT, "first", FIRST),
        (FEW, "both", BOTH),
        (FEW, "stack", STACK),
        (LONE, "single", SINGLE),
        (LONE, "stack", STACK),
    ]
}
THREADS = (1, 2, 3)


def test_calls_visit_every_option():
    options = {name for _, given, _ in CALLS.values() for name in given}
    assert options == {"num_layers", "bidirectional", "batch_first", "bias", "dropout"}
    assert {how for *_, ways in CALLS.values() for how in ways} == {"state", "ragged", "unbatched"}


def arguments(layer, call):
    """(x, keyword arguments, dy, dstate) of a grid call."""
    shape, _, ways = CALLS[call]
    drawn = draw(layer, shape.T, shape.N, batched="unbatched" not in ways)
    given = {}
    if "state" in ways:
        given["state"] = drawn.state
    if "ragged" in ways:
        lengths = np.random.default_rng(1).integers(0, shape.T + 1, shape.N)
        lengths[0], lengths[-1] = 0, shape.T
        given["lengths"] = lengths
    return drawn.x, given, drawn.dy, drawn.dstate


def make(cell, dtype, call, implementation=rnncore):
    shape, options, _ = CALLS[call]
    return build(cell, shape, dtype, implementation, **options)


@functools.cache
def twin_results(cell, dtype, call):
    """y, state, grads of a training call of the twin."""
    layer = make(cell, dtype, call, rnncore.reference)
    x, given, dy, dstate = arguments(layer, call)
    y, state, tape = layer.forward(x, **given)
    return y, state, layer.backward(tape, dy, dstate)


@functools.cache
def naive_results(cell, dtype, call):
    """y, state of an inference call of the naive loop."""
    layer = make(cell, dtype, call)
    x, given, *_ = arguments(layer, call)
    with rnncore.use_backend("naive"):
        return layer(x, **given)


GRID = [
    CELL,
    DTYPE,
    ISA,
    pytest.mark.parametrize("call", CALLS),
    pytest.mark.parametrize("threads", THREADS, ids="threads{}".format),
]


def grid(test):
    """The test on the whole grid, with ids like lstm-f32-avx2-T7N3I5H17-deep-threads2."""
    for mark in GRID:  # the mark nearest to the function comes first in the id
        test = mark(test)
    return test


@grid
def test_agrees_with_twin(cell, dtype, isa, call, threads):
    y, state, grads = twin_results(cell, dtype, call)
    layer = make(cell, dtype, call)
    x, given, dy, dstate = arguments(layer, call)
    with rnncore.use_isa(isa):
        got_y, got_state, tape = layer.forward(x, num_threads=threads, **given)
        got_grads = layer.backward(tape, dy, dstate)
    assert_near("forward", dtype, (got_y, got_state), (y, state))
    assert_near("gradient", dtype, vars(got_grads), vars(grads))


@grid
def test_same_bits_as_naive(cell, dtype, isa, call, threads):
    layer = make(cell, dtype, call)
    x, given, *_ = arguments(layer, call)
    with rnncore.use_isa(isa):
        got = layer(x, num_threads=threads, **given)
    assert_same_bits(got, naive_results(cell, dtype, call))


@CELL
@DTYPE
@pytest.mark.parametrize("call", CALLS)
def test_blas_backend_agrees(cell, dtype, call):
    layer = make(cell, dtype, call)
    x, given, *_ = arguments(layer, call)
    with rnncore.use_backend("blas"):
        got = layer(x, num_threads=2, **given)
    assert_near("forward", dtype, got, naive_results(cell, dtype, call))
