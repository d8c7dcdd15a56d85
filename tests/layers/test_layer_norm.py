# SPDX-License-Identifier: MIT
"""Layer-normalised LSTM and GRU against a composition in PyTorch; all else about them is in the grids of cells."""

import numpy as np
import pytest
import tables

import rnncore

torch = pytest.importorskip("torch")
F64 = np.dtype(np.float64)
T, N, I, H = 9, 5, 4, 33  # noqa: E741  the project's words


def drawn(layer, seed=0):
    """The layer with parameters of its own, gains among them."""
    rng = np.random.default_rng(seed)
    layer.load_state_dict(
        {
            name: 0.4 * rng.standard_normal(p.shape) + name.startswith("gain")
            for name, p in layer.parameters().items()
        }
    )
    return layer


def compose(cell, parameters, x):
    """Ba, Kiros and Hinton's cell out of torch.nn.functional.layer_norm; gives y."""
    p = {name.removesuffix("_l0"): value for name, value in parameters.items()}
    norm = torch.nn.functional.layer_norm
    h = c = torch.zeros(N, H, dtype=torch.float64)
    outputs = []
    for step in x:
        from_x = norm(step @ p["weight_ih"].T, p["gain_ih"].shape, p["gain_ih"], p["bias_ih"])
        from_h = norm(h @ p["weight_hh"].T, p["gain_hh"].shape, p["gain_hh"], p["bias_hh"])
        if cell == "LSTM":
            i, f, g, o = (from_x + from_h).chunk(4, -1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * norm(c, (H,), p["gain_c"], p["bias_c"]).tanh()
        else:
            (x_r, x_z, x_n), (h_r, h_z, q) = from_x.chunk(3, -1), from_h.chunk(3, -1)
            z, n = (x_z + h_z).sigmoid(), (x_n + (x_r + h_r).sigmoid() * q).tanh()
            h = (1 - z) * n + z * h
        outputs.append(h)
    return torch.stack(outputs)


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_agrees_with_pytorch(cell):
    layer = drawn(getattr(rnncore, cell)(I, H, dtype="float64", layer_norm=True))
    rng = np.random.default_rng(1)
    x, dy = rng.standard_normal((T, N, I)), rng.standard_normal((T, N, H))
    y, _, tape = layer.forward(x)
    grads = layer.backward(tape, dy)

    leaves = {name: torch.tensor(value, requires_grad=True) for name, value in layer.state_dict().items()}
    tx = torch.tensor(x, requires_grad=True)
    expected = compose(cell, leaves, tx)
    expected.backward(torch.tensor(dy))
    assert tables.relative_error(y, expected.detach().numpy()) <= tables.TOLERANCES["forward", F64]
    assert tables.relative_error(grads.x, tx.grad.numpy()) <= tables.TOLERANCES["gradient", F64]
    assert grads.params.keys() == leaves.keys()
    for name, leaf in leaves.items():
        error = tables.relative_error(grads.params[name], leaf.grad.numpy())
        assert error <= tables.TOLERANCES["gradient", F64], name


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_begins_with_gains_of_one(cell):
    layer = getattr(rnncore, cell)(I, H, 2, layer_norm=True, bidirectional=True)
    gains = [value for name, value in layer.parameters().items() if name.startswith("gain_")]
    assert len(gains) == 4 * (3 if cell == "LSTM" else 2)
    assert all((gain == 1).all() for gain in gains)


def test_without_biases():
    layer = rnncore.GRU(I, H, layer_norm=True, bias=False)
    assert sorted(layer.parameters()) == ["gain_hh_l0", "gain_ih_l0", "weight_hh_l0", "weight_ih_l0"]
    assert np.isfinite(layer(np.ones((T, N, I), np.float32))[0]).all()
