# SPDX-License-Identifier: MIT
"""ONNX Runtime: plain session.run, and at its best with inputs and outputs bound to fixed buffers."""

import pathlib
import tempfile
from typing import Any, ClassVar

import numpy as np

from ..cases import Case, Problem
from . import onnx_graph
from .base import Peer


def quantized(model: bytes) -> bytes:
    """The model after quantize_dynamic: an LSTM's weights in 8 bits, a scale for each of its rows."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    kinds = {"op_types_to_quantize": ["LSTM"], "per_channel": True, "weight_type": QuantType.QInt8}
    with tempfile.TemporaryDirectory() as folder:
        target = pathlib.Path(folder, "quantized.onnx")
        quantize_dynamic(onnx.load_from_string(model), target, **kinds)
        return target.read_bytes()


class OnnxRuntime(Peer):
    """session.run with a dictionary of NumPy arrays."""

    name = "onnxruntime"
    title = "ONNX Runtime by run"
    needs: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnx")
    distribution = "onnxruntime"
    stores: ClassVar[tuple[str, ...]] = ("int8",)

    def __init__(self, case: Case, problem: Problem) -> None:
        super().__init__(case, problem)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = case.threads
        options.inter_op_num_threads = 1
        model = onnx_graph.build(case, problem)
        if case.store:
            model = quantized(model)
        self.session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.states: list[str] = onnx_graph.state_names(case) if case.mode == "step" else []
        self.reset()

    @classmethod
    def refuses(cls, case: Case) -> str:
        if case.trains:
            return "inference only"
        if case.store and case.cell != "lstm":
            return "quantises LSTM only"
        return "float32 only" if case.dtype != "float32" else ""

    def forward(self) -> np.ndarray:
        return self.session.run(["y"], {"x": self.problem.x})[0]

    def reset(self) -> None:
        zero = np.zeros((1, self.case.N, self.case.H), np.float32)
        self.feed: dict[str, np.ndarray] = dict.fromkeys(self.states, zero)

    def step(self, x: np.ndarray) -> np.ndarray:
        self.feed["x"] = x[None]
        y, *state = self.session.run(None, self.feed)
        self.feed = dict(zip(self.states, state, strict=True))
        return y[0]


class OnnxRuntimeBound(OnnxRuntime):
    """IOBinding to buffers that stay; a stream swaps two sets of state buffers."""

    name = "onnxruntime-bound"
    title = "ONNX Runtime"

    def __init__(self, case: Case, problem: Problem) -> None:
        super().__init__(case, problem)
        self.y: np.ndarray = np.empty((case.T, case.N, case.D * case.H), np.float32)
        self.x: np.ndarray = (
            problem.x if case.mode == "sequence" else np.empty((1, case.N, case.I), np.float32)
        )
        shape = (len(self.states), 1, case.N, case.H)
        self.buffers: tuple[np.ndarray, ...] = (np.zeros(shape, np.float32), np.zeros(shape, np.float32))
        self.bindings: list[Any] = [self._bind(*self.buffers), self._bind(*self.buffers[::-1])]
        self.turn: int = 0

    def _bind(self, old: np.ndarray, new: np.ndarray) -> Any:
        binding = self.session.io_binding()

        def pointer(array: np.ndarray) -> tuple[Any, ...]:
            return "cpu", 0, np.float32, array.shape, array.ctypes.data

        binding.bind_input("x", *pointer(self.x))
        binding.bind_output("y", *pointer(self.y))
        for name, before, after in zip(self.states, old, new, strict=True):
            binding.bind_input(name, *pointer(before))
            binding.bind_output(f"{name}_n", *pointer(after))
        return binding

    def forward(self) -> np.ndarray:
        self.session.run_with_iobinding(self.bindings[0])
        return self.y

    def reset(self) -> None:
        super().reset()
        self.turn = 0
        for buffer in getattr(self, "buffers", ()):
            buffer.fill(0)

    def step(self, x: np.ndarray) -> np.ndarray:
        self.x[0] = x
        self.session.run_with_iobinding(self.bindings[self.turn])
        self.turn = 1 - self.turn
        return self.y[0]
