# SPDX-License-Identifier: MIT
"""The linear head by central differences, its parameters and tapes, and what it refuses."""

import numpy as np
import pytest
from differences import assert_gradient, differences

from rnncore.errors import ArgumentError, DTypeError, ShapeError, TapeError
from rnncore.nn import Linear


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(4,), (5, 4), (3, 2, 4)], ids=str)
def test_linear_gradients(shape, bias):
    rng = np.random.default_rng(3)
    head = Linear(4, 3, bias=bias, dtype="float64", seed=4)
    x, probe = rng.normal(size=shape), rng.normal(size=(*shape[:-1], 3))
    y, tape = head.forward(x)
    grads = head.backward(tape, probe)
    np.testing.assert_array_equal(y, head(x))
    assert_gradient(grads.x, differences(lambda: float(np.vdot(head(x), probe)), x))
    assert list(grads.params) == list(head.parameters())
    for name in grads.params:
        values = head.state_dict()

        def loss(values=values):
            head.load_state_dict(values)
            return float(np.vdot(head(x), probe))

        assert_gradient(grads.params[name], differences(loss, values[name]))


def test_linear_parameters_are_read_only_and_seeded():
    head = Linear(9, 2, seed=1)
    with pytest.raises(ValueError, match="read-only"):
        head.parameters()["weight"][0, 0] = 1.0
    assert np.abs(head.parameters()["weight"]).max() <= 1 / 3
    np.testing.assert_array_equal(head.parameters()["weight"], Linear(9, 2, seed=1).parameters()["weight"])
    assert repr(head) == "Linear(in_features=9, out_features=2, bias=True, dtype='float32')"


def test_linear_tape_is_good_for_one_backward_of_its_own_layer():
    head, other = Linear(2, 1, dtype="float64", seed=0), Linear(2, 1, dtype="float64", seed=0)
    x, dy = np.ones((3, 2)), np.ones((3, 1))
    _, tape = head.forward(x)
    with pytest.raises(TapeError, match="this Linear"):
        other.backward(tape, dy)
    head.backward(tape, dy)
    with pytest.raises(TapeError, match="used"):
        head.backward(tape, dy)
    _, tape = head.forward(x)
    head.update_parameters({"bias": np.zeros(1)})
    with pytest.raises(TapeError, match="earlier"):
        head.backward(tape, dy)


LINEAR_ERRORS = {
    "zero-size": (lambda: Linear(0, 1), ArgumentError, "in_features"),
    "float-size": (lambda: Linear(2.0, 1), ArgumentError, "in_features"),
    "bool-size": (lambda: Linear(2, True), ArgumentError, "out_features"),
    "dtype": (lambda: Linear(2, 1, dtype="int32"), DTypeError, "dtype"),
    "no-dtype": (lambda: Linear(2, 1, dtype="real"), DTypeError, "dtype"),
    "x-shape": (lambda: Linear(2, 1)(np.zeros((2, 3), np.float32)), ShapeError, "x"),
    "x-dtype": (lambda: Linear(2, 1)(np.zeros((2, 2))), DTypeError, "x"),
    "unknown-name": (lambda: Linear(2, 1).update_parameters({"v": np.zeros(1)}), ArgumentError, "v"),
    "weight-shape": (
        lambda: Linear(2, 1).update_parameters({"weight": np.zeros((2, 1), np.float32)}),
        ShapeError,
        "weight",
    ),
    "weight-dtype": (
        lambda: Linear(2, 1).update_parameters({"weight": np.zeros((1, 2))}),
        DTypeError,
        "weight",
    ),
    "partial-state": (
        lambda: Linear(2, 1).load_state_dict({"bias": np.zeros(1, np.float32)}),
        ArgumentError,
        "weight",
    ),
    "dy-shape": (lambda: _backward(np.zeros((4, 1), np.float32)), ShapeError, "dy"),
    "dy-dtype": (lambda: _backward(np.zeros((3, 1))), DTypeError, "dy"),
}


def _backward(dy):
    head = Linear(2, 1)
    _, tape = head.forward(np.zeros((3, 2), np.float32))
    return head.backward(tape, dy)


@pytest.mark.parametrize("case", LINEAR_ERRORS, ids=str)
def test_linear_arguments_are_checked(case):
    call, error, words = LINEAR_ERRORS[case]
    with pytest.raises(error, match=words):
        call()
