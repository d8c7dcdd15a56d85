# SPDX-License-Identifier: MIT
"""Every small product: all batches and hidden sizes around the tiles, against the naive loop, to the last bit."""

import pytest
import tables
from compiled import DTYPE, ISA, build, draw, parts_of, rows_of

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
