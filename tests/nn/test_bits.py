# SPDX-License-Identifier: MIT
"""Modules, losses and a training run of them give the same bits on every instruction set, with any number of threads,
for any layout of their arrays, and for a row alone."""

import itertools

import numpy as np
import pytest
from compiled import ISAS, assert_same_bits

import rnncore
from rnncore import nn

DTYPES = ("float32", "float64")
DTYPE = pytest.mark.parametrize("dtype", DTYPES)
IDS = np.random.default_rng(5).integers(0, 11, (9, 13))
LENGTHS = np.array([9, 0, 3, 1, 9, 7, 8, 2, 9, 9, 4, 5, 6])


def draw(dtype, *shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def loss(call):
    """A loss as an array, and its gradient."""

    def run(dtype, layout):
        value, slopes = call(dtype, layout)
        return np.array(value), slopes

    return run


def module(make, *shape, lengths=None):
    """A call of a module and its gradients, as arrays."""

    def run(dtype, layout):
        owner = make(dtype)
        inputs = [layout(draw(dtype, *part, seed=k)) for k, part in enumerate(shape)] or [IDS]
        arguments = {} if lengths is None else {"lengths": lengths}
        y, *_, tape = owner.forward(*inputs, **arguments)
        grads = owner.backward(tape, layout(draw(dtype, *y.shape, seed=9)))
        return y, [getattr(grads, name, None) for name in ("x", "queries", "memory")], grads.params

    return run


# Sizes are no whole vectors of any instruction set; the larger ones are work for several threads.
CASES = {
    "linear": module(lambda dtype: nn.Linear(37, 21, dtype=dtype, seed=0), (9, 13, 37)),
    "linear-one": module(lambda dtype: nn.Linear(64, 1, dtype=dtype, seed=0), (1600, 64)),
    "linear-wide": module(lambda dtype: nn.Linear(130, 257, bias=False, dtype=dtype, seed=0), (400, 130)),
    "norm": module(lambda dtype: nn.LayerNorm(37, dtype=dtype), (9, 13, 37)),
    "embedding": module(lambda dtype: nn.Embedding(11, 7, dtype=dtype, seed=0)),
    "softmax": module(lambda dtype: nn.Softmax(), (9, 13, 37)),
    "attention": module(lambda dtype: nn.Attention(), (5, 13, 37), (9, 13, 37)),
    "attention-ragged": module(lambda dtype: nn.Attention(), (5, 13, 97), (9, 13, 97), lengths=LENGTHS),
    "mse": loss(lambda dtype, layout: nn.mse_loss(layout(draw(dtype, 50, 33)), layout(draw(dtype, 50, 33, seed=1)))),
    "mse-weight": loss(lambda dtype, layout: nn.mse_loss(
        layout(draw(dtype, 50, 33)), layout(draw("float64", 50, 33, seed=1)), np.abs(draw(dtype, 50, 1, seed=2))
    )),
    "cross-entropy": loss(
        lambda dtype, layout: nn.cross_entropy(layout(3 * draw(dtype, 9, 13, 37)), IDS, ignore_index=2)
    ),
    "quantiles": loss(lambda dtype, layout: nn.quantile_loss(
        layout(draw(dtype, 9, 13, 3)), layout(draw(dtype, 9, 13, seed=1)), [0.1, 0.5, 0.9]
    )),
    "mixture": loss(lambda dtype, layout: nn.mixture_loss(
        layout(draw(dtype, 50, 33, 18)), layout(draw("float64", 50, 33, 2, seed=1)), np.abs(draw(dtype, 33, seed=2))
    )),
} | {name: module(lambda dtype, name=name: nn.Activation(name), (9, 13, 37)) for name in nn.ACTIVATIONS}  # fmt: skip
CASE = pytest.mark.parametrize("run", CASES.values(), ids=CASES)


@pytest.fixture
def threads():
    before = rnncore.get_num_threads()
    yield rnncore.set_num_threads
    rnncore.set_num_threads(before)


@CASE
@DTYPE
def test_neither_instructions_nor_threads_change_a_bit(run, dtype, threads):
    threads(1)
    expected = run(dtype, np.ascontiguousarray)
    for isa, count in itertools.product(ISAS, (1, 2, 3)):
        threads(count)
        with rnncore.use_isa(isa):
            assert_same_bits(run(dtype, np.ascontiguousarray), expected)


@CASE
@DTYPE
def test_layouts_change_no_bit(run, dtype):
    def every_second(array):
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]

    expected = run(dtype, np.ascontiguousarray)
    for layout in (np.asfortranarray, every_second):
        assert_same_bits(run(dtype, layout), expected)


@DTYPE
@pytest.mark.parametrize("isa", ISAS)
def test_a_row_alone_has_its_bits_in_a_batch(dtype, isa):
    x, m = draw(dtype, 201, 37), draw(dtype, 9, 5, 37, seed=1)
    with rnncore.use_isa(isa):
        for owner in (nn.Linear(37, 21, dtype=dtype, seed=0), nn.LayerNorm(37, dtype=dtype), nn.Softmax()):
            assert_same_bits(np.concatenate([owner(x[k : k + 1]) for k in range(len(x))]), owner(x))
        attention, lengths = nn.Attention(), np.array([9, 2, 0, 5, 1])
        context, _ = attention(m[:4], m, lengths)
        alone = [attention(m[:4, [k]], m[:, [k]], lengths[[k]])[0] for k in range(5)]
    assert_same_bits(np.concatenate(alone, axis=1), context)


def train(recipe, dtype="float32"):
    """Weights after some steps on ragged batches, with dropout, clipping and weight decay."""
    cell, head, loss = recipe
    model = nn.Sequential(
        nn.Linear(6, 10, dtype=dtype, seed=1),
        nn.LayerNorm(10, dtype=dtype),
        cell(10, 19, num_layers=2, bidirectional=True, dropout=0.2, dtype=dtype, seed=2),
        nn.Activation("silu"),
        nn.Dropout(0.1, seed=3),
        nn.Linear(38, head, dtype=dtype, seed=4),
    )
    optimizer = rnncore.Adam(model, lr=1e-2, weight_decay=0.01, clip_norm=0.5)
    for step in range(6):
        rng = np.random.default_rng(step)
        x, lengths = rng.standard_normal((14, 11, 6)).astype(dtype), rng.integers(0, 15, 11)
        y, tape = model.forward(x, lengths=lengths)
        value, dy = loss(y, rng, (np.arange(14)[:, np.newaxis] < lengths).astype(dtype))
        norm = optimizer.step(model.backward(tape, dy, input_grad=False))
    return np.array([value, norm]), model.state_dict()


RECIPES = {
    "squared": (rnncore.GRU, 2, lambda y, rng, mask: nn.mse_loss(y, rng.standard_normal(y.shape), mask[..., None])),
    "classes": (
        rnncore.LSTM,
        5,
        lambda y, rng, mask: nn.cross_entropy(y, np.where(mask > 0, rng.integers(0, 5, mask.shape), -100)),
    ),
    "quantiles": (
        rnncore.RNN,
        3,
        lambda y, rng, mask: nn.quantile_loss(y, rng.standard_normal(mask.shape), [0.1, 0.5, 0.9], mask),
    ),
    "mixture": (
        rnncore.LSTM,
        12,
        lambda y, rng, mask: nn.mixture_loss(y, rng.standard_normal((*mask.shape, 2)), mask),
    ),
}  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_training_run_ends_with_one_set_of_weights(recipe, threads):
    threads(1)
    expected = train(recipe)
    for isa, count in itertools.product(ISAS, (1, 2, 3)):
        threads(count)
        with rnncore.use_isa(isa):
            assert_same_bits(train(recipe), expected)
