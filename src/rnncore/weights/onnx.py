# SPDX-License-Identifier: MIT
"""ONNX: recurrent nodes of any model as layers, single operators by their inputs, and layers as models.

`load` reads the RNN, LSTM and GRU nodes of a model and fuses stacked ones where nothing else uses what lies
between; `run_node` computes one operator as the standard defines it; `export` makes a valid model of a layer.
The package onnx is imported when a model is read or made; `run_node` needs none.
"""

import dataclasses
import pathlib

import numpy as np

from .. import modules
from .. import spec as checks
from ..errors import ArgumentError, ShapeError, UnsupportedError
from . import onnx_graph
from .records import CELLS, Contents, FormatError, build_layer, make_record, reading
from .spec import SATURATED, cell_options, from_system

SLOTS = {
    "RNN": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "GRU": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "LSTM": ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"),
}
OUTPUTS = {"RNN": ("Y", "Y_h"), "GRU": ("Y", "Y_h"), "LSTM": ("Y", "Y_h", "Y_c")}
ACTIVATIONS = {"RNN": ("tanh",), "GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh")}
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}


@dataclasses.dataclass
class Node:
    """One recurrent operator: its kind, attributes, and the arrays it was given, by slot name."""

    op: str
    attrs: dict
    arrays: dict

    def __post_init__(self):
        for slot in ("W", "R"):
            if slot not in self.arrays or self.arrays[slot].ndim != 3:
                raise ShapeError(slot, "shape (D, G*H, features)", "another rank or nothing")
        if self.direction not in DIRECTIONS:
            raise ArgumentError("direction", "one of " + ", ".join(DIRECTIONS), repr(self.direction))
        for slot in {"W", "R", "B", "P"} & set(self.arrays):
            if len(self.arrays[slot]) != self.D:
                raise ShapeError(slot, f"{self.D} directions", str(self.arrays[slot].shape))

    @property
    def direction(self):
        value = self.attrs.get("direction", "forward")
        return value.decode() if isinstance(value, bytes) else value

    @property
    def D(self):
        return DIRECTIONS[self.direction]

    @property
    def batch_first(self):
        return self.attrs.get("layout", 0) == 1

    @property
    def activations(self):
        """Names in lower case, per direction."""
        names = self.attrs.get("activations") or ACTIVATIONS[self.op] * self.D
        names = [(name.decode() if isinstance(name, bytes) else name).lower() for name in names]
        if len(names) != self.D * len(ACTIVATIONS[self.op]):
            raise ArgumentError("activations", f"{self.D * len(ACTIVATIONS[self.op])} names", str(len(names)))
        count = len(ACTIVATIONS[self.op])
        return [tuple(names[d * count : (d + 1) * count]) for d in range(self.D)]


def _clips(node):
    clip = node.attrs.get("clip", 0)
    if not clip:
        return False
    saturating = all(name in ("sigmoid", "tanh") for names in node.activations for name in names)
    return not (saturating and clip >= SATURATED.get(node.arrays["W"].dtype, np.inf))


# What an operator may ask for beyond the cells: name, whether a node does, and what it may have instead.
FEATURES = (
    ("peepholes", lambda node: np.any(node.arrays.get("P", 0)), "none, or zeros"),
    ("input_forget", lambda node: node.attrs.get("input_forget", 0), "0"),
    ("clip", _clips, "none, or one above saturation"),
)


def _check_features(node):
    for name, present, expected in FEATURES:
        if present(node):
            raise UnsupportedError(name, expected, "others", "not computed by the cells")


def _direction(node, d):
    """Canonical parameters of direction `d`."""
    bias = node.arrays["B"][d] if "B" in node.arrays else None
    cell, after = CELLS[node.op], bool(node.attrs.get("linear_before_reset", 0))
    return from_system("onnx", cell, node.arrays["W"][d], node.arrays["R"][d], bias, reset_after=after)


def _options(node, d):
    """Fields of Spec that direction `d` of the node needs."""
    options = {"batch_first": node.batch_first} | cell_options(CELLS[node.op], node.activations[d])
    if node.op == "GRU":
        options["reset_after"] = bool(node.attrs.get("linear_before_reset", 0))
    return options


def read_nodes(name, nodes):
    """A Record of stacked nodes that agree in everything but their weights.

    Raises
    ------
    RnncoreError
        UnsupportedError where the cells cannot compute what the nodes ask for.
    """
    for node in nodes:
        _check_features(node)
        if len(set(node.activations)) > 1:
            raise UnsupportedError(
                "activations", "the same in both directions", "different ones", "use run_node"
            )
    first = nodes[0]
    options = _options(first, 0) | {"bidirectional": first.D == 2}
    directions = [_direction(node, d) for node in nodes for d in range(node.D)]
    order = "reverse" if first.direction == "reverse" else "forward"
    return make_record(name, f"onnx {first.op}", CELLS[first.op], directions, options=options, order=order)


def load(source, nodes=None, *, fuse=True):
    """Recurrent nodes of an ONNX model.

    Parameters
    ----------
    source : path-like or onnx.ModelProto
    nodes : iterable of str, optional
        Only these, by name (or by the name of their first output where they have none).
    fuse : bool
        Whether stacked nodes become one layer of several.

    Returns
    -------
    Contents
        `other` counts what else the graph holds.

    Raises
    ------
    FormatError
        A damaged file.
    ArgumentError
        A name that no recurrent node has.
    """
    if hasattr(source, "graph"):
        return _read_model(source, "model", ".", nodes, fuse)
    try:
        import onnx
    except ImportError as error:
        raise UnsupportedError(str(source), "the package onnx", "none installed") from error
    with reading(source, "an ONNX model"):
        model = onnx.load(source, format="protobuf", load_external_data=False)
        return _read_model(model, source, str(pathlib.Path(source).parent), nodes, fuse)


def _read_model(model, path, base, nodes, fuse):
    if not model.ir_version or not model.graph.node:
        raise FormatError(str(path), "an ONNX model with a graph", "none")
    graph = onnx_graph.Graph(model, base)
    found = Contents("onnx", other=graph.others())
    found.chain_error = "of an ONNX graph only the recurrent nodes are read"
    for chain in graph.chains(nodes, fuse):
        name = "+".join(map(onnx_graph.name_of, chain))
        found.add(name, lambda name=name, chain=chain: _read_chain(graph, name, chain))
    return found


def _read_chain(graph, name, chain):
    nodes = []
    for proto in chain:
        arrays = {}
        for slot, value in zip(SLOTS[proto.op_type], proto.input, strict=False):
            if value and slot in ("W", "R", "B", "P"):
                arrays[slot] = graph.constant(value, slot)
        nodes.append(Node(proto.op_type, onnx_graph.attributes(proto), arrays))
    record = read_nodes(name, nodes)
    given = []
    for proto in chain:
        for slot, value in zip(SLOTS[proto.op_type], proto.input, strict=False):
            if value and slot in ("sequence_lens", "initial_h", "initial_c") and slot not in given:
                given.append(slot)
    if given:
        record.notes += (f"the graph gives {', '.join(given)}: pass lengths and state to the layer",)
    return record


# Operators -------------------------------------------------------------------------------------------------


def run_node(op, inputs, attrs=None, implementation=None):
    """Compute one RNN, GRU or LSTM operator as ONNX defines it.

    Parameters
    ----------
    op : {"RNN", "GRU", "LSTM"}
    inputs : dict of str to array, by the standard's names
        X (T, N, I) or with layout 1 (N, T, I); W, R, B, sequence_lens, initial_h, initial_c, P; None is
        absent.
    attrs : dict, optional
        The operator's attributes by the standard's names.
    implementation : module with RNN, LSTM, GRU, optional

    Returns
    -------
    dict of str to numpy.ndarray
        Y (T, D, N, H), Y_h and for LSTM Y_c (D, N, H); with layout 1 Y (N, T, D, H), Y_h (N, D, H). Rows of
        length 0 are all zero, also in Y_h and Y_c.

    Raises
    ------
    RnncoreError
        UnsupportedError where the cells cannot compute it.
    """
    if op not in SLOTS:
        raise ArgumentError("op", "one of " + ", ".join(SLOTS), repr(op))
    arrays = {slot: np.asarray(value) for slot, value in inputs.items() if value is not None}
    if unknown := set(arrays) - set(SLOTS[op]):
        raise ArgumentError("inputs", "one of " + ", ".join(SLOTS[op]), min(unknown))
    node = Node(op, attrs or {}, arrays)
    _check_features(node)
    lengths = arrays.get("sequence_lens")
    results = [_run_direction(node, d, lengths, implementation) for d in range(node.D)]
    axis = 2  # of D: (T, N, D, H) and (N, T, D, H)
    y = np.stack([y for y, _ in results], axis)
    outputs = {"Y": y if node.batch_first else y.swapaxes(1, 2)}
    for k, name in enumerate(OUTPUTS[op][1:]):
        part = np.concatenate([state[k] for _, state in results])
        if lengths is not None:
            part[:, lengths == 0] = 0
        outputs[name] = part.swapaxes(0, 1) if node.batch_first else part
    return outputs


def _run_direction(node, d, lengths, implementation):
    """y in X's layout and the state's parts (1, N, H) of one direction."""
    record = make_record(node.op, node.op, CELLS[node.op], [_direction(node, d)], options=_options(node, d))
    reverse = node.direction == "reverse" or d == 1
    layer = build_layer(record.spec, record.parameters, implementation)
    runner = modules.Recurrent(layer, order="reverse" if reverse else "forward")
    names = ("initial_h", "initial_c") if node.op == "LSTM" else ("initial_h",)
    state = None
    if any(name in node.arrays for name in names):
        N = node.arrays["X"].shape[0 if node.batch_first else 1]
        shape = record.spec.state_shapes(N)[0]
        state = tuple(_initial(node, name, d, shape, record.spec.dtype) for name in names)
        state = state if node.op == "LSTM" else state[0]
    y, state = runner.call(node.arrays["X"], state, lengths=lengths)
    return y, (state if node.op == "LSTM" else (state,))


def _initial(node, name, d, shape, dtype):
    if name not in node.arrays:
        return np.zeros(shape, dtype)
    value = node.arrays[name].swapaxes(0, 1) if node.batch_first else node.arrays[name]
    checks.check_shape(name, value, (node.D, *shape[1:]))
    return value[d : d + 1]


# Export ----------------------------------------------------------------------------------------------------


def export(layer, path=None, *, state=False, lengths=False):
    """Make an ONNX model of a layer.

    Parameters
    ----------
    layer : RNN, LSTM or GRU
    path : path-like, optional
        Where to write it.
    state : bool
        Whether the model takes the initial state as inputs h0 (and c0), (L*D, N, H), and gives hn (and cn).
    lengths : bool
        Whether it takes lengths, int32 (N,). ONNX forgets the initial state of a row of length 0.

    Returns
    -------
    onnx.ModelProto
        Input x and output y as the layer's, T and N free; checked by onnx.checker.

    Raises
    ------
    UnsupportedError
        A projection, which ONNX has not; the package onnx is missing.

    Notes
    -----
    ONNX Runtime runs float32 models; it has no float64 recurrent kernels.
    """
    model = onnx_graph.build(layer, state, lengths)
    if path is not None:
        from .safetensors import replacing

        with replacing(path) as draft:
            draft.write_bytes(model.SerializeToString())
    return model
