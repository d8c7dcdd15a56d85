# SPDX-License-Identifier: MIT
"""The grid of training calls whose gradients are checked: its factors, and what a row of it does.

Any three factors meet in all combinations with `--full`, any two without it.
"""

import dataclasses

import numpy as np
import pytest
import tables
from compiled import ISAS, build, draw
from covering import covering_rows
from selection import covering_choice

import rnncore

# Work for three threads, units and steps with tails, segments of unequal length.
T, I, H = 17, 9, 49  # noqa: E741
# All steps, none, one, and others; the first row alone, or three, or eight of them.
LENGTHS = {
    "full": None,
    "ragged": np.array([11, 1, 17, 5, 17, 2, 16, 1]),
    "empty": np.array([0, 17, 1, 0, 9, 17, 0, 3]),
}
DROPS = {
    "plain": {},
    "between": {"dropout": 0.4},
    "recurrent": {"recurrent_dropout": 0.3},
    "weight": {"weight_dropout": 0.5},
    "all": {"dropout": 0.2, "recurrent_dropout": 0.4, "weight_dropout": 0.3},
}

FACTORS = {
    "layers": (1, 2, 3),
    "directions": (1, 2),
    "bias": ("bias", "unbiased"),
    "layout": ("time_first", "batch_first"),
    "rows": (1, 3, 8),
    "lengths": tuple(LENGTHS),
    "state": ("zeros", "given"),
    "upstream": ("dy", "dstate", "dh", "both"),  # which gradients backward is given
    "drops": tuple(DROPS),
    "checkpoint": (None, "gates", 5),
    "threads": (1, 2, 3),
    "backend": ("fused", "blas"),
    "isa": tuple(ISAS),
}
STRENGTH = 3


@dataclasses.dataclass(frozen=True)
class Row:
    """One layer and one training call of it in float64."""

    cell: tables.Cell
    layers: int
    directions: int
    bias: str
    layout: str
    rows: int
    lengths: str
    state: str
    upstream: str
    drops: str
    checkpoint: object
    threads: int
    backend: str
    isa: str

    @property
    def id(self):
        words = [self.cell.id, f"L{self.layers}", f"D{self.directions}", self.bias, self.layout]
        words += [f"N{self.rows}", self.lengths, f"state_{self.state}", f"of_{self.upstream}", self.drops]
        words += [f"checkpoint_{self.checkpoint}", f"threads{self.threads}", self.backend, self.isa]
        return "-".join(words)

    @property
    def options(self):
        """The constructor's keyword arguments beside those of the cell."""
        return dict(
            dropout=DROPS[self.drops].get("dropout", 0.0),
            num_layers=self.layers,
            bidirectional=self.directions == 2,
            bias=self.bias == "bias",
            batch_first=self.layout == "batch_first",
        )

    @property
    def drop_arguments(self):
        """The dropout arguments of `forward`."""
        return {name: p for name, p in DROPS[self.drops].items() if name != "dropout"}

    @property
    def lengths_array(self):
        """Valid steps of each row, or None."""
        return None if LENGTHS[self.lengths] is None else LENGTHS[self.lengths][: self.rows]

    def build(self, implementation=rnncore):
        """The layer; each one draws the same masks."""
        return build(self.cell, tables.Shape(T, self.rows, I, H), "float64", implementation, **self.options)

    def draw(self, layer):
        """A `Call`; what the row leaves out is None."""
        call = draw(layer, T, self.rows)
        if self.state == "zeros":
            call.state = None
        if self.upstream == "dy":
            call.dstate = None
        if self.upstream in ("dstate", "dh"):
            call.dy = None
        if self.upstream == "dh" and isinstance(call.dstate, tuple):
            call.dstate = (call.dstate[0], None)
        return call

    def forward(self, layer, x, state, **changes):
        """(y, state, tape) with the row's options but for these changes."""
        options = {"num_threads": self.threads, "checkpoint": self.checkpoint} | self.drop_arguments | changes
        with rnncore.use_isa(self.isa), rnncore.use_backend(self.backend):
            return layer.forward(x, state, lengths=self.lengths_array, **options)

    def train(self, layer=None, call=None, **changes):
        """((y, state), gradients, tape) of a fresh layer, or of this one, and the row's call, or this one."""
        layer = layer or self.build()
        call = call or self.draw(layer)
        y, state, tape = self.forward(layer, call.x, call.state, **changes)
        return (y, state), layer.backward(tape, call.dy, call.dstate), tape


def rows_of_grid(cells, strength=STRENGTH, **factors):
    """The rows for these cells, with some factors narrowed down."""
    return [Row(**row) for row in covering_rows({"cell": cells} | FACTORS | factors, strength)]


def grid(rows):
    """A mark for tests that walk over these rows; those that pairs do not need are left to `--full`."""
    few = set(covering_choice([[hash(value) for value in vars(row).values()] for row in rows]))
    return pytest.mark.parametrize(
        "row",
        [
            pytest.param(row, id=row.id, marks=[] if k in few else pytest.mark.full)
            for k, row in enumerate(rows)
        ],
    )


ROWS = rows_of_grid(tables.CELLS)
GRID = grid(ROWS)
