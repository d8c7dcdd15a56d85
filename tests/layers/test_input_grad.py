# SPDX-License-Identifier: MIT
"""Gradients without that of the input: all others keep their bits, whatever computes them."""

import numpy as np
import pytest
import tables
from compiled import CELL, assert_same_bits, build, draw

import rnncore
from rnncore import nn, reference
from rnncore.errors import ArgumentError

SHAPE = tables.Shape(17, 6, 5, 19)
LENGTHS = np.array([17, 0, 4, 1, 17, 9])
WAYS = {
    "plain": ({}, {}),
    "ragged both ways": ({"num_layers": 2, "bidirectional": True}, {"lengths": LENGTHS}),
    "segments": ({"batch_first": True}, {"checkpoint": 4}),
    "dropout": ({"num_layers": 2, "dropout": 0.4}, {"recurrent_dropout": 0.3}),
}


def grads_of(layer, call, arguments, **how):
    *_, tape = layer.forward(call.x, call.state, **arguments)
    return layer.backward(tape, call.dy, call.dstate, **how)


@CELL
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("threads", [1, 3])
def test_layers_keep_the_bits_of_all_other_gradients(cell, way, threads):
    options, arguments = WAYS[way]
    arguments = {"num_threads": threads, **arguments}
    found = []
    for how in ({}, {"input_grad": False}):
        layer = build(cell, SHAPE, **options)
        found.append(grads_of(layer, draw(layer, SHAPE.T, SHAPE.N), arguments, **how))
    assert found[0].x.shape == draw(layer, SHAPE.T, SHAPE.N).x.shape and found[1].x is None
    assert_same_bits((found[1].state, found[1].params), (found[0].state, found[0].params))


def test_blas_leaves_it_out_too():
    with rnncore.use_backend("blas"):
        layer = rnncore.LSTM(5, 7, seed=0)
        call = draw(layer, 6, 3)
        assert grads_of(layer, call, {}, input_grad=False).x is None


X = np.random.default_rng(0).standard_normal((6, 2, 4))
MODULES = {
    "twin": (lambda: reference.GRU(4, 3, seed=0), {}),
    "recurrent": (lambda: nn.Recurrent(rnncore.GRU(4, 3, dtype="float64", seed=0)), {}),
    "reverse": (lambda: nn.Recurrent(rnncore.RNN(4, 3, dtype="float64", seed=0), order="reverse"), {"lengths": [6, 2]}),
    "linear": (lambda: nn.Linear(4, 3, dtype="float64", seed=0), {}),
    "chain": (lambda: nn.Sequential(rnncore.LSTM(4, 3, dtype="float64", seed=0), nn.Linear(3, 2, dtype="float64")), {}),
    "chain of a function": (lambda: nn.Sequential(nn.Softmax(), nn.Linear(4, 2, dtype="float64")), {}),
    "chain of nothing": (lambda: nn.Sequential(), {}),
}  # fmt: skip


@pytest.mark.parametrize("make, arguments", MODULES.values(), ids=MODULES)
def test_modules_leave_it_out(make, arguments):
    module = make()
    found = []
    for how in ({}, {"input_grad": False}):
        y, *_, tape = module.forward(X.astype(getattr(module, "dtype", "float64")), **arguments)
        found.append(module.backward(tape, np.ones_like(y), **how))
    assert found[0].x.shape == X.shape and found[1].x is None
    assert_same_bits(found[1].params, found[0].params)


@pytest.mark.parametrize("make, arguments", MODULES.values(), ids=MODULES)
def test_it_is_true_or_false(make, arguments):
    module = make()
    y, *_, tape = module.forward(X.astype(getattr(module, "dtype", "float64")), **arguments)
    with pytest.raises(ArgumentError, match="input_grad"):
        module.backward(tape, np.ones_like(y), input_grad="no")
    module.backward(tape, np.ones_like(y))  # the tape is still there
