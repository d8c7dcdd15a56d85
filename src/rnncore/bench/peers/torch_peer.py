# SPDX-License-Identifier: MIT
"""PyTorch: torch.nn.RNN, LSTM and GRU, in inference mode where nothing is trained."""

import warnings
from typing import Any, ClassVar

import numpy as np

from ..cases import LEARNING_RATE, Case, Problem
from .base import Peer


def build(torch: Any, case: Case, problem: Problem) -> Any:
    """torch module of a case with the problem's weights."""
    kind = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[case.cell]
    module = kind(case.I, case.H, case.L, bidirectional=case.D == 2, dtype=getattr(torch, case.dtype))
    module.load_state_dict({name: torch.from_numpy(value) for name, value in problem.params.items()})
    return module


def quantized(torch: Any, module: Any) -> Any:
    """The module with weights of 8 bits, by dynamic quantisation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch.ao.quantization will go one day
        return torch.ao.quantization.quantize_dynamic(
            torch.nn.Sequential(module), {type(module)}, torch.qint8
        )[0]


class Torch(Peer):
    """PyTorch as its users call it; NumPy arrays enter and leave without a copy."""

    name = "torch"
    title = "PyTorch"
    needs: ClassVar[tuple[str, ...]] = ("torch",)
    distribution = "torch"
    isas: ClassVar[tuple[str, ...]] = ("avx2",)
    takes_lengths = True
    stores: ClassVar[tuple[str, ...]] = ("int8",)

    def __init__(self, case: Case, problem: Problem) -> None:
        super().__init__(case, problem)
        import torch

        torch.set_num_threads(case.threads)
        self.torch: Any = torch
        self.module: Any = build(torch, case, problem)
        self.call: Any = self.module
        self.x: Any = torch.from_numpy(problem.x)
        self.lengths: Any = torch.from_numpy(case.lengths())
        self.state: Any = None
        if case.mode == "train":
            self.x.requires_grad_()
            self.dy: Any = torch.from_numpy(problem.dy)
        elif case.mode == "fit":
            self.head: Any = torch.nn.Linear(case.D * case.H, 1, dtype=self.x.dtype)
            self.head.load_state_dict({"weight": torch.from_numpy(problem.head), "bias": self.x.new_zeros(1)})
            self.target: Any = torch.from_numpy(problem.target)
            parameters = [*self.module.parameters(), *self.head.parameters()]
            self.optimizer: Any = torch.optim.Adam(parameters, lr=LEARNING_RATE)
        else:
            self.module.eval()
            if case.store:
                self.call = quantized(torch, self.module)
            # Entered once, as a server does, and never left: the process has no other use.
            self.inference: Any = torch.inference_mode()
            self.inference.__enter__()

    @classmethod
    def environment(cls, threads: int) -> dict[str, str]:
        return {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}

    @classmethod
    def refuses(cls, case: Case) -> str:
        if case.store and case.cell == "rnn":
            return "quantises LSTM and GRU only"
        return "takes no lengths in int8" if case.store and case.ragged else ""

    def forward(self) -> Any:
        return self._forward_packed() if self.case.ragged else self.call(self.x)[0]

    def _forward_packed(self) -> Any:
        tools = self.torch.nn.utils.rnn
        packed = tools.pack_padded_sequence(self.x, self.lengths, enforce_sorted=False)
        return tools.pad_packed_sequence(self.call(packed)[0], total_length=self.case.T)[0]

    def reset(self) -> None:
        self.state = None

    def step(self, x: np.ndarray) -> np.ndarray:
        y, self.state = self.call(self.torch.from_numpy(x)[None], self.state)
        return y.numpy()[0]

    def train(self) -> None:
        self.module.zero_grad(set_to_none=True)
        self.x.grad = None
        self.call(self.x)[0].backward(self.dy)

    def fit(self) -> float:
        self.optimizer.zero_grad()
        loss = self.torch.nn.functional.mse_loss(self.head(self.call(self.x)[0]), self.target)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def gradients(self) -> dict[str, np.ndarray]:
        grads = {name: value.grad.numpy() for name, value in self.module.named_parameters()}
        return {**grads, "x": self.x.grad.numpy()}

    def result(self, y: Any) -> np.ndarray:
        return y.numpy()


class RnncoreTorch(Torch):
    """The same module and the same calls after `rnncore.torch.accelerate`."""

    name = "rnncore-torch"
    title = "rnncore.torch"
    ours = True
    stores: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("torch", "rnncore.engine._core")
    distribution = "rnncore"

    def __init__(self, case: Case, problem: Problem) -> None:
        super().__init__(case, problem)
        import rnncore
        import rnncore.torch

        rnncore.set_num_threads(case.threads)
        report = rnncore.torch.accelerate(self.module)
        if report.left:
            raise RuntimeError(f"accelerate: {report}")
