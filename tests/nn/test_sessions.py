# SPDX-License-Identifier: MIT
"""Pools of sessions: any interleaving gives the bits of single streams; a request that comes twice is done once."""

import hashlib

import numpy as np
import pytest
import tables
from compiled import CELL, assert_same_bits, build
from sessions import Solo, chain, inputs

import rnncore
from rnncore import errors, nn
from rnncore.nn import SessionPool

SHAPE = tables.Shape(6, 3, 4, 9)
GRU = next(cell for cell in tables.CELLS if cell.id == "gru")


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


def test_blobs_are_pinned():
    """Whoever changes what a model's digest is of, or a blob's bytes, makes stores of sessions worthless."""
    assert stepped().export(1).hex() == BLOB
    assert hashlib.sha256(stepped(nn.Sequential(rnncore.GRU(2, 3, seed=0))).export(1)).hexdigest() == CHAIN


BLOB = (
    "726e6e7365730100d679b68a183d71b1aafbd73318d667fa7b7c425cfc4f1ffe6f1c508e6f9f7acf07000000000000000c00"
    "000000000000952e3b3e34b449be0dc5463dffa57a59635152defecc6c12b0f66281"
)
CHAIN = "e6941e45e86c2f80c8e32c62288076eb9209d5ead309c5465c1f90e999c3e5d2"


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
