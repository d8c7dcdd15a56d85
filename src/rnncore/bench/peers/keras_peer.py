# SPDX-License-Identifier: MIT
"""Keras on TensorFlow: the stock layers inside one tf.function; training as Keras' loops of one's own have it."""

import functools
import importlib.metadata
from typing import Any, ClassVar

import numpy as np

from ..cases import LEARNING_RATE, Case, Problem
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


@functools.cache
def _tensorflow_version() -> str:
    """It comes as tensorflow and as tensorflow-cpu."""
    names = importlib.metadata.packages_distributions()["tensorflow"]
    return importlib.metadata.version(names[0])


class Keras(Peer):
    """keras.layers in a tf.function of fixed shape; a stream uses stateful layers. Batch comes first in
    Keras."""

    name = "keras"
    title = "Keras"
    needs: ClassVar[tuple[str, ...]] = ("keras", "tensorflow")
    distribution = "keras"
    isas: ClassVar[tuple[str, ...]] = ("avx2",)

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
        if case.mode == "train":
            self.dy: Any = tf.constant(problem.dy.swapaxes(0, 1))
            self.run_train: Any = tf.function(self._train)
            self.grads: Any = None
        elif case.mode == "fit":
            self._make_fit(keras)

    @classmethod
    def version(cls) -> str:
        """Of Keras and of what computes."""
        return f"{super().version()} on TensorFlow {_tensorflow_version()}"

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
        if case.mode == "fit" and case.cell != "gru":
            return "has one bias, which Adam moves as far as each of the row's two"
        return ""

    def _make_fit(self, keras: Any) -> None:
        self.head: Any = keras.layers.Dense(1, dtype=self.case.dtype)
        self.head.build((self.case.N, self.case.T, self.case.D * self.case.H))
        self.head.set_weights([self.problem.head.T, np.zeros(1, self.case.dtype)])
        self.target: Any = self.tf.constant(self.problem.target.swapaxes(0, 1))
        self.optimizer: Any = keras.optimizers.Adam(LEARNING_RATE, epsilon=1e-8)
        self.optimizer.build([*self._variables(), *self.head.trainable_weights])
        self.run_fit: Any = self.tf.function(self._fit)

    def _apply(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def _variables(self) -> list[Any]:
        return [variable for layer in self.layers for variable in layer.trainable_weights]

    def _train(self, x: Any, dy: Any) -> Any:
        wanted = [x, *(variable.value for variable in self._variables())]
        with self.tf.GradientTape() as tape:
            tape.watch(x)
            y = self._apply(x)
        return tape.gradient(y, wanted, output_gradients=dy)

    def _fit(self, x: Any, target: Any) -> Any:
        variables = [*self._variables(), *self.head.trainable_weights]
        with self.tf.GradientTape() as tape:
            loss = self.tf.reduce_mean((self.head(self._apply(x)) - target) ** 2)
        self.optimizer.apply(tape.gradient(loss, [variable.value for variable in variables]), variables)
        return loss

    def forward(self) -> Any:
        return self.function(self.x)

    def result(self, y: Any) -> np.ndarray:
        return y.numpy().swapaxes(0, 1)

    def reset(self) -> None:
        for layer in self.layers:
            layer.reset_state()

    def step(self, x: np.ndarray) -> np.ndarray:
        return self.function(self.tf.constant(x[:, None])).numpy()[:, 0]

    def train(self) -> None:
        self.grads: Any = self.run_train(self.x, self.dy)

    def fit(self) -> float:
        return float(self.run_fit(self.x, self.target))

    def gradients(self) -> dict[str, np.ndarray]:
        dx, *grads = (grad.numpy() for grad in self.grads)
        found = {"x": dx.swapaxes(0, 1)}
        order, H = ORDER[self.case.cell], self.case.H
        for number, (_, tail) in enumerate(self.case.directions()):
            ih, hh, bias = grads[3 * number : 3 * number + 3]
            apart = bias if self.case.cell == "gru" else (bias, bias)
            for name, grad in zip(
                ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), (ih.T, hh.T, *apart), strict=True
            ):
                found[f"{name}_{tail}"] = gate_blocks(grad, order, H)
        return found
