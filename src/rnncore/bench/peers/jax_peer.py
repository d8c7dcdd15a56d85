# SPDX-License-Identifier: MIT
"""JAX: a compiled scan with the input product hoisted out of it, the way its users write a fast recurrent
layer."""

import functools
from typing import Any, ClassVar

import numpy as np

from ..cases import LEARNING_RATE, Case, Problem
from .base import Peer


def make_cell(jax: Any, cell: str) -> Any:
    """One step: (state, input product (N, G*H), weight_hh, bias_hh) to state; state is a tuple, h first."""
    jnp = jax.numpy
    sigmoid = jax.nn.sigmoid

    def rnn(state: Any, a: Any, w: Any, b: Any) -> Any:
        return (jnp.tanh(a + state[0] @ w.T + b),)

    def lstm(state: Any, a: Any, w: Any, b: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(a + h @ w.T + b, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        return sigmoid(o) * jnp.tanh(c), c

    def gru(state: Any, a: Any, w: Any, b: Any) -> Any:
        (h,) = state
        ar, az, an = jnp.split(a, 3, axis=-1)
        br, bz, bn = jnp.split(h @ w.T + b, 3, axis=-1)
        z = sigmoid(az + bz)
        n = jnp.tanh(an + sigmoid(ar + br) * bn)
        return ((1 - z) * n + z * h,)

    return {"rnn": rnn, "lstm": lstm, "gru": gru}[cell]


class Network:
    """What is compiled for a case: everything but its numbers."""

    def __init__(self, case: Case) -> None:
        import jax

        jax.clear_caches()  # what was compiled for the case before
        self.jax: Any = jax
        self.case = case
        self.cell: Any = make_cell(jax, case.cell)
        self.forward: Any = jax.jit(self._forward)
        self.train: Any = jax.jit(self._train)
        self.step: Any = jax.jit(self._step)
        self.fit: Any = jax.jit(self._fit, donate_argnums=(0, 1, 2))

    def zero_state(self) -> tuple[Any, ...]:
        parts = 2 if self.case.cell == "lstm" else 1
        return tuple(self.jax.numpy.zeros((self.case.N, self.case.H), self.case.dtype) for _ in range(parts))

    def _forward(self, params: dict[str, Any], x: Any) -> Any:
        jnp, lax = self.jax.numpy, self.jax.lax
        for layer in range(self.case.L):
            outputs = []
            for tail in [tail for number, tail in self.case.directions() if number == layer]:
                w, b = params[f"weight_hh_{tail}"], params[f"bias_hh_{tail}"]
                product = x @ params[f"weight_ih_{tail}"].T + params[f"bias_ih_{tail}"]

                def step(state: Any, a: Any, w: Any = w, b: Any = b) -> Any:
                    state = self.cell(state, a, w, b)
                    return state, state[0]

                outputs.append(
                    lax.scan(step, self.zero_state(), product, reverse=tail.endswith("_reverse"))[1]
                )
            x = jnp.concatenate(outputs, axis=-1) if len(outputs) > 1 else outputs[0]
        return x

    def _step(self, params: dict[str, Any], states: list[Any], x: Any) -> Any:
        after = []
        for layer, state in enumerate(states):
            product = x @ params[f"weight_ih_l{layer}"].T + params[f"bias_ih_l{layer}"]
            after.append(
                self.cell(state, product, params[f"weight_hh_l{layer}"], params[f"bias_hh_l{layer}"])
            )
            x = after[-1][0]
        return x, after

    def _train(self, params: dict[str, Any], x: Any, dy: Any) -> Any:
        _, pull = self.jax.vjp(self._forward, params, x)
        return pull(dy)

    def _loss(self, values: dict[str, Any], x: Any, target: Any) -> Any:
        error = self._forward(values, x) @ values["head"].T + values["bias"] - target
        return self.jax.numpy.mean(error**2)

    def _fit(self, values: Any, first: Any, second: Any, count: Any, x: Any, target: Any) -> Any:
        # Adam as Optax has it.
        tree, jnp = self.jax.tree_util.tree_map, self.jax.numpy
        loss, grads = self.jax.value_and_grad(self._loss)(values, x, target)
        first = tree(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
        second = tree(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
        rate, root = LEARNING_RATE / (1 - 0.9**count), 1 / jnp.sqrt(1 - 0.999**count)
        values = tree(lambda w, m, v: w - rate * m / (jnp.sqrt(v) * root + 1e-8), values, first, second)
        return values, first, second, loss


@functools.lru_cache(maxsize=1)
def network(case: Case) -> Network:
    """The last case's, so that the same case prepared again is not compiled again."""
    return Network(case)


class Jax(Peer):
    """jax.jit of the whole stack; weights are arguments, held on the device."""

    name = "jax"
    title = "JAX"
    needs: ClassVar[tuple[str, ...]] = ("jax", "jaxlib")
    distribution = "jax"
    isas: ClassVar[tuple[str, ...]] = ("avx2",)

    def __init__(self, case: Case, problem: Problem) -> None:
        super().__init__(case, problem)
        import jax

        jax.config.update("jax_enable_x64", case.dtype == "float64")
        self.jax: Any = jax
        self.network: Network = network(case)
        self.params: dict[str, Any] = {
            name: jax.numpy.asarray(value) for name, value in problem.params.items()
        }
        self.x: Any = jax.numpy.asarray(problem.x)
        self.dy: Any = jax.numpy.asarray(problem.dy)
        if case.mode == "fit":
            bias = jax.numpy.zeros(1, case.dtype)
            self.fitted: Any = {**self.params, "head": jax.numpy.asarray(problem.head), "bias": bias}
            self.moments: Any = [{name: 0 * value for name, value in self.fitted.items()} for _ in range(2)]
            self.target: Any = jax.numpy.asarray(problem.target)
            self.count: int = 0
        self.grads: Any = None
        self.reset()

    @classmethod
    def environment(cls, threads: int) -> dict[str, str]:
        flags = {"JAX_PLATFORMS": "cpu"}
        if threads == 1:
            flags["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
            flags["NPROC"] = "1"
        else:
            flags["NPROC"] = str(threads)
        return flags

    def forward(self) -> Any:
        return self.network.forward(self.params, self.x).block_until_ready()

    def reset(self) -> None:
        self.states: list[Any] = [self.network.zero_state() for _ in range(self.case.L)]

    def step(self, x: np.ndarray) -> np.ndarray:
        y, self.states = self.network.step(self.params, self.states, x)
        return np.asarray(y)

    def train(self) -> None:
        self.grads: Any = self.jax.block_until_ready(self.network.train(self.params, self.x, self.dy))

    def fit(self) -> float:
        self.count += 1
        count = self.problem.x.dtype.type(self.count)
        self.fitted, *self.moments, loss = self.network.fit(
            self.fitted, *self.moments, count, self.x, self.target
        )
        return float(self.jax.block_until_ready((loss, self.fitted))[0])

    def gradients(self) -> dict[str, np.ndarray]:
        params, dx = self.grads
        return {**{name: np.asarray(value) for name, value in params.items()}, "x": np.asarray(dx)}
