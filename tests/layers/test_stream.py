# SPDX-License-Identifier: MIT
"""Streams as objects: their state, changed parameters, copies, and one thread at a time.

That a stream gives the bits of a call is in `test_bits.py`.
"""

import copy
import pickle
import threading

import numpy as np
import pytest
import tables
from compiled import CELL, DTYPE, ISAS, PATIENCE, assert_same_bits, build, draw, parts_of

import rnncore
from rnncore import errors

SHAPE = tables.Shape(6, 3, 4, 9)
LSTM = next(cell for cell in tables.CELLS if cell.id == "lstm")
COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
}


def other_values(layer):
    """Parameters of the same shapes with other values."""
    return {name: -value[::-1] for name, value in layer.state_dict().items()}


# State -----------------------------------------------------------------------------------------------------


@CELL
@DTYPE
def test_state_may_be_read_set_and_reset(cell, dtype):
    layer = build(cell, SHAPE, dtype, num_layers=2)
    call = draw(layer, SHAPE.T, SHAPE.N)
    stream = layer.stream(SHAPE.N)
    zeros = stream.state
    assert [part.shape for part in parts_of(zeros)] == list(layer.spec.state_shapes(SHAPE.N))
    assert all(np.all(part == 0) and part.dtype == dtype for part in parts_of(zeros))
    stream.state = call.state
    assert_same_bits(stream.state, call.state)
    first = stream.step(call.x[0])
    stream.state = call.state
    assert_same_bits(stream.step(call.x[0]), first)
    for clear in (stream.reset, lambda: setattr(stream, "state", None)):
        stream.step(call.x[1])
        clear()
        assert_same_bits(stream.state, zeros)


def test_state_is_a_copy_both_ways():
    layer = build(LSTM, SHAPE)
    call = draw(layer, SHAPE.T, SHAPE.N)
    stream = layer.stream(SHAPE.N)
    stream.state = call.state
    kept = copy.deepcopy(call.state)
    for part in (*call.state, *stream.state):
        part[...] = 5
    assert_same_bits(stream.state, kept)


REFUSED = {
    "x": lambda stream, call: stream.step(call.x[0][:, :2]),
    "out": lambda stream, call: stream.step(call.x[0], out=np.zeros((SHAPE.N, SHAPE.H + 1), np.float32)),
    "run": lambda stream, call: stream.run(call.x[:, :1]),
    "state": lambda stream, call: setattr(stream, "state", (call.state[0], call.state[1][:, :1])),
}


@pytest.mark.parametrize("attempt", REFUSED.values(), ids=REFUSED)
def test_refused_step_keeps_the_state(attempt):
    layer = build(LSTM, SHAPE)
    call = draw(layer, SHAPE.T, SHAPE.N)
    stream = layer.stream(SHAPE.N)
    stream.step(call.x[0])
    before = stream.state
    with pytest.raises(errors.ShapeError):
        attempt(stream, call)
    assert_same_bits(stream.state, before)


@CELL
def test_run_of_no_steps_keeps_the_state(cell):
    layer = build(cell, SHAPE, num_layers=2)
    call = draw(layer, SHAPE.T, SHAPE.N)
    stream = layer.stream(SHAPE.N)
    stream.state = call.state
    assert stream.run(call.x[:0]).shape == (0, SHAPE.N, layer.spec.y_size)
    assert_same_bits(stream.state, call.state)


def test_streams_of_one_layer_are_independent():
    layer = build(LSTM, SHAPE)
    call, other = draw(layer, SHAPE.T, SHAPE.N), draw(layer, SHAPE.T, SHAPE.N, seed=1)
    first, second = layer.stream(SHAPE.N), layer.stream(SHAPE.N)
    mixed = [(first.step(a), second.step(b)) for a, b in zip(call.x, other.x, strict=True)]
    assert_same_bits(np.stack([a for a, _ in mixed]), layer(call.x)[0])
    assert_same_bits(np.stack([b for _, b in mixed]), layer(other.x)[0])


def test_step_writes_into_out_and_nowhere_else():
    layer = build(LSTM, SHAPE)
    call = draw(layer, SHAPE.T, 1)
    large = np.full(SHAPE.H + 2, np.float32(7))
    stream, other = layer.stream(), layer.stream()
    out = large[1:-1]
    assert stream.step(call.x[0, 0], out=out) is out
    assert_same_bits(out, other.step(call.x[0, 0]))
    assert large[0] == large[-1] == 7


# Changed parameters ----------------------------------------------------------------------------------------


@CELL
def test_next_step_sees_changed_parameters_and_keeps_its_state(cell):
    layer = build(cell, SHAPE, num_layers=2)
    call = draw(layer, SHAPE.T, SHAPE.N)
    stream = layer.stream(SHAPE.N)
    for x in call.x[:3]:
        stream.step(x)
    _, state = layer(call.x[:3])
    layer.update_parameters(other_values(layer))
    assert_same_bits(stream.state, state)
    expected = layer(call.x[3:], state)
    assert_same_bits(stream.step(call.x[3]), expected[0][0])
    assert_same_bits(stream.run(call.x[4:]), expected[0][1:])
    assert_same_bits(stream.state, expected[1])


@pytest.mark.parametrize("after", ISAS)
@pytest.mark.parametrize("before", ISAS)
def test_instruction_set_may_change_with_the_parameters(before, after):
    """Packed rows of another width need another amount of memory."""
    layer = build(LSTM, tables.Shape(8, 3, 4, 1), num_layers=2)
    call = draw(layer, 8, 3)
    with rnncore.use_isa(before):
        streams = [layer.stream(3) for _ in range(40)]  # neighbours in memory
        for stream in streams:
            stream.step(call.x[0])
    _, state = layer(call.x[:1])
    layer.update_parameters(other_values(layer))
    expected = layer(call.x[1:], state)[0]
    with rnncore.use_isa(after):
        for stream in streams:
            for t, y in enumerate(expected, start=1):
                assert_same_bits(stream.step(call.x[t]), y)


@pytest.mark.parametrize("when", ["start", "step"])
def test_update_just_after_packing_is_seen(when):
    """The moment between packing the weights and noting their version, as another thread would use it."""
    layer = build(LSTM, SHAPE)
    call = draw(layer, SHAPE.T, SHAPE.N)
    values, pack = other_values(layer), layer.packed

    def pack_and_lose_the_race(uses):
        weights = pack(uses)
        layer.packed = pack
        layer.update_parameters(values)
        return weights

    stream = layer.stream(SHAPE.N) if when == "step" else None
    layer.update_parameters({name: value / 2 for name, value in layer.state_dict().items()})
    layer.packed = pack_and_lose_the_race
    if stream is None:
        stream = layer.stream(SHAPE.N)
    else:
        stream.step(call.x[0])
    stream.reset()
    assert_same_bits(stream.step(call.x[0]), layer(call.x[:1])[0][0])


# Copies ----------------------------------------------------------------------------------------------------


@CELL
@pytest.mark.parametrize("clone", COPIES.values(), ids=COPIES)
def test_copies_go_on_from_the_same_state(cell, clone):
    layer = build(cell, SHAPE, num_layers=2)
    call = draw(layer, SHAPE.T, SHAPE.N)
    stream = layer.stream(SHAPE.N)
    stream.state = call.state
    stream.step(call.x[0])
    other = clone(stream)
    assert_same_bits(other.state, stream.state)
    ahead = other.step(call.x[1])
    other.step(call.x[2])
    assert_same_bits(stream.step(call.x[1]), ahead)  # not moved by the copy's steps


def test_stream_keeps_its_layer():
    stream = build(LSTM, SHAPE).stream()
    assert stream.step(np.ones(SHAPE.I, np.float32)).shape == (SHAPE.H,)


# Threads ---------------------------------------------------------------------------------------------------


def test_second_step_at_once_is_refused():
    """A long step releases the GIL; a step from another thread in the meantime says so and changes nothing."""
    shape = tables.Shape(1, 1, 512, 512)
    layer = build(LSTM, shape)
    stream, x = layer.stream(), np.full(shape.I, np.float32(0.1))
    counts, fields, refused, stop = [0, 0], set(), threading.Event(), threading.Event()

    def step_on(k):
        while not stop.is_set():
            try:
                stream.step(x)
                counts[k] += 1
            except errors.UnsupportedError as error:
                fields.add(error.field)
                refused.set()

    threads = [threading.Thread(target=step_on, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    assert refused.wait(timeout=PATIENCE)
    stop.set()
    for thread in threads:
        thread.join()
    assert fields == {"stream"}
    again = layer.stream()
    for _ in range(sum(counts)):
        again.step(x)
    assert_same_bits(stream.state, again.state)
