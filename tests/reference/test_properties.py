# SPDX-License-Identifier: MIT
"""Properties of the calls that hold for every cell: ragged rows, streams, layouts, seeds, copies."""

import copy
import pickle

import numpy as np
import pytest
import tables

CELL = pytest.mark.parametrize("cell", tables.CELLS, ids=lambda cell: cell.id)
SHAPE = tables.GRADIENT_SHAPE
F64 = tables.DTYPES["f64"]
FORWARD = tables.TOLERANCES["forward", F64]


def build(implementation, cell, num_layers=2, **options):
    make = getattr(implementation, cell.layer)
    options = dict(dtype="float64", seed=3) | cell.options(SHAPE.H) | options
    return make(SHAPE.I, SHAPE.H, num_layers, **options)


def draw(layer, T=SHAPE.T, N=SHAPE.N, seed=0):
    """x (T, N, I) and a state."""
    rng = np.random.default_rng(seed)
    parts = [rng.standard_normal(shape) for shape in layer.spec.state_shapes(N)]
    return rng.standard_normal((T, N, SHAPE.I)), tuple(parts) if len(parts) == 2 else parts[0]


def parts_of(state):
    return state if isinstance(state, tuple) else (state,)


def rows_of(state, rows):
    cut = tuple(part[:, rows] for part in parts_of(state))
    return cut if isinstance(state, tuple) else cut[0]


def assert_near(got, expected):
    for a, b in zip(parts_of(got), parts_of(expected), strict=True):
        assert tables.relative_error(a, b) <= FORWARD


@CELL
@pytest.mark.parametrize("both", [False, True], ids=["D1", "D2"])
def test_ragged_row_equals_that_row_alone(implementation, cell, both):
    layer = build(implementation, cell, bidirectional=both)
    x, state = draw(layer)
    lengths = [2, 0, SHAPE.T]
    y, final = layer(x, state, lengths=lengths)
    for n, length in enumerate(lengths):
        alone, end = layer(x[:length, n : n + 1], rows_of(state, slice(n, n + 1)))
        assert_near(y[:length, n : n + 1], alone)
        assert np.all(y[length:, n] == 0)
        assert_near(rows_of(final, slice(n, n + 1)), end)


@CELL
def test_length_zero_keeps_its_state(implementation, cell):
    layer = build(implementation, cell, bidirectional=True)
    x, state = draw(layer)
    y, final = layer(x, state, lengths=np.zeros(SHAPE.N, np.uint8))
    assert np.all(y == 0)
    for got, expected in zip(parts_of(final), parts_of(state), strict=True):
        np.testing.assert_array_equal(got, expected)


@CELL
@pytest.mark.parametrize("T, N", [(0, 3), (4, 0), (0, 0)], ids=["T0", "N0", "T0N0"])
def test_empty_calls(implementation, cell, T, N):
    layer = build(implementation, cell)
    x, state = draw(layer, T, N)
    y, final, tape = layer.forward(x, state)
    assert y.shape == (T, N, layer.spec.y_size)
    grads = layer.backward(tape, y, state)
    assert grads.x.shape == x.shape
    for got, start, gradient in zip(*map(parts_of, (final, state, grads.state)), strict=True):
        np.testing.assert_array_equal(got, start)
        np.testing.assert_array_equal(gradient, start)
    assert all(np.all(value == 0) for value in grads.params.values())


@CELL
def test_halves_with_carried_state_equal_the_whole(implementation, cell):
    layer = build(implementation, cell)
    x, state = draw(layer)
    whole, end = layer(x, state)
    first, middle = layer(x[:1], state)
    second, last = layer(x[1:], middle)
    assert_near(np.concatenate([first, second]), whole)
    assert_near(last, end)


@CELL
@pytest.mark.parametrize("batch_first", [False, True], ids=["time_major", "batch_first"])
def test_stream_equals_call(implementation, cell, batch_first):
    layer = build(implementation, cell, batch_first=batch_first, dropout=0.5)
    x, state = draw(layer)
    turn = (lambda a: a.swapaxes(0, 1)) if batch_first else (lambda a: a)
    whole, end = layer(turn(x), state)
    stream = layer.stream(batch_size=SHAPE.N)
    stream.state = state
    out = np.empty((SHAPE.N, layer.spec.y_size))
    assert stream.step(x[0], out=out) is out
    steps = [out, stream.step(x[1])]
    rest = turn(stream.run(turn(x[2:])))
    assert_near(np.concatenate([np.stack(steps), rest]), turn(whole))
    assert_near(stream.state, end)
    stream.reset()
    assert all(np.all(part == 0) for part in parts_of(stream.state))
    assert_near(stream.step(x[0]), turn(layer(turn(x[:1]))[0])[0])


@CELL
def test_stream_of_one_takes_vectors(implementation, cell):
    layer = build(implementation, cell)
    x, _ = draw(layer, N=1)
    stream = layer.stream()
    y = stream.step(x[0, 0])
    assert y.shape == (layer.spec.output_size,)
    rest = stream.run(x[1:, 0])
    assert_near(np.concatenate([y[None], rest]), layer(x[:, 0])[0])


def test_stream_state_is_a_copy(implementation):
    stream = build(implementation, tables.CELLS[2]).stream()
    before = stream.step(np.ones(SHAPE.I))
    for part in stream.state:
        part[...] = 5
    stream.reset()
    np.testing.assert_array_equal(stream.step(np.ones(SHAPE.I)), before)


@CELL
def test_layouts_agree(implementation, cell):
    layer = build(implementation, cell, bidirectional=True)
    other = build(implementation, cell, bidirectional=True, batch_first=True)
    x, state = draw(layer)
    y, final, tape = layer.forward(x, state)
    y_first, final_first, tape_first = other.forward(x.swapaxes(0, 1), state)
    assert_near(y_first.swapaxes(0, 1), y)
    assert_near(final_first, final)
    grads, grads_first = layer.backward(tape, y), other.backward(tape_first, y_first)
    assert tables.relative_error(grads_first.x.swapaxes(0, 1), grads.x) <= tables.TOLERANCES["gradient", F64]
    strided = np.repeat(x, 2, axis=0)[::2][:, :, ::-1][:, :, ::-1]
    assert_near(layer(strided, state)[0], y)


def test_lists_are_taken_as_float64(implementation):
    layer = build(implementation, tables.CELLS[0])
    x, _ = draw(layer)
    np.testing.assert_array_equal(layer(x.tolist())[0], layer(x)[0])


@CELL
def test_seed_repeats_parameters_and_dropout(implementation, cell):
    first, second = (build(implementation, cell, dropout=0.4) for _ in range(2))
    x, _ = draw(first)
    for _ in range(2):
        np.testing.assert_array_equal(first.forward(x)[0], second.forward(x)[0])
    assert not np.array_equal(first.forward(x)[0], first.forward(x)[0])
    np.testing.assert_array_equal(first(x)[0], second(x)[0])


@CELL
def test_float32_and_float64_share_a_seed(implementation, cell):
    wide, narrow = (build(implementation, cell, dtype=dtype) for dtype in ("float64", "float32"))
    for name, value in wide.parameters().items():
        np.testing.assert_array_equal(narrow.parameters()[name], value.astype(np.float32))


def test_parameters_are_views_that_cannot_be_written(implementation):
    layer = build(implementation, tables.CELLS[2])
    view = layer.parameters()["bias_ih_l0"]
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    layer.update_parameters({"bias_ih_l0": np.full_like(view, 2)})
    assert np.all(layer.parameters()["bias_ih_l0"] == 2)
    layer.state_dict()["bias_ih_l0"][...] = 3
    assert np.all(layer.parameters()["bias_ih_l0"] == 2)


@CELL
@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))])
def test_copies_are_equal_layers(implementation, cell, clone):
    layer = build(implementation, cell)
    x, state = draw(layer)
    again = clone(layer)
    assert repr(again) == repr(layer)
    np.testing.assert_array_equal(again(x, state)[0], layer(x, state)[0])


def test_repr_shows_what_differs_from_defaults(implementation):
    layer = implementation.LSTM(3, 5, 2, bidirectional=True, proj_size=2, dtype="float64")
    assert repr(layer).endswith("LSTM(3, 5, num_layers=2, bidirectional=True, dtype='float64', proj_size=2)")
    assert repr(implementation.GRU(np.int32(3), 5)).endswith("GRU(3, 5)")
