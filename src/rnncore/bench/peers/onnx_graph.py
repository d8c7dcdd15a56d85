# SPDX-License-Identifier: MIT
"""A case as an ONNX model, for the run times that read ONNX. Sizes are fixed in the graph: the best case for
them.

Inputs: ``x`` (T, N, I) and, for a stream, ``h<layer>`` and ``c<layer>`` (1, N, H). Outputs: ``y`` (T, N, D*H)
and, for a stream, ``h<layer>_n`` and ``c<layer>_n``.
"""

from typing import Any

import numpy as np

from ..cases import Case, Problem
from .base import gate_blocks

ORDER: dict[str, tuple[int, ...]] = {"rnn": (0,), "lstm": (0, 3, 1, 2), "gru": (1, 0, 2)}
"""ONNX's gate blocks (LSTM i o f c, GRU z r h) out of PyTorch's (i f g o, r z n)."""
OPSET = 17
IR_VERSION = 8


def state_names(case: Case) -> list[str]:
    """Names of the state inputs of a stream: h0, c0, h1, ... ; the outputs have ``_n`` appended."""
    kinds = ("h", "c") if case.cell == "lstm" else ("h",)
    return [f"{kind}{layer}" for layer in range(case.L) for kind in kinds]


def _weights(case: Case, problem: Problem, layer: int) -> dict[str, np.ndarray]:
    order = ORDER[case.cell]
    found: dict[str, list[np.ndarray]] = {"W": [], "R": [], "B": []}
    for tail in [tail for number, tail in case.directions() if number == layer]:
        take = {
            part: gate_blocks(problem.params[f"{part}_{tail}"], order, case.H)
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        found["W"].append(take["weight_ih"])
        found["R"].append(take["weight_hh"])
        found["B"].append(np.concatenate([take["bias_ih"], take["bias_hh"]]))
    return {f"{part}{layer}": np.stack(values) for part, values in found.items()}


def _layer_nodes(helper: Any, case: Case, layer: int, source: str, target: str) -> list[Any]:
    """The recurrent node and those that turn its (T, D, N, H) into (T, N, D*H)."""
    stream = case.mode == "step"
    inputs = [source, f"W{layer}", f"R{layer}", f"B{layer}", ""]
    outputs = [f"raw{layer}"]
    if stream:
        inputs += [f"h{layer}"] + ([f"c{layer}"] if case.cell == "lstm" else [])
        outputs += [f"h{layer}_n"] + ([f"c{layer}_n"] if case.cell == "lstm" else [])
    options = {"linear_before_reset": 1} if case.cell == "gru" else {}
    direction = "bidirectional" if case.D == 2 else "forward"
    node = helper.make_node(
        case.cell.upper(), inputs, outputs, hidden_size=case.H, direction=direction, **options
    )
    if case.D == 1:
        return [node, helper.make_node("Squeeze", [f"raw{layer}", "axis"], [target])]
    return [
        node,
        helper.make_node("Transpose", [f"raw{layer}"], [f"rows{layer}"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", [f"rows{layer}", "shape"], [target]),
    ]


def build(case: Case, problem: Problem) -> bytes:
    """Serialised model of a float32 case. Needs the package onnx."""
    import onnx
    from onnx import helper, numpy_helper

    nodes, constants = [], {"axis": np.array([1], np.int64), "shape": np.array([0, 0, -1], np.int64)}
    for layer in range(case.L):
        source = "x" if layer == 0 else f"y{layer - 1}"
        nodes += _layer_nodes(helper, case, layer, source, "y" if layer == case.L - 1 else f"y{layer}")
        constants.update(_weights(case, problem, layer))
    kind = onnx.TensorProto.FLOAT
    state = (1, case.N, case.H)
    inputs = [helper.make_tensor_value_info("x", kind, (case.T, case.N, case.I))]
    outputs = [helper.make_tensor_value_info("y", kind, (case.T, case.N, case.D * case.H))]
    if case.mode == "step":
        inputs += [helper.make_tensor_value_info(name, kind, state) for name in state_names(case)]
        outputs += [helper.make_tensor_value_info(f"{name}_n", kind, state) for name in state_names(case)]
    used = {name for node in nodes for name in node.input}
    initial = [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used]
    graph = helper.make_graph(nodes, case.problem_name, inputs, outputs, initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model.SerializeToString()
