# SPDX-License-Identifier: MIT
"""ONNX models of layers."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np

from ..errors import UnsupportedError
from ..spec import Spec, check_bool
from ..spec.activations import FUNCTIONS
from ..spec.stores import OPERANDS, is_coded, rounded, weight_codes
from .layouts import grouped, refuse_all_but, refuse_options
from .onnx_scan import NAMES, Scans, number_of
from .records import CLASSES, check_layer, one_direction
from .systems import to_system

OPSET = 17
IR_VERSION = 8


def _weights(layer: Any, k: int) -> dict[str, np.ndarray]:
    """W, R, B and P of layer `k` in ONNX's layout; of a cell that it has not W and B in ours."""
    spec, parameters = layer.spec, layer.parameters()
    found = collections.defaultdict(list)
    if not spec.is_recurrent:
        kinds = {"W": "weight_ih", "B": "bias_ih"} if spec.bias else {"W": "weight_ih"}
        own = spec.suffixes()[k * spec.directions : (k + 1) * spec.directions]
        return {
            f"{name}{k}": np.stack([parameters[kind + end] for end in own]) for name, kind in kinds.items()
        }
    for suffix in spec.suffixes()[k * spec.directions : (k + 1) * spec.directions]:
        options = {"reset_after": spec.reset_after, "coupled": spec.coupled}
        values = to_system("onnx", spec.cell, one_direction(parameters, suffix), **options)
        for name, value in zip("WRBP", values, strict=False):
            if value is not None:
                found[name].append(value)
    return {f"{name}{k}": np.stack(values) for name, values in found.items()}


def _stored(onnx: Any, spec: Spec, name: str, value: np.ndarray) -> tuple[list[Any], list[Any]]:
    """Tensors that hold W or R (D, G*H, features) as the layer's store does, and nodes that make floats of them."""
    helper, kind = onnx.helper, "weight_ih" if name.startswith("W") else "weight_hh"
    plain = onnx.numpy_helper.from_array(np.ascontiguousarray(value), name)
    if spec.store is None or name[0] not in "WR":
        return [plain], []
    if spec.store in OPERANDS:
        if not is_coded(spec.store, kind, value.shape[-1]):
            return [plain], []
        # A scale for each row of each direction: an operator's scales lie along one axis.
        codes, scale = weight_codes(value.reshape(-1, value.shape[-1]))
        parts = {
            "codes": codes.astype(np.int8),
            "scale": scale[:, 0],
            "shape": np.array(value.shape, np.int64),
        }
        tensors = [onnx.numpy_helper.from_array(a, f"{name}_{part}") for part, a in parts.items()]
        rows = helper.make_node(
            "DequantizeLinear", [f"{name}_codes", f"{name}_scale"], [f"{name}_rows"], axis=0
        )
        return tensors, [rows, helper.make_node("Reshape", [f"{name}_rows", f"{name}_shape"], [name])]
    if spec.store == "float16":
        data_type, half = onnx.TensorProto.FLOAT16, value.astype(np.float16)
    else:
        upper = rounded(spec.store, kind, value).view(np.uint32) >> 16
        data_type, half = onnx.TensorProto.BFLOAT16, upper.astype("<u2")
    tensor = helper.make_tensor(f"{name}_half", data_type, value.shape, half.tobytes(), raw=True)
    return [tensor], [helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT)]


def _activations(spec: Spec) -> dict[str, Any]:
    entries = [entry for d in range(spec.directions) for entry in grouped(spec, d, "onnx")]
    if other := next((name for name, *_ in entries if name not in NAMES), None):
        raise UnsupportedError("activations", "functions that onnx has", other)
    attrs: dict[str, Any] = {"activations": [NAMES[name] for name, *_ in entries]}
    if all(tuple(own) == FUNCTIONS[name] for name, *own in entries):
        return attrs  # the standard's defaults need not be said, and are exact
    for k, key in enumerate(("activation_alpha", "activation_beta")):
        given = [number_of(spec, "activations", own[k]) for _, *own in entries if len(own) > k]
        attrs |= {key: given} if given else {}
    return attrs


def _node_attributes(spec: Spec) -> dict[str, Any]:
    attrs: dict[str, Any] = {
        "hidden_size": spec.hidden_size,
        "direction": "bidirectional" if spec.bidirectional else "forward",
    }
    if spec.activations or spec.nonlinearity != "tanh":
        attrs |= _activations(spec)
    if spec.clip is not None:
        attrs["clip"] = number_of(spec, "clip", spec.clip)
    if spec.coupled:
        attrs["input_forget"] = 1
    if spec.cell == "gru":
        attrs["linear_before_reset"] = int(spec.reset_after)
    return attrs


def _layer_nodes(
    helper: Any, spec: Spec, k: int, source: str, target: str, state: bool, lengths: bool
) -> list[Any]:
    """Nodes of layer `k` from (T, N, features) to (T, N, D*H)."""
    parts = tuple(part.name for part in spec.table.state)
    inputs = [source, f"W{k}", f"R{k}", f"B{k}" if spec.bias else "", "lengths" if lengths else ""]
    outputs = [f"raw{k}"]
    if state:
        inputs += [f"{part}0_{k}" if spec.num_layers > 1 else f"{part}0" for part in parts]
        outputs += [f"{part}n_{k}" if spec.num_layers > 1 else f"{part}n" for part in parts]
    if spec.peepholes:
        inputs += [""] * (7 - len(inputs)) + [f"P{k}"]
    while not inputs[-1]:
        inputs.pop()
    kind = CLASSES[spec.cell]
    node = helper.make_node(kind, inputs, outputs, name=f"{spec.cell}_l{k}", **_node_attributes(spec))
    return [
        node,
        helper.make_node("Transpose", [f"raw{k}"], [f"rows{k}"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", [f"rows{k}", "flat"], [target]),
    ]


def _state_nodes(helper: Any, spec: Spec) -> tuple[list[Any], list[Any]]:
    """Nodes that split the initial state between layers, and such that join the final one."""
    before, after = [], []
    for part in spec.table.state:
        pieces = [f"{part.name}0_{k}" for k in range(spec.num_layers)]
        before.append(helper.make_node("Split", [f"{part.name}0", "split"], pieces, axis=0))
        pieces = [f"{part.name}n_{k}" for k in range(spec.num_layers)]
        after.append(helper.make_node("Concat", pieces, [f"{part.name}n"], axis=0))
    return before, after


def _signature(onnx: Any, spec: Spec, state: bool, lengths: bool) -> tuple[list[Any], list[Any]]:
    """The model's inputs and outputs."""
    info = onnx.helper.make_tensor_value_info
    kind = onnx.TensorProto.FLOAT if spec.dtype == np.float32 else onnx.TensorProto.DOUBLE
    rows = ("N", "T") if spec.batch_first else ("T", "N")
    inputs = [info("x", kind, (*rows, spec.input_size))]
    outputs = [info("y", kind, (*rows, spec.y_size))]
    if lengths:
        inputs.append(info("lengths", onnx.TensorProto.INT32, ("N",)))
    if state:
        shape = (spec.num_layers * spec.directions, "N", spec.hidden_size)
        for part in spec.table.state:
            inputs.append(info(f"{part.name}0", kind, shape))
            outputs.append(info(f"{part.name}n", kind, shape))
    return inputs, outputs


def build(layer: Any, state: bool, lengths: bool) -> Any:
    """The model of a layer; see `onnx.export`."""
    check_layer(layer)
    spec, state, lengths = layer.spec, check_bool("state", state), check_bool("lengths", lengths)
    (refuse_options if spec.is_recurrent else refuse_all_but)("onnx", spec)
    constants = {"flat": np.array([0, 0, -1], np.int64)} if spec.is_recurrent else {}
    for k in range(spec.num_layers):
        constants |= _weights(layer, k)
    try:
        import onnx
    except ImportError as error:
        raise UnsupportedError("onnx", "the package onnx", "none installed") from error
    helper = onnx.helper
    first, last, nodes, stored = "x", "y", [], []
    for name, value in constants.items():
        tensors, makers = _stored(onnx, spec, name, value)
        stored += tensors
        nodes += makers
    if spec.batch_first:
        # ONNX has layout=1, but ONNX Runtime refuses it.
        first, last = "x_time", "y_time"
        nodes.append(helper.make_node("Transpose", ["x"], [first], perm=[1, 0, 2]))
    if spec.is_recurrent:
        for k in range(spec.num_layers):
            source = first if k == 0 else f"y{k - 1}"
            target = last if k == spec.num_layers - 1 else f"y{k}"
            nodes += _layer_nodes(helper, spec, k, source, target, state, lengths)
    else:
        scans = Scans(onnx, spec, first, state, lengths)
        nodes += [*scans.nodes, helper.make_node("Identity", [scans.y], [last])]
    if spec.batch_first:
        nodes.append(helper.make_node("Transpose", [last], ["y"], perm=[1, 0, 2]))
    if state and spec.num_layers > 1 and spec.is_recurrent:
        before, after = _state_nodes(helper, spec)
        nodes = before + nodes + after
        split = np.full(spec.num_layers, spec.directions, np.int64)
        stored.append(onnx.numpy_helper.from_array(split, "split"))
    inputs, outputs = _signature(onnx, spec, state, lengths)
    graph = helper.make_graph(nodes, f"rnncore_{spec.cell}", inputs, outputs, stored)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="rnncore")
    onnx.checker.check_model(model, full_check=True)
    return model
