# SPDX-License-Identifier: MIT
"""Initial parameters other than a layer's own: bounds, orthogonality, and the same bits everywhere."""

import hashlib
import itertools
import math

import numpy as np
import pytest
import tables
from compiled import ISAS, assert_same_bits
from tables_training import sampling_error

import rnncore
from rnncore import errors, nn
from rnncore.engine import draws
from rnncore.layers import initializers
from rnncore.spec import Spec

SPECS = [
    Spec(cell, 6, 8, num_layers=2, bidirectional=True, dtype="float64", proj_size=p)
    for cell, p in (("rnn", 0), ("lstm", 0), ("lstm", 3), ("gru", 0))
]
SPEC = pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.cell}-P{s.proj_size}")


def rng(seed=0):
    return np.random.default_rng(seed)


@SPEC
@pytest.mark.parametrize("name", ["xavier_uniform", "orthogonal"])
def test_initializers_fill_every_parameter(spec, name):
    parameters = getattr(initializers, name)(spec, rng())
    assert {key: value.shape for key, value in parameters.items()} == spec.parameter_shapes()
    assert list(parameters) == list(spec.parameter_shapes())
    for key, value in parameters.items():
        assert value.dtype == spec.dtype
        assert np.any(value) or key.startswith("bias")


@SPEC
def test_xavier_bounds(spec):
    H, parameters = spec.hidden_size, initializers.xavier_uniform(spec, rng())
    largest = np.abs(parameters["weight_ih_l0"]).max()
    bound = math.sqrt(6 / (spec.input_size + H))
    assert 0.8 * bound < largest <= bound
    assert not np.any(parameters["bias_ih_l0"])


@SPEC
def test_orthogonal_blocks(spec):
    stacked = initializers.orthogonal(spec, rng())["weight_hh_l0"]
    for block in np.split(stacked, spec.gates):
        error = np.abs(block.T @ block - np.eye(spec.output_size)).max()
        assert error <= tables.ORTHOGONALITY


@pytest.mark.parametrize("rows, columns", [(1, 1), (1, 5), (6, 1), (97, 97), (40, 130), (130, 40)])
def test_orthonormal_matrices(rows, columns):
    q = draws.orthonormal(rng(), rows, columns)
    assert q.shape == (rows, columns)
    small = q @ q.T if rows < columns else q.T @ q
    assert np.abs(small - np.eye(len(small))).max() <= tables.ORTHOGONALITY


def test_orthonormal_matrices_favour_no_rotation():
    """Of the rotations and reflections of the plane each angle is as likely, and each kind."""
    found = np.array([draws.orthonormal(rng(k), 2, 2) for k in range(400)])
    angles = np.arctan2(found[:, 0, 1], found[:, 0, 0])
    for part in (np.cos(angles), np.sin(angles), np.linalg.det(found)):
        assert abs(part.mean()) < sampling_error(1.0, 400)


def test_normal_draws_have_the_moments_and_the_tails():
    n = 200_001
    x = draws.normal(rng(), (n,))
    assert x.shape == (n,) and draws.normal(rng(), (0, 3)).shape == (0, 3)
    for power, expected, spread in ((1, 0, 1), (2, 1, 1.5), (3, 0, 4), (4, 3, 10)):
        assert abs((x**power).mean() - expected) < sampling_error(spread, n)
    assert abs((np.abs(x) > 3).mean() - 0.0027) < sampling_error(0.052, n)
    assert abs((x[::2][: n // 2] * x[1::2]).mean()) < sampling_error(1.0, n // 2)


def test_forget_bias():
    spec = SPECS[1]
    parameters = initializers.set_forget_bias(spec, initializers.zeros(spec), 2.0)
    for suffix in spec.suffixes():
        total = parameters["bias_ih" + suffix] + parameters["bias_hh" + suffix]
        np.testing.assert_array_equal(total, np.repeat([0.0, 2.0, 0.0, 0.0], 8))
    with pytest.raises(errors.ArgumentError):
        initializers.set_forget_bias(SPECS[0], initializers.zeros(SPECS[0]))
    bare = Spec("lstm", 2, 3, bias=False)
    for without in (bare, Spec("lstm", 2, 3, coupled=True)):
        with pytest.raises(errors.ArgumentError):
            initializers.set_forget_bias(without, initializers.zeros(without))


DRAWN = {
    "orthogonal": lambda: initializers.orthogonal(Spec("gru", 33, 97, dtype="float64"), rng()),
    "uniform": lambda: initializers.uniform(Spec("lstm", 5, 7), rng()),
    "normal": lambda: draws.normal(rng(), (1001,)),
    "embedding": lambda: nn.Embedding(50, 7, seed=3).state_dict(),
    "mixture": lambda: nn.mixture_sample(rng().random((500, 18)) - 0.5, rng(), 0.5),
}


@pytest.mark.parametrize("drawn", DRAWN.values(), ids=DRAWN)
def test_neither_instructions_nor_threads_change_a_bit(drawn):
    before, expected = rnncore.get_num_threads(), drawn()
    for isa, threads in itertools.product(ISAS, (1, 3)):
        rnncore.set_num_threads(threads)
        with rnncore.use_isa(isa):
            assert_same_bits(drawn(), expected)
    rnncore.set_num_threads(before)


@pytest.mark.parametrize("name", DRAWN)
def test_draws_are_those_of_every_machine(name):
    drawn = DRAWN[name]()
    values = drawn.values() if isinstance(drawn, dict) else [drawn]
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(value).tobytes() for value in values)).hexdigest()
    assert digest[:16] == PINNED[name]


PINNED = {
    "orthogonal": "8f42972b4d3b996b",
    "uniform": "27d12a4801bbc0a5",
    "normal": "4cbcdf239006ca5f",
    "embedding": "1c2f1438d7767dd7",
    "mixture": "dca635dc1a71d35f",
}
"""The first digits of the SHA-256 of what is drawn."""
