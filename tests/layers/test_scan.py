# SPDX-License-Identifier: MIT
"""What is particular to minGRU and minLSTM; the grids have the rest."""

import numpy as np
import pytest
import tables
from compiled import DTYPE, ISA, assert_near, assert_same_bits, draw

import rnncore

SCAN = pytest.mark.parametrize("name", ["MinGRU", "MinLSTM"])


@ISA
@DTYPE
@pytest.mark.parametrize("i, f", [(-30, -32), (-60, -20), (-70, -71), (-3, -75), (75, 2), (-40, 75)])
def test_gates_that_are_nearly_closed_share_as_they_should(dtype, isa, i, f):
    """The quotient of two sigmoids, each of which may be too small for a sum with 1, in values and gradients."""
    call, results = None, []
    for home, kind in ((rnncore, dtype), (rnncore.reference, np.dtype(np.float64))):
        layer = home.MinLSTM(1, 1, dtype=kind, seed=0)
        layer.update_parameters(
            {
                "weight_ih_l0": np.array([[0.25], [-0.5], [1.0]], kind),
                "bias_ih_l0": np.array([i, f, 0.5], kind),
            }
        )
        call = call or draw(layer, 5, 3)
        x, h0, dy = (array.astype(kind) for array in (call.x, call.state, call.dy))
        with rnncore.use_isa(isa):
            y, h, tape = layer.forward(x, h0)
            results.append(((y, h), vars(layer.backward(tape, dy))))
    (got, grads), (expected, expected_grads) = results
    assert_near("forward", dtype, got, expected)
    assert_near("gradient", dtype, grads, expected_grads)


@SCAN
def test_there_is_nothing_that_recurrent_dropout_drops(name):
    layer = getattr(rnncore, name)(5, 17, num_layers=2, seed=0)
    call = draw(layer, 7, 3)
    results = []
    for drops in ({}, {"recurrent_dropout": 0.5, "weight_dropout": 0.5}):
        *outputs, tape = layer.forward(call.x, call.state, **drops)
        results.append((outputs, layer.backward(tape, call.dy, call.dstate)))
    assert_same_bits(results[1], results[0])


@SCAN
def test_parameters_have_no_recurrent_part(name):
    layer = getattr(rnncore, name)(5, 17, num_layers=2, bidirectional=True, seed=0)
    rows = len(layer.spec.gate_names) * 17
    shapes = {key: array.shape for key, array in layer.parameters().items() if key.endswith(("_l0", "_l1"))}
    assert shapes == {
        "weight_ih_l0": (rows, 5),
        "bias_ih_l0": (rows,),
        "weight_ih_l1": (rows, 34),
        "bias_ih_l1": (rows,),
    }


@SCAN
@pytest.mark.parametrize("store", tables.STORES)
def test_stores_hold_the_only_matrix(name, store):
    """A weight_ih of enough inputs to be coded; the twin rounds and codes as the core does."""
    layers = [getattr(home, name)(40, 24, store=store, seed=0) for home in (rnncore, rnncore.reference)]
    call = draw(layers[0], 9, 4)
    results = []
    for layer in layers:
        *outputs, tape = layer.forward(call.x, call.state)
        results.append((outputs, layer.backward(tape, call.dy, call.dstate)))
    assert_near("forward", np.float32, results[0][0], results[1][0])
    assert_near("gradient", np.float32, results[0][1], results[1][1])


def test_the_forget_gate_of_a_min_lstm_may_start_open():
    spec = rnncore.MinLSTM(3, 4, seed=0).spec
    parameters = rnncore.layers.initializers.uniform(spec, np.random.default_rng(0))
    rnncore.layers.initializers.set_forget_bias(spec, parameters, 2.0)
    np.testing.assert_array_equal(parameters["bias_ih_l0"][4:8], np.full(4, 2.0, np.float32))


@SCAN
def test_a_model_trains_and_is_saved(name, tmp_path):
    layer = getattr(rnncore, name)(3, 8, num_layers=2, dropout=0.2, seed=0)
    model = rnncore.nn.Sequential(layer, rnncore.Linear(8, 2, seed=1))
    x = np.random.default_rng(0).standard_normal((12, 5, 3)).astype(np.float32)
    y = np.cumsum(x[..., :2], axis=1)
    adam = rnncore.Adam(model, lr=0.01)
    run = rnncore.nn.fit(model, (x, y), loss=rnncore.mse_loss, optimizer=adam, epochs=3, batch_size=4, seed=0)
    assert run.losses[-1] < run.losses[0]
    model.save(tmp_path / "model.safetensors")
    assert_same_bits(rnncore.load(tmp_path / "model.safetensors")(x), model(x))
