# SPDX-License-Identifier: MIT
"""rnncore itself: the fused engine, and the textbook way through BLAS (one product per step)."""

from typing import Any, ClassVar

import numpy as np

from ...spec.stores import STORES
from ..cases import LEARNING_RATE, Case, Problem
from .base import Peer


class RnncoreFused(Peer):
    """rnncore as its users call it, with `out=` so that no call allocates its result."""

    name = "rnncore"
    title = "rnncore"
    ours = True
    needs: ClassVar[tuple[str, ...]] = ("rnncore.engine._core",)
    distribution = "rnncore"
    isas: ClassVar[tuple[str, ...]] = ("avx2",)
    takes_lengths = True
    stores: ClassVar[tuple[str, ...]] = STORES

    def __init__(self, case: Case, problem: Problem) -> None:
        super().__init__(case, problem)
        import rnncore

        make = {"rnn": rnncore.RNN, "lstm": rnncore.LSTM, "gru": rnncore.GRU}[case.cell]
        self.layer: Any = make(case.I, case.H, case.L, bidirectional=case.D == 2, dtype=case.dtype)
        self.use_backend: Any = rnncore.use_backend
        self.layer.load_state_dict(problem.params)
        if case.store:
            self.layer = self.layer.quantize(case.store)
        self.y: np.ndarray = np.empty((case.T, case.N, case.D * case.H), case.dtype)
        self.grads: Any = None
        self.lengths: np.ndarray | None = case.lengths() if case.ragged else None
        if case.mode == "fit":
            from rnncore import nn

            self.head: Any = nn.Linear(case.D * case.H, 1, dtype=case.dtype)
            self.head.load_state_dict({"weight": problem.head, "bias": np.zeros(1, case.dtype)})
            self.mse_loss: Any = nn.mse_loss
            self.target: np.ndarray = problem.target
            self.optimizer: Any = nn.Adam([self.layer, self.head], lr=LEARNING_RATE)
        if case.mode == "step":
            self.stream: Any = self.layer.stream(batch_size=case.N)
            self.y = np.empty((case.N, case.H), case.dtype)

    def forward(self) -> np.ndarray:
        self.layer(self.problem.x, lengths=self.lengths, out=self.y, num_threads=self.case.threads)
        return self.y

    def reset(self) -> None:
        self.stream.reset()

    def step(self, x: np.ndarray) -> np.ndarray:
        return self.stream.step(x, out=self.y)

    def train(self) -> None:
        _, _, tape = self.layer.forward(self.problem.x, num_threads=self.case.threads)
        self.grads = self.layer.backward(tape, self.problem.dy)

    def fit(self) -> float:
        threads = self.case.threads
        y, _, tape = self.layer.forward(self.problem.x, num_threads=threads)
        pred, head_tape = self.head.forward(y)
        loss, dpred = self.mse_loss(pred, self.target)
        head = self.head.backward(head_tape, dpred)
        grads = self.layer.backward(tape, head.x)
        self.optimizer.step([grads.params, head.params], num_threads=threads)
        return loss

    def gradients(self) -> dict[str, np.ndarray]:
        return {**self.grads.params, "x": self.grads.x}


class RnncoreAgain(RnncoreFused):
    """The same build once more: what it and `RnncoreFused` differ by is noise, or a fault of the method."""

    name = "rnncore-again"
    title = "rnncore again"
    asked_for = True


class RnncoreBlas(RnncoreFused):
    """The comparison: the same layer with one BLAS product per step."""

    name = "rnncore-blas"
    title = "rnncore with BLAS"
    needs: ClassVar[tuple[str, ...]] = ("rnncore.engine._core", "scipy")
    stores: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def environment(cls, threads: int) -> dict[str, str]:
        """One thread of the BLAS for each of ours."""
        return dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1")

    @classmethod
    def refuses(cls, case: Case) -> str:
        return "" if case.mode == "sequence" else "the BLAS backend is for whole sequences"

    def forward(self) -> np.ndarray:
        with self.use_backend("blas"):
            return super().forward()
