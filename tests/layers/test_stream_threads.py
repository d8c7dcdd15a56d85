# SPDX-License-Identifier: MIT
"""A stream is one thread's at a time: whoever comes while a call runs is refused, and nothing is harmed."""

import copy
import functools
import pickle
import sys
import threading

import numpy as np
import pytest
import tables
from compiled import PATIENCE, assert_same_bits, build, draw

import rnncore
from rnncore import errors
from rnncore.engine import Stream

SHAPE = tables.Shape(6, 3, 4, 9)
LONG = tables.Shape(6, 3, 60, 120)  # steps that give up the GIL
GRU = next(cell for cell in tables.CELLS if cell.id == "gru")
ROWS = [2, 0, 1]

# Every way into a stream; `seen` makes what an argument is read from.
CALLS = {
    "step": lambda stream, call, seen=np.asarray: stream.step(call.x[0]),
    "step-checked": lambda stream, call, seen=np.asarray: stream.step(seen(call.x[0][::-1])),
    "run": lambda stream, call, seen=np.asarray: stream.run(seen(call.x)),
    "select": lambda stream, call, seen=np.asarray: stream.select(seen(ROWS)),
    "select-more": lambda stream, call, seen=np.asarray: stream.select(seen([*ROWS, -1])),
    "state": lambda stream, call, seen=np.asarray: stream.state,
    "set-state": lambda stream, call, seen=np.asarray: setattr(stream, "state", seen(call.state)),
    "reset": lambda stream, call, seen=np.asarray: stream.reset(),
    "copy": lambda stream, call, seen=np.asarray: copy.copy(stream),
    "pickle": lambda stream, call, seen=np.asarray: pickle.dumps(stream),
}


class Slow:
    """An array whose reading says that it has begun and waits until it may end."""

    def __init__(self, array, begun, may_end):
        self.array, self.begun, self.may_end = np.asarray(array), begun, may_end

    def __array__(self, dtype=None, copy=None):
        self.begun.set()
        assert self.may_end.wait(timeout=PATIENCE)
        return self.array


def refused(stream, call):
    """Every call of the stream raises the clear error."""
    for one in CALLS.values():
        with pytest.raises(errors.UnsupportedError, match="stream: expected one thread at a time"):
            one(stream, call)


@pytest.mark.parametrize("holder", ["step-checked", "run", "select", "select-more", "set-state"])
def test_calls_during_a_call_are_refused(holder):
    layer = build(GRU, SHAPE, num_layers=2)
    call = draw(layer, SHAPE.T, SHAPE.N)
    stream, alone = layer.stream(SHAPE.N), layer.stream(SHAPE.N)
    begun, may_end = threading.Event(), threading.Event()
    for one in (stream, alone):
        one.step(call.x[0])
    seen = functools.partial(Slow, begun=begun, may_end=may_end)
    thread = threading.Thread(target=CALLS[holder], args=(stream, call, seen))
    thread.start()
    try:
        assert begun.wait(timeout=PATIENCE)
        refused(stream, call)
    finally:
        may_end.set()
        thread.join()
    CALLS[holder](alone, call)
    assert_same_bits(stream.state, alone.state)


def test_calls_while_new_parameters_are_packed_are_refused():
    layer = build(GRU, SHAPE, num_layers=2)
    call = draw(layer, SHAPE.T, SHAPE.N)
    stream, pack, begun = layer.stream(SHAPE.N), layer.packed, []

    def pack_slowly(uses):
        layer.packed = pack
        refused(stream, call)
        begun.append(uses)
        return pack(uses)

    layer.update_parameters({name: value / 2 for name, value in layer.state_dict().items()})
    layer.packed = pack_slowly
    y = stream.step(call.x[0])
    assert len(begun) == 1
    assert_same_bits((y[np.newaxis], stream.state), layer(call.x[:1]))


def test_a_failing_renewal_leaves_the_stream_as_it_was():
    layer = build(GRU, SHAPE)
    call = draw(layer, SHAPE.T, SHAPE.N)
    stream, pack = layer.stream(SHAPE.N), layer.packed

    def fail(uses):
        raise errors.MemoryExhaustedError("parameters", "some bytes", "less")

    stream.state = call.state
    layer.update_parameters({name: value / 2 for name, value in layer.state_dict().items()})
    layer.packed = fail
    for name in ("step", "step-checked", "select-more"):
        with pytest.raises(errors.MemoryExhaustedError):
            CALLS[name](stream, call)
    layer.packed = pack
    assert_same_bits(stream.state, call.state)
    assert_same_bits(stream.step(call.x[0]), layer(call.x[:1], call.state)[0][0])


# Many threads ----------------------------------------------------------------------------------------------


@pytest.fixture
def hasty():
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def hammer(works, rounds):
    """Repeat each work on a thread of its own until it was let in `rounds` times; what else it raised than refusals."""
    wrong, start = [], threading.Barrier(len(works))

    def repeat(work):
        start.wait()
        done = 0
        while done < rounds and not wrong:
            try:
                work(done)
                done += 1
            except errors.UnsupportedError as error:
                if error.field != "stream":
                    wrong.append(error)
            except errors.ShapeError:
                done += 1  # another thread has changed the number of rows
            except BaseException as error:
                wrong.append(error)

    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


@pytest.mark.parametrize("shape", [SHAPE, LONG], ids=["short", "long"])
def test_threads_that_do_everything_at_once(hasty, shape):
    layer = build(GRU, shape, num_layers=2)
    call = draw(layer, shape.T, shape.N)
    stream = layer.stream(shape.N)
    values = [layer.state_dict(), {name: value / 2 for name, value in layer.state_dict().items()}]

    def more_rows(k):
        stream.select([0] + [-1] * (2 + k % 50))  # always rows enough for ROWS

    wrong = hammer(
        [
            lambda k: stream.step(call.x[0]),
            lambda k: stream.step(call.x[k % shape.T]),
            lambda k: stream.step(call.x[0][::-1]),
            lambda k: layer.update_parameters(values[k % 2]),
            lambda k: stream.select(ROWS),
            more_rows,
            lambda k: stream.run(call.x),
            lambda k: setattr(stream, "state", call.state),
            lambda k: stream.state,
            lambda k: copy.copy(stream),
        ],
        400,
    )
    assert wrong == []
    stream.select(ROWS)
    stream.state = call.state
    y = np.stack([stream.step(x) for x in call.x])
    assert_same_bits((y, stream.state), layer(call.x, call.state))


def test_steps_that_were_not_refused_all_count(hasty):
    """Two threads step and one updates the parameters: the state has as many steps as calls that returned."""
    layer = rnncore.RNN(1, 1, nonlinearity="relu", seed=0)
    values = {
        name: np.full(value.shape, "hh" in name, np.float32) for name, value in layer.state_dict().items()
    }
    values["weight_ih_l0"][...] = 1
    values["bias_hh_l0"][...] = 0
    layer.load_state_dict(values)  # h' = h + x
    stream, x, counts = layer.stream(), np.ones(1, np.float32), [0, 0]

    def step(thread):
        stream.step(x)
        counts[thread] += 1

    wrong = hammer(
        [lambda k: step(0), lambda k: step(1), lambda k: layer.update_parameters(values)],
        2000,
    )
    assert wrong == []
    assert sum(counts) > 0
    assert stream.state.item() == sum(counts)


# Streams that were not made -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", CALLS)
def test_a_stream_that_was_never_initialised_says_so(name):
    call = draw(build(GRU, SHAPE), SHAPE.T, SHAPE.N)
    stream = Stream.__new__(Stream)
    with pytest.raises(errors.ArgumentError, match="one that was never initialised"):
        CALLS[name](stream, call)


def test_a_stream_is_initialised_once():
    layer, other = build(GRU, SHAPE), build(GRU, LONG)
    call = draw(layer, SHAPE.T, SHAPE.N)
    stream = layer.stream(SHAPE.N)
    with pytest.raises(errors.UnsupportedError, match="one initialisation"):
        stream.__init__(other, 1)
    assert_same_bits(stream.run(call.x), layer(call.x)[0])
