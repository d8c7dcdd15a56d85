# SPDX-License-Identifier: MIT
"""ONNX: operators against the project's node tests and ORT's, models out to ONNX Runtime and back, fusing."""

import importlib
import itertools

import numpy as np
import pytest
import tables

import rnncore
from rnncore.errors import ArgumentError, RnncoreError, ShapeError, UnsupportedError
from rnncore.formats import onnx as weights

onnx = pytest.importorskip("onnx")

CELLS = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {}),
    ("GRU", {}),
    ("GRU", {"reset_after": False}),
    ("RNN", {"clip": 0.8, "activations": {"h": ("scaled_tanh", 1.5, 0.5)}}),
    ("LSTM", {"peepholes": True, "clip": 0.6}),
    ("LSTM", {"coupled": True, "peepholes": True, "activations": {"g": "softsign", "c": "elu"}}),
    ("LSTM", {"activations": dict.fromkeys("ifo", ("hard_sigmoid", 0.3, 0.4))}),
    ("GRU", {"clip": 0.7, "activations": {"n": ("leaky_relu", 0.2)}}),
    (
        "GRU",
        {"reset_after": False, "activations": {"r": "hard_sigmoid", "z": "hard_sigmoid", "n": "softplus"}},
    ),
]
I, H = 5, 7  # noqa: E741


def node_tests():
    """(id, node, inputs, outputs, case) of the onnx package's own tests of the three operators."""
    from onnx.backend.test.case import node as cases

    for name in ("rnn", "gru", "lstm"):
        importlib.import_module(f"onnx.backend.test.case.node.{name}")
    found = {case.name: case for case in cases._NodeTestCases if case.model is not None}
    for case in found.values():
        node = case.model.graph.node[0]
        if node.op_type in weights.SLOTS and len(case.model.graph.node) == 1:
            yield case, node


NODE_TESTS = {case.name: (case, node) for case, node in node_tests()}


def test_node_tests_were_found():
    assert len(NODE_TESTS) >= 18


@pytest.mark.parametrize("name", NODE_TESTS)
def test_node_of_the_onnx_package(name):
    case, node = NODE_TESTS[name]
    attrs = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    for arrays, expected in case.data_sets:
        given = iter(arrays)
        slots = zip(weights.SLOTS[node.op_type], node.input, strict=False)
        inputs = {slot: next(given) for slot, value in slots if value}
        got = weights.run_node(node.op_type, inputs, attrs)
        wanted = [
            name for name, value in zip(weights.OUTPUTS[node.op_type], node.output, strict=False) if value
        ]
        for output, value in zip(wanted, expected, strict=True):
            np.testing.assert_allclose(got[output], value, rtol=case.rtol, atol=case.atol)


def test_wrong_inputs_are_named():
    W, R = np.zeros((1, 8, 3), "f4"), np.zeros((1, 8, 2), "f4")
    X = np.zeros((4, 1, 3), "f4")
    rows = [
        ("Conv", {}, {}, ArgumentError, "op"),
        ("LSTM", {"Q": X}, {}, ArgumentError, "inputs"),
        ("LSTM", {"R": R[0]}, {}, ShapeError, "R"),
        ("LSTM", {}, {"direction": "sideways"}, ArgumentError, "direction"),
        ("LSTM", {}, {"direction": "bidirectional"}, ShapeError, "W"),
        ("LSTM", {}, {"activations": ["Tanh"]}, ArgumentError, "activations"),
        ("LSTM", {"initial_h": np.zeros((1, 2, 2), "f4")}, {}, ShapeError, "initial_h"),
    ]
    for op, inputs, attrs, error, field in rows:
        with pytest.raises(error) as caught:
            weights.run_node(op, {"X": X, "W": W, "R": R} | inputs, attrs)
        assert caught.value.field in (field, "R")


@pytest.mark.parametrize(("clip", "kept"), [(0.0, None), (50.0, 50.0), (200.0, None)])
def test_a_clip_beyond_saturation_is_none(clip, kept):
    arrays = {"W": np.zeros((1, 8, 3), "f4"), "R": np.zeros((1, 8, 2), "f4")}
    assert weights.read_nodes("lstm", [weights.Node("LSTM", {"clip": clip}, arrays)]).spec.clip == kept
    relu = {"clip": 200.0, "activations": ["Relu", "Tanh", "Tanh"]}
    assert weights.read_nodes("lstm", [weights.Node("LSTM", relu, arrays)]).spec.clip == 200.0


def test_parameters_of_activations_are_taken_in_order():
    arrays = {"W": np.zeros((2, 3, 3), "f4"), "R": np.zeros((2, 3, 1), "f4")}
    attrs = {
        "direction": "bidirectional",
        "activations": ["HardSigmoid", "Tanh", "leakyrelu", b"Affine"],
        "activation_alpha": [0.25, 0.5],
        "activation_beta": [0.75],
    }
    spec = weights.read_nodes("gru", [weights.Node("GRU", attrs, arrays)]).spec
    hard, leaky = ("hard_sigmoid", 0.25, 0.75), ("leaky_relu", 0.5)
    assert spec.activations == ((hard, hard, ("tanh",)), (leaky, leaky, ("affine", 1.0, 0.0)))


def layer_and_input(cell, options, L, bidirectional, batch_first, bias):
    options = options | {"bidirectional": bidirectional, "batch_first": batch_first, "bias": bias}
    layer = getattr(rnncore, cell)(I, H, L, seed=1, **options)
    rng = np.random.default_rng(2)
    x = rng.standard_normal((4, 6, I)).astype(np.float32)
    N, T = (4, 6) if batch_first else (6, 4)
    shape = (L * (1 + bidirectional), N, H)
    parts = [rng.standard_normal(shape).astype(np.float32) for _ in range(2 if cell == "LSTM" else 1)]
    return layer, x, parts, rng.integers(1, T + 1, N)


@pytest.mark.parametrize(("cell", "options"), CELLS, ids=lambda v: v if isinstance(v, str) else "")
@pytest.mark.parametrize(("L", "both"), list(itertools.product((1, 3), (False, True))))
def test_layer_to_onnx_runtime_and_back(cell, options, L, both):
    ort = pytest.importorskip("onnxruntime")
    for batch_first, bias in itertools.product((False, True), repeat=2):
        layer, x, parts, lengths = layer_and_input(cell, options, L, both, batch_first, bias)
        model = weights.export(layer, state=True, lengths=True)
        session = ort.InferenceSession(model.SerializeToString())
        feed = {"x": x, "lengths": lengths.astype(np.int32)} | dict(zip(("h0", "c0"), parts, strict=False))
        y, *state = session.run(None, feed)
        own_y, own = layer(x, tuple(parts) if len(parts) == 2 else parts[0], lengths=lengths)
        for got, expected in zip((own_y, *(own if len(parts) == 2 else (own,))), (y, *state), strict=True):
            np.testing.assert_allclose(got, expected, rtol=0, atol=tables.ROUND_TRIP)
        record = weights.load(model).record()  # one record: the stacked nodes are fused
        assert record.spec.num_layers == L
        for name, value in layer.parameters().items():
            np.testing.assert_array_equal(record.parameters[name], value)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_torch_to_onnx_runtime(tmp_path, kind):
    torch, ort = pytest.importorskip("torch"), pytest.importorskip("onnxruntime")
    from rnncore.formats import torch as from_torch

    module = getattr(torch.nn, kind)(I, H, 2, bidirectional=True)
    path = tmp_path / "layer.onnx"
    weights.export(from_torch.load(module).layer(), path)
    x = np.random.default_rng(0).standard_normal((9, 2, I)).astype(np.float32)
    (y,) = ort.InferenceSession(str(path)).run(None, {"x": x})
    with torch.no_grad():
        expected = module(torch.from_numpy(x))[0].numpy()
    np.testing.assert_allclose(y, expected, rtol=0, atol=tables.ROUND_TRIP)


OPERATORS = {
    "RNN": {"activations": ["Affine", "Softsign"], "activation_alpha": [0.5], "activation_beta": [0.1]},
    "GRU": {"linear_before_reset": 1, "clip": 1.0},
    "LSTM": {"input_forget": 1, "clip": 0.8},
}


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("dtype", tables.DTYPES.values(), ids=tables.DTYPES)
def test_layouts_differ_in_order_only(implementation, op, dtype):
    """Everything at once: two directions, lengths, states, options, in both layouts and both types."""
    rng, G, T, N = np.random.default_rng(0), {"RNN": 1, "GRU": 3, "LSTM": 4}[op], 5, 3
    shapes = {
        "X": (T, N, I),
        "W": (2, G * H, I),
        "R": (2, G * H, H),
        "B": (2, 2 * G * H),
        "initial_h": (2, N, H),
    }
    shapes |= {"initial_c": (2, N, H), "P": (2, 3 * H)} if op == "LSTM" else {}
    inputs = {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}
    inputs["sequence_lens"] = np.array([5, 0, 2], np.int32)
    attrs = OPERATORS[op] | {"direction": "bidirectional", "hidden_size": H}
    got = weights.run_node(op, inputs, attrs, implementation)
    turned = {
        name: value.swapaxes(0, 1) if name in ("X", "initial_h", "initial_c") else value
        for name, value in inputs.items()
    }
    batchwise = weights.run_node(op, turned, attrs | {"layout": 1}, implementation)
    np.testing.assert_array_equal(batchwise["Y"].transpose(1, 2, 0, 3), got["Y"])
    for name in weights.OUTPUTS[op][1:]:
        np.testing.assert_array_equal(batchwise[name].swapaxes(0, 1), got[name])
    expected = weights.run_node(op, inputs, attrs, rnncore.reference)
    for name, value in expected.items():
        assert tables.relative_error(got[name], value) <= tables.TOLERANCES["forward", dtype]
    ort = pytest.importorskip("onnxruntime")
    if dtype != np.float32:
        return  # ONNX Runtime has no such kernels
    helper, kinds = onnx.helper, {"float32": onnx.TensorProto.FLOAT, "int32": onnx.TensorProto.INT32}
    slots = [slot if slot in inputs else "" for slot in weights.SLOTS[op]]
    node = helper.make_node(op, slots, weights.OUTPUTS[op], **attrs)
    values = [helper.make_tensor_value_info(k, kinds[v.dtype.name], v.shape) for k, v in inputs.items()]
    results = [helper.make_tensor_value_info(k, onnx.TensorProto.FLOAT, None) for k in weights.OUTPUTS[op]]
    model = helper.make_model(
        helper.make_graph([node], "g", values, results),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    for name, value in zip(
        weights.OUTPUTS[op], ort.InferenceSession(model.SerializeToString()).run(None, inputs), strict=True
    ):
        np.testing.assert_allclose(got[name], value, rtol=0, atol=tables.ROUND_TRIP)


def test_reverse_node_becomes_a_module():
    model = weights.export(rnncore.LSTM(I, H, seed=0))
    node = next(node for node in model.graph.node if node.op_type == "LSTM")
    next(a for a in node.attribute if a.name == "direction").s = b"reverse"
    record = weights.load(model).record()
    with pytest.raises(UnsupportedError, match="module"):
        record.layer()
    ort = pytest.importorskip("onnxruntime")
    x = np.random.default_rng(0).standard_normal((4, 2, I)).astype(np.float32)
    (expected,) = ort.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(record.module()(x), expected, rtol=0, atol=tables.ROUND_TRIP)


def stacked():
    return weights.export(rnncore.GRU(I, I, 2, seed=0))


def test_nodes_are_not_fused_where_something_lies_between():
    model = stacked()
    for node in model.graph.node:
        if node.op_type == "Reshape" and node.output[0] == "y0":
            node.output[0] = "before"
    model.graph.node.insert(3, onnx.helper.make_node("Relu", ["before"], ["y0"]))
    assert list(weights.load(model).records) == ["gru_l0", "gru_l1"]


def test_nodes_are_not_fused_where_the_middle_is_an_output():
    model = stacked()
    model.graph.output.append(onnx.helper.make_tensor_value_info("y0", onnx.TensorProto.FLOAT, None))
    assert list(weights.load(model).records) == ["gru_l0", "gru_l1"]


def test_nodes_are_picked_by_name_and_the_rest_is_told():
    found = weights.load(stacked(), ["gru_l1"])
    assert list(found.records) == ["gru_l1"]
    assert found.other == ["1 GRU", "1 Reshape", "1 Transpose"]
    assert weights.load(stacked()).other == []
    assert list(weights.load(stacked(), fuse=False).records) == ["gru_l0", "gru_l1"]
    with pytest.raises(ArgumentError, match="gru_l0, gru_l1"):
        weights.load(stacked(), ["lstm"])


def test_weights_behind_layout_nodes_are_read():
    layer = rnncore.RNN(I, H, seed=0)
    model = weights.export(layer)
    stored = next(tensor for tensor in model.graph.initializer if tensor.name == "W0")
    array = onnx.numpy_helper.to_array(stored)
    stored.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(array[0].T), "transposed"))
    axes = onnx.numpy_helper.from_array(np.array([0]), "axes")
    model.graph.initializer.append(axes)
    model.graph.node.insert(0, onnx.helper.make_node("Transpose", ["transposed"], ["turned"], perm=[1, 0]))
    model.graph.node.insert(1, onnx.helper.make_node("Unsqueeze", ["turned", "axes"], ["W0"]))
    record = weights.load(model).record()
    np.testing.assert_array_equal(record.parameters["weight_ih_l0"], layer.parameters()["weight_ih_l0"])


def test_computed_weights_are_refused_with_the_reason():
    model = weights.export(rnncore.LSTM(I, H, seed=0))
    node = next(node for node in model.graph.node if node.op_type == "LSTM")
    node.input[1] = "x"
    with pytest.raises(UnsupportedError, match="known only when the model runs"):
        weights.load(model).layer()


def test_what_onnx_has_not_is_refused():
    with pytest.raises(UnsupportedError, match="proj_size"):
        weights.export(rnncore.LSTM(4, 5, proj_size=2))
    with pytest.raises(UnsupportedError, match="one function for i f o"):
        weights.export(rnncore.LSTM(4, 5, activations={"f": "hard_sigmoid"}))


def test_activations_of_two_directions_may_differ():
    ort = pytest.importorskip("onnxruntime")
    layer = rnncore.GRU(I, H, bidirectional=True, seed=0, activations=({}, {"n": "relu"}))
    model = weights.export(layer)
    x = np.random.default_rng(0).standard_normal((4, 2, I)).astype(np.float32)
    (expected,) = ort.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(layer(x)[0], expected, rtol=0, atol=tables.ROUND_TRIP)
    assert weights.load(model).record().spec == layer.spec


def test_options_survive_export():
    options = {"peepholes": True, "clip": 0.5, "activations": {"g": ("affine", 0.5, 0.25)}}
    layer = rnncore.LSTM(I, H, 2, seed=0, **options)
    assert weights.load(weights.export(layer)).record().spec == layer.spec


def test_float64_export_is_valid_and_exact():
    layer = rnncore.LSTM(3, 4, dtype="float64", seed=0)
    record = weights.load(weights.export(layer)).record()
    assert record.spec.dtype == np.float64
    np.testing.assert_array_equal(record.parameters["weight_hh_l0"], layer.parameters()["weight_hh_l0"])


def test_external_data_does_not_lead_out_of_the_folder(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(4 * H * I * 4))
    inside = tmp_path / "model"
    inside.mkdir()
    model = weights.export(rnncore.LSTM(I, H, seed=0))
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "W0")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    path = inside / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(RnncoreError, match=r"model\.onnx"):
        weights.load(path)


def test_the_standard_s_own_default_of_a_forward_rnn_is_read():
    arrays = {"W": np.ones((1, 2, 3), "f4"), "R": np.ones((1, 2, 2), "f4")}
    node = weights.Node("RNN", {"activations": ["Tanh", "Tanh"]}, arrays)
    assert weights.read_nodes("rnn", [node]).spec.activations == ()
    with pytest.raises(ArgumentError, match="1 names, got 2"):
        weights.read_nodes("rnn", [weights.Node("RNN", {"activations": ["Tanh", "Relu"]}, arrays)])


CONTRADICTIONS = {
    "hidden_size": (ArgumentError, {"hidden_size": 3}),
    "layout": (ArgumentError, {"layout": 2}),
    "clip": (ArgumentError, {"clip": "much"}),
    "negative clip": (ArgumentError, {"clip": -1.0}),
    "activations": (ArgumentError, {"activations": "Tanh"}),
    "activation_alpha": (ArgumentError, {"activation_alpha": [None]}),
    "linear_before_reset": (UnsupportedError, {"linear_before_reset": 1}),
    "unknown": (UnsupportedError, {"gate_order": "ifgo"}),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradictions_and_unknown_attributes_are_refused(name):
    error, attrs = CONTRADICTIONS[name]
    arrays = {"X": np.zeros((4, 1, 3), "f4"), "W": np.zeros((1, 8, 3), "f4"), "R": np.zeros((1, 8, 2), "f4")}
    with pytest.raises(error) as caught:
        weights.run_node("LSTM", arrays, attrs)
    assert caught.value.field == ("gate_order" if name == "unknown" else next(iter(attrs)))


MISSING = {
    "no X": ({"X": None}, "X"),
    "no W": ({"W": None}, "W"),
    "no R": ({"R": None}, "R"),
    "flat X": ({"X": np.zeros((4, 3), "f4")}, "X"),
    "flat W": ({"W": np.zeros(3, "f4")}, "W"),
    "B of one axis": ({"B": np.zeros(16, "f4")}, "B"),
    "P of no axis": ({"P": np.float32(1)}, "P"),
    "state of one axis": ({"initial_h": np.zeros(2, "f4")}, "initial_h"),
    "state of two axes": ({"initial_c": np.zeros((1, 2), "f4")}, "initial_c"),
    "W of other gates": ({"W": np.zeros((1, 6, 3), "f4")}, "W"),
}


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("name", MISSING)
def test_what_a_node_lacks_is_one_sentence(name, layout):
    given, field = MISSING[name]
    arrays = {"X": np.zeros((4, 1, 3), "f4"), "W": np.zeros((1, 8, 3), "f4"), "R": np.zeros((1, 8, 2), "f4")}
    with pytest.raises(ShapeError) as caught:
        weights.run_node("LSTM", arrays | given, {"layout": layout})
    assert caught.value.field == field


def test_numbers_that_attributes_would_round_are_refused_in_float64():
    for options in ({"clip": 0.3}, {"activations": {"n": ("leaky_relu", 0.3)}}):
        weights.export(rnncore.GRU(I, H, **options))
        with pytest.raises(UnsupportedError, match="float32") as caught:
            weights.export(rnncore.GRU(I, H, dtype="float64", **options))
        assert caught.value.field in options
    exact = {"clip": 0.75, "activations": {"n": ("leaky_relu", 0.25)}}
    default = {"activations": {"r": "hard_sigmoid", "z": "hard_sigmoid"}}
    for options in (exact, default):
        layer = rnncore.GRU(I, H, dtype="float64", **options)
        assert weights.load(weights.export(layer)).record().spec == layer.spec


def test_a_damaged_model_in_memory_is_a_format_error():
    model = weights.export(rnncore.GRU(I, H, seed=0))
    next(t for t in model.graph.initializer if t.name == "W0").ClearField("raw_data")
    with pytest.raises(rnncore.formats.FormatError, match="model: expected an ONNX model"):
        weights.load(model)


@pytest.mark.parametrize("option", [{"layer_norm": True}, {"zoneout": 0.1}])
def test_options_that_onnx_has_not_are_not_dropped(option):
    with pytest.raises(UnsupportedError) as caught:
        weights.export(rnncore.LSTM(I, H, **option))
    assert caught.value.field in option
