# SPDX-License-Identifier: MIT
"""Rows of a live stream: kept, dropped, reordered and added, bit for bit like streams of their own."""

import numpy as np
import pytest

import rnncore

CASES = {
    "swap": (3, [2, 0, 1]),
    "drop-first": (3, [1, 2]),
    "drop-middle": (4, [0, 2, 3]),
    "keep-last": (5, [4]),
    "replace": (3, [0, -1, 2]),
    "drop-and-add": (4, [3, -1, 1]),
    "grow": (2, [1, -1, -1, 0, -1]),
    "all-new": (2, [-1, -1]),
}


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize(("N", "rows"), CASES.values(), ids=CASES)
def test_rows_go_on_as_on_their_own(cell, N, rows):
    layer = getattr(rnncore, cell)(3, 7, 2, seed=1)
    rng = np.random.default_rng(0)
    before, after = (rng.standard_normal((4, n, 3)).astype(np.float32) for n in (N, len(rows)))
    stream = layer.stream(N)
    for x in before:
        stream.step(x)
    stream.select(rows)
    assert len(rows) == stream.N
    y = np.stack([stream.step(x) for x in after])
    for i, row in enumerate(rows):
        past = before[:, row] if row >= 0 else before[:0, 0]
        whole, _ = layer(np.concatenate([past, after[:, i]]))
        assert y[:, i].tobytes() == np.ascontiguousarray(whole[len(past) :]).tobytes()


def test_state_follows_the_rows():
    layer = rnncore.LSTM(2, 5, seed=0)
    stream = layer.stream(3)
    stream.step(np.random.default_rng(0).standard_normal((3, 2)).astype(np.float32))
    h, c = stream.state
    stream.select([2, -1, 0])
    zero = np.zeros_like(h[:, :1])
    for part, old in zip(stream.state, (h, c), strict=True):
        np.testing.assert_array_equal(part, np.concatenate([old[:, 2:], zero, old[:, :1]], axis=1))
    stream.state = (h[:, ::-1], c[:, ::-1])
    np.testing.assert_array_equal(stream.state[0], h[:, ::-1])


def test_repeated_changes_and_new_parameters():
    layer = rnncore.GRU(2, 9, seed=0)
    stream, rng = layer.stream(4), np.random.default_rng(3)
    histories = [[] for _ in range(4)]
    for turn in range(12):
        keep = rng.permutation(len(histories))[: rng.integers(1, len(histories) + 1)].tolist()
        rows = keep + [-1] * int(rng.integers(0, 4))
        stream.select(rows)
        histories = [histories[r] if r >= 0 else [] for r in rows]
        x = rng.standard_normal((len(rows), 2)).astype(np.float32)
        y = stream.step(x)
        for history, row in zip(histories, x, strict=True):
            history.append(row)
        for i, history in enumerate(histories):
            assert y[i].tobytes() == layer(np.array(history))[0][-1].tobytes(), turn
    state = stream.state
    layer.update_parameters({"bias_hh_l0": np.ones(27, np.float32)})
    x = np.zeros((stream.N, 2), np.float32)
    assert stream.step(x).tobytes() == layer(x[np.newaxis], state)[0].tobytes()


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([0, 0], rnncore.errors.ArgumentError),
        ([3], rnncore.errors.ArgumentError),
        ([-2], rnncore.errors.ArgumentError),
        ([], rnncore.errors.DTypeError),
        (np.zeros(0, int), rnncore.errors.ShapeError),
        ([[0]], rnncore.errors.ShapeError),
        ([0.0], rnncore.errors.DTypeError),
    ],
)
def test_bad_rows_change_nothing(rows, error):
    stream = rnncore.RNN(2, 3, seed=0).stream(3)
    stream.step(np.ones((3, 2), np.float32))
    before = stream.state
    with pytest.raises(error):
        stream.select(rows)
    np.testing.assert_array_equal(stream.state, before)
