# SPDX-License-Identifier: MIT
"""What the tests of the compiled layers share: what they walk over, random calls, and equality to the last bit."""

import dataclasses
import os

import hypothesis
import numpy as np
import pytest
import tables

import rnncore

ISAS = rnncore.isas()
# Seconds after which a thread or process that tests wait for counts as stuck. No test measures time.
PATIENCE = 600

CELL = pytest.mark.parametrize("cell", tables.CELLS, ids=lambda cell: cell.id)
DTYPE = pytest.mark.parametrize("dtype", tables.DTYPES.values(), ids=tables.DTYPES)
ISA = pytest.mark.parametrize("isa", ISAS)


def examples(count, unchecked=()):
    """Hypothesis settings: the same few examples in every run, without these health checks."""
    return hypothesis.settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=unchecked,
    )


def build(cell, shape, dtype="float32", implementation=rnncore, **options):
    """A layer of this cell and these sizes with seeded parameters.

    Gains are a quarter: where they are one, normalised pre-activations make the recurrence expand, and with it every
    rounding error (by 5 to 30 % a step), so that no tolerance would follow from the roundings.
    """
    make = getattr(implementation, cell.layer)
    layer = make(shape.I, shape.H, dtype=dtype, **({"seed": 3} | cell.options(shape.H) | options))
    gains = {name: value for name, value in layer.parameters().items() if name.startswith("gain_")}
    if gains:
        layer.update_parameters({name: value / 4 for name, value in gains.items()})
    return layer


@dataclasses.dataclass
class Call:
    """Random arguments of one call, and gradients for its backward pass, in the layer's layout."""

    x: np.ndarray
    state: object
    dy: np.ndarray
    dstate: object


def draw(layer, T, N, seed=0, batched=True):
    """A `Call` of T steps and N rows; unbatched if asked for (N is 1 then)."""
    rng = np.random.default_rng(seed)
    spec = layer.spec
    sizes = ((N, T) if spec.batch_first else (T, N)) if batched else (T,)
    shapes = [shape if batched else (shape[0], shape[2]) for shape in spec.state_shapes(N)]

    def normal(shape):
        return rng.standard_normal(shape).astype(spec.dtype)

    return Call(
        x=normal((*sizes, spec.input_size)),
        state=as_state([normal(shape) for shape in shapes]),
        dy=normal((*sizes, spec.y_size)),
        dstate=as_state([normal(shape) for shape in shapes]),
    )


def as_state(parts):
    """h, or (h, c), from a sequence of one or two."""
    return tuple(parts) if len(parts) == 2 else parts[0]


def parts_of(state):
    """The reverse of `as_state`."""
    return state if isinstance(state, tuple) else (state,)


def rows_of(state, rows):
    """The state of some rows of a batch."""
    return as_state([part[:, rows] for part in parts_of(state)])


def flat(values):
    """Arrays in nested tuples, lists, dicts and Grads, by path; None has none."""
    if values is None:
        return {}
    if isinstance(values, np.ndarray):
        return {"": values}
    if dataclasses.is_dataclass(values):
        values = vars(values)
    items = values.items() if isinstance(values, dict) else enumerate(values)
    return {f".{key}{path}": array for key, value in items for path, array in flat(value).items()}


def assert_same_bits(got, expected):
    """The same arrays to the last bit, signs of zeros included; any NaN equals any NaN."""
    got, expected = flat(got), flat(expected)
    assert got.keys() == expected.keys()
    for path, a in got.items():
        b = expected[path]
        assert (a.dtype, a.shape) == (b.dtype, b.shape), path
        same = ((a == b) & (np.signbit(a) == np.signbit(b))) | (np.isnan(a) & np.isnan(b))
        assert same.all(), (
            f"{path}: {np.sum(~same)} of {same.size} differ, first at {np.argwhere(~same)[0]}: "
            f"{a[~same][0]!r}, expected {b[~same][0]!r}"
        )


def assert_near(kind, dtype, got, expected):
    """Within the tolerance of `tables` for "forward" or "gradient", each array relative to its largest element."""
    got, expected = flat(got), flat(expected)
    assert got.keys() == expected.keys()
    for path, array in got.items():
        assert tables.relative_error(array, expected[path]) <= tables.TOLERANCES[kind, np.dtype(dtype)], path


def clean_environment(**variables):
    """The environment of a child process: without rnncore's variables but these, able to import rnncore."""
    source = os.path.dirname(os.path.dirname(rnncore.__file__))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RNNCORE_")}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    return kept | variables
