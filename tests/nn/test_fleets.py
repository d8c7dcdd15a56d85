# SPDX-License-Identifier: MIT
"""Training of fleets: heads, losses and optimisers give each model the bits that it has alone."""

import numpy as np
import pytest
from compiled import ISAS, assert_same_bits

import rnncore
from rnncore import nn
from rnncore.errors import ArgumentError, DTypeError, ShapeError, TapeError

M, T, N, H = 18, 7, 2, 6
X = np.random.default_rng(0).standard_normal((M, T, N, 3)).astype(np.float32)
TARGET = np.random.default_rng(1).standard_normal((M, T, N, 2)).astype(np.float32)
RATES = np.geomspace(1e-3, 0.1, M)
OPTIMISERS = {
    "adam": (rnncore.Adam, nn.FleetAdam, {"weight_decay": 0.01, "clip_norm": 0.4}),
    "adam-coupled": (rnncore.Adam, nn.FleetAdam, {"weight_decay": 0.01, "decoupled": False}),
    "sgd": (rnncore.SGD, nn.FleetSGD, {}),
    "momentum": (rnncore.SGD, nn.FleetSGD, {"momentum": 0.9, "nesterov": True, "clip_norm": 0.4}),
}


def fleets():
    return rnncore.Fleet("gru", 3, H, models=M, seed=0), nn.FleetLinear(H, 2, models=M, seed=1)


def steps(fleet, heads, optimiser, count, active=None):
    """Losses and norms of some steps of the whole fleet."""
    found = []
    for _ in range(count):
        y, _, tape = fleet.forward(X, active=active)
        out, head_tape = heads.forward(y)
        losses, dout = nn.fleet_mse_loss(out, TARGET)
        head_grads = heads.backward(head_tape, dout)
        grads = fleet.backward(tape, head_grads.x, input_grad=False)
        found.append((losses, optimiser.step([grads, head_grads], active=active)))
    return found


def steps_alone(layer, head, optimiser, m, count):
    found = []
    for _ in range(count):
        y, _, tape = layer.forward(X[m])
        out, head_tape = head.forward(y)
        loss, dout = rnncore.mse_loss(out, TARGET[m])
        head_grads = head.backward(head_tape, dout)
        grads = layer.backward(tape, head_grads.x, input_grad=False)
        found.append((loss, optimiser.step([grads, head_grads])))
    return found


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_training_run_of_a_fleet_is_that_of_each_model(isa, name):
    alone, of_fleet, options = OPTIMISERS[name]
    with rnncore.use_isa(isa):
        fleet, heads = fleets()
        layers = fleet.unstack()
        found = steps(fleet, heads, of_fleet([fleet, heads], lr=RATES, **options), 3)
        for m, layer in enumerate(layers):
            head = rnncore.Linear(H, 2, seed=(1, m))
            optimiser = alone([layer, head], lr=float(RATES[m]), **options)
            expected = steps_alone(layer, head, optimiser, m, 3)
            assert [(losses[m], norms[m]) for losses, norms in found] == expected
            assert_same_bits(fleet[m].parameters(), layer.parameters())
            assert_same_bits({k: v[m] for k, v in heads.parameters().items()}, head.parameters())


def test_models_that_have_stopped_stay():
    fleet, heads = fleets()
    optimiser = nn.FleetAdam([fleet, heads], lr=0.01)
    active = np.arange(M) % 4 > 0
    before = fleet.state_dict()
    steps(fleet, heads, optimiser, 2, active)
    assert optimiser.step_count.tolist() == [2 * int(runs) for runs in active]
    for name, value in fleet.parameters().items():
        changed = (value != before[name]).reshape(M, -1).any(axis=1)
        assert changed.tolist() == active.tolist()


def test_a_model_that_diverges_leaves_the_others():
    fleet, _ = fleets()
    optimiser = nn.FleetSGD(fleet, lr=0.1)
    grads = {name: np.ones_like(value) for name, value in fleet.parameters().items()}
    grads["bias_hh_l0"][3, 1] = np.nan
    before = fleet.state_dict()
    norms = optimiser.step(grads)
    assert np.isfinite(norms).tolist() == [m != 3 for m in range(M)]
    assert optimiser.step_count.tolist() == [int(m != 3) for m in range(M)]
    assert_same_bits(fleet.parameters()["weight_hh_l0"][3], before["weight_hh_l0"][3])
    assert (fleet.parameters()["weight_hh_l0"][4] != before["weight_hh_l0"][4]).all()


@pytest.mark.parametrize("name", OPTIMISERS)
def test_threads_share_the_models(name):
    _, of_fleet, options = OPTIMISERS[name]
    found = []
    for threads in (1, 2):
        heads = nn.FleetLinear(90, 30, models=40, seed=0)  # worth several threads
        optimiser = of_fleet(heads, lr=np.geomspace(1e-3, 0.1, 40), **options)
        grads = {k: np.random.default_rng(1).random(v.shape, "f4") for k, v in heads.parameters().items()}
        norms = optimiser.step(grads, active=np.arange(40) != 7, num_threads=threads)
        found.append((norms, heads.state_dict(), optimiser.state_dict()))
    assert_same_bits(*found)
    with pytest.raises(ArgumentError, match="num_threads"):
        optimiser.step(grads, num_threads=0)


def test_a_run_goes_on_from_its_state():
    whole, parts = fleets(), fleets()
    optimiser = nn.FleetAdam(list(whole), lr=RATES)
    steps(*whole, optimiser, 4)
    first = nn.FleetAdam(list(parts), lr=RATES)
    steps(*parts, first, 2)
    second = nn.FleetAdam(list(parts))
    second.load_state_dict(first.state_dict())
    steps(*parts, second, 2)
    for one, other in zip(whole, parts, strict=True):
        assert_same_bits(one.parameters(), other.parameters())
    with pytest.raises(ShapeError, match="step"):
        second.load_state_dict(first.state_dict() | {"step": np.ones(2, np.int64)})
    with pytest.raises(ArgumentError, match="keys"):
        second.load_state_dict({})


def test_heads(tmp_path):
    heads = nn.FleetLinear(4, 3, models=5, seed=(2, 7), dtype="float64")
    x = np.random.default_rng(0).standard_normal((5, 3, 2, 4))
    y, tape = heads.forward(x)
    grads = heads.backward(tape, y)
    for m in range(5):
        head = rnncore.Linear(4, 3, seed=(2, 7, m), dtype="float64")
        own, own_tape = head.forward(x[m])
        expected = head.backward(own_tape, own)
        assert_same_bits(own, y[m])
        assert_same_bits(expected.x, grads.x[m])
        assert_same_bits(expected.params, {name: value[m] for name, value in grads.params.items()})
    assert nn.FleetLinear(4, 3, models=5, bias=False)(x.astype("f4")).shape == y.shape
    heads.save(tmp_path / "heads.safetensors")
    assert_same_bits(rnncore.load(tmp_path / "heads.safetensors").parameters(), heads.parameters())
    with pytest.raises(ShapeError, match=r"x: expected shape \(5, ..., 4\)"):
        heads(x[1:])
    with pytest.raises(TapeError):
        heads.backward(tape, y)


def test_errors():
    fleet, heads = fleets()
    with pytest.raises(ArgumentError, match="modules"):
        nn.FleetAdam([fleet, nn.FleetLinear(2, 2, models=3)])
    with pytest.raises(ShapeError, match="lr"):
        nn.FleetAdam(fleet, lr=[0.1, 0.2])
    with pytest.raises(ArgumentError, match="lr"):
        nn.FleetAdam(fleet, lr=-1)
    with pytest.raises(ShapeError, match="target"):
        nn.fleet_mse_loss(X, X[1:])
    with pytest.raises(DTypeError, match="pred"):
        nn.fleet_mse_loss(np.ones((2, 2), int), np.ones((2, 2)))
    optimiser = nn.FleetAdam([fleet, heads])
    with pytest.raises(ArgumentError, match="grads"):
        optimiser.step({})
    assert "models=18" in repr(optimiser)
