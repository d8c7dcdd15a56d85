# SPDX-License-Identifier: MIT
"""Gradients in every combination of any three options against PyTorch, in float64."""

import numpy as np
import pytest
from compiled import as_state, assert_near, parts_of
from gradient_grid import DROPS, grid, rows_of_grid

pytest.importorskip("torch", reason="PyTorch is the oracle")

import pytorch

PROBABILITIES = {
    "dropout": "between",
    "recurrent_dropout": "recurrent",
    "weight_dropout": "weight",
}
MODULE_ROWS = rows_of_grid(pytorch.CELLS, lengths=("full", "ragged"), drops=("plain",))
STEP_ROWS = rows_of_grid(pytorch.STEPS)


def leaves_of(row, layer, call):
    """Tensors of the call's input, state (zeros if left out) and parameters."""
    zeros = as_state([np.zeros(shape) for shape in layer.spec.state_shapes(row.rows)])
    state = zeros if call.state is None else call.state
    return {
        "x": pytorch.leaf(call.x),
        "state": as_state([pytorch.leaf(part) for part in parts_of(state)]),
        "params": {name: pytorch.leaf(value) for name, value in layer.parameters().items()},
    }


def upstream_of(layer, call):
    """The gradients of y and of the state's parts, or None."""
    parts = parts_of(call.dstate) if call.dstate is not None else (None,) * len(layer.spec.state_shapes(1))
    return (call.dy, *parts)


def assert_agree(outputs, grads, theirs, expected):
    assert_near(
        "forward", "float64", [outputs[0], *parts_of(outputs[1])], [y.detach().numpy() for y in theirs]
    )
    assert_near("gradient", "float64", grads, expected)


@grid(MODULE_ROWS)
def test_agrees_with_modules(row):
    layer = row.build()
    call = row.draw(layer)
    outputs, grads, _ = row.train(layer, call)
    module = pytorch.as_module(layer, row.cell, row.options | row.cell.options(layer.spec.hidden_size))
    leaves = leaves_of(row, layer, call) | {"params": dict(module.named_parameters())}
    y, state = pytorch.call_module(module, leaves["x"], leaves["state"], row.lengths_array)
    theirs = [y, *parts_of(state)]
    assert_agree(outputs, grads, theirs, pytorch.gradients(theirs, upstream_of(layer, call), leaves))


@grid(STEP_ROWS)
def test_agrees_with_steps_and_the_same_masks(row):
    layer = row.build()
    call = row.draw(layer)
    outputs, grads, tape = row.train(layer, call)
    leaves = leaves_of(row, layer, call)
    given = {PROBABILITIES[name]: p for name, p in DROPS[row.drops].items()}
    theirs = pytorch.run_steps(
        layer,
        leaves["params"],
        leaves["x"],
        parts_of(leaves["state"]),
        row.lengths_array,
        tape.call_key,
        **given,
    )
    assert_agree(outputs, grads, theirs, pytorch.gradients(theirs, upstream_of(layer, call), leaves))
