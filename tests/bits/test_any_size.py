# SPDX-License-Identifier: MIT
"""Sizes drawn at random, small and large, odd and round: every way to compute a call gives the same bits.

Other tests walk sizes around the tiles; these reach the weights beyond caches and the walks that go with them.
"""

import numpy as np
import pytest
import tables
from compiled import CELL, ISAS, assert_same_bits, build, draw

import rnncore

DRAWS = pytest.mark.parametrize(
    "number", [pytest.param(k, marks=[pytest.mark.full] if k else []) for k in range(8)]
)
MOST_WEIGHTS = 300_000
"""Of one matrix of inputs and units: more takes the naive loop too long."""


def sizes(rng):
    """Steps, rows, inputs and units."""
    largest = (40, 300, 1500)
    while True:
        I, H = (int(rng.integers(2, rng.choice(largest))) for _ in range(2))  # noqa: E741
        if I * H < MOST_WEIGHTS and H * H < 4 * MOST_WEIGHTS:
            return tables.Shape(int(rng.choice([1, 2, 9])), int(rng.choice([1, 1, 2, 5, 12, 33])), I, H)


def drawn(cell, number):
    """A layer and a call of it."""
    rng = np.random.default_rng([number, *cell.id.encode()])
    shape = sizes(rng)
    options = {"num_layers": int(rng.choice([1, 1, 2])), "bidirectional": bool(rng.random() < 0.2)}
    layer = build(cell, shape, str(rng.choice(["float32", "float64"])), **options)
    return layer, draw(layer, shape.T, shape.N, seed=number)


@CELL
@DRAWS
def test_a_call_equals_the_naive_loop(cell, number):
    layer, call = drawn(cell, number)
    with rnncore.use_backend("naive"):
        expected = layer(call.x, call.state)
    for isa in ISAS:
        with rnncore.use_isa(isa):
            for threads in (1, 2):
                assert_same_bits(layer(call.x, call.state, num_threads=threads), expected)
            if not layer.spec.bidirectional:
                stream = layer.stream(call.x.shape[1])
                stream.state = call.state
                assert_same_bits(np.stack([stream.step(x).copy() for x in call.x]), expected[0])


@CELL
@DRAWS
def test_gradients_are_the_same_on_every_instruction_set_and_thread(cell, number):
    layer, call = drawn(cell, number)
    expected = None
    for isa in ISAS:
        for threads in (1, 2):
            with rnncore.use_isa(isa):
                _, _, tape = layer.forward(call.x, call.state, num_threads=threads)
                grads = layer.backward(tape, call.dy, call.dstate)
            expected = expected or grads
            assert_same_bits(grads, expected)
