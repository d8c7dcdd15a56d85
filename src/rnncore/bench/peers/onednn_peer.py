# SPDX-License-Identifier: MIT
"""oneDNN called directly: its recurrent primitives with weights packed once, in the order that each likes best."""

import importlib.metadata
from typing import Any, ClassVar

import numpy as np

from ..cases import GATES, Case, Problem
from . import onednn_api as api
from .base import Peer, gate_blocks

ORDER: dict[str, tuple[int, ...]] = {"rnn": (0,), "lstm": (0, 1, 2, 3), "gru": (1, 0, 2)}
"""oneDNN's gate blocks (LSTM i f g o, GRU z r n) out of PyTorch's; of the GRU, the way back, too."""


class Part:
    """Layers that one primitive computes: those of equal input size, one after the other, or both directions of one.

    Its arrays are in oneDNN's plain order: weights (layer, direction, input, gate, unit), biases (layer, direction,
    gate, unit), states (layer, direction, N, H).
    """

    def __init__(
        self, dnnl: api.Engine, case: Case, problem: Problem, layers: list[int], x: np.ndarray, y: np.ndarray
    ) -> None:
        self.dnnl = dnnl
        self.case = case
        self.tails: list[str] = [tail for layer, tail in case.directions() if layer in layers]
        self.lead: tuple[int, int] = (len(layers), case.D)
        self.arrays: dict[str, np.ndarray] = {
            "src_layer": x,
            "weights_layer": self._matrices(problem, "weight_ih"),
            "weights_iter": self._matrices(problem, "weight_hh"),
            "bias": self._biases(problem),
            "dst_layer": y,
        }
        self.direction: int = api.BOTH_WAYS if case.D == 2 else api.LEFT_TO_RIGHT
        self.memories: dict[int, Any] = {}

    def _matrices(self, problem: Problem, name: str) -> np.ndarray:
        order, H = ORDER[self.case.cell], self.case.H
        found = [gate_blocks(problem.params[f"{name}_{tail}"], order, H) for tail in self.tails]
        wide = np.stack([w.reshape(len(order), H, -1).transpose(2, 0, 1) for w in found])
        return np.ascontiguousarray(wide.reshape(*self.lead, *wide.shape[1:]))

    def _biases(self, problem: Problem) -> np.ndarray:
        """Both of PyTorch's added; the GRU's n has them apart, the recurrent one in a fourth row."""
        order, H = ORDER[self.case.cell], self.case.H
        found = []
        for tail in self.tails:
            ih, hh = (
                gate_blocks(problem.params[f"{name}_{tail}"], order, H).reshape(-1, H)
                for name in ("bias_ih", "bias_hh")
            )
            apart = (
                np.stack([ih[0] + hh[0], ih[1] + hh[1], ih[2], hh[2]]) if self.case.cell == "gru" else ih + hh
            )
            found.append(apart)
        return np.ascontiguousarray(np.stack(found).reshape(*self.lead, -1, H))

    def _shapes(self) -> dict[str, Any]:
        dnnl = self.dnnl
        free = ("weights_layer", "weights_iter")
        return {
            name: (dnnl.shape if name in free else dnnl.rows)(*array.shape)
            for name, array in self.arrays.items()
        }

    def _arguments(self, primitive: Any) -> dict[int, Any]:
        """Memory objects, weights in the order that the primitive wants."""
        dnnl = self.dnnl
        found = {}
        for name, array in self.arrays.items():
            number = api.ARGUMENTS[name.removeprefix("diff_")] + api.DIFF * name.startswith("diff_")
            packs = name in ("weights_layer", "weights_iter")
            found[number] = dnnl.packed(array, dnnl.wanted(primitive, number)) if packs else dnnl.view(array)
        return found

    def inference(self, states: dict[str, np.ndarray] | None = None) -> tuple[Any, ...]:
        """The call of a forward pass, from and to states where they are given."""
        self.arrays.update(states or {})
        primitive = self.dnnl.recurrent(self.case.cell, api.INFERENCE, self.direction, self._shapes())
        self.memories.update({} if self.memories else self._arguments(primitive))
        for name, array in (states or {}).items():
            self.memories[api.ARGUMENTS[name]] = self.dnnl.view(array)
        return self.dnnl.call(primitive, self.memories)

    def training(self, dx: np.ndarray, dy: np.ndarray) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """The calls of a forward and of a backward pass; gradients are overwritten."""
        dnnl, cell, workspace = self.dnnl, self.case.cell, api.ARGUMENTS["workspace"]
        # Without initial states it multiplies the first step's gradients with what lies before h in its memory.
        states = ("src_iter", "src_iter_c") if cell == "lstm" else ("src_iter",)
        for name in states:
            self.arrays[name] = np.zeros((*self.lead, self.case.N, self.case.H), np.float32)
        forward = dnnl.recurrent(cell, api.TRAINING, self.direction, self._shapes())
        first = self._arguments(forward)
        first[workspace] = dnnl.memory(dnnl.wanted(forward, workspace))
        begin = dnnl.call(forward, first)
        self.arrays.update({"diff_src_layer": dx, "diff_dst_layer": dy})
        for name in ("weights_layer", "weights_iter", "bias", *states):
            self.arrays[f"diff_{name}"] = np.zeros_like(self.arrays[name])
        backward = dnnl.recurrent(cell, api.BACKWARD, self.direction, self._shapes(), forward)
        return begin, dnnl.call(backward, {**self._arguments(backward), workspace: first[workspace]})

    def gradients(self) -> dict[str, np.ndarray]:
        """By PyTorch's names and in its order."""
        order, H = ORDER[self.case.cell], self.case.H
        found = {}
        for name, own in (("weight_ih", "weights_layer"), ("weight_hh", "weights_iter")):
            wide = self.arrays[f"diff_{own}"]
            for tail, grad in zip(self.tails, wide.reshape(len(self.tails), *wide.shape[2:]), strict=True):
                rows = grad.transpose(1, 2, 0).reshape(GATES[self.case.cell] * H, -1)
                found[f"{name}_{tail}"] = gate_blocks(rows, order, H)
        biases = self.arrays["diff_bias"].reshape(len(self.tails), -1, H)
        for tail, grad in zip(self.tails, biases, strict=True):
            apart = (grad[:3], grad[[0, 1, 3]]) if self.case.cell == "gru" else (grad, grad)
            for name, rows in zip(("bias_ih", "bias_hh"), apart, strict=True):
                found[f"{name}_{tail}"] = gate_blocks(rows.reshape(-1), order, H)
        return found


class OneDnn(Peer):
    """Primitives made once, on NumPy's memory; one ctypes call executes each. A stream swaps two sets of states."""

    name = "onednn"
    title = "oneDNN"
    distribution = api.DISTRIBUTION
    isas: ClassVar[tuple[str, ...]] = ("avx2",)

    def __init__(self, case: Case, problem: Problem) -> None:
        super().__init__(case, problem)
        self.dnnl: api.Engine = api.Engine()
        steps = 1 if case.mode == "step" else case.T
        self.x: np.ndarray = np.ascontiguousarray(problem.x[:steps])
        self.parts: list[Part] = []
        self.dx: np.ndarray = np.zeros_like(self.x)
        groups = self._groups()
        values = [self.x, *(np.zeros((steps, case.N, case.D * case.H), np.float32) for _ in groups)]
        for layers, x, y in zip(groups, values[:-1], values[1:], strict=True):
            self.parts.append(Part(self.dnnl, case, problem, layers, x, y))
        self.y: np.ndarray = values[-1]
        if case.mode == "train":
            slopes = [self.dx, *(np.zeros_like(value) for value in values[1:-1]), problem.dy]
            pairs = [p.training(*own) for p, *own in zip(self.parts, slopes[:-1], slopes[1:], strict=True)]
            self.calls: list[Any] = [first for first, _ in pairs] + [last for _, last in pairs[::-1]]
        elif case.mode == "step":
            self._make_steps()
        else:
            self.calls = [part.inference() for part in self.parts]

    @classmethod
    def missing(cls) -> str:
        try:
            return "" if api.find() else f"{api.DISTRIBUTION}'s libdnnl.so.3"
        except importlib.metadata.PackageNotFoundError:
            return api.DISTRIBUTION

    @classmethod
    def preload(cls) -> None:
        api.load()

    @classmethod
    def version(cls) -> str:
        return api.version()

    @classmethod
    def environment(cls, threads: int) -> dict[str, str]:
        return {"OMP_NUM_THREADS": str(threads)}

    @classmethod
    def refuses(cls, case: Case) -> str:
        if case.mode == "fit":
            return "has no optimiser"
        return "float32 only" if case.dtype != "float32" else ""

    def _groups(self) -> list[list[int]]:
        groups: list[list[int]] = [[0]]
        for layer in range(1, self.case.L):
            equal = self.case.layer_input(layer) == self.case.layer_input(layer - 1)
            if self.case.D == 1 and equal:
                groups[-1].append(layer)
            else:
                groups.append([layer])
        return groups

    def _make_steps(self) -> None:
        parts = ("src_iter", "dst_iter") + (("src_iter_c", "dst_iter_c") if self.case.cell == "lstm" else ())
        self.states: list[np.ndarray] = []
        self.steps: list[list[Any]] = [[], []]
        for part in self.parts:
            shape = (*part.lead, self.case.N, self.case.H)
            old = {name: np.zeros(shape, np.float32) for name in parts}
            new = {
                a: old[b]
                for one, two in zip(parts[::2], parts[1::2], strict=True)
                for a, b in ((one, two), (two, one))
            }
            self.states += old.values()
            for calls, states in zip(self.steps, (old, new), strict=True):
                calls.append(part.inference(states))
        self.turn: int = 0

    def forward(self) -> np.ndarray:
        self.dnnl.run(self.calls)
        return self.y

    def reset(self) -> None:
        self.turn = 0
        for state in self.states:
            state.fill(0)

    def step(self, x: np.ndarray) -> np.ndarray:
        self.x[0] = x
        self.dnnl.run(self.steps[self.turn])
        self.turn = 1 - self.turn
        return self.y[0]

    def train(self) -> None:
        self.dnnl.run(self.calls)

    def gradients(self) -> dict[str, np.ndarray]:
        found = {"x": self.dx}
        for part in self.parts:
            found.update(part.gradients())
        return found
