# SPDX-License-Identifier: MIT
"""The engine on anybody's arrays: a front end of five functions gives what a layer gives, to the last bit."""

import numpy as np
import pytest
import tables
from compiled import CELL, assert_same_bits, build, draw, parts_of

import rnncore
from rnncore import engine, errors

SHAPE = tables.Shape(6, 3, 4, 7)
LENGTHS = [6, 2, 0]


def foreign(layer):
    """The layer's parameters in other memory and with other strides."""
    return {name: np.asfortranarray(array.copy()) for name, array in layer.parameters().items()}


def front_end(layer, dtype="float32", **options):
    """A layer's Spec and its parameters, packed as a front end packs its own."""
    return layer.spec, engine.pack(layer.spec, foreign(layer), **options)


@CELL
@pytest.mark.parametrize("backend", ["fused", "blas", "naive"])
def test_forward_is_the_layers(cell, backend):
    layer = build(cell, SHAPE, num_layers=2, bidirectional=True)
    call = draw(layer, SHAPE.T, SHAPE.N)
    with rnncore.use_backend(backend):
        spec, weights = front_end(layer)
        out = np.empty((SHAPE.T, SHAPE.N, spec.y_size), "float32")
        got = engine.forward(weights, engine.Call(spec, call.x, call.state, lengths=LENGTHS, out=out))
        assert got[0] is out
        assert_same_bits(got, layer(call.x, call.state, lengths=LENGTHS))


@CELL
def test_backward_is_the_layers(cell):
    layer = build(cell, SHAPE, num_layers=2, dropout=0.5)
    call = draw(layer, SHAPE.T, SHAPE.N)
    options = {"checkpoint": 2, "recurrent_dropout": 0.25, "weight_dropout": 0.5}
    *expected, tape = layer.forward(call.x, call.state, lengths=LENGTHS, **options)
    key = tape.call_key
    spec, weights = front_end(layer, uses=engine.needed(training=True), drop=(key, 0.5))
    own = engine.Call(spec, call.x, call.state, lengths=LENGTHS)
    *got, own_tape = engine.record(weights, own, engine.Training(own, **options), key=key)
    assert_same_bits(got, expected)
    assert own_tape.nbytes == engine.tape_bytes(spec, SHAPE.T, SHAPE.N, lengths=LENGTHS, checkpoint=2)
    grads = engine.backward(own_tape, call.dy, call.dstate)
    assert_same_bits(grads, layer.backward(tape, call.dy, call.dstate))
    with pytest.raises(errors.TapeError, match="used"):
        engine.backward(own_tape, call.dy)


@CELL
def test_stream_is_the_layers(cell):
    layer = build(cell, SHAPE)
    call = draw(layer, SHAPE.T, SHAPE.N)
    _, weights = front_end(layer)
    stream = engine.stream(weights, SHAPE.N)
    stream.state = call.state
    y, state = layer(call.x, call.state)
    steps = np.stack([stream.step(x) for x in call.x[:2]])
    assert_same_bits((np.concatenate([steps, stream.run(call.x[2:])]), stream.state), (y, state))


LAYER = rnncore.LSTM(3, 4, seed=0)
X = np.ones((2, 1, 3), np.float32)


def record_without_key():
    spec, weights = front_end(rnncore.LSTM(3, 4, 2, dropout=0.5), uses=engine.needed(training=True))
    return engine.record(weights, engine.Call(spec, X))


def of_another_spec():
    return engine.forward(front_end(LAYER)[1], engine.Call(engine.Spec("gru", 3, 4), X))


def packed_for_less():
    spec, weights = front_end(LAYER)
    return engine.record(weights, engine.Call(spec, X))


REFUSED = {
    "another-spec": (of_another_spec, errors.ArgumentError, "weights"),
    "packed-for-less": (packed_for_less, errors.ArgumentError, "weights"),
    "no-key": (record_without_key, errors.ArgumentError, "key"),
    "tape": (lambda: engine.backward(X, X), errors.TapeError, "tape"),
    "missing": (lambda: engine.pack(LAYER.spec, {}), errors.ArgumentError, "weight_ih_l0"),
    "dtype": (
        lambda: engine.pack(LAYER.spec, {k: v.astype(float) for k, v in LAYER.parameters().items()}),
        errors.DTypeError,
        "weight_ih_l0",
    ),
}


@pytest.mark.parametrize("call, error, field", REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused(call, error, field):
    with pytest.raises(error) as caught:
        call()
    assert caught.value.field == field


def test_tapes_are_of_owner_and_version_where_asked():
    owner, spec = object(), LAYER.spec
    weights = engine.pack(spec, LAYER.parameters(), engine.needed(training=True), version=3)
    for wrong in ({"owner": object()}, {"version": 4}):
        _, _, tape = engine.record(weights, engine.Call(spec, X), owner=owner)
        with pytest.raises(errors.TapeError):
            engine.backward(tape, np.ones((2, 1, 4), np.float32), **wrong)
        grads = engine.backward(tape, np.ones((2, 1, 4), np.float32), owner=owner, version=3)
        assert [part.shape for part in parts_of(grads.state)] == [(1, 1, 4), (1, 1, 4)]


def test_reprs_say_what_they_are():
    stream = LAYER.stream(2)
    y, _, tape = LAYER.forward(X)
    assert repr(stream) == "Stream(rnncore.LSTM(3, 4), batch_size=2)"
    assert repr(tape) == f"Tape(LSTM, T=2, N=1, {tape.nbytes} bytes)"
    grads = LAYER.backward(tape, y)
    assert repr(tape) == "Tape(LSTM, T=2, N=1, used)"
    assert repr(grads).startswith(
        "Grads(x (2, 1, 3), state (1, 1, 4), (1, 1, 4), params: weight_ih_l0 (16, 3), "
    )
