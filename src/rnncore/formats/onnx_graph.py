# SPDX-License-Identifier: MIT
"""The graph side of ONNX: constants, chains of stacked recurrent nodes, and making a model of a layer."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..errors import ArgumentError, UnsupportedError
from ..layers.layers import Layer
from ..spec.activations import FUNCTIONS
from .layouts import grouped, refuse_options, to_system
from .records import CLASSES, one_direction

# Our functions by ONNX' names.
NAMES = {own: "".join(part.capitalize() for part in own.split("_")) for own in FUNCTIONS}
RECURRENT = ("RNN", "GRU", "LSTM")
OPSET = 17
IR_VERSION = 8

# Attributes that must agree for two nodes to be one layer; the others do not change numbers.
_SHARED = (
    "direction",
    "hidden_size",
    "activations",
    "activation_alpha",
    "activation_beta",
    "clip",
    "input_forget",
    "layout",
    "linear_before_reset",
)


def name_of(node: Any) -> str:
    """A node's name, or that of its first output."""
    return node.name or next((output for output in node.output if output), node.op_type)


def attributes(node: Any) -> dict[str, Any]:
    """A node's attributes as Python values."""
    import onnx

    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


# Ops that exporters put between a stored weight and the node that uses it: none makes more elements than it
# reads.
FOLD: dict[str, Callable[..., np.ndarray]] = {
    "Identity": lambda attrs, a: a,
    "Transpose": lambda attrs, a: a.transpose(attrs.get("perm")),
    "Unsqueeze": lambda attrs, a, axes=None: np.expand_dims(a, _axes(attrs, axes)),
    "Squeeze": lambda attrs, a, axes=None: np.squeeze(a, _axes(attrs, axes)),
    "Concat": lambda attrs, *parts: np.concatenate(parts, attrs["axis"]),
    "Reshape": lambda attrs, a, shape: a.reshape(
        [a.shape[k] if n == 0 else int(n) for k, n in enumerate(shape.tolist())]
    ),
    "Slice": lambda attrs, a, starts, ends, axes=None, steps=None: _slice(a, starts, ends, axes, steps),
}


def _axes(attrs, axes):
    found = attrs.get("axes") if axes is None else axes.tolist()
    return None if found is None else tuple(found)


def _slice(a, starts, ends, axes, steps):
    cut = [slice(None)] * a.ndim
    axes = range(len(starts)) if axes is None else axes.tolist()
    steps = np.ones(len(starts), int) if steps is None else steps
    for axis, start, end, step in zip(axes, starts.tolist(), ends.tolist(), steps.tolist(), strict=True):
        cut[axis] = slice(start, end, step)
    return a[tuple(cut)]


class Graph:
    """A model's graph, indexed.

    Parameters
    ----------
    model : onnx.ModelProto
    base : str
        Folder of external data.
    """

    def __init__(self, model: Any, base: str) -> None:
        graph = model.graph
        self.nodes: list[Any] = list(graph.node)
        self.base: str = base
        self.stored: dict[str, Any] = {tensor.name: tensor for tensor in graph.initializer}
        self.makers: dict[str, Any] = {
            output: node for node in self.nodes for output in node.output if output
        }
        self.users: dict[str, list[Any]] = collections.defaultdict(list)
        for node in self.nodes:
            for value in node.input:
                self.users[value].append(node)
            for attribute in node.attribute:  # bodies of If and Loop see the values around them
                for inner in (attribute.g, *attribute.graphs):
                    for value in _free_names(inner):
                        self.users[value].append(node)
        self.outputs: set[str] = {output.name for output in graph.output}
        # Folding may not make much more than the whole model holds, and no value twice.
        self.budget: int = 4 * model.ByteSize() + 2**20
        self.folded: dict[str, np.ndarray] = {}

    def others(self) -> list[str]:
        """What the graph holds beside recurrent nodes, in words."""
        counts = collections.Counter(node.op_type for node in self.nodes if node.op_type not in RECURRENT)
        found = [f"{count} {op}" for op, count in sorted(counts.items())]
        inner = sum(
            _count_inner(body) for node in self.nodes for a in node.attribute for body in (a.g, *a.graphs)
        )
        return found + ([f"{inner} recurrent nodes in bodies of If or Loop, not read"] if inner else [])

    def constant(self, value: str, slot: str, depth: int = 32) -> np.ndarray:
        """The array of a value that the graph computes from stored ones alone.

        Raises
        ------
        UnsupportedError
            It depends on the model's inputs, or on operators not in FOLD.
        """
        import onnx

        if value in self.stored:
            return onnx.numpy_helper.to_array(self.stored[value], base_dir=self.base)
        node = self.makers.get(value)
        if node is not None and node.op_type == "Constant":
            stored = attributes(node).get("value")
            if stored is not None and hasattr(stored, "dims"):
                return onnx.numpy_helper.to_array(stored, base_dir=self.base)
        if node is None or node.op_type not in FOLD or not depth:
            got = f"{value!r}, made by {node.op_type}" if node is not None else f"{value!r}, an input"
            raise UnsupportedError(slot, "stored weights", got, "known only when the model runs")
        if value not in self.folded:
            parts = [self.constant(name, slot, depth - 1) for name in node.input if name]
            self.budget -= sum(part.nbytes for part in parts)
            if self.budget < 0:
                raise UnsupportedError(slot, "weights no larger than the model", "larger ones")
            self.folded[value] = FOLD[node.op_type](attributes(node), *parts)
        return self.folded[value]

    def chains(self, names: Iterable[str] | None, fuse: bool) -> list[list[Any]]:
        """The recurrent nodes in the graph's order, stacked ones together.

        Raises
        ------
        ArgumentError
            A name that no recurrent node has.
        """
        nodes = [node for node in self.nodes if node.op_type in RECURRENT and node.domain in ("", "ai.onnx")]
        if names is not None:
            known = {name_of(node): node for node in nodes}
            for name in names:
                if name not in known:
                    raise ArgumentError("nodes", "one of " + (", ".join(known) or "no nodes"), repr(name))
            nodes = [node for node in nodes if name_of(node) in set(names)]
        chains, follows = [], {}
        for node in nodes:
            after = self._next(node) if fuse else None
            if after is not None and any(after is other for other in nodes):
                follows[id(after)] = node
        heads = [node for node in nodes if id(node) not in follows]
        for head in heads:
            chain = [head]
            while (after := self._next(chain[-1]) if fuse else None) is not None and id(after) in follows:
                if any(after is node for node in chain):  # two nodes that claim one output
                    break
                chain.append(after)
            chains.append(chain)
        return chains

    def _only_user(self, value):
        """The one node that reads a value, if the graph gives it to nobody else."""
        users = self.users[value]
        return users[0] if len(users) == 1 and value not in self.outputs else None

    def _next(self, node):
        """The recurrent node that reads this one's Y, all of it and alone, and is alike; or None."""
        if not node.output or not node.output[0]:
            return None
        value, user = node.output[0], self._only_user(node.output[0])
        seen = []
        while user is not None and user.op_type in ("Squeeze", "Transpose", "Reshape") and len(seen) < 2:
            seen.append(self._step(user))
            value = user.output[0]
            user = self._only_user(value)
        if user is None or user.op_type != node.op_type or not user.input or user.input[0] != value:
            return None
        attrs = attributes(node)
        if not _joins(seen, attrs) or not self._alike(node, user):
            return None
        return user

    def _step(self, node):
        """A layout node as text: its kind and its constant argument; "?" for what is not constant."""
        attrs = attributes(node)
        if node.op_type == "Transpose":
            return f"Transpose{attrs.get('perm')}"
        key = "axes" if node.op_type == "Squeeze" else "shape"
        if key in attrs:
            return f"{node.op_type}{list(attrs[key])}"
        try:
            return f"{node.op_type}{self.constant(node.input[1], key).tolist()}"
        except (UnsupportedError, IndexError):
            return "?"

    def _alike(self, one, two):
        a, b = attributes(one), attributes(two)
        if any(a.get(key) != b.get(key) for key in _SHARED):
            return False
        inputs = [[*node.input, *[""] * 8] for node in (one, two)]
        same_bias = bool(inputs[0][3]) == bool(inputs[1][3])
        return same_bias and inputs[0][4] == inputs[1][4]  # the same sequence_lens


def _joins(seen, attrs):
    """Whether layout nodes turn Y into the next node's X and do nothing else."""
    D = 2 if attrs.get("direction") == b"bidirectional" else 1
    flat = [f"Reshape[0, 0, {n}]" for n in (-1, D * attrs.get("hidden_size", -1))]
    if attrs.get("layout", 0) == 1:
        return (len(seen) == 1 and seen[0] in flat) or (D == 1 and seen in (["Squeeze[2]"], ["Squeeze[-2]"]))
    return (D == 1 and seen in (["Squeeze[1]"], ["Squeeze[-3]"])) or (
        len(seen) == 2 and seen[0] == "Transpose[0, 2, 1, 3]" and seen[1] in flat
    )


def _free_names(graph):
    """All names that the nodes of a body read, and those of its bodies."""
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _free_names(inner)


def _count_inner(graph):
    own = sum(node.op_type in RECURRENT for node in graph.node)
    return own + sum(_count_inner(b) for node in graph.node for a in node.attribute for b in (a.g, *a.graphs))


# Making a model --------------------------------------------------------------------------------------------


def _weights(layer, k):
    """W, R, B and P of layer `k` in ONNX's layout."""
    spec, parameters = layer.spec, layer.parameters()
    found = collections.defaultdict(list)
    for suffix in spec.suffixes()[k * spec.directions : (k + 1) * spec.directions]:
        options = {"reset_after": spec.reset_after, "coupled": spec.coupled}
        values = to_system("onnx", spec.cell, one_direction(parameters, suffix), **options)
        for name, value in zip("WRBP", values, strict=False):
            if value is not None:
                found[name].append(value)
    return {f"{name}{k}": np.stack(values) for name, values in found.items()}


def _node_attributes(spec):
    attrs = {
        "hidden_size": spec.hidden_size,
        "direction": "bidirectional" if spec.bidirectional else "forward",
    }
    if spec.activations or spec.nonlinearity != "tanh":
        entries = [entry for d in range(spec.directions) for entry in grouped(spec, d, "onnx")]
        attrs["activations"] = [NAMES[name] for name, *_ in entries]
        for k, key in enumerate(("activation_alpha", "activation_beta")):
            if given := [parameters[k] for _, *parameters in entries if len(parameters) > k]:
                attrs[key] = given
    if spec.clip is not None:
        attrs["clip"] = spec.clip
    if spec.coupled:
        attrs["input_forget"] = 1
    if spec.cell == "gru":
        attrs["linear_before_reset"] = int(spec.reset_after)
    return attrs


def _layer_nodes(helper, spec, k, source, target, state, lengths):
    """Nodes of layer `k` from (T, N, features) to (T, N, D*H)."""
    parts = ("h", "c") if spec.cell == "lstm" else ("h",)
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


def _state_nodes(helper, spec):
    """Nodes that split the initial state between layers and join the final one."""
    found = []
    for part in ("h", "c") if spec.cell == "lstm" else ("h",):
        pieces = [f"{part}0_{k}" for k in range(spec.num_layers)]
        found.append((True, helper.make_node("Split", [f"{part}0", "split"], pieces, axis=0)))
        pieces = [f"{part}n_{k}" for k in range(spec.num_layers)]
        found.append((False, helper.make_node("Concat", pieces, [f"{part}n"], axis=0)))
    return [node for first, node in found if first], [node for first, node in found if not first]


def _signature(helper, kind, spec, state, lengths, onnx):
    """The model's inputs and outputs."""
    rows = ("N", "T") if spec.batch_first else ("T", "N")
    inputs = [helper.make_tensor_value_info("x", kind, (*rows, spec.input_size))]
    outputs = [helper.make_tensor_value_info("y", kind, (*rows, spec.y_size))]
    if lengths:
        inputs.append(helper.make_tensor_value_info("lengths", onnx.TensorProto.INT32, ("N",)))
    if state:
        shape = (spec.num_layers * spec.directions, "N", spec.hidden_size)
        for part in ("h", "c") if spec.cell == "lstm" else ("h",):
            inputs.append(helper.make_tensor_value_info(f"{part}0", kind, shape))
            outputs.append(helper.make_tensor_value_info(f"{part}n", kind, shape))
    return inputs, outputs


def build(layer: Layer[Any], state: bool, lengths: bool) -> Any:
    """The model of a layer; see `onnx.export`."""
    spec = layer.spec
    refuse_options("onnx", spec)
    constants = {"flat": np.array([0, 0, -1], np.int64)}
    for k in range(spec.num_layers):
        constants |= _weights(layer, k)
    try:
        import onnx
    except ImportError as error:
        raise UnsupportedError("onnx", "the package onnx", "none installed") from error
    helper = onnx.helper
    first, last, nodes = "x", "y", []
    if spec.batch_first:
        # ONNX has layout=1, but ONNX Runtime refuses it.
        first, last = "x_time", "y_time"
        nodes.append(helper.make_node("Transpose", ["x"], [first], perm=[1, 0, 2]))
    for k in range(spec.num_layers):
        source = first if k == 0 else f"y{k - 1}"
        target = last if k == spec.num_layers - 1 else f"y{k}"
        nodes += _layer_nodes(helper, spec, k, source, target, state, lengths)
    if spec.batch_first:
        nodes.append(helper.make_node("Transpose", [last], ["y"], perm=[1, 0, 2]))
    if state and spec.num_layers > 1:
        before, after = _state_nodes(helper, spec)
        nodes = before + nodes + after
        constants["split"] = np.full(spec.num_layers, spec.directions, np.int64)
    kind = onnx.TensorProto.FLOAT if spec.dtype == np.float32 else onnx.TensorProto.DOUBLE
    inputs, outputs = _signature(helper, kind, spec, state, lengths, onnx)
    stored = [onnx.numpy_helper.from_array(np.ascontiguousarray(v), name) for name, v in constants.items()]
    graph = helper.make_graph(nodes, f"rnncore_{spec.cell}", inputs, outputs, stored)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="rnncore")
    onnx.checker.check_model(model, full_check=True)
    return model
