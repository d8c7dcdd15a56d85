# SPDX-License-Identifier: MIT
"""Keras on TensorFlow: the stock layers inside one tf.function. Inference only; training is compared with the
others."""

from typing import Any, ClassVar

import numpy as np

from ..cases import Case, Problem
from .base import Peer, gate_blocks

ORDER: dict[str, tuple[int, ...]] = {"rnn": (0,), "lstm": (0, 1, 2, 3), "gru": (1, 0, 2)}
"""Keras's gate blocks (LSTM i f c o, GRU z r h) out of PyTorch's."""


def _layer_weights(case: Case, problem: Problem, tail: str) -> list[np.ndarray]:
    order = ORDER[case.cell]
    take = {
        part: gate_blocks(problem.params[f"{part}_{tail}"], order, case.H)
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    bias = (
        np.stack([take["bias_ih"], take["bias_hh"]])
        if case.cell == "gru"
        else take["bias_ih"] + take["bias_hh"]
    )
    return [np.ascontiguousarray(take["weight_ih"].T), np.ascontiguousarray(take["weight_hh"].T), bias]


class Keras(Peer):
    """keras.layers in a tf.function of fixed shape; a stream uses stateful layers. Batch comes first in
    Keras."""

    name = "keras"
    title = "Keras"
    needs: ClassVar[tuple[str, ...]] = ("keras", "tensorflow")
    distribution = "keras"

    def __init__(self, case: Case, problem: Problem) -> None:
        super().__init__(case, problem)
        import keras
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(case.threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        kind = {"rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[case.cell]
        self.layers: list[Any] = []
        for layer in range(case.L):
            part = kind(case.H, return_sequences=True, stateful=case.mode == "step", dtype=case.dtype)
            part = keras.layers.Bidirectional(part, dtype=case.dtype) if case.D == 2 else part
            part.build((case.N, case.T, case.layer_input(layer)))
            tails = [tail for number, tail in case.directions() if number == layer]
            part.set_weights([w for tail in tails for w in _layer_weights(case, problem, tail)])
            self.layers.append(part)
        self.tf: Any = tf
        self.x: Any = tf.constant(problem.x.swapaxes(0, 1))
        spec = tf.TensorSpec((case.N, case.T, case.I), case.dtype)
        self.function: Any = tf.function(self._apply, input_signature=[spec])

    @classmethod
    def environment(cls, threads: int) -> dict[str, str]:
        return {
            "KERAS_BACKEND": "tensorflow",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "OMP_NUM_THREADS": str(threads),
            "TF_NUM_INTRAOP_THREADS": str(threads),
            "TF_NUM_INTEROP_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }

    @classmethod
    def refuses(cls, case: Case) -> str:
        return "inference only in this harness" if case.trains else ""

    def _apply(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def forward(self) -> Any:
        return self.function(self.x)

    def result(self, y: Any) -> np.ndarray:
        return y.numpy().swapaxes(0, 1)

    def reset(self) -> None:
        for layer in self.layers:
            layer.reset_states()

    def step(self, x: np.ndarray) -> np.ndarray:
        return self.function(self.tf.constant(x[:, None])).numpy()[:, 0]
