# SPDX-License-Identifier: MIT
"""Keys of rows: a row's masks are those of a call of this row alone, in whatever batch and on however many threads."""

import numpy as np
import pytest
from compiled import assert_same_bits

import rnncore
from rnncore import engine, errors

T, N, INPUTS, H = 11, 6, 4, 7
LENGTHS = np.array([11, 3, 7, 11, 1, 5])
KEYS = np.array([5, 2**64 - 1, 7, 5, 0, 12345], np.uint64)
OPTIONS = {
    "rnn": {"dropout": 0.4, "zoneout": 0.2},
    "gru": {"dropout": 0.4, "zoneout": 0.3},
    "lstm": {"dropout": 0.4, "zoneout": 0.2, "zoneout_c": 0.3},
    "lstm-plain": {"dropout": 0.3},
}


def run(cell, rows, key, row_keys, threads=1, checkpoint=None):
    """y, final states and the gradients of x, of the states and, for the last of the rows, of the parameters."""
    kind = getattr(rnncore, cell.partition("-")[0].upper())
    layer = kind(INPUTS, H, num_layers=2, bidirectional=True, seed=1, **OPTIONS[cell])
    rng = np.random.default_rng(0)
    x, dy = (rng.random((T, N, size), dtype=np.float32)[:, rows] - 0.5 for size in (INPUTS, 2 * H))
    weights = layer.packed(engine.needed(training=True))
    call = engine.Call(layer.spec, x, lengths=LENGTHS[rows], num_threads=threads)
    how = engine.Training(call, checkpoint, 0.25)

    def grads(dy):
        y, state, tape = engine.record(weights, call, how, key=key, row_keys=row_keys)
        return y, state, engine.backward(tape, dy)

    y, state, found = grads(dy)
    dy[:, :-1] = 0
    return y, state, found.x, found.state, grads(dy)[2].params


@pytest.mark.parametrize("checkpoint", [None, "gates"])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("cell", OPTIONS)
def test_a_row_has_the_masks_it_has_alone(cell, threads, checkpoint):
    for rows in ([0, 1, 2, 3, 4, 5], [3, 0, 4], [5, 2]):
        y, state, dx, dstate, params = run(cell, rows, 1, KEYS[rows], threads, checkpoint)
        for n, row in enumerate(rows):
            alone = run(cell, [row], int(KEYS[row]), None)
            assert_same_bits((y[:, [n]], dx[:, [n]]), (alone[0], alone[2]))
            for parts, own in ((state, alone[1]), (dstate, alone[3])):
                for part, mine in zip(
                    *((p,) if isinstance(p, np.ndarray) else p for p in (parts, own)), strict=True
                ):
                    assert_same_bits(part[:, [n]], mine)
        assert_same_bits(params, alone[4])


def test_rows_of_one_key_differ_from_a_call_of_it():
    ys = [run("gru", [0, 1, 2], 5, keys)[0] for keys in (None, np.full(3, 5, np.uint64))]
    assert not np.array_equal(*ys)


@pytest.mark.parametrize("keys, error", [
    (KEYS[:5], errors.ShapeError), (KEYS.astype(np.int64), errors.DTypeError), ("a", errors.RnncoreError),
])  # fmt: skip
def test_keys_are_checked(keys, error):
    with pytest.raises(error, match="row_keys"):
        run("gru", [0, 1, 2, 3, 4, 5], 1, keys)
