# SPDX-License-Identifier: MIT
"""Pools of sessions: who goes when others come, errors that change nothing, memory, ids and threads."""

import os
import sys
import threading
import tracemalloc

import numpy as np
import pytest
from compiled import PATIENCE, assert_same_bits
from sessions import Solo, chain, inputs

import rnncore
from rnncore import errors, nn
from rnncore.nn import SessionPool, session_ids, session_registry

BESIDE_STATE = 64
"""Bytes of a session that are not its state."""

# Who goes --------------------------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_sessions_are_evicted_by_age():
    gone, clock = [], Clock()
    model = rnncore.RNN(1, 2, seed=0)
    pool = SessionPool(model, 5, max_age=10, on_evict=lambda *what: gone.append(what), clock=clock)
    x, blobs = np.ones((1, 1), np.float32), {}
    for one, clock.now in ((1, 0), (2, 4), (3, 8)):
        pool.step([one], x)
        blobs[one] = pool.export(one)
    clock.now = 10
    assert pool.evict() == 0
    clock.now = 14.5
    pool.step([3], x)
    assert gone == [(1, blobs[1]), (2, blobs[2])]
    assert list(pool) == [3]
    clock.now = 17.5
    assert (pool.evict(max_age=2), pool.evict(max_age=2), len(pool)) == (1, 0, 0)


def test_an_evicted_session_may_come_back():
    kept, model, rng = {}, rnncore.LSTM(2, 3, seed=0), np.random.default_rng(0)
    pool, solo = SessionPool(model, 3, on_evict=kept.__setitem__), Solo(model)
    for _ in range(60):
        one, x = int(rng.integers(0, 8)), inputs(rng, 1, 2)
        if one in kept:
            pool.restore(one, kept.pop(one))
        assert_same_bits(pool.step([one], x), solo.step([one], x))
        assert len(pool) <= 3


def test_those_used_least_recently_make_room():
    gone = []
    pool = SessionPool(rnncore.RNN(1, 2, seed=0), 4, on_evict=lambda one, blob: gone.append(one))
    x = np.ones((4, 1), np.float32)
    pool.step([1, 2, 3, 4], x)
    pool.step([2, 1], x[:2])
    pool.step([5, 3, 6], x[:3])  # 3 is used by this very call
    assert gone == [4, 2]
    assert list(pool) == [1, 5, 3, 6]


def test_a_full_pool_without_a_callback_refuses():
    pool = SessionPool(rnncore.RNN(1, 2, seed=0), 2)
    pool.step([1, 2], np.ones((2, 1), np.float32))
    before = [pool.export(one) for one in (1, 2)]
    for call in (
        lambda: pool.step([1, 3], np.ones((2, 1), np.float32)),
        lambda: pool.restore(3, before[0]),
    ):
        with pytest.raises(
            errors.SizeError, match="capacity: expected room for 1 new sessions, got 2 of 2 live"
        ):
            call()
    with pytest.raises(errors.SizeError, match="ids: expected at most 2 different"):
        pool.step([4, 5, 6], np.ones((3, 1), np.float32))
    assert [pool.export(one) for one in (1, 2)] == before


def test_a_callback_that_fails_keeps_the_session():
    gone = []

    def fail(one, blob):
        if one == 2:
            raise OSError("the store is away")
        gone.append(one)

    pool = SessionPool(rnncore.RNN(1, 2, seed=0), 3, on_evict=fail)
    pool.step([1, 2, 3], np.ones((3, 1), np.float32))
    kept = pool.export(2), pool.export(3)
    with pytest.raises(OSError, match="the store is away"):
        pool.step([3, 4, 5], np.ones((3, 1), np.float32))
    assert (gone, sorted(pool)) == ([1], [2, 3])
    assert (pool.export(2), pool.export(3)) == kept


@pytest.mark.parametrize(
    "call",
    [
        lambda pool: pool.step([1], np.ones((1, 1), np.float32)),
        lambda pool: pool.export(1),
        lambda pool: list(pool),
        lambda pool: pool.drop(1),
    ],
    ids=["step", "export", "iterate", "drop"],
)
def test_a_callback_must_not_call_the_pool(call):
    pool = SessionPool(rnncore.RNN(1, 2, seed=0), 1, on_evict=lambda one, blob: call(pool))
    pool.step([1], np.ones((1, 1), np.float32))
    with pytest.raises(errors.UnsupportedError, match="pool: expected one call at a time"):
        pool.step([2], np.ones((1, 1), np.float32))
    assert list(pool) == [1]


# Errors leave all as it was ----------------------------------------------------------------------------------

WRONG = {
    "shape": lambda pool: pool.step([1, 2], np.ones((2, 3), np.float32)),
    "rows": lambda pool: pool.step([1, 2], np.ones((3, 4), np.float32)),
    "dtype": lambda pool: pool.step([1, 2], np.ones((2, 4))),
    "a float id": lambda pool: pool.step(np.ones(2), np.ones((2, 4), np.float32)),
    "a matrix of ids": lambda pool: pool.step(np.ones((2, 1), int), np.ones((2, 4), np.float32)),
    "a large id": lambda pool: pool.step([2**63, 1], np.ones((2, 4), np.float32)),
    "a large unsigned id": lambda pool: pool.step(
        np.array([2**64 - 1], np.uint64), np.ones((1, 4), np.float32)
    ),
    "a name": lambda pool: pool.step(["a"], np.ones((1, 4), np.float32)),
    "a name among integers": lambda pool: pool.step([1, "a"], np.ones((2, 4), np.float32)),
    "a list as a name": lambda pool: pool.step([[]], np.ones((1, 4), np.float32)),
    "one id": lambda pool: pool.step("1", np.ones((1, 4), np.float32)),
    "a number of a request": lambda pool: pool.step([1], np.ones((1, 4), np.float32), seq=[0.5]),
    "numbers of requests": lambda pool: pool.step([1], np.ones((1, 4), np.float32), seq=[1, 2]),
    "a negative number": lambda pool: pool.step([1], np.ones((1, 4), np.float32), seq=[-1]),
    "an unknown id": lambda pool: pool.export(9),
    "an unknown name": lambda pool: pool.drop("a"),
    "a huge id": lambda pool: pool.seq(2**70),
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_and_changes_nothing(call):
    pool = SessionPool(chain(), 4)
    pool.step([1, 2], np.ones((2, 4), np.float32))
    before = [pool.export(one) for one in pool]
    with pytest.raises(errors.RnncoreError):
        call(pool)
    assert [pool.export(one) for one in pool] == before


class Fails(nn.Activation):
    """A module that fails at its third call."""

    calls = 0

    def __call__(self, x):
        self.calls += 1
        if self.calls == 3:
            raise KeyboardInterrupt
        return super().__call__(x)


def test_a_step_that_is_ended_between_two_layers_is_done_not_at_all():
    model = nn.Sequential(rnncore.GRU(2, 3, seed=0), Fails("tanh"), rnncore.LSTM(3, 3, seed=0))
    pool = SessionPool(model, 2)
    x = np.ones((2, 2), np.float32)
    for k in (0, 1):
        pool.step([1, 2], x, seq=[k, k])
    before = [pool.export(one) for one in pool]
    with pytest.raises(KeyboardInterrupt):
        pool.step([1, 2], x, seq=[2, 2])
    assert [pool.export(one) for one in pool] == before
    pool.step([1, 2], x, seq=[2, 2])
    assert pool.seq(2) == 2


@pytest.mark.parametrize(
    ("model", "error"),
    [
        (rnncore.GRU(2, 3, bidirectional=True), "bidirectional"),
        (nn.Sequential(nn.Linear(2, 3)), "a chain with a recurrent layer"),
        (nn.Linear(2, 3), "a recurrent layer or a chain"),
    ],
    ids=["both directions", "no state", "no stream"],
)
def test_models_that_cannot_stream_are_refused(model, error):
    with pytest.raises(errors.RnncoreError, match=error):
        SessionPool(model, 2)


# Memory ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [1000, 1023, 98_304, 98_305, 100_000])
@pytest.mark.parametrize("cell", ["GRU", "LSTM"])
def test_a_session_takes_its_state_and_little_more(cell, capacity):
    layer = getattr(rnncore, cell)(4, 16, num_layers=2, seed=0)
    pool = SessionPool(layer, capacity)
    state = sum(part.nbytes for part in layer.stream()._get_state())
    assert pool.nbytes <= capacity * (state + BESIDE_STATE)


def test_a_live_session_leaves_no_objects():
    """Sessions that come are rows of arrays that are there already: no dict, no ids."""
    pool = SessionPool(rnncore.GRU(1, 2, seed=0), 20_000)
    x = np.zeros((1000, 1), np.float32)
    pool.step(np.arange(1000), x)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for first in range(1000, 20_000, 1000):
            pool.step(np.arange(first, first + 1000), x)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(pool) == 20_000
    assert grown < 19_000  # less than a byte each


def test_a_pool_that_nobody_holds_goes_at_once():
    pool = SessionPool(rnncore.GRU(1, 2, seed=0), 2, on_evict=lambda one, blob: None)
    count = sys.getrefcount(pool)
    states = pool._registry.states
    held = sys.getrefcount(states)
    del pool
    assert (count, sys.getrefcount(states) < held) == (2, True)


# Finding ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [1, 2**20, 2**56, -(2**40)])
def test_sessions_are_found_whoever_comes_and_goes(spread):
    """The table against a dict: keys that are multiples of anything, in a table that is as full as can be."""
    layer, rng = rnncore.RNN(1, 1, seed=0), np.random.default_rng(0)
    registry = SessionPool(layer, 96)._registry
    slots = {}
    for _ in range(4000):
        key = int(rng.integers(0, 100)) * spread
        assert registry.find(key) == slots.get(key, -1)
        if key in slots and rng.random() < 0.6:
            registry.remove(slots.pop(key))
        elif key not in slots and len(slots) < 96:
            slots[key] = registry.sessions.add(key, 0.0, session_registry.NONE_YET)
        assert len(registry) == len(slots) == len(set(slots.values()))
    assert sorted(registry.live()) == sorted(slots)


def test_names_and_numbers_are_not_mixed():
    pool = SessionPool(rnncore.RNN(1, 2, seed=0), 3)
    x = np.ones((1, 1), np.float32)
    pool.step([("sensor", 1)], x)
    with pytest.raises(errors.ArgumentError, match="ids: expected names, like those that live, got integers"):
        pool.step([1], x)
    assert (("sensor", 1) in pool, 1 in pool) == (True, False)
    pool.drop(("sensor", 1))
    assert not pool._registry._ids._numbers and not pool._registry._ids._names
    pool.step(np.array([1], np.uint8), x)
    assert list(pool) == [1]


def test_ids_of_numpy_are_those_of_python():
    pool = SessionPool(rnncore.RNN(1, 2, seed=0), 4)
    x = np.ones((1, 1), np.float32)
    for ids in (np.array([5], ">i2"), [np.int32(5)], (5,), np.array([5, 6])[::2]):
        pool.step(ids, x)
    assert list(pool) == [5]
    assert session_ids.read_ids(np.array(["a", "b"])) == ["a", "b"]


# Threads ---------------------------------------------------------------------------------------------------


def test_threads_wait_for_each_other():
    """Each has sessions of its own, all evict each other's; none may be lost, and none be wrong."""
    layer = rnncore.GRU(3, 40, seed=0)
    kept, wrong = {}, []
    pool = SessionPool(layer, 600, on_evict=kept.__setitem__)
    start = threading.Barrier(4)

    def work(number):
        rng, solo = np.random.default_rng(number), layer.stream(200)
        ids = np.arange(200) + 1000 * number
        start.wait(PATIENCE)
        for k in range(30):
            x = inputs(rng, 200, 3)
            for one in ids.tolist():
                if one in kept:
                    pool.restore(one, kept.pop(one))
            if not (pool.step(ids, x, seq=np.full(200, k)) == solo.step(x)).all():
                wrong.append((number, k))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    start.wait(PATIENCE)
    for thread in threads:
        thread.join(PATIENCE)
    assert not wrong
    assert len(pool) == 600


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_forked_child_goes_on_while_others_use_the_pool():
    """The fork waits for the step of the other thread; the child has a whole pool that nobody holds."""
    layer, x = rnncore.GRU(3, 40, seed=0), np.ones((200, 3), np.float32)
    pool, own = SessionPool(layer, 201), layer.stream()
    pool.step([1000], x[:1])
    own.step(x[:1])
    expected, ended = own.step(x[:1]), threading.Event()

    def work():
        while not ended.is_set():
            pool.step(np.arange(200), x)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if not child:
                code = 1
                try:
                    code = int((pool.step([1000], x[:1]) != expected).any())
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        ended.set()
        thread.join(PATIENCE)
