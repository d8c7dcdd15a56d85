# SPDX-License-Identifier: MIT
"""A tape is used by one backward call, also when several threads come with it at once."""

import threading

import numpy as np
import pytest
from compiled import PATIENCE, assert_same_bits

import rnncore
from rnncore import reference
from rnncore.errors import ShapeError, TapeError

X = np.random.default_rng(0).standard_normal((5, 3, 4), dtype=np.float32)
IDS = np.array([[3, 1], [1, 0]])
# An owner of tapes, and what it is called with.
OWNERS = {
    "layer": (lambda: rnncore.GRU(4, 6, seed=0), (X,)),
    "twin": (lambda: reference.GRU(4, 6, seed=0), (X,)),
    "linear": (lambda: rnncore.nn.Linear(4, 6, seed=0), (X,)),
    "embedding": (lambda: rnncore.nn.Embedding(4, 6, seed=0), (IDS,)),
    "attention": (lambda: rnncore.nn.Attention(), (X[:2], X)),
}
OWNER = pytest.mark.parametrize("make, inputs", OWNERS.values(), ids=OWNERS)
COMERS = 5


def record(make, inputs):
    """An owner, the tape of a call, and a gradient for it."""
    owner = make()
    y, *_, tape = owner.forward(*inputs)
    return owner, tape, np.ones(y.shape, np.float32)


class Slow:
    """An array whose reading takes until an event, as a call may take that loses its turn in the middle."""

    def __init__(self, array, event):
        self.array, self.event = array, event

    def __array__(self, dtype=None, copy=None):
        assert self.event.wait(timeout=PATIENCE)
        return self.array


@OWNER
def test_one_of_many_threads_gets_the_tape(make, inputs):
    """The first call waits among its checks until all others have been refused."""
    owner, tape, dy = record(make, inputs)
    results, refused, others_done = [], [], threading.Event()

    def come():
        try:
            results.append(owner.backward(tape, Slow(dy, others_done)))
        except TapeError as error:
            refused.append(str(error))
            if len(refused) == COMERS - 1:
                others_done.set()

    threads = [threading.Thread(target=come) for _ in range(COMERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(results), len(refused)) == (1, COMERS - 1)
    assert set(refused) == {"tape: expected a tape not used before, got a used one (call forward again)"}
    assert tape.used
    owner, tape, dy = record(make, inputs)
    assert_same_bits(results[0], owner.backward(tape, dy))


@OWNER
def test_a_refused_call_gives_the_tape_back(make, inputs):
    owner, tape, dy = record(make, inputs)
    for _ in range(2):
        with pytest.raises(ShapeError):
            owner.backward(tape, dy[..., 1:])
        assert not tape.used
    owner.backward(tape, dy)
    assert tape.used


@OWNER
def test_a_tape_of_another_owner_stays_its_owners(make, inputs):
    owner, tape, dy = record(make, inputs)
    with pytest.raises(TapeError, match=f"a tape of this {type(owner).__name__}"):
        make().backward(tape, dy)
    owner.backward(tape, dy)


@OWNER
def test_what_is_no_tape_is_named(make, inputs):
    owner, _, dy = record(make, inputs)
    with pytest.raises(TapeError, match="expected a tape from forward, got str"):
        owner.backward("tape", dy)
