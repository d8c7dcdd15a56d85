# SPDX-License-Identifier: MIT
"""Training calls that compute gates again, on threads, and with BLAS: the same gradients; and what tapes weigh."""

import numpy as np
import pytest
import tables
from compiled import CELL, DTYPE, assert_near, assert_same_bits, build, draw

import rnncore

# Work for several threads, steps that no segment length divides, units and inputs with tails.
SHAPE = tables.Shape(43, 16, 6, 33)
OPTIONS = {
    "plain": ({}, False),
    "deep": ({"num_layers": 3, "bidirectional": True, "dropout": 0.4}, False),
    "ragged": ({"num_layers": 2, "bidirectional": True, "dropout": 0.3, "batch_first": True}, True),
    "one-way-ragged": ({"num_layers": 2, "bias": False}, True),
}
OPTION = pytest.mark.parametrize("options", OPTIONS)
LENGTHS = np.array([43, 0, 5, 43, 12, 1, 30, 29, 2, 17, 43, 8, 11, 40, 3, 22])


def train(cell, options, dtype="float32", threads=1, checkpoint=None, backend="fused"):
    """(outputs, gradients, tape) of one training call of a fresh layer."""
    given, ragged = OPTIONS[options]
    layer = build(cell, SHAPE, dtype, **given)
    call = draw(layer, SHAPE.T, SHAPE.N)
    with rnncore.use_backend(backend):
        y, state, tape = layer.forward(
            call.x,
            call.state,
            lengths=LENGTHS if ragged else None,
            num_threads=threads,
            checkpoint=checkpoint,
        )
    grads = layer.backward(tape, call.dy, call.dstate)
    return {"y": y, "state": state}, grads, tape


@CELL
@DTYPE
@OPTION
@pytest.mark.parametrize("threads", [1, 2])
def test_checkpoints_change_no_bit(cell, dtype, options, threads):
    outputs, grads, _ = train(cell, options, dtype, threads)
    for checkpoint in ("gates", 1, 5, 42, 43):
        again, grads_again, _ = train(cell, options, dtype, threads, checkpoint)
        assert_same_bits(again, outputs)
        assert_same_bits(grads_again, grads)


@CELL
def test_gradients_of_even_batches_do_not_depend_on_threads(cell):
    _, expected, _ = train(cell, "deep")
    for threads in (2, 3):
        assert_same_bits(train(cell, "deep", threads=threads)[1], expected)


@CELL
@DTYPE
@OPTION
@pytest.mark.parametrize("checkpoint", [None, 5])
def test_blas_gives_the_same_gradients(cell, dtype, options, checkpoint):
    _, expected, _ = train(cell, options, dtype)
    _, grads, _ = train(cell, options, dtype, threads=2, checkpoint=checkpoint, backend="blas")
    assert_near("gradient", dtype, grads, expected)


@CELL
@OPTION
def test_tape_bytes_are_known_before(cell, options):
    given, ragged = OPTIONS[options]
    layer = build(cell, SHAPE, **given)
    lengths = LENGTHS if ragged else None
    sizes = []
    for checkpoint in (None, "gates", 5):
        tape = train(cell, options, checkpoint=checkpoint)[2]
        assert layer.tape_bytes(SHAPE.T, SHAPE.N, lengths=lengths, checkpoint=checkpoint) == tape.nbytes
        sizes.append(tape.nbytes)
    assert max(sizes[1:]) < sizes[0]


def test_tape_of_a_checkpoint_holds_outputs_only():
    T, N, H = 400, 8, 64
    layer = rnncore.LSTM(H, H, seed=1)
    values = 4 * T * N * H
    assert layer.tape_bytes(T, N) >= 7 * values
    assert layer.tape_bytes(T, N, checkpoint="gates") < 2.2 * values


@pytest.mark.parametrize("checkpoint", [0, 44, -1, 2.0, True, "gate", "segments"])
def test_bad_checkpoints_are_refused(implementation, checkpoint):
    layer = implementation.GRU(3, 4, seed=1)
    x = np.zeros((43, 2, 3), np.float32)
    with pytest.raises(rnncore.errors.ArgumentError, match="checkpoint"):
        layer.forward(x, checkpoint=checkpoint)


def test_empty_calls_have_checkpoints():
    layer = rnncore.LSTM(3, 4, seed=1)
    for T, N in ((0, 2), (3, 0)):
        y, _, tape = layer.forward(np.zeros((T, N, 3), np.float32), checkpoint=1)
        grads = layer.backward(tape, np.zeros_like(y))
        assert not grads.params["weight_hh_l0"].any()
