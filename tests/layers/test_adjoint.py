# SPDX-License-Identifier: MIT
"""The adjoint identity <J v, w> = <v, J^T w>: for random unit vectors v (over input, states and all parameters) and w
(over outputs and final states), the central difference along v equals what backward gives.

Unlike a walk over single elements this also sees what is far from the diagonal, on calls of any size.
"""

import gradient_grid
import numpy as np
import tables
from compiled import CELL, as_state, build, draw, flat, parts_of
from gradient_grid import GRID

SHAPE = tables.Shape(9, 6, 5, 13)
LENGTHS = np.array([9, 0, 4, 1, 9, 7])


def unit(like, rng):
    """Random arrays of these shapes, of Euclidean length 1 together."""
    drawn = {path: rng.standard_normal(array.shape) for path, array in like.items()}
    length = np.sqrt(sum(np.vdot(array, array) for array in drawn.values()))
    return {path: array / length for path, array in drawn.items()}


def inner(a, b):
    return sum(np.vdot(array, b[path]) for path, array in a.items())


def outputs_of(row, arguments):
    """y and state at these arguments, by path; every layer draws the same masks."""
    layer = row.build()
    layer.load_state_dict(arguments["params"])
    return flat(row.forward(layer, arguments["x"], arguments["state"])[:2])


def moved(arguments, step, along):
    """arguments + step * along, in the same nesting."""
    state = [
        part + step * along[path]
        for part, path in zip(parts_of(arguments["state"]), paths_of(along, ".state"), strict=True)
    ]
    return {
        "x": arguments["x"] + step * along[".x"],
        "state": as_state(state),
        "params": {
            name: value + step * along[f".params.{name}"] for name, value in arguments["params"].items()
        },
    }


def paths_of(arrays, prefix):
    return [path for path in arrays if path.startswith(prefix)]


def adjoint_error(row, step):
    """|<J v, w> - <v, J^T w>| with J v from points one step to either side."""
    layer = row.build()
    call = draw(layer, gradient_grid.T, row.rows)
    arguments = {"x": call.x, "state": call.state, "params": layer.state_dict()}
    rng = np.random.default_rng(7)
    v, w = unit(flat(arguments), rng), unit(flat((call.dy, call.dstate)), rng)
    above, below = (inner(outputs_of(row, moved(arguments, s, v)), w) for s in (step, -step))
    call.dy, call.dstate = w[".0"], as_state([w[path] for path in paths_of(w, ".1")])
    grads = row.train(layer, call)[1]
    return abs((above - below) / (2 * step) - inner(flat(grads), v))


@GRID
def test_adjoint_identity(row):
    """With one of two steps: a kink of relu or a bound of clip may lie between the points of the wider one."""
    assert any(adjoint_error(row, step) <= tables.DIFFERENCE_TOLERANCE for step in tables.DIFFERENCE_STEPS)


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
