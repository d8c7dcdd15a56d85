# SPDX-License-Identifier: MIT
"""minGRU and minLSTM in ONNX, which has no operator for them: the gates of all steps, and a Scan that takes the means.

    h_t = keep_t * h_{t-1} + new_t

`keep` and `new` see the input alone. Where there are lengths they are 1 and 0 at padding, so h waits there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UnsupportedError, shown
from ..spec import Spec
from ..spec.activations import FUNCTIONS

# Our functions by ONNX' names; those that are no operator of its own are written out below.
NAMES: dict[str, str] = {
    own: "".join(part.capitalize() for part in own.split("_")) for own in FUNCTIONS if own != "log_space"
}


def number_of(spec: Spec, name: str, value: float) -> float:
    """A number as an attribute holds it: in float32, whatever the model's type.

    Raises
    ------
    UnsupportedError
        A float64 layer computes with digits that are lost there.
    """
    if spec.dtype == np.float64 and float(np.float32(value)) != value:
        hint = "ONNX' attributes are float32"
        raise UnsupportedError(name, "a number that float32 holds for onnx", shown(value), hint)
    return value


class Scans:
    """The nodes of a layer, in order.

    Parameters
    ----------
    onnx : module
    spec : Spec
    source : str
        Of the input (T, N, I).
    state, lengths : bool
        Whether there are inputs h0 (L*D, N, H) and lengths (N,).
    """

    def __init__(self, onnx: Any, spec: Spec, source: str, state: bool, lengths: bool) -> None:
        self.onnx: Any = onnx
        self.spec: Spec = spec
        self.state: bool = state
        self.nodes: list[Any] = []
        self.valid: str | None = self._valid(source) if lengths else None
        self.zeros: str = "" if state else self._zeros(source)
        finals = []
        for k in range(spec.num_layers):
            found = [self._direction(source, k, d) for d in range(spec.directions)]
            ys, last = zip(*found, strict=True)
            source = ys[0] if len(ys) == 1 else self.op("Concat", *ys, axis=2)
            finals += last
        self.y: str = source
        if state:
            self.op("Concat", *(self.op("Unsqueeze", h, self.ints(0)) for h in finals), axis=0, output="hn")

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """A node of one output; gives its name."""
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def number(self, value: float) -> str:
        """A constant of the layer's type."""
        return self._constant(np.array(value, self.spec.dtype))

    def ints(self, *values: int) -> str:
        """A constant list of integers."""
        return self._constant(np.array(values, np.int64))

    def _constant(self, value: np.ndarray) -> str:
        return self.op("Constant", value=self.onnx.numpy_helper.from_array(value))

    def _valid(self, source: str) -> str:
        """Whether a step of a row is one, bools (T, N, 1)."""
        T = self.op("Squeeze", self.op("Shape", source, start=0, end=1))
        zero, one = (self._constant(np.array(value)) for value in (0, 1))
        steps = self.op("Unsqueeze", self.op("Range", zero, T, one), self.ints(1))
        own = self.op("Cast", "lengths", to=self.onnx.TensorProto.INT64)
        return self.op("Unsqueeze", self.op("Less", steps, own), self.ints(2))

    def _zeros(self, source: str) -> str:
        """An initial state (N, H)."""
        sizes = self.op("Shape", source, start=1, end=2), self.ints(self.spec.hidden_size)
        value = self.onnx.numpy_helper.from_array(np.zeros(1, self.spec.dtype))
        return self.op("ConstantOfShape", self.op("Concat", *sizes, axis=0), value=value)

    def _direction(self, source: str, k: int, d: int) -> tuple[str, str]:
        """y (T, N, H) and the final h (N, H) of one direction of layer k."""
        keep, new = self._shares(self._gates(source, k, d), d)
        if self.valid is not None:
            keep = self.op("Where", self.valid, keep, self.number(1))
            new = self.op("Where", self.valid, new, self.number(0))
        row = k * self.spec.directions + d
        first = self.op("Gather", "h0", self._constant(np.array(row)), axis=0) if self.state else self.zeros
        y, final = f"scan_{row}", f"final_{row}"
        self.nodes.append(
            self.onnx.helper.make_node(
                "Scan", [first, keep, new], [final, y], body=self._body(), num_scan_inputs=2,
                scan_input_directions=[d, d], scan_output_directions=[d],
            )
        )  # fmt: skip
        return (y if self.valid is None else self.op("Where", self.valid, y, self.number(0))), final

    def _body(self) -> Any:
        """h' = keep * h + new of one step."""
        helper = self.onnx.helper
        kind = helper.np_dtype_to_tensor_dtype(self.spec.dtype)
        names = ("h", "keep", "new"), ("next", "y")
        inputs, outputs = (
            [helper.make_tensor_value_info(name, kind, ("N", self.spec.hidden_size)) for name in some]
            for some in names
        )
        nodes = [
            helper.make_node("Mul", ["keep", "h"], ["kept"]),
            helper.make_node("Add", ["kept", "new"], ["next"]),
            helper.make_node("Identity", ["next"], ["y"]),
        ]
        return helper.make_graph(nodes, "step", inputs, outputs)

    def _gates(self, source: str, k: int, d: int) -> dict[str, str]:
        """Pre-activations (T, N, H) by gate, within the clip."""
        spec, row = self.spec, self._constant(np.array(d))
        weight = self.op("Transpose", self.op("Gather", f"W{k}", row, axis=0), perm=[1, 0])
        a = self.op("MatMul", source, weight)
        if spec.bias:
            a = self.op("Add", a, self.op("Gather", f"B{k}", row, axis=0))
        if spec.clip is not None:
            a = self.op("Clip", a, self.number(-spec.clip), self.number(spec.clip))
        names = [f"{gate}_{k}_{d}" for gate in spec.gate_names]
        self.nodes.append(self.onnx.helper.make_node("Split", [a], names, axis=2))
        return dict(zip(spec.gate_names, names, strict=True))

    def _shares(self, a: dict[str, str], d: int) -> tuple[str, str]:
        """What is kept of h, and what is new."""
        own = self.spec.functions(d)
        if self.spec.cell == "min_gru":
            new = self.op("Mul", self._function(own["z"], a["z"]), self._function(own["n"], a["n"]))
            if own["z"][0] == "sigmoid":  # not 1 - z, which loses digits where the gate is open
                return self.op("Sigmoid", self.op("Neg", a["z"])), new
            return self.op("Sub", self.number(1), self._function(own["z"], a["z"])), new
        keep, rest = self._quotients(own, a)
        return keep, self.op("Mul", rest, self._function(own["g"], a["g"]))

    def _quotients(self, own: dict[str, tuple[Any, ...]], a: dict[str, str]) -> tuple[str, str]:
        """f / (f + i) and i / (f + i)."""
        if own["i"][0] == own["f"][0] == "sigmoid":  # f / (f + i) = sigmoid(log f - log i): both may be tiny
            of_i, of_f = (self._softplus(self.op("Neg", a[gate])) for gate in "if")
            apart = self.op("Sub", of_i, of_f)
            return self.op("Sigmoid", apart), self.op("Sigmoid", self.op("Neg", apart))
        i, f = (self._function(own[gate], a[gate]) for gate in "if")
        total = self.op("Add", f, i)
        return self.op("Div", f, total), self.op("Div", i, total)

    def _softplus(self, x: str) -> str:
        if self.spec.dtype == np.float32:
            return self.op("Softplus", x)
        # ONNX Runtime has none of float64: max(x, 0) + log(1 + exp(-|x|)).
        e = self.op("Exp", self.op("Neg", self.op("Abs", x)))
        return self.op("Add", self.op("Relu", x), self.op("Log", self.op("Add", e, self.number(1))))

    def _function(self, entry: tuple[Any, ...], x: str) -> str:
        name, *parameters = entry
        if name == "affine":
            slope, offset = parameters
            x = x if slope == 1 else self.op("Mul", x, self.number(slope))
            return x if offset == 0 else self.op("Add", x, self.number(offset))
        if name == "scaled_tanh":
            slope, inner = map(self.number, parameters)
            return self.op("Mul", slope, self.op("Tanh", self.op("Mul", inner, x)))
        if name == "softplus":
            return self._softplus(x)
        if name == "log_space":
            above = self.op("Greater", x, self.number(0))
            return self.op("Where", above, self.op("Add", x, self.number(0.5)), self.op("Sigmoid", x))
        keys = ("alpha", "beta")
        given = {
            key: number_of(self.spec, "activations", value)
            for key, value in zip(keys, parameters, strict=False)
        }
        return self.op(NAMES[name], x, **given)
