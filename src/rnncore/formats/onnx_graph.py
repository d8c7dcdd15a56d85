# SPDX-License-Identifier: MIT
"""An ONNX model's graph: what is stored in it, which recurrent nodes are one layer, and what else it computes."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..errors import ArgumentError, UnsupportedError, shown
from .onnx_fold import DEQUANTIZE_LSTM, FOLD, plain

RECURRENT = ("RNN", "GRU", "LSTM")
STATES = (5, 6)  # places of initial_h and initial_c among a node's inputs

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
# Operators that lay numbers out anew, and all that move them about and compute none.
_LAYS_OUT = frozenset({"Concat", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
_MOVES = _LAYS_OUT | {
    "Cast",
    "Constant",
    "ConstantOfShape",
    "Expand",
    "Gather",
    "Shape",
    "Slice",
    "Split",
    "Tile",
}
# Of those: what they give are numbers of the first input.
_KEEPS_ZERO = _MOVES - {"Constant", "ConstantOfShape", "Concat", "Shape"}


# How far back a size is looked for.
MAX_STEPS = 256
# (T, D, N, H) to (T, N, D, H), and (T, N, ..) to (N, T, ..), as `Graph._step` says it.
_ROWS, _TURN = ("Transpose", [0, 2, 1, 3]), ("Transpose", [1, 0, 2])
# Attributes of a Constant beside the usual one, and what they hold.
_SCALARS = {"value_int": "i8", "value_ints": "i8", "value_float": "f4", "value_floats": "f4"}


def name_of(node: Any) -> str:
    """A node's name, or that of its first output."""
    return node.name or next((output for output in node.output if output), node.op_type)


def attributes(node: Any) -> dict[str, Any]:
    """A node's attributes as Python values."""
    import onnx

    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _bodies(node: Any) -> Iterator[Any]:
    """The graphs inside a node: bodies of If and Loop."""
    for attribute in node.attribute:
        yield attribute.g
        yield from attribute.graphs


def _free_names(graph: Any) -> Iterator[str]:
    """All names that the nodes of a body read, and those of its bodies."""
    for node in graph.node:
        yield from node.input
        for inner in _bodies(node):
            yield from _free_names(inner)


def _count_inner(graph: Any) -> int:
    own = sum(node.op_type in RECURRENT for node in graph.node)
    return own + sum(_count_inner(body) for node in graph.node for body in _bodies(node))


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
        self.nodes: list[Any] = [part for node in graph.node for part in plain(node, name_of(node))]
        self.base: str = base
        self.stored: dict[str, Any] = {tensor.name: tensor for tensor in graph.initializer}
        self.makers: dict[str, Any] = {
            output: node for node in self.nodes for output in node.output if output
        }
        self.users: dict[str, list[Any]] = collections.defaultdict(list)
        for node in self.nodes:
            for value in node.input:
                self.users[value].append(node)
            for body in _bodies(node):  # which see the values around them
                for value in _free_names(body):
                    self.users[value].append(node)
        self.inputs: dict[str, Any] = {
            value.name: value for value in graph.input if value.name not in self.stored
        }
        self.outputs: set[str] = {output.name for output in graph.output}
        # Folding may not make much more than the whole model holds (codes become floats, and those go through hands),
        # and no value twice.
        self.budget: int = 16 * model.ByteSize() + 2**20
        self.folded: dict[str, np.ndarray] = {}
        self.zeros: dict[str, bool] = {}
        self.recurrent: list[Any] = [
            n for n in self.nodes if n.op_type in RECURRENT and n.domain in ("", "ai.onnx")
        ]

    # Constants

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
            attrs = attributes(node)
            stored = attrs.get("value")
            if stored is not None and hasattr(stored, "dims"):
                return onnx.numpy_helper.to_array(stored, base_dir=self.base)
            for key, dtype in _SCALARS.items():
                if key in attrs:
                    return np.asarray(attrs[key], dtype)
        if node is None or node.op_type not in FOLD or not depth:
            got = f"{value!r}, made by {node.op_type}" if node is not None else f"{value!r}, an input"
            raise UnsupportedError(slot, "stored weights", got, "known only when the model runs")
        if value not in self.folded:
            parts = [self.constant(name, slot, depth - 1) for name in node.input if name]
            self._spend(slot, parts)
            self.folded[value] = FOLD[node.op_type](attributes(node), *parts)
            self._spend(slot, [self.folded[value]])  # a cast may widen
        return self.folded[value]

    def is_coded(self, value: str) -> bool:
        """Whether a value is a weight of an operator that computes with integers."""
        return value in self.makers and self.makers[value].op_type == DEQUANTIZE_LSTM

    def _spend(self, slot: str, arrays: Iterable[np.ndarray]) -> None:
        self.budget -= sum(array.nbytes for array in arrays)
        if self.budget < 0:
            raise UnsupportedError(slot, "weights no larger than the model", "larger ones")

    def is_stored(self, value: str) -> bool:
        """Whether a value depends on no input of the model."""
        todo, seen = [value], set()
        while todo:
            name = todo.pop()
            if name in self.inputs:
                return False
            if name not in seen and name in self.makers:
                seen.add(name)
                todo += [other for other in self.makers[name].input if other]
        return True

    def is_zero(self, value: str, depth: int = 32) -> bool:
        """Whether a value is zeros, of whatever shape; asked once of each, as sums of sums may name one many times."""
        if value not in self.zeros:
            self.zeros[value] = self._is_zero(value, depth)
        return self.zeros[value]

    def _is_zero(self, value: str, depth: int) -> bool:
        node = self.makers.get(value)
        if node is None or node.op_type == "Constant":
            return value not in self.inputs and not np.any(self.constant(value, "state"))
        if not depth:
            return False
        if node.op_type == "ConstantOfShape":
            fill = attributes(node).get("value")
            return fill is None or not any(
                (*fill.float_data, *fill.int32_data, *fill.double_data, *fill.raw_data)
            )
        if node.op_type == "Concat":
            return all(self.is_zero(part, depth - 1) for part in node.input)
        return node.op_type in _KEEPS_ZERO and self.is_zero(node.input[0], depth - 1)

    # Layers

    def chains(self, names: Iterable[str] | None, fuse: bool) -> list[list[Any]]:
        """The recurrent nodes in the graph's order, stacked ones together.

        Raises
        ------
        ArgumentError
            A name that no recurrent node has.
        """
        nodes = self.recurrent
        if names is not None:
            names, known = set(names), {name_of(node): node for node in nodes}
            for name in names:
                if name not in known:
                    raise ArgumentError("nodes", "one of " + (", ".join(known) or "no nodes"), shown(name))
            nodes = [node for node in nodes if name_of(node) in names]
        next_of = {id(node): self._next(node) if fuse else None for node in nodes}
        chosen = {id(node) for node in nodes}
        followers = {id(after) for after in next_of.values() if after is not None and id(after) in chosen}
        chains = []
        for head in nodes:
            if id(head) in followers:
                continue
            chain = [head]
            while (after := next_of.get(id(chain[-1]))) is not None and id(after) in followers:
                if any(after is node for node in chain):  # two nodes that claim one output
                    break
                chain.append(after)
            chains.append(chain)
        return chains

    def _only_user(self, value: str) -> Any:
        """The one node that reads a value's numbers, if the graph gives it to nobody else."""
        users = [node for node in self.users[value] if node.op_type != "Shape"]
        return users[0] if len(users) == 1 and value not in self.outputs else None

    def path(self, node: Any) -> tuple[list[Any], bool]:
        """The nodes after a recurrent one that only lay out its Y, and whether the last of them gives (.., D*H)."""
        if not node.output or not node.output[0]:
            return [], False
        seen, user = [], self._only_user(node.output[0])
        while user is not None and user.op_type in ("Squeeze", "Transpose", "Reshape") and len(seen) < 2:
            if user.input[0] != (seen[-1] if seen else node).output[0]:
                break
            seen.append(user)
            if self._flattens(seen, node):
                return seen, True
            user = self._only_user(user.output[0])
        return seen, False

    def _next(self, node: Any) -> Any:
        """The recurrent node that reads this one's Y, all of it and alone, and is alike; or None."""
        steps, flat = self.path(node)
        if not flat:
            return None
        user = self._only_user(steps[-1].output[0])
        if user is None or user.op_type != node.op_type or user.input[0] != steps[-1].output[0]:
            return None
        return user if self._alike(node, user) else None

    def _step(self, node: Any) -> tuple[str, list[int] | None]:
        """A layout node's kind and its constant argument; None for what is not constant."""
        attrs = attributes(node)
        if node.op_type not in ("Squeeze", "Reshape"):
            return node.op_type, attrs.get("perm")
        key = "axes" if node.op_type == "Squeeze" else "shape"
        if key in attrs:
            return node.op_type, list(attrs[key])
        try:
            return node.op_type, self.constant(node.input[1], key).tolist()
        except (UnsupportedError, IndexError):
            return node.op_type, None

    def _flattens(self, steps: list[Any], node: Any) -> bool:
        """Whether layout nodes turn Y into (T, N, D*H), or with layout 1 into (N, T, D*H), and do nothing else."""
        seen, attrs = [self._step(step) for step in steps], attributes(node)
        D = 2 if attrs.get("direction") == b"bidirectional" else 1
        width = D * attrs.get("hidden_size", 0)
        batch_first = attrs.get("layout", 0) == 1
        axis = 2 if batch_first else 1  # of D among four
        if D == 1 and seen in ([("Squeeze", [axis])], [("Squeeze", [axis - 4])]):
            return True
        if not batch_first:
            if seen[:1] != [_ROWS]:
                return False
            seen = seen[1:]
        kind, shape = seen[0] if len(seen) == 1 else ("", None)
        if kind != "Reshape" or shape is None or len(shape) != 3:
            return False
        return shape[2] in (-1, width) and (shape[:2] == [0, 0] or shape[:2] == self._sizes(node))

    def _sizes(self, node: Any) -> list[int] | None:
        """The first two sizes of X where the graph says them: a model may be made for one T and N alone."""
        value, turned = node.input[0], False
        for _ in range(MAX_STEPS):
            maker = self.makers.get(value)
            if maker is None:
                break
            if maker.op_type in (*RECURRENT, "Squeeze", "Reshape") or self._step(maker) == _ROWS:
                value = maker.input[0]
            elif self._step(maker) == _TURN:
                value, turned = maker.input[0], not turned
            else:
                return None
        if value not in self.inputs:
            return None
        sizes = [dim.dim_value for dim in self.inputs[value].type.tensor_type.shape.dim][:2]
        sizes = sizes[::-1] if turned else sizes
        return sizes if len(sizes) == 2 and all(sizes) else None

    def _alike(self, one: Any, two: Any) -> bool:
        a, b = attributes(one), attributes(two)
        if any(a.get(key) != b.get(key) for key in _SHARED):
            return False
        inputs = [[*node.input, *[""] * 8] for node in (one, two)]
        same_bias = bool(inputs[0][3]) == bool(inputs[1][3])
        return same_bias and inputs[0][4] == inputs[1][4]  # the same sequence_lens

    # What is around them

    def turns(self, chain: list[Any]) -> list[Any]:
        """The nodes by which a graph that is batch-first turns a chain's input and output; none if it is not."""
        before = self.makers.get(chain[0].input[0])
        if before is None or self._only_user(chain[0].input[0]) is not chain[0]:
            return []
        if self._step(before) != _TURN or attributes(chain[0]).get("layout", 0) == 1:
            return []
        steps, flat = self.path(chain[-1])
        after = self._only_user(steps[-1].output[0]) if flat else None
        if after is not None and self._step(after) == _TURN:
            return [before, after]
        return [before] if not chain[-1].output[0] or not self.users[chain[-1].output[0]] else []

    def given(self, chain: list[Any]) -> list[tuple[str, str]]:
        """(slot, value) of the lengths and states that a chain is given, but for states that are zero."""
        found = []
        for node in chain:
            for k, slot in ((4, "sequence_lens"), (5, "initial_h"), (6, "initial_c")):
                value = node.input[k] if k < len(node.input) else ""
                if value and not (k in STATES and self.is_zero(value)):
                    found.append((slot, value))
        return found

    def others(self, chains: list[list[Any]]) -> list[str]:
        """What the graph computes beside these recurrent nodes, in words; moving numbers about is not counted."""
        known = {id(node) for chain in chains for node in chain}
        for chain in chains:
            known |= {id(node) for node in self.turns(chain)}
            for node in chain:
                known |= {id(step) for step in self.path(node)[0] if self.path(node)[1]}
        known |= self._serving(known) | self._joining(known)
        rest = [node for node in self.nodes if id(node) not in known and node.op_type != "Constant"]
        counts = collections.Counter(node.op_type for node in rest)
        found = [f"{count} {op}" for op, count in sorted(counts.items())]
        stored = {
            f"{slot}, stored"
            for chain in chains
            for slot, value in self.given(chain)
            if slot != "sequence_lens" and self.is_stored(value)
        }
        inner = sum(_count_inner(body) for node in self.nodes for body in _bodies(node))
        bodies = [f"{inner} recurrent nodes in bodies of If or Loop, not read"] if inner else []
        return found + sorted(stored) + bodies

    def _serving(self, known: set[int]) -> set[int]:
        """Nodes that only prepare weights, or move the numbers of lengths and states, for nodes that are known."""
        serving: set[int] = set()
        for node in reversed(self.nodes):
            if node.op_type not in _MOVES | FOLD.keys() or any(name in self.outputs for name in node.output):
                continue
            if node.op_type not in _MOVES and not all(self.is_stored(name) for name in node.input):
                continue
            uses = [(user, name) for name in node.output for user in self.users[name]]
            if uses and all(self._serves(user, name, known, serving) for user, name in uses):
                serving.add(id(node))
        return serving

    @staticmethod
    def _serves(user: Any, name: str, known: set[int], serving: set[int]) -> bool:
        if id(user) in serving:
            return True
        return id(user) in known and name not in list(user.input[:1])

    def _joining(self, known: set[int]) -> set[int]:
        """Nodes that only put final states together."""
        names = {name for node in self.recurrent if id(node) in known for name in node.output[1:] if name}
        joining: set[int] = set()
        for node in self.nodes:
            data = list(node.input if node.op_type == "Concat" else node.input[:1])
            if node.op_type in _LAYS_OUT and data and all(name in names for name in data):
                joining.add(id(node))
                names |= set(node.output)
        return joining
