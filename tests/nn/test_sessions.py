# SPDX-License-Identifier: MIT
"""Pools of sessions: any interleaving gives the bits of single streams; a request that comes twice is done once."""

import sys
import threading
import tracemalloc

import numpy as np
import pytest
import tables
from compiled import CELL, PATIENCE, assert_same_bits, build

import rnncore
from rnncore import errors, nn
from rnncore.nn import SessionPool, session_ids, session_registry

SHAPE = tables.Shape(6, 3, 4, 9)
GRU = next(cell for cell in tables.CELLS if cell.id == "gru")
BESIDE_STATE = 64
"""Bytes of a session that are not its state."""


def chain(seed=0):
    """Layers of both kinds of state, in a chain within a chain, and modules before, between and behind them."""
    inner = nn.Sequential(
        nn.Linear(5, 4, seed=seed), rnncore.LSTM(4, 6, num_layers=2, proj_size=2, seed=seed)
    )
    return nn.Sequential(
        nn.Linear(4, 3, seed=seed), rnncore.GRU(3, 5, seed=seed), inner, nn.Linear(2, 3, seed=seed)
    )


def inputs(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


class Solo:
    """A stream for each session, as one would have them without a pool."""

    def __init__(self, model):
        self.model, self.streams = model, {}

    def step(self, ids, x):
        for one in ids:
            if one not in self.streams:
                self.streams[one] = self.model.stream()
        steps = [self.streams[one].step(row[np.newaxis]) for one, row in zip(ids, x, strict=True)]
        return np.concatenate(steps)


def interleave(model, features, dtype, seed, sessions=20, rounds=12, most=30):
    """Batches of random sessions, of which some stand there several times."""
    rng = np.random.default_rng(seed)
    pool, solo = SessionPool(model, sessions), Solo(model)
    for _ in range(rounds):
        ids = rng.integers(0, sessions, rng.integers(1, most)) * 2**40 - 2**43
        x = rng.standard_normal((len(ids), features)).astype(dtype)
        assert_same_bits(pool.step(ids, x), solo.step(ids.tolist(), x))
    assert set(pool) == set(solo.streams)
    return pool, solo


# Bits ------------------------------------------------------------------------------------------------------


@CELL
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_interleaving_is_solo_replay(cell, dtype):
    interleave(build(cell, SHAPE, dtype, num_layers=2), SHAPE.I, dtype, seed=1)


@pytest.mark.parametrize("seed", range(5))
def test_any_interleaving_of_a_chain_is_solo_replay(seed):
    interleave(chain(seed), 4, "float32", seed)


@pytest.mark.parametrize("store", tables.STORES)
def test_any_interleaving_with_a_store_is_solo_replay(store):
    layer = build(GRU, tables.Shape(6, 3, 40, 9), store=store)
    interleave(layer, 40, "float32", seed=2)


@pytest.mark.parametrize("isa", rnncore.isas())
def test_sessions_move_between_instruction_sets(isa):
    model, rng = chain(), np.random.default_rng(0)
    pool, solo = SessionPool(model, 3), Solo(model)
    x = inputs(rng, 2, 3, 4)
    pool.step(range(3), x[0])
    solo.step(range(3), x[0])
    with rnncore.use_isa(isa):
        other = SessionPool(model, 3)
        for one in pool:
            other.restore(one, pool.export(one))
        assert_same_bits(other.step(range(3), x[1]), solo.step(range(3), x[1]))


def test_batches_beyond_those_that_are_stepped_together():
    layer, rng = rnncore.GRU(2, 3, seed=0), np.random.default_rng(0)
    pool, stream = SessionPool(layer, 1000), layer.stream(700)
    ids = rng.permutation(1000)[:700]
    for _ in range(3):
        x = inputs(rng, 700, 2)
        assert_same_bits(pool.step(ids, x), stream.step(x))


def test_a_chain_that_begins_with_numbers():
    model = nn.Sequential(nn.Embedding(10, 3, seed=0), rnncore.RNN(3, 4, seed=0))
    pool, stream = SessionPool(model, 3), model.stream(3)
    for tokens in ([1, 2, 3], [4, 5, 6], [9, 0, 9]):
        assert_same_bits(pool.step(["a", "b", "c"], tokens), stream.step(np.array(tokens)))


def test_new_parameters_are_used_by_the_next_step():
    model, rng = chain(), np.random.default_rng(0)
    pool, solo = SessionPool(model, 3), Solo(model)
    x = inputs(rng, 2, 3, 4)
    assert_same_bits(pool.step(range(3), x[0]), solo.step(range(3), x[0]))
    model.update_parameters({name: value / 2 for name, value in model.state_dict().items()})
    assert_same_bits(pool.step(range(3), x[1]), solo.step(range(3), x[1]))


@pytest.mark.full
def test_a_hundred_thousand_sessions_are_solo_replay():
    """Every session steps three times, in batches of any size and mix, and answers as its sequence alone would."""
    count, steps, rng = 100_000, 3, np.random.default_rng(0)
    layer = rnncore.GRU(4, 8, seed=0)
    pool = SessionPool(layer, count)
    x = inputs(rng, steps, count, 4)
    y = np.full((steps, count, 8), np.nan, np.float32)
    done = np.zeros(count, np.int64)
    requests = rng.permutation(np.repeat(np.arange(count), steps))
    while len(requests):
        batch, requests = np.split(requests, [int(rng.integers(1, 5000))])
        occurrence = np.zeros(len(batch), np.int64)  # how many requests of its session stand before it
        order = np.argsort(batch, kind="stable")
        first = np.r_[True, np.diff(batch[order]) != 0]
        places = np.arange(len(batch))
        occurrence[order] = places - np.maximum.accumulate(np.where(first, places, 0))
        step = done[batch] + occurrence
        y[step, batch] = pool.step(batch, x[step, batch])
        np.add.at(done, batch, 1)
    assert (done == steps).all()
    assert_same_bits(y, layer(x)[0])
    for one in rng.integers(0, count, 50).tolist():
        assert_same_bits(y[:, one], layer(np.ascontiguousarray(x[:, one]))[0])


# Requests that come twice -----------------------------------------------------------------------------------


class Ledger:
    """What a pool must answer: all answers of all sessions, by sequence number."""

    def __init__(self, model):
        self.solo, self.last, self.given = Solo(model), {}, {}

    def step(self, ids, x, seq):
        return np.concatenate([self.one(*request) for request in zip(ids, x, seq, strict=True)])

    def one(self, id, row, number):
        last = self.last.get(id, -1)
        if number > last:
            self.last[id], self.given[id] = number, self.solo.step([id], row[np.newaxis])
        return self.given[id] if number >= last else np.full_like(self.given[id], np.nan)


@pytest.mark.parametrize(
    "make", [chain, lambda: rnncore.LSTM(4, 5, num_layers=2, seed=0)], ids=["chain", "lstm"]
)
@pytest.mark.parametrize("seed", range(4))
def test_requests_that_come_again_late_or_twice_at_once(make, seed):
    rng = np.random.default_rng(seed)
    model = make()
    pool, ledger = SessionPool(model, 6), Ledger(model)
    for turn in range(40):
        n = int(rng.integers(1, 15))
        ids, x = rng.integers(0, 6, n).tolist(), inputs(rng, n, 4)
        seq = rng.integers(max(0, turn - 3), turn + 2, n)
        assert_same_bits(pool.step(ids, x, seq), ledger.step(ids, x, seq.tolist()))
    assert {one: pool.seq(one) for one in pool} == ledger.last


def test_a_log_that_is_read_again_changes_nothing():
    """A consumer that lost its last commits reads from an earlier offset."""
    layer, rng = rnncore.GRU(2, 3, seed=0), np.random.default_rng(0)
    log = [(int(rng.integers(0, 4)), inputs(rng, 2)) for _ in range(30)]
    pool, once = SessionPool(layer, 4), SessionPool(layer, 4)

    def read(pool, offsets):
        return [pool.step([log[k][0]], log[k][1][np.newaxis], seq=[k])[0] for k in offsets]

    whole = read(once, range(30))
    read(pool, range(20))
    moved = SessionPool(layer, 4)
    for one in pool:
        moved.restore(one, pool.export(one))
    assert_same_bits(read(moved, range(10, 30))[10:], whole[20:])


def test_requests_without_numbers_are_always_done():
    pool = SessionPool(rnncore.RNN(1, 1, seed=0), 2)
    x = np.ones((1, 1), np.float32)
    pool.step([1], x, seq=[5])
    before = pool.export(1)
    pool.step([1], x)
    assert pool.seq(1) == 5
    assert pool.export(1) != before


# Moving ----------------------------------------------------------------------------------------------------


def test_a_session_goes_on_elsewhere():
    model, rng = chain(), np.random.default_rng(0)
    pool, other, solo = SessionPool(model, 2), SessionPool(chain(), 5), Solo(model)
    x = inputs(rng, 4, 1, 4)
    for k in (0, 1):
        assert_same_bits(pool.step(["a"], x[k], seq=[k]), solo.step(["a"], x[k]))
    other.restore("b", pool.export("a"))
    pool.drop("a")
    assert ("a" in pool, "b" in other, other.seq("b")) == (False, True, 1)
    for k in (2, 3):
        assert_same_bits(other.step(["b"], x[k], seq=[k]), solo.step(["a"], x[k]))


def stepped(model=None):
    pool = SessionPool(model or rnncore.GRU(2, 3, seed=0), 2)
    pool.step([1], np.ones((1, 2), np.float32), seq=[7])
    return pool


def test_parts_of_a_blob_and_spoiled_ones_are_refused():
    pool = stepped()
    blob = pool.export(1)
    spoiled = [blob[:k] for k in range(len(blob))] + [blob + b"\0"]
    for k in range(len(blob)):
        for bit in (1, 128):
            spoiled.append(blob[:k] + bytes([blob[k] ^ bit]) + blob[k + 1 :])
    for wrong in spoiled:
        with pytest.raises((errors.FormatError, errors.UnsupportedError)):
            pool.restore(2, wrong)
    assert list(pool) == [1]
    pool.restore(2, bytearray(blob))
    assert pool.export(2) == blob


@pytest.mark.parametrize(
    "other",
    [
        rnncore.GRU(2, 3, seed=1),
        rnncore.GRU(2, 3, seed=0, reset_after=False),
        rnncore.GRU(2, 3, seed=0, dtype="float64"),
        rnncore.GRU(2, 3, seed=0, store="bfloat16"),
        nn.Sequential(rnncore.GRU(2, 3, seed=0)),
    ],
    ids=["seed", "cell", "dtype", "store", "chain"],
)
def test_a_blob_of_another_model_is_refused(other):
    with pytest.raises(errors.ArgumentError, match=r"blob: expected a session of model .*another model"):
        SessionPool(other, 1).restore(1, stepped().export(1))


def test_a_blob_of_other_parameters_is_refused():
    layer = rnncore.GRU(2, 3, seed=0)
    pool = stepped(layer)
    blob = pool.export(1)
    layer.update_parameters({"bias_hh_l0": layer.state_dict()["bias_hh_l0"] + 1})
    with pytest.raises(errors.ArgumentError, match="other parameters"):
        pool.restore(2, blob)
    pool.restore(2, pool.export(1))


def test_a_live_session_is_not_set_back():
    pool = stepped()
    blob = pool.export(1)
    pool.step([1], np.ones((1, 2), np.float32), seq=[8])
    with pytest.raises(errors.ArgumentError, match="drop it first"):
        pool.restore(1, blob)
    assert pool.seq(1) == 8


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


def test_a_callback_must_not_call_the_pool():
    calls = (
        lambda pool: pool.step([1], np.ones((1, 1), np.float32)),
        lambda pool: pool.export(1),
        lambda pool: list(pool),
        lambda pool: pool.drop(1),
    )
    for call in calls:
        pool = SessionPool(rnncore.RNN(1, 2, seed=0), 1, on_evict=lambda one, blob: call(pool))  # noqa: B023
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
