# SPDX-License-Identifier: MIT
"""Every small product: all batches and hidden sizes around the tiles, against the naive loop, to the last bit."""

import pytest
import tables
from compiled import DTYPE, ISA, assert_same_bits, build, draw, parts_of, rows_of

import rnncore

ROWS, UNITS = 70, 40
# One cell for each set of products; other options change only what follows them.
CELLS = [
    cell
    for cell in tables.CELLS
    if cell.id in ("rnn", "lstm", "lstm_proj", "lstm_coupled", "gru", "gru_before")
]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
@DTYPE
@ISA
def test_every_batch_and_hidden_size_equals_the_naive_loop(cell, dtype, isa):
    """Rows beyond eight tiles of eight, units beyond two vectors of sixteen."""
    for H in range(2 if cell.projected else 1, UNITS + 1):
        layer = build(cell, tables.Shape(2, ROWS, 3, H), dtype)
        call = draw(layer, 2, ROWS)
        with rnncore.use_isa(isa), rnncore.use_backend("naive"):
            y, final = layer(call.x, call.state)
        for N in range(1, ROWS + 1):
            rows = slice(N)
            with rnncore.use_isa(isa):
                got, state = layer(call.x[:, rows], rows_of(call.state, rows), num_threads=1)
            assert got.tobytes() == y[:, rows].tobytes(), (H, N)
            for part, expected in zip(parts_of(state), parts_of(final), strict=True):
                assert part.tobytes() == expected[:, rows].tobytes(), (H, N)


@pytest.mark.parametrize("I", [128, 400])
@DTYPE
@ISA
def test_a_row_of_few_inputs_and_many_units_equals_the_naive_loop(I, dtype, isa):  # noqa: E741
    """Weights beyond any L2, walked in tiles of few bytes: so many blocks at once as there are tiles for, not more."""
    cell = next(cell for cell in tables.CELLS if cell.id == "rnn")
    layer = build(cell, tables.Shape(1, 1, I, 1024), dtype)
    call = draw(layer, 1, 1)
    with rnncore.use_isa(isa):
        y, _ = layer(call.x, call.state, num_threads=1)
        with rnncore.use_backend("naive"):
            expected, _ = layer(call.x, call.state)
    assert y.tobytes() == expected.tobytes()


@pytest.mark.parametrize("store", [None, "bfloat16", "float16", "int8", "int8x16"])
@pytest.mark.parametrize(
    ("kind", "H"), [("lstm", 100), ("lstm", 72), ("gru", 101), ("gru", 56), ("min_gru", 200)]
)
@ISA
def test_units_that_fill_a_part_of_a_vector_equal_the_naive_loop(kind, H, store, isa):
    """The planes of the last units share vectors, and threads may cut between them and the block before."""
    cell = next(cell for cell in tables.CELLS if cell.id == kind)
    layer = build(cell, tables.Shape(6, 19, 100, H), "float32", store=store)
    call = draw(layer, 6, 19)
    with rnncore.use_isa(isa):
        with rnncore.use_backend("naive"):
            expected = layer(call.x, call.state)
        assert_same_bits(layer(call.x, call.state, num_threads=1), expected)
        for N in (1, 2, 9):  # nine rows are shared by as many threads as there are blocks
            got, state = layer(call.x[:, :N], rows_of(call.state, slice(N)), num_threads=40)
            assert got.tobytes() == expected[0][:, :N].tobytes()
            for part, whole in zip(parts_of(state), parts_of(expected[1]), strict=True):
                assert part.tobytes() == whole[:, :N].tobytes()
