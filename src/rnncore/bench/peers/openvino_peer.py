# SPDX-License-Identifier: MIT
"""OpenVINO on the CPU, fed the same ONNX model, tensors sharing NumPy's memory, float32 arithmetic."""

from typing import Any, ClassVar

import numpy as np

from ..cases import Case, Problem
from . import onnx_graph
from .base import Peer


class OpenVino(Peer):
    """One inference request per set of buffers; a stream swaps two."""

    name = "openvino"
    title = "OpenVINO"
    needs: ClassVar[tuple[str, ...]] = ("openvino", "onnx")
    distribution = "openvino"
    isas: ClassVar[tuple[str, ...]] = ("avx2",)

    def __init__(self, case: Case, problem: Problem) -> None:
        super().__init__(case, problem)
        import openvino

        core = openvino.Core()
        model = core.read_model(onnx_graph.build(case, problem))
        # Without the precision hint it computes in bfloat16 where the CPU can.
        options = {
            "INFERENCE_NUM_THREADS": case.threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": 1,
        }
        self.compiled: Any = core.compile_model(model, "CPU", options)
        self.tensor: Any = openvino.Tensor
        self.states: list[str] = onnx_graph.state_names(case) if case.mode == "step" else []
        self.y: np.ndarray = np.empty((case.T, case.N, case.D * case.H), np.float32)
        self.x: np.ndarray = (
            problem.x if case.mode == "sequence" else np.empty((1, case.N, case.I), np.float32)
        )
        shape = (len(self.states), 1, case.N, case.H)
        self.buffers: tuple[np.ndarray, ...] = (np.zeros(shape, np.float32), np.zeros(shape, np.float32))
        self.requests: list[Any] = [self._request(*self.buffers), self._request(*self.buffers[::-1])]
        self.turn: int = 0

    def _request(self, old: np.ndarray, new: np.ndarray) -> Any:
        request = self.compiled.create_infer_request()
        request.set_tensor("x", self.tensor(self.x, shared_memory=True))
        request.set_tensor("y", self.tensor(self.y, shared_memory=True))
        for name, before, after in zip(self.states, old, new, strict=True):
            request.set_tensor(name, self.tensor(before, shared_memory=True))
            request.set_tensor(f"{name}_n", self.tensor(after, shared_memory=True))
        return request

    @classmethod
    def refuses(cls, case: Case) -> str:
        if case.trains:
            return "inference only"
        return "float32 only" if case.dtype != "float32" else ""

    def forward(self) -> np.ndarray:
        self.requests[0].infer(share_outputs=True)
        return self.y

    def reset(self) -> None:
        self.turn = 0
        for buffer in self.buffers:
            buffer.fill(0)

    def step(self, x: np.ndarray) -> np.ndarray:
        self.x[0] = x
        self.requests[self.turn].infer(share_outputs=True)
        self.turn = 1 - self.turn
        return self.y[0]
