# SPDX-License-Identifier: MIT
"""NaN, infinities, subnormal numbers and saturated gates."""

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
    flat,
    parts_of,
)

import rnncore

SHAPE = tables.Shape(6, 5, 4, 9)
RELU = next(cell for cell in tables.CELLS if cell.id == "rnn_relu")


@CELL
@DTYPE
@ISA
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=["nan", "inf", "-inf"])
def test_special_values_flow_as_in_the_naive_loop(cell, dtype, isa, value):
    layer = build(cell, SHAPE, dtype, num_layers=2)
    call = draw(layer, SHAPE.T, SHAPE.N)
    plain = layer(call.x, call.state)[0]
    call.x[2, 3, 1] = value
    with rnncore.use_backend("naive"):
        expected = layer(call.x, call.state)
    with rnncore.use_isa(isa):
        y, state = layer(call.x, call.state)
        assert_same_bits((y, state), expected)
    others = np.arange(SHAPE.N) != 3
    assert_same_bits(y[:, others], plain[:, others])  # not into other rows
    assert_same_bits(y[:2], plain[:2])  # nor back in time
    if np.isnan(value):
        assert np.all(np.isnan(y[2:, 3]))


@CELL
@ISA
@pytest.mark.parametrize("value", [np.nan, np.inf], ids=["nan", "inf"])
@pytest.mark.parametrize("H", [9, 16])
def test_special_values_reach_the_same_gradients_as_in_the_twin(cell, isa, value, H):
    """Where all lanes are units, and where padded lanes must not spread what x brings in."""
    shape = tables.Shape(6, 5, 4, H)
    results = []
    for implementation in (rnncore, rnncore.reference):
        layer = build(cell, shape, "float64", implementation, num_layers=2)
        call = draw(layer, shape.T, shape.N)
        call.x[2, 3, 1] = value
        with rnncore.use_isa(isa), np.errstate(all="ignore"):
            *_, tape = layer.forward(call.x, call.state)
            results.append(flat(layer.backward(tape, call.dy, call.dstate)))
    got, expected = results
    for path, array in got.items():
        np.testing.assert_array_equal(np.isfinite(array), np.isfinite(expected[path]), err_msg=path)


@pytest.mark.parametrize("isa", ISAS)
@DTYPE
def test_subnormals_are_zeros_of_their_sign(dtype, isa):
    """As inputs, and as results of normal numbers; NumPy keeps its own before and after."""
    layer = build(RELU, tables.Shape(1, 1, 1, 2), dtype, bias=False)
    layer.update_parameters({"weight_ih_l0": np.ones((2, 1), dtype), "weight_hh_l0": np.zeros((2, 2), dtype)})
    info = np.finfo(dtype)
    tiny = np.array([info.smallest_subnormal, info.smallest_normal / 2, info.smallest_normal], dtype)
    with rnncore.use_isa(isa):
        y, _ = layer(tiny.reshape(3, 1, 1))
        layer.update_parameters({"weight_ih_l0": np.full((2, 1), 0.5, dtype)})
        halves, _ = layer(tiny.reshape(3, 1, 1))
    assert_same_bits(y[:, 0, 0], np.array([0, 0, info.smallest_normal], dtype))
    assert not halves.any()
    assert tiny[2] * dtype.type(0.5) == tiny[1] > 0


@CELL
@ISA
def test_subnormal_gradients_are_those_of_zeros(cell, isa):
    layer = build(cell, SHAPE, num_layers=2)
    call = draw(layer, SHAPE.T, SHAPE.N)
    subnormal = call.dy * np.float32(1e-40)
    assert np.any(subnormal != 0)
    with rnncore.use_isa(isa):
        results = []
        for dy in (subnormal, np.copysign(np.float32(0), call.dy)):
            *_, tape = layer.forward(call.x, call.state)
            results.append(flat(layer.backward(tape, dy)))
    got, expected = results
    for path, array in got.items():
        assert_same_bits(array, expected[path])


@CELL
@DTYPE
@ISA
def test_subnormal_weights_give_the_bits_of_the_naive_loop(cell, dtype, isa):
    layer = build(cell, SHAPE, dtype, num_layers=2)
    tiny = np.finfo(dtype).smallest_normal
    layer.load_state_dict({name: value * tiny for name, value in layer.state_dict().items()})
    call = draw(layer, SHAPE.T, SHAPE.N)
    with rnncore.use_backend("naive"):
        expected = layer(call.x, call.state)
    with rnncore.use_isa(isa):
        assert_same_bits(layer(call.x, call.state), expected)


@CELL
@DTYPE
def test_saturated_gates_stay_finite(cell, dtype):
    """Pre-activations far beyond where sigmoid and tanh have ended."""
    layer = build(cell, SHAPE, dtype)
    call = draw(layer, SHAPE.T, SHAPE.N)
    if cell is RELU:  # nothing bounds it but its weights
        layer.update_parameters({"weight_hh_l0": np.zeros((SHAPE.H, SHAPE.H), dtype)})
    x = call.x * np.sqrt(np.finfo(dtype).max)
    *result, tape = layer.forward(x, as_state(list(parts_of(call.state))))
    grads = layer.backward(tape, call.dy)
    assert all(np.all(np.isfinite(array)) for array in flat((result, grads.x, grads.state)).values())
