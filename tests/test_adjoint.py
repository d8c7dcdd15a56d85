# SPDX-License-Identifier: MIT
"""The adjoint identity <J v, w> = <v, J^T w>: for random unit vectors v (over input, states and all parameters) and w
(over outputs and final states), the central difference along v equals what backward gives.

Unlike a walk over single elements this also sees what is far from the diagonal, on calls of any size.
"""

import copy

import numpy as np
import pytest
import tables
from compiled import CELL, ISA, as_state, build, draw, flat, parts_of

import rnncore

SHAPE = tables.Shape(9, 6, 5, 13)
LENGTHS = np.array([9, 0, 4, 1, 9, 7])
OPTIONS = {
    "L1": dict(),
    "L3D2": dict(num_layers=3, bidirectional=True),
    "dropout": dict(num_layers=3, dropout=0.4),
    "dropoutD2": dict(num_layers=2, dropout=0.4, bidirectional=True, batch_first=True),
}


def unit(like, rng):
    """Random arrays of these shapes, of Euclidean length 1 together."""
    drawn = {path: rng.standard_normal(array.shape) for path, array in like.items()}
    length = np.sqrt(sum(np.vdot(array, array) for array in drawn.values()))
    return {path: array / length for path, array in drawn.items()}


def inner(a, b):
    return sum(np.vdot(array, b[path]) for path, array in a.items())


def run(layer, arguments, lengths):
    """(y, state), tape at these arguments, with the layer's next dropout mask; the layer is left as it was."""
    other = copy.deepcopy(layer)
    other.load_state_dict(arguments["params"])
    y, state, tape = other.forward(arguments["x"], arguments["state"], lengths=lengths, num_threads=2)
    return flat((y, state)), other, tape


def moved(arguments, step, along):
    """arguments + step * along, in the same nesting."""
    state = parts_of(arguments["state"])
    paths = [".state"] if len(state) == 1 else [".state.0", ".state.1"]
    return {
        "x": arguments["x"] + step * along[".x"],
        "state": as_state([part + step * along[path] for path, part in zip(paths, state, strict=True)]),
        "params": {
            name: value + step * along[f".params.{name}"] for name, value in arguments["params"].items()
        },
    }


@CELL
@ISA
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
def test_adjoint_identity(cell, isa, options, lengths):
    layer = build(cell, SHAPE, "float64", **options)
    call = draw(layer, SHAPE.T, SHAPE.N)
    arguments = {"x": call.x, "state": call.state, "params": layer.state_dict()}
    rng = np.random.default_rng(7)
    v, w = unit(flat(arguments), rng), unit(flat((call.dy, call.dstate)), rng)
    with rnncore.use_isa(isa):
        above, below = (
            inner(run(layer, moved(arguments, step, v), lengths)[0], w)
            for step in (tables.DIFFERENCE_STEP, -tables.DIFFERENCE_STEP)
        )
        _, other, tape = run(layer, arguments, lengths)
        grads = other.backward(tape, w[".0"], as_state([w[path] for path in w if path.startswith(".1")]))
    difference = (above - below) / (2 * tables.DIFFERENCE_STEP)
    assert abs(difference - inner(flat(grads), v)) <= tables.DIFFERENCE_TOLERANCE


@CELL
def test_backward_is_linear_in_its_gradients(cell):
    """J^T (a w + b u) = a J^T w + b J^T u, and None is zeros."""
    layer = build(cell, SHAPE, "float64", num_layers=2, bidirectional=True)
    call, other = draw(layer, SHAPE.T, SHAPE.N), draw(layer, SHAPE.T, SHAPE.N, seed=1)

    def pull(dy, dstate):
        *_, tape = layer.forward(call.x, call.state, lengths=LENGTHS)
        return flat(layer.backward(tape, dy, dstate))

    both = pull(
        2 * call.dy - 3 * other.dy,
        as_state([2 * a - 3 * b for a, b in zip(parts_of(call.dstate), parts_of(other.dstate), strict=True)]),
    )
    of_y, of_state = pull(call.dy, None), pull(None, call.dstate)
    of_other = pull(other.dy, other.dstate)
    tolerance = tables.TOLERANCES["gradient", np.dtype(np.float64)]
    for path, array in both.items():
        expected = 2 * (of_y[path] + of_state[path]) - 3 * of_other[path]
        assert tables.relative_error(array, expected) <= tolerance, path
