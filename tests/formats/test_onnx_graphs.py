# SPDX-License-Identifier: MIT
"""ONNX graphs as exporters make them: stacked layers, batch-first, states, weights behind computations, the rest."""

import numpy as np
import pytest

import rnncore
from rnncore.errors import ArgumentError, UnsupportedError
from rnncore.formats import onnx as weights

onnx = pytest.importorskip("onnx")

I, H = 5, 7  # noqa: E741


def torch_model(tmp_path, module, dynamo, dynamic):
    """Read what PyTorch exports without an initial state."""
    torch = pytest.importorskip("torch")
    if dynamo:
        pytest.importorskip("onnxscript")
    path, x = tmp_path / "model.onnx", torch.zeros(6, 2, I)
    names = {"input_names": ["x"]} | ({"dynamic_axes": {"x": {0: "T", 1: "N"}}} if dynamic else {})
    torch.onnx.export(module.eval(), (x,), path, dynamo=dynamo, **({} if dynamo else names))
    return path


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(("dynamo", "dynamic"), [(False, False), (False, True), (True, False)])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_stacked_layers_of_a_torch_export_are_one(tmp_path, kind, dynamo, dynamic, both, batch_first):
    torch = pytest.importorskip("torch")
    module = getattr(torch.nn, kind)(I, H, 2, bidirectional=both, batch_first=batch_first)
    path = torch_model(tmp_path, module, dynamo, dynamic)
    found = weights.load(path)
    assert found.other == [] and found.record().notes == ()
    layer = rnncore.load(path)
    assert (layer.spec.num_layers, layer.spec.batch_first) == (2, batch_first)
    for name, value in module.state_dict().items():
        np.testing.assert_array_equal(layer.parameters()[name], value.numpy())


def test_a_learnt_initial_state_is_not_dropped_without_a_word():
    model = weights.export(rnncore.GRU(I, H, seed=0), state=True)
    entry = next(value for value in model.graph.input if value.name == "h0")
    model.graph.input.remove(entry)
    stored = onnx.numpy_helper.from_array(np.ones((1, 1, H), np.float32), "h0")
    model.graph.initializer.append(stored)
    found = weights.load(model)
    assert found.other == ["initial_h, stored"]
    with pytest.raises(ArgumentError, match="initial_h, stored"):
        found.whole()
    assert "initial_h" in found.whole("gru_l0").spec.cell + found.record().notes[0]
    model.graph.initializer.remove(stored)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((1, 1, H), np.float32), "h0"))
    assert weights.load(model).other == []


def test_what_follows_a_layer_is_not_dropped_without_a_word(tmp_path):
    model = weights.export(rnncore.GRU(I, H, seed=0))
    model.graph.node.append(onnx.helper.make_node("Relu", ["y"], ["z"]))
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ArgumentError, match=r"'gru_l0'.*1 Relu"):
        rnncore.load(tmp_path / "a.onnx")
    assert rnncore.load(tmp_path / "a.onnx", name="gru_l0").spec == rnncore.GRU(I, H).spec


@pytest.mark.parametrize("state", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_batch_first_survives_a_conversion(tmp_path, state, layers):
    layer = rnncore.LSTM(I, H, layers, batch_first=True, bidirectional=True, seed=0)
    weights.export(layer, tmp_path / "a.onnx", state=state, lengths=True)
    rnncore.formats.convert(tmp_path / "a.onnx", tmp_path / "b.safetensors")
    assert rnncore.load(tmp_path / "b.safetensors").spec == layer.spec


def put_behind(model, name, make):
    """Replace a stored array by nodes that compute it: `make` gives stored arrays by name, and nodes."""
    stored = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    array = onnx.numpy_helper.to_array(stored)
    model.graph.initializer.remove(stored)
    arrays, nodes = make(array)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(a, key) for key, a in arrays.items())
    for k, node in enumerate(nodes):
        model.graph.node.insert(k, node)


def as_float64(array):
    return {"wide": array.astype("f8")}, [onnx.helper.make_node("Cast", ["wide"], ["W0"], to=1)]


def as_sum(array):
    parts = {"a": array - 1, "b": np.float32([1.0])}
    return parts, [onnx.helper.make_node("Add", ["a", "b"], ["W0"])]


def as_slice_of_opset_9(array):
    whole = np.concatenate([array * 0, array, array * 0], 1)
    attrs = {"starts": [array.shape[1]], "ends": [2 * array.shape[1]], "axes": [1]}
    return {"whole": whole}, [onnx.helper.make_node("Slice", ["whole"], ["W0"], **attrs)]


def as_bytes_with(axis):
    def make(array):
        count = 1 if axis is None else array.shape[axis]
        scale = np.linspace(0.01, 0.02, count, dtype="f4") if count > 1 else np.float32(0.015)
        zero = np.arange(count).astype("u1") if count > 1 else np.uint8(3)
        shape = [count if k == axis else 1 for k in range(3)]
        whole = np.round(array / scale.reshape(shape)) + zero.reshape(shape) + 100
        arrays = {"q": whole.astype("u1"), "scale": scale, "zero": (zero + 100).astype("u1")}
        options = {} if axis is None else {"axis": axis}
        return arrays, [onnx.helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["W0"], **options)]

    return make


BEHIND = {
    "Cast": as_float64,
    "Add": as_sum,
    "Slice with attributes": as_slice_of_opset_9,
    "DequantizeLinear": as_bytes_with(None),
    "DequantizeLinear along gates": as_bytes_with(1),
    "DequantizeLinear along inputs": as_bytes_with(2),
}


@pytest.mark.parametrize("name", BEHIND)
def test_weights_behind_computations_are_what_onnx_computes(name):
    model = weights.export(rnncore.GRU(I, H, seed=0))
    put_behind(model, "W0", BEHIND[name])
    (expected,) = onnx.reference.ReferenceEvaluator(
        onnx.helper.make_model(
            onnx.helper.make_graph(
                [model.graph.node[0]],
                "w",
                [],
                [onnx.helper.make_tensor_value_info("W0", 1, None)],
                [t for t in model.graph.initializer if t.name in model.graph.node[0].input],
            ),
            opset_imports=[onnx.helper.make_opsetid("", 9 if "attributes" in name else 21)],
            ir_version=10,
        )
    ).run(None, {})
    found = weights.load(model)
    record = found.record()
    own = rnncore.formats.from_system("onnx", "gru", expected[0], np.zeros((3 * H, H), "f4"))
    np.testing.assert_array_equal(record.parameters["weight_ih_l0"], own["weight_ih"])
    assert found.other == []


def test_a_sum_that_grows_is_refused():
    """A column plus a row: a bomb, if allowed."""
    model = weights.export(rnncore.GRU(I, H, seed=0))
    put_behind(
        model,
        "W0",
        lambda a: ({"a": a[:, :, :1], "b": a[:, :1]}, [onnx.helper.make_node("Add", ["a", "b"], ["W0"])]),
    )
    with pytest.raises(UnsupportedError, match="one operand of the result's shape"):
        weights.load(model).record()
