# SPDX-License-Identifier: MIT
"""The twins' backward pass against central differences, in every combination of options.

The loss is a random linear form of y and of the final state, so its gradient reaches everything.  All
combinations are checked along one random direction through all inputs and parameters at once; some are
checked element by element, which says where an error is.
"""

import numpy as np
import pytest
import tables

from rnncore import reference

SHAPE = tables.GRADIENT_SHAPE
STEP = tables.DIFFERENCE_STEP
LAYOUTS = ("time_major", "batch_first", "unbatched")


class Problem:
    """A layer's options with inputs, parameters and a loss, all held in one dict of float64 arrays."""

    def __init__(
        self, cell, layers=1, both=False, bias=True, ragged=False, layout="time_major", p=0.0, seed=0
    ):
        rng = np.random.default_rng(seed)
        self.make = getattr(reference, cell.layer)
        self.options = dict(
            num_layers=layers,
            bidirectional=both,
            bias=bias,
            batch_first=layout == "batch_first",
            dropout=p,
            dtype="float64",
            seed=seed,
            **cell.options(SHAPE.H),
        )
        layer = self.layer({})
        N = 1 if layout == "unbatched" else SHAPE.N
        self.lengths = np.array([SHAPE.T - 1, 0, SHAPE.T][:N]) if ragged else None
        x = rng.standard_normal((SHAPE.T, N, SHAPE.I))
        parts = [rng.standard_normal(shape) for shape in layer.spec.state_shapes(N)]
        if layout == "unbatched":
            x, parts = x[:, 0], [part[:, 0] for part in parts]
        elif layout == "batch_first":
            x = np.ascontiguousarray(x.swapaxes(0, 1))
        self.names = ("h", "c")[: len(parts)]
        self.values = {"x": x, **dict(zip(self.names, parts, strict=True)), **layer.state_dict()}
        y, _, _ = self.forward(layer, self.values)
        self.dy = rng.standard_normal(y.shape)
        self.dstate = [rng.standard_normal(part.shape) for part in parts]

    def layer(self, parameters):
        """A fresh layer: one seed, so its first training call always draws the same dropout masks."""
        layer = self.make(SHAPE.I, SHAPE.H, **self.options)
        layer.update_parameters(parameters)
        return layer

    def pack(self, parts):
        return tuple(parts) if len(parts) == 2 else parts[0]

    def forward(self, layer, values):
        state = self.pack([values[name] for name in self.names])
        return layer.forward(values["x"], state, lengths=self.lengths)

    def run(self, values):
        parameters = {name: value for name, value in values.items() if name not in ("x", *self.names)}
        layer = self.layer(parameters)
        y, state, tape = self.forward(layer, values)
        state = state if isinstance(state, tuple) else (state,)
        loss = np.sum(self.dy * y) + sum(np.sum(a * b) for a, b in zip(self.dstate, state, strict=True))
        return loss, layer, tape

    def gradients(self):
        _, layer, tape = self.run(self.values)
        grads = layer.backward(tape, self.dy, self.pack(self.dstate))
        state = grads.state if isinstance(grads.state, tuple) else (grads.state,)
        return {"x": grads.x, **dict(zip(self.names, state, strict=True)), **grads.params}

    def slope(self, direction):
        """The loss' difference of fourth order along a direction given by name: norms of few units bend sharply."""

        def difference(step):
            ends = []
            for signed in (step, -step):
                moved = {
                    name: value + signed * direction.get(name, 0.0) for name, value in self.values.items()
                }
                ends.append(self.run(moved)[0])
            return (ends[0] - ends[1]) / (2 * step)

        return (4 * difference(STEP) - difference(2 * STEP)) / 3


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("ragged", [False, True], ids=["whole", "ragged"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("both", [False, True], ids=["D1", "D2"])
@pytest.mark.parametrize("layers, p", [(1, 0.0), (2, 0.0), (2, 0.4)], ids=["L1", "L2", "L2-dropout"])
@pytest.mark.parametrize("cell", tables.CELLS, ids=lambda cell: cell.id)
def test_gradient_along_a_direction(cell, layers, p, both, bias, ragged, layout):
    """Dropout only where there is a layer below another."""
    problem = Problem(cell, layers, both, bias, ragged, layout, p)
    grads = problem.gradients()
    rng = np.random.default_rng(1)
    direction = {name: rng.standard_normal(value.shape) for name, value in problem.values.items()}
    length = np.sqrt(sum(np.sum(part**2) for part in direction.values()))
    direction = {name: part / length for name, part in direction.items()}
    expected = problem.slope(direction)
    got = sum(np.sum(grads[name] * part) for name, part in direction.items())
    assert abs(got - expected) <= tables.DIFFERENCE_TOLERANCE * max(1.0, abs(expected))


# A cell of each kind always, the others and deep networks with --full.
CELLS = [
    pytest.param(cell, id=cell.id, marks=[] if cell.id in ("rnn", "lstm", "gru") else pytest.mark.full)
    for cell in tables.CELLS
]
ELEMENTWISE = [
    pytest.param({}, id="L1"),
    pytest.param(
        dict(layers=2, both=True, ragged=True, p=0.4), id="L2-D2-ragged-dropout", marks=pytest.mark.full
    ),
]


@pytest.mark.parametrize("options", ELEMENTWISE)
@pytest.mark.parametrize("cell", CELLS)
def test_gradient_of_every_element(cell, options):
    problem = Problem(cell, **options)
    grads = problem.gradients()
    assert set(grads) == set(problem.values)
    for name, value in problem.values.items():
        assert grads[name].shape == value.shape
        expected = np.empty_like(value)
        for index in np.ndindex(*value.shape):
            direction = np.zeros_like(value)
            direction[index] = 1.0
            expected[index] = problem.slope({name: direction})
        error = np.max(np.abs(grads[name] - expected))
        assert error <= tables.DIFFERENCE_TOLERANCE * max(1.0, np.max(np.abs(expected))), name


@pytest.mark.parametrize("cell", tables.CELLS, ids=lambda cell: cell.id)
def test_absent_gradients_count_as_zero(cell):
    problem = Problem(cell, layers=2, both=True, ragged=True)

    def params(dy, dstate):
        _, layer, tape = problem.run(problem.values)
        return layer.backward(tape, dy, dstate).params

    zeros = problem.pack([np.zeros_like(part) for part in problem.dstate])
    full = problem.pack(problem.dstate)
    for got, expected in (
        (params(None, full), params(np.zeros_like(problem.dy), full)),
        (params(problem.dy, None), params(problem.dy, zeros)),
    ):
        for name in got:
            np.testing.assert_array_equal(got[name], expected[name])


def test_half_a_state_gradient_counts_the_other_as_zero():
    problem = Problem(tables.CELLS[2])
    dh, dc = problem.dstate
    for half, full in (((None, dc), (np.zeros_like(dh), dc)), ((dh, None), (dh, np.zeros_like(dc)))):
        results = []
        for dstate in (half, full):
            _, layer, tape = problem.run(problem.values)
            results.append(layer.backward(tape, None, dstate).x)
        np.testing.assert_array_equal(*results)


def test_padding_neither_gives_nor_takes_gradient():
    problem = Problem(tables.CELLS[2], layers=2, both=True, ragged=True)
    padding = np.arange(SHAPE.T)[:, None] >= problem.lengths
    before = problem.gradients()
    problem.dy[padding] = np.nan
    problem.values["x"][padding] = np.nan
    after = problem.gradients()
    assert np.all(after["x"][padding] == 0)
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])
