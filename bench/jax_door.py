# SPDX-License-Identifier: MIT
"""What rnncore.jax gains over a compiled lax.scan, and costs over rnncore's own calls: `python bench/jax_door.py`.

Calls in turn on one thread, float32, the fastest of many. The scan has the input product of all steps outside of it,
as a fast one is written. "arrays" is rnncore's own call on NumPy arrays; its training call packs the weights anew, as
after each optimiser step. The last column, billions of operations a second of rnncore.jax in products alone, tells how
near a row is to what a core can multiply.
"""

import argparse
import os
import time

os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)  # before jax is loaded

import jax
import jax.numpy as jnp
import numpy as np

import rnncore
import rnncore.jax
from rnncore import engine
from rnncore.bench.peers.jax_peer import make_cell

GATES = {"rnn": 1, "gru": 3, "lstm": 4}


def fastest(calls, rounds, inner):
    """Least seconds of each call, in turn."""
    found = [[] for _ in calls]
    for _ in range(rounds):
        for call, kept in zip(calls, found, strict=True):
            began = time.perf_counter()
            for _ in range(inner):
                jax.block_until_ready(call())
            kept.append((time.perf_counter() - began) / inner)
    return [min(kept) for kept in found]


def scan(cell):
    """A layer as a scan, whose result is y."""
    one = make_cell(jax, cell)

    def run(params, x):
        N, H = x.shape[1], params["weight_hh_l0"].shape[1]
        zeros = (jnp.zeros((N, H), x.dtype),) * (2 if cell == "lstm" else 1)
        product = x @ params["weight_ih_l0"].T + params["bias_ih_l0"]

        def step(state, a):
            state = one(state, a, params["weight_hh_l0"], params["bias_hh_l0"])
            return state, state[0]

        return jax.lax.scan(step, zeros, product)[1]

    return run


def calls_of(cell, T, N, H):
    """For inference and for training: the call of the scan, of rnncore.jax, of rnncore's on arrays."""
    params = rnncore.jax.init(jax.random.key(0), cell, H, H)
    x = jax.random.normal(jax.random.key(1), (T, N, H))
    ours = getattr(rnncore.jax, cell)
    spec = engine.Spec(cell, H, H)
    values = {name: np.asarray(array) for name, array in params.items()}
    packed, array = engine.pack(spec, values), np.asarray(x)

    def gradients(layer):
        return jax.jit(jax.grad(lambda params, x: (layer(params, x) ** 2).sum(), argnums=(0, 1)))

    def train_arrays():
        weights = engine.pack(spec, values, engine.needed(training=True))
        y, _, tape = engine.record(weights, engine.Call(spec, array))
        return engine.backward(tape, y)

    theirs = scan(cell)
    infer = [jax.jit(theirs), jax.jit(lambda params, x: ours(params, x)[0])]
    train = [gradients(theirs), gradients(lambda params, x: ours(params, x)[0])]
    np.testing.assert_allclose(*(call(params, x) for call in infer), rtol=1e-3, atol=1e-4)
    infer_arrays = lambda: engine.forward(packed, engine.Call(spec, array))  # noqa: E731
    for name, pair, arrays in (("inference", infer, infer_arrays), ("training", train, train_arrays)):
        yield name, [*(lambda call=call: call(params, x) for call in pair), arrays]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=41)
    arguments = parser.parse_args()
    rnncore.set_num_threads(1)
    print(f"{rnncore.isas()[0]}, jax {jax.__version__}")
    print("layer   T   N   H  call       lax.scan us  rnncore.jax us  arrays us   gain  kept  Gflop/s")
    for T, N, H in ((4, 1, 8), (50, 1, 64), (50, 16, 64), (50, 32, 128)):
        for cell in ("lstm", "gru", "rnn"):
            for name, calls in calls_of(cell, T, N, H):
                inner = 20 if T * N * H < 1000 else 3 if T * N * H < 100_000 else 1
                theirs, ours, arrays = (1e6 * value for value in fastest(calls, arguments.rounds, inner))
                products = 4 * T * N * GATES[cell] * H * H * (3 if name == "training" else 1)
                print(
                    f"{cell:5} {T:3} {N:3} {H:3}  {name:9} {theirs:12.1f} {ours:15.1f} {arrays:10.1f}"
                    f" {theirs / ours:6.2f} {arrays / ours:5.0%} {products / ours / 1000:8.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
