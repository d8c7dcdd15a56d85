# SPDX-License-Identifier: MIT
"""ONNX: recurrent nodes of any model as layers, single operators by their inputs, and layers as models.

`load` reads the RNN, LSTM and GRU nodes of a model and fuses stacked ones where nothing else uses what lies
between; `run_node` computes one operator as the standard defines it; `export` makes a valid model of a layer.
The package onnx is imported when a model is read or made; `run_node` needs none.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import Any

from ..errors import FormatError, UnsupportedError
from . import onnx_export, onnx_wire
from .files import Path, parsing, reading, replacing
from .onnx_graph import Graph, attributes, name_of
from .onnx_node import OUTPUTS, SLOTS, Node, read_nodes, run_node
from .records import Contents, Record

__all__ = ["OUTPUTS", "SLOTS", "Node", "export", "is_model", "load", "read_nodes", "run_node"]


def is_model(path: Path, head: bytes) -> bool:
    """Whether a file that starts like this may be a model: its first field is ir_version, a small number."""
    return len(head) > 1 and head[0] == 8 and 0 < head[1] < 64


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
        `other` counts what else the graph computes. Weights behind DequantizeLinear, Cast and the like, and those of
        ONNX Runtime's DynamicQuantizeLSTM, become the floats that they stand for.

    Raises
    ------
    FormatError
        A damaged file.
    ArgumentError
        A name that no recurrent node has.

    Examples
    --------
    >>> model = rnncore.formats.onnx.export(rnncore.GRU(3, 4, num_layers=2, seed=0))
    >>> rnncore.formats.onnx.load(model).layer()
    rnncore.GRU(3, 4, num_layers=2)
    """
    if hasattr(source, "graph"):
        with parsing("model", "an ONNX model"):
            return _read_model(source, "model", ".", nodes, fuse)
    try:
        import onnx
    except ImportError as error:
        raise UnsupportedError(str(source), "the package onnx", "none installed") from error
    with reading(source, "an ONNX model"):
        onnx_wire.check(source)
        model = onnx.load(source, format="protobuf", load_external_data=False)
        return _read_model(model, source, str(pathlib.Path(source).parent), nodes, fuse)


def _read_model(model: Any, path: Path, base: str, nodes: Iterable[str] | None, fuse: bool) -> Contents:
    if not model.ir_version or not model.graph.node:
        raise FormatError(str(path), "an ONNX model with a graph", "none")
    graph = Graph(model, base)
    chains = graph.chains(nodes, fuse)
    found = Contents("onnx", other=graph.others(chains))
    found.chain_error = "of an ONNX graph only the recurrent nodes are read"
    for chain in chains:
        name = "+".join(map(name_of, chain))
        found.add(name, lambda name=name, chain=chain: _read_chain(graph, name, chain))
    return found


def _read_chain(graph: Graph, name: str, chain: list[Any]) -> Record:
    nodes = []
    for proto in chain:
        arrays = {}
        for slot, value in zip(SLOTS[proto.op_type], proto.input, strict=False):
            if value and slot in ("W", "R", "B", "P"):
                arrays[slot] = graph.constant(value, slot)
        nodes.append(Node(proto.op_type, attributes(proto), arrays))
    record = read_nodes(name, nodes, batch_first=bool(graph.turns(chain)))
    if given := dict.fromkeys(slot for slot, _ in graph.given(chain)):
        record.notes += (f"the graph gives {', '.join(given)}: pass lengths and state to the layer",)
    if any(graph.is_coded(value) for proto in chain for value in proto.input):
        record.notes += (
            'its weights were integers: quantize("int8") makes the layer compute with integers again',
        )
    return record


def export(layer: Any, path: Path | None = None, *, state: bool = False, lengths: bool = False) -> Any:
    """Make an ONNX model of a layer.

    Parameters
    ----------
    layer : RNN, LSTM, GRU, MinGRU or MinLSTM
        The last two, for which ONNX has no operator, as products over all steps and a Scan; `load` does not read that.
    path : path-like, optional
        Where to write it.
    state : bool
        Whether the model takes the initial state as inputs h0 (and c0), (L*D, N, H), and gives hn (and cn).
    lengths : bool
        Whether it takes lengths, int32 (N,). ONNX' operators forget the initial state of a row of length 0.

    Returns
    -------
    onnx.ModelProto
        Input x and output y as the layer's, T and N free; checked by onnx.checker.

    Raises
    ------
    UnsupportedError
        What ONNX has not: a projection, layer normalization, zoneout, different activations for i, f and o or for r
        and z, and in a float64 layer a clip or a parameter of an activation that float32 cannot hold; or the package
        onnx is missing.

    Notes
    -----
    ONNX Runtime runs float32 models; it has no float64 kernels of recurrent operators. Of a layer with a store the
    model holds the codes and scales of W and R with a DequantizeLinear, or halves with a Cast: a quarter or half of the
    bytes; ONNX Runtime computes in float32 with the rounded weights.

    Examples
    --------
    >>> model = rnncore.formats.onnx.export(rnncore.LSTM(3, 4, seed=0))
    >>> [node.op_type for node in model.graph.node]
    ['LSTM', 'Transpose', 'Reshape']
    """
    model = onnx_export.build(layer, state, lengths)
    if path is not None:
        with replacing(path) as draft:
            draft.write_bytes(model.SerializeToString())
    return model
