# SPDX-License-Identifier: MIT
"""Outputs of all steps where the last is wanted alone: their memory is kept, and nobody sees it."""

import numpy as np
import pytest
from worker_threads import together

import rnncore
from rnncore.engine import memory
from rnncore.nn import Recurrent

T, N, H = 40, 50, 32  # 256 kB of outputs


@pytest.fixture
def made(monkeypatch):
    """Addresses of the outputs that were asked for."""
    found, unread = [], memory.unread

    def noted(shape, dtype):
        out = unread(shape, dtype)
        found.append(None if out is None else out.ctypes.data)
        return out

    monkeypatch.setattr("rnncore.nn.recurrent.unread", noted)
    return found


def inputs(seed, steps=T, rows=N):
    return np.random.default_rng(seed).standard_normal((steps, rows, 3)).astype(np.float32)


@pytest.mark.parametrize("batch_first", [False, True], ids=["TNF", "NTF"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one direction", "both"])
def test_the_last_outputs_are_those_of_all(batch_first, bidirectional, made):
    layer = rnncore.LSTM(3, H, batch_first=batch_first, bidirectional=bidirectional, num_layers=2, seed=0)
    last, every = Recurrent(layer, return_sequences=False), Recurrent(layer)
    lengths = np.arange(N) % (T + 1)
    found = []
    for seed in range(3):
        x = inputs(seed)
        x = x.swapaxes(0, 1) if batch_first else x
        for given in (None, lengths):
            found.append(
                (last(x, given), Recurrent(layer, return_sequences=False).call(x, lengths=given)[1][0])
            )
            assert every(x, given).shape[-1] == H * layer.spec.directions
    for y, h in found:  # after all calls: nothing of a result lies where later outputs went
        assert (y == np.concatenate(h[-layer.spec.directions :], axis=-1)).all()
    assert len(made) == 12 and len(set(made)) == 1


def test_small_and_large_outputs_are_made_anew(made):
    last = Recurrent(rnncore.GRU(3, H, seed=0), return_sequences=False)
    assert last(inputs(0, 2, 3)).shape == (3, H)
    last(inputs(0)[:, 0])
    assert made == [None, None]
    assert memory.unread((memory.UNREAD_BYTES // 4 + 1,), np.dtype(np.float32)) is None


def test_threads_do_not_share_it():
    last = Recurrent(rnncore.GRU(3, H, seed=0), return_sequences=False)
    expected = [last(inputs(seed)) for seed in range(4)]

    def work(comm):
        x = inputs(comm.rank)
        return all((last(x) == expected[comm.rank]).all() for _ in range(20))

    assert together(4, work) == [True] * 4
