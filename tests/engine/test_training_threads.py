# SPDX-License-Identifier: MIT
"""Training on several threads: few rows, whose steps threads share by units, give the bits of one thread."""

import numpy as np
import pytest
import tables
from compiled import CELL, ISAS, assert_same_bits, build, draw

import rnncore

# A step of one row is worth sharing in every cell, and the last block of units has a tail.
STEPS, INPUTS, HIDDEN = 70, 7, 115
CALLS = {
    "plain": {},
    "both-directions": {},
    "recurrent-dropout": {"recurrent_dropout": 0.3},
    "segments": {"checkpoint": 4},
    "ragged": {"lengths": [70, 0, 33, 1, 64]},
}


def train(cell, option, rows, threads):
    """Outputs and all gradients of one training call of a fresh layer."""
    arguments = dict(CALLS[option])
    if "lengths" in arguments:
        arguments["lengths"] = np.array(arguments["lengths"][:rows])
    shape = tables.Shape(STEPS, rows, INPUTS, HIDDEN)
    layer = build(cell, shape, bidirectional=option == "both-directions")
    call = draw(layer, STEPS, rows)
    y, state, tape = layer.forward(call.x, call.state, num_threads=threads, **arguments)
    return {"y": y, "state": state}, layer.backward(tape, call.dy, call.dstate)


@CELL
@pytest.mark.parametrize("option", CALLS)
@pytest.mark.parametrize("rows", range(1, 6))
def test_few_rows_do_not_depend_on_threads(cell, option, rows):
    outputs, grads = train(cell, option, rows, 1)
    for threads in (2, 3, 4):
        again, grads_again = train(cell, option, rows, threads)
        assert_same_bits(again, outputs)
        assert_same_bits(grads_again, grads)


@CELL
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("arguments", [{}, {"checkpoint": 3}, {"recurrent_dropout": 0.3}], ids=str)
def test_gradients_of_ragged_rows_do_not_depend_on_threads(cell, directions, arguments):
    """Rows are dealt to as many parts as there are threads; sums over tokens keep the order of the rows."""
    T, N, H = 20, 33, 40
    lengths = np.random.default_rng(0).integers(0, T + 1, N)
    results = []
    for threads in (1, 2, 3, 5):
        layer = build(cell, tables.Shape(T, N, 16, H), num_layers=2, bidirectional=directions == 2)
        call = draw(layer, T, N)
        *_, tape = layer.forward(call.x, call.state, lengths=lengths, num_threads=threads, **arguments)
        results.append(layer.backward(tape, call.dy, call.dstate))
    for other in results[1:]:
        assert_same_bits(other, results[0])


@CELL
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("directions", [1, 2])
def test_products_over_cached_steps_change_no_bit(cell, ragged, directions):
    """A tape whose gates no L2 holds: one thread multiplies them a few steps at a time, a checkpoint all at once."""
    T, N, H = 90, 64, 40
    lengths = np.random.default_rng(0).integers(0, T + 1, N) if ragged else None
    results = []
    for checkpoint in (None, 1):
        layer = build(cell, tables.Shape(T, N, 5, H), bidirectional=directions == 2)
        call = draw(layer, T, N)
        *_, tape = layer.forward(call.x, call.state, lengths=lengths, num_threads=1, checkpoint=checkpoint)
        results.append(layer.backward(tape, call.dy, call.dstate))
    assert_same_bits(results[1], results[0])


OPTIONS = {
    "projection": ("LSTM", {"proj_size": 13}),
    "peepholes": ("LSTM", {"peepholes": True}),
    "coupled": ("LSTM", {"coupled": True, "clip": 3.0}),
    "norm": ("LSTM", {"layer_norm": True}),
    "zones": ("LSTM", {"zoneout": 0.2, "zoneout_c": 0.1}),
    "gru-norm": ("GRU", {"layer_norm": True}),
    "before": ("GRU", {"reset_after": False}),
    "bfloat16": ("GRU", {"store": "bfloat16"}),
}


@pytest.mark.parametrize("kind, options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("isa", ISAS)
def test_gradients_with_options_have_one_order(kind, options, isa):
    """Ragged, both ways, two layers with dropout: threads, instruction sets and segments change no bit."""
    T, N = 14, 19
    lengths = np.random.default_rng(1).integers(0, T + 1, N)
    x = np.random.default_rng(2).standard_normal((T, N, 9), dtype=np.float32)

    def gradients(threads, checkpoint):
        layer = getattr(rnncore, kind)(
            9, 35, num_layers=2, bidirectional=True, dropout=0.2, seed=3, **options
        )
        y, _, tape = layer.forward(x, lengths=lengths, num_threads=threads, checkpoint=checkpoint)
        return layer.backward(tape, y)

    expected = gradients(1, None)
    with rnncore.use_isa(isa):
        for threads in (1, 2, 3):
            for checkpoint in (None, 3):
                assert_same_bits(gradients(threads, checkpoint), expected)
