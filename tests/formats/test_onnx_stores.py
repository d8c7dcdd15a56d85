# SPDX-License-Identifier: MIT
"""ONNX models with small weights: what ONNX Runtime's tools make of a model is read, what is written runs there."""

import numpy as np
import pytest
import tables
from compiled import assert_near, assert_same_bits

import rnncore
from rnncore.errors import UnsupportedError
from rnncore.formats import onnx as weights
from rnncore.spec import stores

onnx = pytest.importorskip("onnx")
STORE = pytest.mark.parametrize("store", tables.STORES)
CELLS = {
    "RNN": (rnncore.RNN, {}),
    "LSTM": (rnncore.LSTM, {"peepholes": True}),
    "GRU": (rnncore.GRU, {}),
    "GRU, reset before": (rnncore.GRU, {"reset_after": False}),
}
CELL = pytest.mark.parametrize("cell", CELLS)
WRITTEN = CELLS | {"minLSTM": (rnncore.MinLSTM, {})}
DEEP = {"num_layers": 2, "bidirectional": True}


def rounded(layer):
    """The float32 layer whose matrices are what `layer` packs."""
    plain = layer.quantize(None)
    names = [row.name for row in layer.spec.kinds]
    own = layer.parameters()
    plain.load_state_dict(
        {
            name + suffix: stores.rounded(layer.store, name, own[name + suffix])
            for name in names
            for suffix in layer.spec.suffixes()
        }
    )
    return plain


def run(model, x):
    """What ONNX Runtime makes of a model."""
    runtime = pytest.importorskip("onnxruntime")
    data = model if isinstance(model, str) else model.SerializeToString()
    return runtime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("cell", WRITTEN)
@STORE
def test_written_models_run_in_onnx_runtime(cell, store):
    make, options = WRITTEN[cell]
    layer = make(40, 24, seed=0, store=store, **DEEP, **options)
    model, x = weights.export(layer), noise(7, 3, 40)
    assert_near("forward", "float32", run(model, x), rounded(layer)(x)[0])
    parts = 4 if store in tables.INTEGER_STORES else 2
    floats = sum(value.nbytes for value in layer.parameters().values() if value.ndim == 2)
    held = sum(
        len(tensor.raw_data)
        for tensor in model.graph.initializer
        if tensor.data_type != onnx.TensorProto.FLOAT
    )
    assert floats / parts <= held <= floats / parts + 200


@CELL
@STORE
def test_written_models_are_read_again(cell, store, tmp_path):
    make, options = CELLS[cell]
    layer = make(40, 24, seed=0, store=store, **DEEP, **options)
    layer.save(tmp_path / "a.onnx")
    loaded, x = rnncore.load(tmp_path / "a.onnx"), noise(7, 3, 40)
    assert loaded.store is None
    matrices = {name: value for name, value in loaded.parameters().items() if value.ndim == 2}
    own = rounded(layer).parameters()
    assert_same_bits(matrices, {name: own[name] for name in matrices})
    assert_same_bits(loaded.quantize(store).parameters(), loaded.parameters())
    # ONNX' biases are ours, so all is equal.
    assert_same_bits(loaded.quantize(store)(x), layer(x))


def test_a_narrow_weight_ih_stays_in_floats():
    model = weights.export(rnncore.GRU(3, 8, seed=0, store="int8"))
    assert {tensor.name for tensor in model.graph.initializer if tensor.name[0] in "WR"} == {
        "W0", "R0_codes", "R0_scale", "R0_shape",
    }  # fmt: skip


# Models of ONNX Runtime's tools ----------------------------------------------------------------------------


def quantized(layer, folder, **options):
    """The path of what quantize_dynamic makes of a layer's model."""
    quantization = pytest.importorskip("onnxruntime.quantization")
    source, target = str(folder / "a.onnx"), str(folder / "b.onnx")
    layer.save(source)
    quantization.quantize_dynamic(source, target, op_types_to_quantize=["LSTM"], **options)
    return target


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize("both", [False, True])
def test_dynamic_lstm_of_onnx_runtime(tmp_path, both, unsigned, per_channel):
    kinds = pytest.importorskip("onnxruntime.quantization").QuantType
    layer = rnncore.LSTM(40, 24, 2, bidirectional=both, seed=0)
    weight_type = kinds.QUInt8 if unsigned else kinds.QInt8
    path = quantized(layer, tmp_path, per_channel=per_channel, weight_type=weight_type)
    assert any(node.op_type == "DynamicQuantizeLSTM" for node in onnx.load(path).graph.node)
    found = weights.load(path)
    assert found.other == [] and "integers" in found.record().notes[0]
    loaded, own = rnncore.load(path), layer.parameters()
    assert loaded.spec == layer.spec
    for name, value in loaded.parameters().items():
        if value.ndim == 2:
            spread = np.abs(own[name]).max() / stores.MOST_CODE  # of a code that all rows share
            assert np.abs(value - own[name]).max() <= spread * tables.HALF_A_CODE
    x = noise(20, 3, 40)
    theirs = run(path, x)
    assert np.abs(loaded.quantize("int8")(x)[0] - theirs).max() <= tables.INTEGER_STORES["int8"]
    assert np.abs(loaded(x)[0] - theirs).max() <= tables.INTEGER_STORES["int8"]


def qdq(layer, held):
    """The layer's model, its W and R behind the nodes that `held` makes of name and value."""
    model = weights.export(layer)
    for name in ("W0", "R0"):
        tensor = next(one for one in model.graph.initializer if one.name == name)
        value = onnx.numpy_helper.to_array(tensor)
        model.graph.initializer.remove(tensor)
        tensors, nodes = held(name, value)
        model.graph.initializer.extend(onnx.numpy_helper.from_array(a, key) for key, a in tensors.items())
        for k, node in enumerate(nodes):
            model.graph.node.insert(k, node)
    return model


def along_an_axis(name, value):
    scale = (np.abs(value).max(axis=(0, 2)) / 100).astype(np.float32)
    zero = np.arange(len(scale)).astype(np.uint8) % 5 + 120
    codes = (np.rint(value / scale[:, np.newaxis]) + zero[:, np.newaxis]).astype(np.uint8)
    node = onnx.helper.make_node("DequantizeLinear", [f"{name}q", f"{name}s", f"{name}z"], [name], axis=1)
    return {f"{name}q": codes, f"{name}s": scale, f"{name}z": zero}, [node]


def both_ways(name, value):
    scale, zero = np.float32(np.abs(value).max() / 120), np.int8(3)
    names = [f"{name}s", f"{name}z"]
    nodes = [
        onnx.helper.make_node("QuantizeLinear", [f"{name}f", *names], [f"{name}q"]),
        onnx.helper.make_node("DequantizeLinear", [f"{name}q", *names], [name]),
    ]
    return {f"{name}f": value, f"{name}s": scale, f"{name}z": zero}, nodes


def halves(name, value):
    node = onnx.helper.make_node("Cast", [f"{name}h"], [name], to=onnx.TensorProto.FLOAT)
    return {f"{name}h": value.astype(np.float16)}, [node]


@pytest.mark.parametrize("held", [along_an_axis, both_ways, halves], ids=lambda held: held.__name__)
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_weights_behind_nodes(kind, held):
    layer = getattr(rnncore, kind)(40, 24, seed=0)
    model, x = qdq(layer, held), noise(7, 3, 40)
    found = weights.load(model)
    assert found.other == []
    assert_near("forward", "float32", run(model, x), found.layer()(x)[0])
    assert np.abs(found.layer()(x)[0] - layer(x)[0]).max() > 0


def test_large_models_are_within_what_folding_may_make(tmp_path):
    layer = rnncore.LSTM(512, 300, seed=0, store="int8")
    layer.save(tmp_path / "a.onnx")
    x = noise(2, 1, 512)
    assert_same_bits(rnncore.load(tmp_path / "a.onnx").quantize("int8")(x), layer(x))


def test_blocks_are_refused():
    def held(name, value):
        tensors, nodes = along_an_axis(name, value)
        nodes[0].attribute.append(onnx.helper.make_attribute("block_size", 2))
        return tensors, nodes

    found = weights.load(qdq(rnncore.GRU(40, 24, seed=0), held))
    with pytest.raises(UnsupportedError, match="blocks"):
        found.layer("gru_l0")
