# SPDX-License-Identifier: MIT
"""A training loop in JAX (ragged batches, jit, value_and_grad) with a GRU of rnncore.jax, compiled once."""

import time

import jax
import jax.numpy as jnp
import numpy as np

import rnncore.jax
from examples import common

STEPS, ROWS, WORDS, UNITS = 40, 32, 20, 64


def sentences(rng, count):
    """Random words (count, STEPS), tags (whether the word stood there before), and lengths of 5 to STEPS words."""
    words = rng.integers(WORDS, size=(count, STEPS))
    tags = np.array([[word in row[:k] for k, word in enumerate(row)] for row in words], int)
    return words, tags, rng.integers(5, STEPS + 1, count)


def loss(params, words, tags, lengths):
    """Cross-entropy of the valid steps, and the share of right tags."""
    y, _ = rnncore.jax.gru(params["rnn"], params["words"][words], lengths=lengths, batch_first=True)
    scores = jax.nn.log_softmax(y @ params["tags"])
    valid = jnp.arange(STEPS) < lengths[:, None]
    found = jnp.take_along_axis(scores, tags[..., None], -1)[..., 0]
    return -jnp.average(found, weights=valid), jnp.average(scores.argmax(-1) == tags, weights=valid)


@jax.jit
def step(params, velocity, *batch):
    """One step of gradient descent with momentum."""
    grads, right = jax.grad(loss, has_aux=True)(params, *batch)
    velocity = jax.tree.map(lambda v, g: 0.9 * v + g, velocity, grads)
    return jax.tree.map(lambda w, v: w - 0.3 * v, params, velocity), velocity, right


def main(argv=None):
    arguments = common.parser("jax_door", __doc__, trains=False).parse_args(argv)
    rnncore.set_num_threads(arguments.threads)
    data, key = sentences(rng := np.random.default_rng(1), 320 if arguments.quick else 992), jax.random.key(0)
    params = {"rnn": rnncore.jax.init(key, "gru", 16, UNITS, bidirectional=True)}
    params |= {"words": jax.random.normal(key, (WORDS, 16)), "tags": jnp.zeros((2 * UNITS, 2))}
    velocity = jax.tree.map(jnp.zeros_like, params)
    log = common.Log(common.out_folder(arguments, "jax_door"))
    for epoch in range(5):
        began, shares = time.perf_counter(), []
        for rows in rng.permutation(len(data[0])).reshape(-1, ROWS):
            params, velocity, right = step(params, velocity, *(part[rows] for part in data))
            shares.append(float(right))
        log(
            f"epoch {epoch + 1}: {time.perf_counter() - began:5.2f} s, {np.mean(shares):.1%} of the tags right"
        )
    log(f"compilations of a step: {step._cache_size()}")


if __name__ == "__main__":
    common.start(main)
