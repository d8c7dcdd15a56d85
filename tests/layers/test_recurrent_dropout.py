# SPDX-License-Identifier: MIT
"""Recurrent and weight dropout: the compiled layers against the twins, against PyTorch's steps, and their masks."""

import numpy as np
import pytest
import tables
from compiled import CELL, DTYPE, ISA, assert_near, assert_same_bits, build, draw

import rnncore
from rnncore.spec import masks

# Rows to split between threads, and one row whose units are shared out.
MANY, LONE = tables.Shape(19, 12, 6, 33), tables.Shape(24, 1, 24, 72)
LENGTHS = np.array([19, 0, 5, 19, 12, 1, 13, 19, 2, 17, 19, 8])
DROPS = {
    "recurrent": {"recurrent_dropout": 0.3},
    "weight": {"weight_dropout": 0.5},
    "both": {"recurrent_dropout": 0.4, "weight_dropout": 0.2},
}
CALLS = {
    "plain": (MANY, {}, None),
    "deep-ragged": (MANY, {"num_layers": 2, "bidirectional": True, "dropout": 0.4}, LENGTHS),
    "one-row": (LONE, {"num_layers": 2}, None),
}
DROP = pytest.mark.parametrize("drops", DROPS)


def train(layer, call, drops, lengths=None, **options):
    y, state, tape = layer.forward(call.x, call.state, lengths=lengths, **DROPS.get(drops, {}), **options)
    return (y, state), layer.backward(tape, call.dy, call.dstate)


@CELL
@DTYPE
@ISA
@DROP
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("threads", [1, 2])
def test_agrees_with_twin(cell, dtype, isa, drops, name, threads):
    shape, options, lengths = CALLS[name]
    layer, twin = (build(cell, shape, dtype, module, **options) for module in (rnncore, rnncore.reference))
    call = draw(layer, shape.T, shape.N)
    outputs, grads = train(twin, call, drops, lengths)
    with rnncore.use_isa(isa):
        got = train(layer, call, drops, lengths, num_threads=threads)
    assert_near("forward", dtype, got[0], outputs)
    assert_near("gradient", dtype, vars(got[1]), vars(grads))


@CELL
@DROP
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("threads", [1, 2])
def test_checkpoints_and_runs_repeat_to_the_last_bit(cell, drops, name, threads):
    shape, options, lengths = CALLS[name]
    call = draw(build(cell, shape, **options), shape.T, shape.N)
    expected = train(build(cell, shape, **options), call, drops, lengths, num_threads=threads)
    for checkpoint in (None, "gates", 4):
        again = train(
            build(cell, shape, **options), call, drops, lengths, num_threads=threads, checkpoint=checkpoint
        )
        assert_same_bits(again, expected)


@CELL
@DROP
@pytest.mark.parametrize("checkpoint", [None, 4])
def test_blas_gives_the_same_gradients(cell, drops, checkpoint):
    shape, options, lengths = CALLS["deep-ragged"]
    call = draw(build(cell, shape, "float64", **options), shape.T, shape.N)
    expected = train(build(cell, shape, "float64", **options), call, drops, lengths)
    with rnncore.use_backend("blas"):
        got = train(build(cell, shape, "float64", **options), call, drops, lengths, checkpoint=checkpoint)
    assert_near("forward", "float64", got[0], expected[0])
    assert_near("gradient", "float64", got[1], expected[1])


@CELL
def test_outputs_do_not_depend_on_threads(cell):
    shape, options, lengths = CALLS["deep-ragged"]
    call = draw(build(cell, shape, **options), shape.T, shape.N)
    one, two = (
        train(build(cell, shape, **options), call, "both", lengths, num_threads=threads)[0]
        for threads in (1, 2)
    )
    assert_same_bits(two, one)


def test_weight_dropout_is_that_of_the_weights():
    shape = tables.Shape(5, 3, 4, 7)
    layer, other = (rnncore.LSTM(shape.I, shape.H, dtype="float64", seed=2) for _ in range(2))
    call = draw(layer, shape.T, shape.N)
    y, _, tape = layer.forward(call.x, weight_dropout=0.5)
    kept = masks.keep_mask(tape.call_key, masks.WEIGHT, (4 * shape.H, shape.H), 0.5)
    assert 0 < kept.sum() < kept.size
    other.update_parameters({"weight_hh_l0": 2 * kept * other.parameters()["weight_hh_l0"]})
    y_other, _, tape_other = other.forward(call.x)
    assert_same_bits(y, y_other)
    grad = layer.backward(tape, call.dy).params["weight_hh_l0"]
    assert_same_bits(grad, 2 * kept * other.backward(tape_other, call.dy).params["weight_hh_l0"])
    assert_same_bits(layer(call.x)[0], rnncore.LSTM(shape.I, shape.H, dtype="float64", seed=2)(call.x)[0])


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_dropout_is_pytorchs_step_on_dropped_h(kind):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    T, N, I, H, p = 6, 3, 4, 5, 0.4  # noqa: E741
    layer = getattr(rnncore, kind)(I, H, dtype="float64", seed=2)
    call = draw(layer, T, N)
    y, _, tape = layer.forward(call.x, recurrent_dropout=p)
    grads = layer.backward(tape, call.dy)
    mask = torch.from_numpy(masks.keep_mask(tape.call_key, masks.RECURRENT, (N, H), p) / (1 - p))
    w = {name: torch.tensor(value, requires_grad=True) for name, value in layer.state_dict().items()}
    x = torch.tensor(call.x, requires_grad=True)
    h = c = torch.zeros(N, H, dtype=torch.float64)
    outputs = []
    for t in range(T):
        a = x[t] @ w["weight_ih_l0"].T + w["bias_ih_l0"]
        r = (h * mask) @ w["weight_hh_l0"].T + w["bias_hh_l0"]
        if kind == "LSTM":
            i, f, g, o = (a + r).split(H, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        elif kind == "GRU":
            (ar, az, an), (rr, rz, rn) = a.split(H, 1), r.split(H, 1)
            z = (az + rz).sigmoid()
            h = (1 - z) * (an + (ar + rr).sigmoid() * rn).tanh() + z * h
        else:
            h = (a + r).tanh()
        outputs.append(h)
    right = torch.stack(outputs)
    right.backward(torch.from_numpy(call.dy))
    assert_near("forward", "float64", y, right.detach().numpy())
    assert_near("gradient", "float64", grads.params, {name: value.grad.numpy() for name, value in w.items()})
    assert_near("gradient", "float64", grads.x, x.grad.numpy())


@DROP
@pytest.mark.parametrize("p", [-0.1, 1.0, float("nan"), "0.5", True])
def test_bad_probabilities_are_refused(implementation, drops, p):
    layer = implementation.GRU(3, 4, seed=1)
    (name,) = list(DROPS[drops])[:1]
    with pytest.raises(rnncore.errors.ArgumentError, match=name):
        layer.forward(np.zeros((2, 2, 3), np.float32), **{name: p})
