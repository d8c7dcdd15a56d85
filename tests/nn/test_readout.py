# SPDX-License-Identifier: MIT
"""The modules of language models: attention readout and embedding, their gradients, and what they refuse."""

import numpy as np
import pytest
import tables

from rnncore.errors import ArgumentError, DTypeError, LengthsError, ShapeError, TapeError
from rnncore.nn import SGD, Attention, Embedding

M, T, N, F = 3, 5, 4, 6
LENGTHS = np.array([5, 1, 0, 3])
BATCH_FIRST = pytest.mark.parametrize("batch_first", [False, True], ids=["TNF", "NTF"])
RAGGED = pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
DTYPE = pytest.mark.parametrize("dtype", ["float32", "float64"])


def draw(batch_first=False, dtype="float64", seed=0):
    """Queries, memory and a gradient of the context."""
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((steps, N, F)).astype(dtype) for steps in (M, T, M)]
    return [np.ascontiguousarray(a.swapaxes(0, 1)) if batch_first else a for a in arrays]


def one_by_one(q, m, lengths, scale):
    """Context and weights, query by query, in float64; time-major."""
    context, weights = np.zeros(q.shape), np.zeros((N, M, T))
    for n in range(N):
        valid = T if lengths is None else lengths[n]
        for i in range(M if valid else 0):
            scores = [scale * float(q[i, n] @ m[j, n]) for j in range(valid)]
            e = np.exp(np.array(scores) - max(scores))
            weights[n, i, :valid] = e / e.sum()
            context[i, n] = weights[n, i, :valid] @ m[:valid, n]
    return context, weights


@DTYPE
@RAGGED
@BATCH_FIRST
def test_attention_is_its_equations(batch_first, lengths, dtype):
    q, m, _ = draw(batch_first, dtype)
    context, weights = Attention(batch_first, scale=0.7)(q, m, lengths)
    if batch_first:
        q, m, context = (a.swapaxes(0, 1) for a in (q, m, context))
    expected = one_by_one(q, m, lengths, 0.7)
    assert context.dtype == weights.dtype == np.dtype(dtype)
    for got, wanted in zip((context, weights), expected, strict=True):
        assert tables.relative_error(got, wanted) <= tables.TOLERANCES["forward", np.dtype(dtype)]


@RAGGED
@BATCH_FIRST
def test_attention_gradients_are_central_differences(batch_first, lengths):
    q, m, dy = draw(batch_first)
    attention = Attention(batch_first, scale=1.3)
    _, _, tape = attention.forward(q, m, lengths)
    grads = attention.backward(tape, dy)
    for array, got in ((q, grads.queries), (m, grads.memory)):
        slopes = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            kept, values = array[index], []
            for sign in (1, -1):
                array[index] = kept + sign * tables.DIFFERENCE_STEP
                values.append(float(np.vdot(attention(q, m, lengths)[0], dy)))
            array[index] = kept
            slopes[index] = (values[0] - values[1]) / (2 * tables.DIFFERENCE_STEP)
        assert np.max(np.abs(got - slopes)) <= tables.DIFFERENCE_TOLERANCE * max(1.0, np.max(np.abs(slopes)))


@DTYPE
@RAGGED
def test_attention_and_its_gradients_are_pytorch_s(lengths, dtype):
    torch = pytest.importorskip("torch")
    rows = slice(None) if lengths is None else np.flatnonzero(lengths)  # PyTorch has NaN for an empty row
    q, m, dy = (a[rows] for a in draw(True, dtype))
    lengths = lengths if lengths is None else lengths[rows]
    attention = Attention(True, scale=0.5)
    context, _, tape = attention.forward(q, m, lengths)
    grads = attention.backward(tape, dy)
    tq, tm = (torch.from_numpy(a).requires_grad_() for a in (q, m))
    mask = None if lengths is None else torch.from_numpy(np.arange(T) < lengths[:, None])[:, None]
    other = torch.nn.functional.scaled_dot_product_attention(tq, tm, tm, attn_mask=mask, scale=0.5)
    other.backward(torch.from_numpy(dy))
    assert (
        tables.relative_error(context, other.detach().numpy())
        <= tables.TOLERANCES["forward", np.dtype(dtype)]
    )
    for got, wanted in ((grads.queries, tq.grad), (grads.memory, tm.grad)):
        assert tables.relative_error(got, wanted.numpy()) <= tables.TOLERANCES["gradient", np.dtype(dtype)]


def test_an_empty_or_padded_memory_gives_nothing_and_gets_no_gradient():
    q, m, dy = draw()
    beyond = np.arange(T)[:, np.newaxis] >= LENGTHS
    m[beyond] = np.nan
    q_clean, m_clean = q.copy(), np.where(beyond[..., np.newaxis], 0, m)
    attention = Attention()
    context, weights, tape = attention.forward(q_clean, m_clean, LENGTHS)
    grads = attention.backward(tape, dy)
    assert not context[:, 2].any() and not weights[2].any() and not grads.queries[:, 2].any()
    assert not grads.memory[beyond].any()
    np.testing.assert_allclose(weights.sum(axis=2)[LENGTHS > 0], 1.0)


def test_small_weights_are_zero_so_that_backward_meets_no_subnormal_numbers():
    q, m, dy = draw(dtype="float32")
    q *= 40
    attention = Attention()
    _, weights, tape = attention.forward(q, m)
    grads = attention.backward(tape, dy * np.float32(1e-6))
    assert 0 < np.count_nonzero(weights) < weights.size
    for array in (weights, grads.queries, grads.memory):
        size = np.abs(array[array != 0])
        assert size.min() >= np.finfo(np.float32).tiny


def test_attention_refuses_what_does_not_fit():
    q, m, dy = draw()
    attention = Attention()
    for error, call in (
        (ArgumentError, lambda: Attention(batch_first=1)),
        (ArgumentError, lambda: Attention(scale=0.0)),
        (ShapeError, lambda: attention(q[0], m)),
        (ShapeError, lambda: attention(q, m[:, :2])),
        (ShapeError, lambda: attention(q, m[..., :2])),
        (DTypeError, lambda: attention(q.astype(np.float32), m)),
        (DTypeError, lambda: attention(q.astype(int), m.astype(int))),
        (LengthsError, lambda: attention(q, m, [T + 1] * N)),
    ):
        with pytest.raises(error):
            call()
    _, _, tape = attention.forward(q, m)
    with pytest.raises(ShapeError, match="dcontext"):
        attention.backward(tape, dy[:1])
    with pytest.raises(TapeError, match="of this "):
        Attention().backward(tape, dy)
    attention.backward(tape, dy)
    with pytest.raises(TapeError, match="used"):
        attention.backward(tape, dy)


@DTYPE
def test_embedding_gradient_sums_over_every_use_of_a_row(dtype):
    embedding = Embedding(7, 3, dtype, seed=0)
    ids = np.array([[4, 0, 4], [4, 6, 0]])
    dy = np.random.default_rng(1).standard_normal((2, 3, 3)).astype(dtype)
    rows, tape = embedding.forward(ids)
    np.testing.assert_array_equal(rows, embedding(ids))
    got = embedding.backward(tape, dy).params["weight"]
    expected = np.zeros((7, 3))
    for index in np.ndindex(ids.shape):
        expected[ids[index]] += dy[index]
    assert got.dtype == np.dtype(dtype)
    assert tables.relative_error(got, expected) <= tables.TOLERANCES["gradient", np.dtype(dtype)]


def test_embedding_gradient_is_pytorch_s():
    torch = pytest.importorskip("torch")
    embedding = Embedding(50, 8, seed=0)
    ids = np.random.default_rng(0).integers(0, 50, (9, 11))
    dy = np.random.default_rng(1).standard_normal((9, 11, 8), dtype=np.float32)
    _, tape = embedding.forward(ids)
    other = torch.nn.Embedding(50, 8)
    other(torch.from_numpy(ids)).backward(torch.from_numpy(dy))
    got = embedding.backward(tape, dy).params["weight"]
    assert (
        tables.relative_error(got, other.weight.grad.numpy()) <= tables.TOLERANCES["gradient", np.dtype("f4")]
    )


def test_embedding_of_nothing_has_no_gradient():
    embedding = Embedding(3, 2)
    _, tape = embedding.forward(np.zeros((0, 4), int))
    assert not embedding.backward(tape, np.zeros((0, 4, 2), np.float32)).params["weight"].any()


def test_embedding_trains_and_refuses_old_and_used_tapes():
    embedding = Embedding(3, 2, seed=0)
    before, dy = embedding.state_dict()["weight"], np.ones((2, 2), np.float32)
    _, tape = embedding.forward([1, 1])
    _, older = embedding.forward([1, 2])
    with pytest.raises(ShapeError, match="dy"):
        embedding.backward(tape, dy[:1])
    SGD([embedding], lr=0.5).step([embedding.backward(tape, dy).params])
    np.testing.assert_array_equal(embedding.state_dict()["weight"] - before, [[0, 0], [-1, -1], [0, 0]])
    with pytest.raises(TapeError, match="used"):
        embedding.backward(tape, dy)
    with pytest.raises(TapeError, match="earlier"):
        embedding.backward(older, dy)
    with pytest.raises(TapeError, match="of this "):
        Embedding(3, 2).backward(older, dy)
