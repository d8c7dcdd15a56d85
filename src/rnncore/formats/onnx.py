# SPDX-License-Identifier: MIT
"""ONNX: recurrent nodes of any model as layers, single operators by their inputs, and layers as models.

`load` reads the RNN, LSTM and GRU nodes of a model and fuses stacked ones where nothing else uses what lies
between; `run_node` computes one operator as the standard defines it; `export` makes a valid model of a layer.
The package onnx is imported when a model is read or made; `run_node` needs none.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import nn
from .. import spec as checks
from ..errors import ArgumentError, FormatError, ShapeError, UnsupportedError
from ..layers.build import build_layer
from ..layers.layers import Layer
from ..spec import activations
from . import onnx_graph
from .files import Path, reading, replacing
from .layouts import SATURATED, from_system, spread
from .records import CELLS, Contents, Record, make_record

SLOTS: dict[str, tuple[str, ...]] = {
    "RNN": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "GRU": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "LSTM": ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"),
}
OUTPUTS: dict[str, tuple[str, ...]] = {"RNN": ("Y", "Y_h"), "GRU": ("Y", "Y_h"), "LSTM": ("Y", "Y_h", "Y_c")}
ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "RNN": ("tanh",),
    "GRU": ("sigmoid", "tanh"),
    "LSTM": ("sigmoid", "tanh", "tanh"),
}
FUNCTIONS = {name.lower(): own for own, name in onnx_graph.NAMES.items()}  # ONNX' names in lower case: ours
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}


@dataclasses.dataclass
class Node:
    """One recurrent operator: its kind, attributes, and the arrays it was given, by slot name."""

    op: str
    attrs: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def __post_init__(self) -> None:
        for slot in ("W", "R"):
            if slot not in self.arrays or self.arrays[slot].ndim != 3:
                raise ShapeError(slot, "shape (D, G*H, features)", "another rank or nothing")
        if self.direction not in DIRECTIONS:
            raise ArgumentError("direction", "one of " + ", ".join(DIRECTIONS), repr(self.direction))
        for slot in {"W", "R", "B", "P"} & set(self.arrays):
            if len(self.arrays[slot]) != self.D:
                raise ShapeError(slot, f"{self.D} directions", str(self.arrays[slot].shape))

    @property
    def direction(self) -> str:
        value = self.attrs.get("direction", "forward")
        return value.decode() if isinstance(value, bytes) else value

    @property
    def D(self) -> int:
        return DIRECTIONS[self.direction]

    @property
    def batch_first(self) -> bool:
        return self.attrs.get("layout", 0) == 1

    @property
    def coupled(self) -> bool:
        return self.op == "LSTM" and bool(self.attrs.get("input_forget", 0))

    @property
    def activations(self) -> list[tuple[tuple[Any, ...], ...]]:
        """Per direction the functions of the groups, (name, *parameters) each.

        `activation_alpha` and `activation_beta` have values for the functions that take them, in order.
        """
        count = len(ACTIVATIONS[self.op])
        names = self.attrs.get("activations") or ACTIVATIONS[self.op] * self.D
        if len(names) != self.D * count:
            raise ArgumentError("activations", f"{self.D * count} names", str(len(names)))
        given = [iter(self.attrs.get(key) or ()) for key in ("activation_alpha", "activation_beta")]
        found = []
        for name in names:
            name = name.decode() if isinstance(name, bytes) else str(name)
            if name.lower() not in FUNCTIONS:
                raise UnsupportedError(
                    "activations", "one of " + ", ".join(onnx_graph.NAMES.values()), repr(name)
                )
            own = FUNCTIONS[name.lower()]
            defaults = activations.FUNCTIONS[own]
            parameters = [
                float(next(values, default)) for values, default in zip(given, defaults, strict=False)
            ]
            found.append((own, *parameters))
        return [tuple(found[d * count : (d + 1) * count]) for d in range(self.D)]


def _clip(node):
    """The clip where it may change a bit, else None."""
    clip = node.attrs.get("clip", 0)
    if not clip or clip == np.inf:
        return None
    gates = [name for names in node.activations for name, *_ in (names[:2] if node.op == "LSTM" else names)]
    saturating = all(name in ("sigmoid", "tanh") for name in gates)
    return None if saturating and clip >= SATURATED.get(node.arrays["W"].dtype, np.inf) else clip


def _has_peepholes(node):
    """Whether there are any; zeros do nothing."""
    return bool(np.any(node.arrays.get("P", 0)))


def _direction(node, d, peepholes):
    """Canonical parameters of direction `d`, with peepholes or without."""
    bias = node.arrays["B"][d] if "B" in node.arrays else None
    W, R = node.arrays["W"][d], node.arrays["R"][d]
    peephole = node.arrays["P"][d] if "P" in node.arrays else np.zeros(len(R) // 4 * 3, R.dtype)
    peephole = peephole if peepholes else None
    after = bool(node.attrs.get("linear_before_reset", 0))
    options = {"reset_after": after, "coupled": node.coupled}
    return from_system("onnx", CELLS[node.op], W, R, bias, peephole=peephole, **options)


def _options(node, directions):
    """Fields of Spec that these directions of the node need."""
    options = {"batch_first": node.batch_first, "clip": _clip(node)}
    functions = node.activations
    options["activations"] = tuple(spread(CELLS[node.op], functions[d], node.coupled) for d in directions)
    if node.op == "LSTM":
        options["coupled"] = node.coupled
    if node.op == "GRU":
        options["reset_after"] = bool(node.attrs.get("linear_before_reset", 0))
    return options


def read_nodes(name: str, nodes: Sequence[Node]) -> Record:
    """A Record of stacked nodes that agree in everything but their weights.

    Raises
    ------
    RnncoreError
        They ask for functions that do not exist, or their arrays do not fit together.
    """
    first = nodes[0]
    options = _options(first, range(first.D)) | {"bidirectional": first.D == 2}
    peepholes = any(map(_has_peepholes, nodes))
    directions = [_direction(node, d, peepholes) for node in nodes for d in range(node.D)]
    order = "reverse" if first.direction == "reverse" else "forward"
    return make_record(name, f"onnx {first.op}", CELLS[first.op], directions, options=options, order=order)


def load(source: Any, nodes: Iterable[str] | None = None, *, fuse: bool = True) -> Contents:
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


def run_node(
    op: str, inputs: Mapping[str, Any], attrs: dict[str, Any] | None = None, implementation: Any = None
) -> dict[str, np.ndarray]:
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
        What is wrong with the inputs or attributes.
    """
    if op not in SLOTS:
        raise ArgumentError("op", "one of " + ", ".join(SLOTS), repr(op))
    arrays = {slot: np.asarray(value) for slot, value in inputs.items() if value is not None}
    if unknown := set(arrays) - set(SLOTS[op]):
        raise ArgumentError("inputs", "one of " + ", ".join(SLOTS[op]), min(unknown))
    node = Node(op, attrs or {}, arrays)
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
    directions = [_direction(node, d, _has_peepholes(node))]
    record = make_record(node.op, node.op, CELLS[node.op], directions, options=_options(node, [d]))
    reverse = node.direction == "reverse" or d == 1
    layer = build_layer(record.spec, record.parameters, implementation)
    runner = nn.Recurrent(layer, order="reverse" if reverse else "forward")
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


def export(layer: Layer[Any], path: Path | None = None, *, state: bool = False, lengths: bool = False) -> Any:
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
        A projection, which ONNX has not, or different activations for i, f and o or for r and z; the package onnx is
        missing.

    Notes
    -----
    ONNX Runtime runs float32 models; it has no float64 recurrent kernels.
    """
    model = onnx_graph.build(layer, state, lengths)
    if path is not None:
        with replacing(path) as draft:
            draft.write_bytes(model.SerializeToString())
    return model
