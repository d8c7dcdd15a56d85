# SPDX-License-Identifier: MIT
"""minGRU and minLSTM as ONNX' Scan: what ONNX Runtime makes of them."""

import numpy as np
import pytest
import tables

import rnncore
from rnncore.errors import UnsupportedError
from rnncore.formats import onnx as weights

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

CASES = {
    "gru": ("MinGRU", {}),
    "log_space": ("MinGRU", {"activations": {"n": "log_space"}, "clip": 0.8}),
    "gates": ("MinGRU", {"activations": {"z": ("hard_sigmoid", 0.25, 0.5), "n": ("scaled_tanh", 1.5, 0.5)}}),
    "lstm": ("MinLSTM", {}),
    "clipped": ("MinLSTM", {"clip": 0.7, "activations": {"g": "log_space"}}),
    "functions": ("MinLSTM", {"activations": {"i": "softplus", "g": ("affine", 0.5, 0.25)}}),
    "two": ("MinLSTM", {"activations": [{"g": "tanh"}, {"g": ("leaky_relu", 0.25)}], "bidirectional": True}),
}
I, H = 5, 6  # noqa: E741


def ran(model, **feed):
    return ort.InferenceSession(model.SerializeToString()).run(None, feed)


def close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=0, atol=tables.ROUND_TRIP)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "stack", [{}, {"num_layers": 3, "bidirectional": True, "bias": False}], ids=["one", "many"]
)
@pytest.mark.parametrize("batch_first", [False, True])
def test_onnx_runtime_computes_the_same(case, stack, batch_first):
    kind, options = CASES[case]
    layer = getattr(rnncore, kind)(I, H, seed=1, batch_first=batch_first, **stack | options)
    rng = np.random.default_rng(2)
    x = rng.standard_normal((5, 5, I)).astype(np.float32)
    h0 = rng.standard_normal(layer.spec.state_shapes(5)[0]).astype(np.float32)
    lengths = np.array([5, 0, 2, 4, 1], np.int32)
    close(ran(weights.export(layer), x=x)[0], layer(x)[0])
    for got, own in zip(ran(weights.export(layer, state=True), x=x, h0=h0), layer(x, h0), strict=True):
        close(got, own)
    model = weights.export(layer, state=True, lengths=True)
    for got, own in zip(ran(model, x=x, h0=h0, lengths=lengths), layer(x, h0, lengths=lengths), strict=True):
        close(got, own)


def test_gates_that_are_nearly_closed_share_as_they_should():
    layer = rnncore.MinLSTM(1, 1, seed=0)
    for i, f in ((-30, -32), (-70, -71), (-3, -75)):
        layer.update_parameters({"bias_ih_l0": np.array([i, f, 0.5], np.float32)})
        x = np.linspace(-1, 1, 5, dtype=np.float32)[:, np.newaxis, np.newaxis]
        close(ran(weights.export(layer), x=x)[0], layer(x)[0])


def test_float64_runs():
    layer = rnncore.MinLSTM(3, 4, dtype="float64", bidirectional=True, seed=0)
    x = np.random.default_rng(0).standard_normal((6, 2, 3))
    (y,) = ran(weights.export(layer), x=x)
    assert y.dtype == np.float64
    np.testing.assert_allclose(y, layer(x)[0], rtol=0, atol=tables.ROUND_TRIP)


def test_a_scan_is_not_read_back():
    found = weights.load(weights.export(rnncore.MinGRU(3, 4, seed=0)))
    assert found.records == {} and "1 Scan" in found.other


def test_what_onnx_has_not_is_refused():
    with pytest.raises(UnsupportedError, match="zoneout: expected none for onnx"):
        weights.export(rnncore.MinGRU(3, 4, zoneout=0.5, seed=0))
    odd = rnncore.MinGRU(3, 4, dtype="float64", activations={"n": ("leaky_relu", 0.1)}, seed=0)
    with pytest.raises(UnsupportedError, match="a number that float32 holds for onnx"):
        weights.export(odd)
