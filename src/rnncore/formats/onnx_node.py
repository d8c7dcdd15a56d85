# SPDX-License-Identifier: MIT
"""ONNX's recurrent operators: what a node asks for, as a layer, and one operator computed by its inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import spec as checks
from ..errors import ArgumentError, ShapeError, UnsupportedError, shown
from ..layers.build import build_layer
from ..nn import Recurrent
from ..spec import activations, gate_names
from ..spec.checks import finite
from .layouts import SATURATED, spread
from .onnx_scan import NAMES
from .records import CELLS, Record, make_record
from .systems import from_system

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
FUNCTIONS = {name.lower(): own for own, name in NAMES.items()}  # ONNX' names in lower case: ours
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}


def _is_text(value: Any) -> bool:
    return isinstance(value, (str, bytes))


def _is_flag(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and value in (0, 1)


def _are(test: Any) -> Any:
    return lambda value: isinstance(value, (list, tuple)) and all(map(test, value))


def _is_number(value: Any) -> bool:
    return finite(value) is not None or (isinstance(value, float) and value == np.inf)


# Attribute -> whether a value may be one, what is expected, and which operators have it.
ATTRIBUTES: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "direction": (_is_text, "one of " + ", ".join(DIRECTIONS), tuple(SLOTS)),
    "hidden_size": (lambda value: isinstance(value, (int, np.integer)), "an integer", tuple(SLOTS)),
    "layout": (_is_flag, "0 or 1", tuple(SLOTS)),
    "clip": (_is_number, "a number", tuple(SLOTS)),
    "activations": (_are(_is_text), "a list of names", tuple(SLOTS)),
    "activation_alpha": (_are(_is_number), "a list of numbers", tuple(SLOTS)),
    "activation_beta": (_are(_is_number), "a list of numbers", tuple(SLOTS)),
    "output_sequence": (_is_flag, "0 or 1", tuple(SLOTS)),  # up to opset 6, and without effect on numbers
    "linear_before_reset": (_is_flag, "0 or 1", ("GRU",)),
    "input_forget": (_is_flag, "0 or 1", ("LSTM",)),
}


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def check_op(op: Any) -> None:
    """ArgumentError unless it is a recurrent operator."""
    if not isinstance(op, str) or op not in SLOTS:
        raise ArgumentError("op", "one of " + ", ".join(SLOTS), shown(op))


@dataclasses.dataclass
class Node:
    """One recurrent operator: its kind, attributes, and the arrays it was given, by slot name.

    Raises
    ------
    RnncoreError
        Attributes that it has not, or values and arrays that contradict each other.
    """

    op: str
    attrs: Mapping[str, Any]
    arrays: dict[str, np.ndarray]

    def __post_init__(self) -> None:
        check_op(self.op)
        checks.check_type("attrs", self.attrs, Mapping, "a mapping of names to values")
        checks.check_type("arrays", self.arrays, Mapping, "a mapping of names to arrays")
        self.arrays = {slot: checks.read_array(slot, value) for slot, value in self.arrays.items()}
        for name, value in self.attrs.items():
            known, expected, ops = ATTRIBUTES.get(name, (None, "", ()))
            if self.op not in ops:
                names = ", ".join(name for name, row in ATTRIBUTES.items() if self.op in row[2])
                raise UnsupportedError(str(name), f"one of {self.op}'s attributes, {names}", "an unknown one")
            if not known(value):
                raise ArgumentError(name, expected, shown(value))
        for slot in ("W", "R"):
            if slot not in self.arrays or self.arrays[slot].ndim != 3:
                got = str(self.arrays[slot].shape) if slot in self.arrays else "nothing"
                raise ShapeError(slot, "shape (D, G*H, features)", got)
        if self.direction not in DIRECTIONS:
            raise ArgumentError("direction", "one of " + ", ".join(DIRECTIONS), shown(self.direction))
        for slot in ("W", "R", "B", "P"):
            if slot in self.arrays and self.arrays[slot].shape[:1] != (self.D,):
                raise ShapeError(slot, f"{self.D} directions", str(self.arrays[slot].shape))
        self._check_sizes()

    def _check_sizes(self) -> None:
        H, G = self.arrays["R"].shape[2], len(gate_names(CELLS[self.op]))
        if self.attrs.get("hidden_size", H) != H:
            raise ArgumentError("hidden_size", f"{H}, as R says", self.attrs["hidden_size"])
        shapes = {"R": (self.D, G * H, H), "W": (self.D, G * H, self.arrays["W"].shape[2])}
        for slot, shape in shapes.items():
            checks.check_shape(slot, self.arrays[slot], shape)

    @property
    def direction(self) -> str:
        """Where it reads."""
        return _text(self.attrs.get("direction", "forward"))

    @property
    def D(self) -> int:
        """Number of directions."""
        return DIRECTIONS[self.direction]

    @property
    def batch_first(self) -> bool:
        """Whether X is (N, T, I)."""
        return self.attrs.get("layout", 0) == 1

    @property
    def coupled(self) -> bool:
        """Whether there is no gate f."""
        return bool(self.attrs.get("input_forget", 0))

    @property
    def activations(self) -> list[tuple[Any, ...]]:
        """Per direction the functions of the groups, (name, *parameters) each.

        `activation_alpha` and `activation_beta` have values for the functions that take them, in order.
        """
        count = len(ACTIVATIONS[self.op])
        names = self.attrs.get("activations") or ACTIVATIONS[self.op] * self.D
        names = [_text(name) for name in names]
        if self.op == "RNN" and self.D == 1 and len(names) == 2 and names[0] == names[1]:
            names = names[:1]  # the standard's default is of two directions, whatever there are
        if len(names) != self.D * count:
            raise ArgumentError("activations", f"{self.D * count} names", str(len(names)))
        given = [iter(self.attrs.get(key) or ()) for key in ("activation_alpha", "activation_beta")]
        found = []
        for name in names:
            if name.lower() not in FUNCTIONS:
                raise UnsupportedError("activations", "one of " + ", ".join(NAMES.values()), shown(name))
            own = FUNCTIONS[name.lower()]
            pairs = zip(given, activations.FUNCTIONS[own], strict=False)
            found.append((own, *(float(next(values, default)) for values, default in pairs)))
        return [tuple(found[d * count : (d + 1) * count]) for d in range(self.D)]


def _clip(node: Node) -> float | None:
    """The clip where it may change a bit, else None."""
    clip = node.attrs.get("clip", 0)
    if not clip or clip == np.inf:
        return None
    gates = [name for names in node.activations for name, *_ in (names[:2] if node.op == "LSTM" else names)]
    saturating = all(name in ("sigmoid", "tanh") for name in gates)
    return None if saturating and clip >= SATURATED.get(node.arrays["W"].dtype, np.inf) else clip


def _has_peepholes(node: Node) -> bool:
    """Whether there are any; zeros do nothing."""
    return bool(np.any(node.arrays.get("P", 0)))


def _direction(node: Node, d: int, peepholes: bool) -> dict[str, np.ndarray]:
    """Canonical parameters of direction `d`, with peepholes or without."""
    bias = node.arrays["B"][d] if "B" in node.arrays else None
    W, R = node.arrays["W"][d], node.arrays["R"][d]
    peephole = node.arrays["P"][d] if "P" in node.arrays else np.zeros(len(R) // 4 * 3, R.dtype)
    after = bool(node.attrs.get("linear_before_reset", 0))
    options = {"reset_after": after, "coupled": node.coupled, "peephole": peephole if peepholes else None}
    return from_system("onnx", CELLS[node.op], W, R, bias, **options)


def _options(node: Node, directions: Sequence[int]) -> dict[str, Any]:
    """Fields of Spec that these directions of the node need."""
    options = {"batch_first": node.batch_first, "clip": _clip(node)}
    functions = node.activations
    options["activations"] = tuple(spread(CELLS[node.op], functions[d], node.coupled) for d in directions)
    if node.op == "LSTM":
        options["coupled"] = node.coupled
    if node.op == "GRU":
        options["reset_after"] = bool(node.attrs.get("linear_before_reset", 0))
    return options


def read_nodes(name: str, nodes: Sequence[Node], *, batch_first: bool = False) -> Record:
    """A Record of stacked nodes that agree in everything but their weights.

    Parameters
    ----------
    name : str
    nodes : sequence of Node
    batch_first : bool
        Whether the graph around them turns the input (N, T, I) into X.

    Raises
    ------
    RnncoreError
        They ask for functions that do not exist, or their arrays do not fit together.
    """
    checks.check_type("nodes", nodes, (list, tuple), "a list of nodes")
    if not nodes or not all(isinstance(node, Node) for node in nodes):
        raise ArgumentError("nodes", "one Node or more", shown(nodes))
    batch_first = checks.check_bool("batch_first", batch_first)
    first = nodes[0]
    options = _options(first, range(first.D)) | {"bidirectional": first.D == 2}
    options["batch_first"] |= batch_first
    peepholes = any(map(_has_peepholes, nodes))
    directions = [_direction(node, d, peepholes) for node in nodes for d in range(node.D)]
    order = "reverse" if first.direction == "reverse" else "forward"
    return make_record(name, f"onnx {first.op}", CELLS[first.op], directions, options=options, order=order)


def run_node(
    op: str, inputs: Mapping[str, Any], attrs: Mapping[str, Any] | None = None, implementation: Any = None
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

    Examples
    --------
    >>> import numpy as np
    >>> X, W, R = np.ones((4, 2, 3), "f4"), np.ones((1, 5, 3), "f4"), np.ones((1, 5, 5), "f4")
    >>> outputs = rnncore.formats.onnx.run_node("RNN", {"X": X, "W": W, "R": R})
    >>> outputs["Y"].shape, outputs["Y_h"].shape
    ((4, 1, 2, 5), (1, 2, 5))
    """
    check_op(op)
    checks.check_type("inputs", inputs, Mapping, "a mapping of names to arrays")
    arrays = {
        slot: checks.read_array(str(slot), value) for slot, value in inputs.items() if value is not None
    }
    if unknown := set(arrays) - set(SLOTS[op]):
        raise ArgumentError("inputs", "one of " + ", ".join(SLOTS[op]), min(map(str, unknown)))
    node = Node(op, {} if attrs is None else attrs, arrays)
    for slot in ("X", "initial_h", "initial_c"):
        if (slot == "X" or slot in arrays) and (slot not in arrays or arrays[slot].ndim != 3):
            got = str(arrays[slot].shape) if slot in arrays else "nothing"
            raise ShapeError(slot, "three axes", got)
    lengths = arrays.get("sequence_lens")
    results = [_run_direction(node, d, lengths, implementation) for d in range(node.D)]
    y = np.stack([y for y, _ in results], 2)  # (T, N, D, H) or (N, T, D, H)
    outputs = {"Y": y if node.batch_first else y.swapaxes(1, 2)}
    for k, name in enumerate(OUTPUTS[op][1:]):
        part = np.concatenate([state[k] for _, state in results])
        if lengths is not None:
            part[:, lengths == 0] = 0
        outputs[name] = part.swapaxes(0, 1) if node.batch_first else part
    return outputs


def _run_direction(
    node: Node, d: int, lengths: Any, implementation: Any
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """y in X's layout and the state's parts (1, N, H) of one direction."""
    directions = [_direction(node, d, _has_peepholes(node))]
    record = make_record(node.op, node.op, CELLS[node.op], directions, options=_options(node, [d]))
    reverse = node.direction == "reverse" or d == 1
    layer = build_layer(record.spec, record.parameters, implementation)
    runner = Recurrent(layer, order="reverse" if reverse else "forward")
    names = ("initial_h", "initial_c") if node.op == "LSTM" else ("initial_h",)
    state = None
    if any(name in node.arrays for name in names):
        N = node.arrays["X"].shape[0 if node.batch_first else 1]
        shape = record.spec.state_shapes(N)[0]
        state = tuple(_initial(node, name, d, shape, record.spec.dtype) for name in names)
        state = state if node.op == "LSTM" else state[0]
    y, state = runner.call(node.arrays["X"], state, lengths=lengths)
    return y, (state if node.op == "LSTM" else (state,))


def _initial(node: Node, name: str, d: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    if name not in node.arrays:
        return np.zeros(shape, dtype)
    value = node.arrays[name].swapaxes(0, 1) if node.batch_first else node.arrays[name]
    checks.check_shape(name, value, (node.D, *shape[1:]))
    return value[d : d + 1]
