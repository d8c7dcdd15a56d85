# SPDX-License-Identifier: MIT
"""The bit contract: forward results are the same to the last bit whatever the batch, the position in it, the cutting
of the sequence, the threads, the vector width and the memory layout."""

import numpy as np
import pytest
import tables
from compiled import (
    CELL,
    DTYPE,
    ISA,
    ISAS,
    as_state,
    assert_same_bits,
    build,
    draw,
    examples,
    parts_of,
    rows_of,
)
from hypothesis import given
from hypothesis import strategies as st

import rnncore

# More rows than one tile has (8), units that fill no whole vector of any width, and a few steps.
SHAPE = tables.Shape(6, 11, 5, 19)
# Work for several threads.
WIDE = tables.Shape(30, 13, 20, 45)
# Steps worth sharing (RC_MEETING_WORK), in most cells even those of many rows (RC_FEW_ROWS_WEIGHTS).
FEW, FEW_LENGTHS = tables.Shape(36, 5, 7, 145), np.array([36, 20, 0, 36, 3])


def everywhere(test):
    """The test for every cell, dtype and instruction set."""
    for mark in (CELL, DTYPE, ISA):
        test = mark(test)
    return test


def make(cell, dtype, shape=SHAPE, **options):
    return build(cell, shape, dtype, **({"num_layers": 2} | options))


# Batches ---------------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("both", [False, True], ids=["D1", "D2"])
def test_row_alone_equals_row_in_batch(cell, dtype, isa, both):
    layer = make(cell, dtype, bidirectional=both)
    call = draw(layer, SHAPE.T, SHAPE.N)
    with rnncore.use_isa(isa):
        y, final = layer(call.x, call.state)
        for n in range(SHAPE.N):
            row = slice(n, n + 1)
            alone = layer(call.x[:, row], rows_of(call.state, row))
            assert_same_bits(alone, (y[:, row], rows_of(final, row)))


@everywhere
@examples(4)
@given(rows=st.lists(st.integers(0, SHAPE.N - 1), min_size=1, max_size=2 * SHAPE.N))
def test_any_batch_of_rows(cell, dtype, isa, rows):
    layer = make(cell, dtype)
    call = draw(layer, SHAPE.T, SHAPE.N)
    with rnncore.use_isa(isa):
        y, final = layer(call.x, call.state)
        got = layer(call.x[:, rows], rows_of(call.state, rows))
    assert_same_bits(got, (y[:, rows], rows_of(final, rows)))


@everywhere
@pytest.mark.parametrize("both", [False, True], ids=["D1", "D2"])
def test_ragged_row_equals_that_row_at_its_length(cell, dtype, isa, both):
    layer = make(cell, dtype, bidirectional=both)
    call = draw(layer, SHAPE.T, SHAPE.N)
    call.x[2, 3:5] = np.nan  # padding of rows 3 and 4 must not be read
    lengths = np.array([3, 0, 6, 1, 2, 6, 5, 0, 4, 4, 6])
    with rnncore.use_isa(isa):
        y, final = layer(call.x, call.state, lengths=lengths)
        for n, length in enumerate(lengths):
            row = slice(n, n + 1)
            alone = layer(call.x[:length, row], rows_of(call.state, row))
            assert_same_bits(alone, (y[:length, row], rows_of(final, row)))
            assert_same_bits(y[length:, row], np.zeros_like(y[length:, row]))


@everywhere
@examples(4)
@given(lengths=st.lists(st.integers(0, SHAPE.T), min_size=SHAPE.N, max_size=SHAPE.N))
def test_lengths_in_any_order(cell, dtype, isa, lengths):
    layer = make(cell, dtype, bidirectional=True)
    call = draw(layer, SHAPE.T, SHAPE.N)
    order = np.argsort(lengths, kind="stable")
    with rnncore.use_isa(isa):
        y, final = layer(call.x, call.state, lengths=lengths)
        got = layer(call.x[:, order], rows_of(call.state, order), lengths=np.array(lengths)[order])
    assert_same_bits(got, (y[:, order], rows_of(final, order)))


@CELL
@DTYPE
def test_full_lengths_equal_none(cell, dtype):
    layer = make(cell, dtype, bidirectional=True)
    call = draw(layer, SHAPE.T, SHAPE.N)
    assert_same_bits(layer(call.x, call.state, lengths=np.full(SHAPE.N, SHAPE.T)), layer(call.x, call.state))


# Time ------------------------------------------------------------------------------------------------------


@everywhere
@examples(4)
@given(cuts=st.sets(st.integers(1, SHAPE.T - 1)))
def test_chunks_with_carried_state_equal_the_whole(cell, dtype, isa, cuts):
    layer = make(cell, dtype)
    call = draw(layer, SHAPE.T, SHAPE.N)
    pieces, state = [], call.state
    with rnncore.use_isa(isa):
        whole = layer(call.x, call.state)
        for chunk in np.split(call.x, sorted(cuts)):
            y, state = layer(chunk, state)
            pieces.append(y)
    assert_same_bits((np.concatenate(pieces), state), whole)


@everywhere
@examples(4)
@given(stepped=st.lists(st.booleans(), min_size=SHAPE.T, max_size=SHAPE.T), N=st.sampled_from([1, 3, 11]))
def test_stream_equals_sequence(cell, dtype, isa, stepped, N):
    """Steps, some with `out`, mixed with chunks through `run`."""
    layer = make(cell, dtype, dropout=0.5)
    call = draw(layer, SHAPE.T, N)
    with rnncore.use_isa(isa):
        whole, final = layer(call.x, call.state)
        stream = layer.stream(batch_size=N)
        stream.state = call.state
        for t, by_step in enumerate(stepped):
            y = stream.step(call.x[t]) if by_step else stream.run(call.x[t : t + 1])[0]
            assert_same_bits(y, whole[t])
        assert_same_bits(stream.state, final)
        stream.state = call.state
        half = stream.run(call.x[:3])
        out = np.empty_like(whole[0])
        rest = [stream.step(x, out=out).copy() for x in call.x[3:]]
    assert_same_bits(np.concatenate([half, rest]), whole)


@everywhere
def test_stream_of_many_steps_with_wide_layers(cell, dtype, isa):
    """Weights beyond a tile: blocks are walked to and fro, and every walk gives the same sums."""
    layer = make(cell, dtype, WIDE)
    call = draw(layer, WIDE.T, 1)
    with rnncore.use_isa(isa):
        whole, final = layer(call.x)
        stream = layer.stream()
        y = np.stack([stream.step(x[0]) for x in call.x])
        assert_same_bits((y[:, np.newaxis], stream.state), (whole, final))


@CELL
@DTYPE
def test_recording_call_equals_inference(cell, dtype):
    for options in (dict(bidirectional=True), dict(num_layers=1, dropout=0.5)):
        layer = make(cell, dtype, **options)
        call = draw(layer, SHAPE.T, SHAPE.N)
        lengths = np.arange(SHAPE.N) % (SHAPE.T + 1)
        for ragged in (None, lengths):
            recorded = layer.forward(call.x, call.state, lengths=ragged)[:2]
            assert_same_bits(recorded, layer(call.x, call.state, lengths=ragged))


# Machines --------------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("both", [False, True], ids=["D1", "D2"])
def test_threads_do_not_matter(cell, dtype, isa, both):
    layer = make(cell, dtype, WIDE, bidirectional=both)
    call = draw(layer, WIDE.T, WIDE.N)
    lengths = np.random.default_rng(2).integers(0, WIDE.T + 1, WIDE.N)
    with rnncore.use_isa(isa):
        for N in (WIDE.N, 2, 1):
            rows = slice(N)
            given = dict(state=rows_of(call.state, rows))
            for ragged in (None, lengths[rows]):
                alone = layer(call.x[:, rows], lengths=ragged, num_threads=1, **given)
                for threads in (2, 3, 5):
                    got = layer(call.x[:, rows], lengths=ragged, num_threads=threads, **given)
                    assert_same_bits(got, alone)


@everywhere
def test_few_rows_of_many_weights_do_not_depend_on_threads(cell, dtype, isa):
    """Steps large enough to be shared by units, also where each thread could have a row of its own."""
    layer = make(cell, dtype, FEW, num_layers=1)
    call = draw(layer, FEW.T, FEW.N)
    with rnncore.use_isa(isa):
        for N in (1, 2, FEW.N):
            rows = slice(N)
            for ragged in (None, FEW_LENGTHS[rows]):
                given = dict(state=rows_of(call.state, rows), lengths=ragged)
                alone = layer(call.x[:, rows], num_threads=1, **given)
                for threads in (2, 3):
                    assert_same_bits(layer(call.x[:, rows], num_threads=threads, **given), alone)


@CELL
@DTYPE
def test_dropout_does_not_depend_on_threads(cell, dtype):
    results = []
    for threads in (1, 2, 3):
        layer = make(cell, dtype, WIDE, dropout=0.3, bidirectional=True)  # the same seed: the same masks
        results.append(layer.forward(draw(layer, WIDE.T, WIDE.N).x, num_threads=threads)[:2])
    assert_same_bits(results[1], results[0])
    assert_same_bits(results[2], results[0])


@CELL
@DTYPE
@examples(8)
@given(
    T=st.integers(1, 5), N=st.integers(1, 20), I=st.integers(1, 40), H=st.integers(2, 70), both=st.booleans()
)
def test_vector_widths_agree(cell, dtype, T, N, I, H, both):  # noqa: E741
    layer = make(cell, dtype, tables.Shape(T, N, I, H), bidirectional=both)
    call = draw(layer, T, N)
    results = []
    for isa in ISAS:
        with rnncore.use_isa(isa):
            results.append(layer(call.x, call.state))
    for result in results[1:]:
        assert_same_bits(result, results[0])


@CELL
@DTYPE
@pytest.mark.parametrize("threads", [1, 3], ids="threads{}".format)
def test_backward_repeats_itself(cell, dtype, threads):
    layer = make(cell, dtype, WIDE, bidirectional=True)
    call = draw(layer, WIDE.T, WIDE.N)
    runs = []
    for _ in range(3):
        *_, tape = layer.forward(call.x, call.state, num_threads=threads)
        runs.append(layer.backward(tape, call.dy, call.dstate))
    assert_same_bits(runs[1], runs[0])
    assert_same_bits(runs[2], runs[0])


# Memory ----------------------------------------------------------------------------------------------------


def _spread(array):
    """Every second element of a larger array, along every axis."""
    large = np.full([2 * n for n in array.shape], 7, array.dtype)
    view = large[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def _reversed(array):
    """Negative strides everywhere."""
    every = tuple(slice(None, None, -1) for _ in array.shape)
    return array[every].copy()[every]


def _transposed(array):
    """Features far apart, steps side by side."""
    return array.T.copy().T


def _unaligned(array):
    """One byte off the element boundaries."""
    raw = np.zeros(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


LAYOUTS = {
    "spread": _spread,
    "reversed": _reversed,
    "transposed": _transposed,
    "unaligned": _unaligned,
    "fortran": np.asfortranarray,
}
LAYOUT = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


@everywhere
@LAYOUT
def test_layout_of_inputs_does_not_matter(cell, dtype, isa, layout):
    for first in (False, True):
        layer = make(cell, dtype, batch_first=first, bidirectional=True)
        call = draw(layer, SHAPE.T, SHAPE.N)
        state = as_state([layout(part) for part in parts_of(call.state)])
        with rnncore.use_isa(isa):
            assert_same_bits(layer(layout(call.x), state), layer(call.x, call.state))


@CELL
@DTYPE
@LAYOUT
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
def test_layout_of_out_does_not_matter(cell, dtype, layout, ragged):
    layer = make(cell, dtype, bidirectional=True, batch_first=True)
    call = draw(layer, SHAPE.T, SHAPE.N)
    lengths = np.arange(SHAPE.N) % (SHAPE.T + 1) if ragged else None
    y, final = layer(call.x, lengths=lengths)
    out = layout(np.full_like(y, np.nan))
    got, got_final = layer(call.x, lengths=lengths, out=out)
    assert got is out
    assert_same_bits((got, got_final), (y, final))


@pytest.mark.parametrize("threads", [1, 3], ids="threads{}".format)
def test_out_leaves_its_neighbours_alone(threads):
    layer = make(tables.CELLS[2], "float32", WIDE)
    call = draw(layer, WIDE.T, WIDE.N)
    large = np.full((2 * WIDE.T, WIDE.N + 2, layer.spec.y_size + 3), np.float32(7))
    out = large[::2, 1:-1, 2:-1]
    layer(call.x, out=out, num_threads=threads)
    out[...] = 7
    assert np.all(large == 7)


@everywhere
def test_broadcast_input_equals_its_copy(cell, dtype, isa):
    layer = make(cell, dtype)
    call = draw(layer, SHAPE.T, SHAPE.N)
    with rnncore.use_isa(isa):
        for part in (call.x[:1], call.x[:, :1], call.x[:, :, :1]):
            x = np.broadcast_to(part, call.x.shape)
            assert_same_bits(layer(x), layer(x.copy()))


@CELL
@DTYPE
@LAYOUT
def test_layout_of_gradients_does_not_matter(cell, dtype, layout):
    layer = make(cell, dtype, bidirectional=True, batch_first=True)
    call = draw(layer, SHAPE.T, SHAPE.N)
    lengths = np.arange(SHAPE.N) % (SHAPE.T + 1)
    results = []
    for move in (np.ascontiguousarray, layout):
        *_, tape = layer.forward(move(call.x), call.state, lengths=lengths)
        dstate = as_state([move(part) for part in parts_of(call.dstate)])
        results.append(layer.backward(tape, move(call.dy), dstate))
    assert_same_bits(results[1], results[0])


@DTYPE
@LAYOUT
@pytest.mark.parametrize("N", [1, 4])
def test_layout_of_steps_does_not_matter(dtype, layout, N):
    layer = make(tables.CELLS[2], dtype)
    call = draw(layer, SHAPE.T, N)
    plain, moved = layer.stream(N), layer.stream(N)
    for x in call.x:
        out = layout(np.zeros((N, layer.spec.output_size), dtype))
        assert moved.step(layout(x), out=out) is out
        assert_same_bits(out, plain.step(x))
        assert_same_bits(moved.state, plain.state)


@pytest.mark.parametrize("lengths", [None, (70, 33, 0)], ids=["full", "ragged"])
@pytest.mark.parametrize("drop", [0.0, 0.3], ids=["plain", "dropped"])
@pytest.mark.parametrize("cell", [rnncore.RNN, rnncore.LSTM, rnncore.GRU], ids=lambda cell: cell.__name__)
def test_layers_that_follow_each_other_give_the_bits_of_one_thread(cell, drop, lengths):
    """Enough steps and work for a wavefront of layers: T >= 32, three rows on four threads."""
    x = np.random.default_rng(1).standard_normal((70, 3, 7), dtype=np.float32)
    results = []
    for threads in (1, 2, 4):
        layer = cell(7, 64, 3, seed=0)
        y, _, _ = layer.forward(x, lengths=lengths, recurrent_dropout=drop, num_threads=threads)
        results.append((y, layer(x, lengths=lengths, num_threads=threads)[0]))
    for other in results[1:]:
        assert all(np.array_equal(one, two) for one, two in zip(results[0], other, strict=True))
