# SPDX-License-Identifier: MIT
"""NumPy: the short program people write first, one product per step, the input product hoisted."""

from typing import ClassVar

import numpy as np

from ..cases import Case, Problem
from .base import Peer


def _sigmoid(a: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(0.5 * a)


def cell_step(
    cell: str, state: tuple[np.ndarray, ...], a: np.ndarray, w: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, ...]:
    """One step. a (N, G*H) is the input product with its bias, w is weight_hh transposed (H, G*H); state is h
    first."""
    h = state[0]
    r = h @ w + b
    if cell == "rnn":
        return (np.tanh(a + r),)
    if cell == "lstm":
        i, f, g, o = np.split(a + r, 4, axis=-1)
        c = _sigmoid(f) * state[1] + _sigmoid(i) * np.tanh(g)
        return _sigmoid(o) * np.tanh(c), c
    (ar, az, an), (br, bz, bn) = np.split(a, 3, axis=-1), np.split(r, 3, axis=-1)
    z = _sigmoid(az + bz)
    n = np.tanh(an + _sigmoid(ar + br) * bn)
    return ((1 - z) * n + z * h,)


class Numpy(Peer):
    """Loops in Python, products in NumPy's BLAS."""

    name = "numpy"
    title = "NumPy"
    needs: ClassVar[tuple[str, ...]] = ("numpy",)
    distribution = "numpy"
    isas: ClassVar[tuple[str, ...]] = ("avx2",)

    def __init__(self, case: Case, problem: Problem) -> None:
        super().__init__(case, problem)
        self.weights: dict[str, np.ndarray] = {
            name: np.ascontiguousarray(value.T) for name, value in problem.params.items()
        }
        self.reset()

    @classmethod
    def environment(cls, threads: int) -> dict[str, str]:
        return {name: str(threads) for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")}

    @classmethod
    def refuses(cls, case: Case) -> str:
        return "inference only" if case.trains else ""

    def _zero_state(self) -> tuple[np.ndarray, ...]:
        zero = np.zeros((self.case.N, self.case.H), self.case.dtype)
        return (zero, zero) if self.case.cell == "lstm" else (zero,)

    def _layer(self, x: np.ndarray, tail: str) -> np.ndarray:
        w, b = self.weights[f"weight_hh_{tail}"], self.weights[f"bias_hh_{tail}"]
        product = x @ self.weights[f"weight_ih_{tail}"] + self.weights[f"bias_ih_{tail}"]
        y = np.empty((*x.shape[:2], self.case.H), x.dtype)
        state = self._zero_state()
        steps = range(len(x))
        for t in reversed(steps) if tail.endswith("_reverse") else steps:
            state = cell_step(self.case.cell, state, product[t], w, b)
            y[t] = state[0]
        return y

    def forward(self) -> np.ndarray:
        y = self.problem.x
        for layer in range(self.case.L):
            tails = [tail for number, tail in self.case.directions() if number == layer]
            outputs = [self._layer(y, tail) for tail in tails]
            y = np.concatenate(outputs, axis=-1) if len(outputs) > 1 else outputs[0]
        return y

    def reset(self) -> None:
        self.states: list[tuple[np.ndarray, ...]] = [self._zero_state() for _ in range(self.case.L)]

    def step(self, x: np.ndarray) -> np.ndarray:
        for layer in range(self.case.L):
            weights = self.weights
            product = x @ weights[f"weight_ih_l{layer}"] + weights[f"bias_ih_l{layer}"]
            w, b = weights[f"weight_hh_l{layer}"], weights[f"bias_hh_l{layer}"]
            self.states[layer] = cell_step(self.case.cell, self.states[layer], product, w, b)
            x = self.states[layer][0]
        return x
