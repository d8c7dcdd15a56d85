# SPDX-License-Identifier: MIT
"""The small inference graph: each module against NumPy or PyTorch, chains, streams, bad input."""

import functools
import warnings

import numpy as np
import pytest
import tables

import rnncore
from rnncore import nn
from rnncore.errors import ArgumentError, DTypeError, RnncoreError, ShapeError, UnsupportedError
from rnncore.reference import activations as reference_functions

F32 = np.dtype(np.float32)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(F32)


# The same function in PyTorch, of a tensor and our parameters.
IN_TORCH = {
    "linear": lambda f, x: x * 1,
    "silu": lambda f, x: f.silu(x),
    "sigmoid": lambda f, x: x.sigmoid(),
    "tanh": lambda f, x: x.tanh(),
    "relu": lambda f, x: f.relu(x),
    "affine": lambda f, x, a, b: a * x + b,
    "leaky_relu": lambda f, x, a: f.leaky_relu(x, a),
    "thresholded_relu": lambda f, x, a: f.threshold(x, a, 0.0),
    "scaled_tanh": lambda f, x, a, b: a * (b * x).tanh(),
    "hard_sigmoid": lambda f, x, a, b: (a * x + b).clamp(0, 1),
    "elu": lambda f, x, a: f.elu(x, a),
    "softsign": lambda f, x: f.softsign(x),
    "softplus": lambda f, x: f.softplus(x),
    "log_space": lambda f, x: (x + 0.5).where(x >= 0, x.sigmoid()),
}
PARAMETERS = (0.4, 0.7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", nn.ACTIVATIONS)
def test_activation_and_its_slope_are_pytorch_s(name, dtype):
    torch = pytest.importorskip("torch")
    x = np.concatenate([np.random.default_rng(0).standard_normal(50) * 5, [-100, 100]]).astype(dtype)
    for given in {(), PARAMETERS[: len(nn.ACTIVATIONS[name].defaults)]}:
        module = nn.Activation(name, *given)
        y, tape = module.forward(x)
        other = torch.from_numpy(x).requires_grad_()
        expected = IN_TORCH[name](torch.nn.functional, other, *(given or nn.ACTIVATIONS[name].defaults))
        expected.backward(torch.ones_like(expected))
        dx = module.backward(tape, np.ones_like(y)).x
        assert y.dtype == dx.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(y, module(x))
        for got, wanted in ((y, expected.detach()), (dx, other.grad)):
            assert tables.relative_error(got, wanted.numpy()) <= tables.TOLERANCES["forward", y.dtype]


@pytest.mark.parametrize("name", reference_functions.VALUES)
def test_activation_is_the_twin_s(name):
    x = np.concatenate([np.random.default_rng(0).standard_normal(50) * 5, [0.0, -0.0, 0.4, 1.0]])
    ours, twin = nn.ACTIVATIONS[name], reference_functions.VALUES[name]
    for own, other in ((ours.value, twin.value), (ours.slope, twin.slope)):
        got, wanted = (function(x, *PARAMETERS[: len(ours.defaults)]) for function in (own, other))
        assert tables.relative_error(got, wanted) <= tables.TOLERANCES["forward", got.dtype]
    if name != "softsign":  # the twin warns there
        infinite = np.array([-np.inf, np.inf])
        got, wanted = (row.value(infinite, *PARAMETERS[: len(ours.defaults)]) for row in (ours, twin))
        np.testing.assert_array_equal(got, wanted)


def test_softsign_of_infinity_is_its_sign():
    with warnings.catch_warnings(action="error"):
        y = nn.Activation("softsign")(np.array([-np.inf, np.inf]))
    np.testing.assert_array_equal(y, [-1, 1])


def test_softmax_norm_linear_and_embedding_are_pytorch_s():
    torch = pytest.importorskip("torch")
    x = normal(3, 4, 6)
    norm, linear, embedding = (
        nn.LayerNorm(6),
        nn.Linear(6, 5, seed=1),
        nn.Embedding(7, 6, seed=2),
    )
    norm.load_state_dict({"weight": normal(6, seed=3), "bias": normal(6, seed=4)})
    pairs = [
        (nn.Softmax(), torch.nn.Softmax(-1), x),
        (norm, torch.nn.LayerNorm(6), x),
        (linear, torch.nn.Linear(6, 5), x),
        (embedding, torch.nn.Embedding(7, 6), np.array([[0, 6], [3, 3]])),
    ]
    for own, other, given in pairs:
        other.load_state_dict({name: torch.from_numpy(a) for name, a in own.state_dict().items()})
        with torch.no_grad():
            expected = other(torch.from_numpy(given)).numpy()
        assert tables.relative_error(own(given), expected) <= tables.TOLERANCES["forward", F32]


@pytest.mark.parametrize("batch_first", [False, True])
def test_reverse_valid_turns_only_the_valid_steps(batch_first):
    x = np.arange(12.0).reshape(4, 3, 1)  # (T, N, features)
    lengths = np.array([4, 2, 0])
    expected = x.copy()
    for n, length in enumerate(lengths):
        expected[:length, n] = x[:length, n][::-1]
    given = x.swapaxes(0, 1) if batch_first else x
    got = nn.reverse_valid(given, lengths, batch_first)
    np.testing.assert_array_equal(got.swapaxes(0, 1) if batch_first else got, expected)
    np.testing.assert_array_equal(nn.reverse_valid(x[:, 0], np.array([2])), expected_row(x[:, 0], 2))
    np.testing.assert_array_equal(
        nn.reverse_valid(given, None, batch_first), np.flip(given, int(batch_first))
    )


def expected_row(row, length):
    return np.concatenate([row[:length][::-1], row[length:]])


def halves():
    """A bidirectional layer and its two directions as layers of their own."""
    both = rnncore.GRU(3, 4, bidirectional=True, seed=0)
    parts = []
    for suffix in ("", "_reverse"):
        part = rnncore.GRU(3, 4)
        part.load_state_dict({name: both.state_dict()[name + suffix] for name in part.parameters()})
        parts.append(part)
    return both, *parts


def test_orders_and_merges_follow_from_one_bidirectional_layer():
    both, forward, reverse = halves()
    x, lengths = normal(5, 2, 3), np.array([5, 3])
    y, h = both(x, lengths=lengths)
    recurrent = nn.Recurrent
    np.testing.assert_array_equal(recurrent(forward)(x, lengths), y[..., :4])
    in_place = recurrent(reverse, order="reverse")(x, lengths)
    np.testing.assert_array_equal(in_place, y[..., 4:])
    computed = recurrent(reverse, order="backwards")(x, lengths)
    np.testing.assert_array_equal(computed, nn.reverse_valid(in_place, lengths))
    for merge, row in nn.MERGES.items():
        expected = row.value(y[..., :4], y[..., 4:])
        np.testing.assert_array_equal(recurrent(both, merge=merge)(x, lengths), expected)
    pair = recurrent(both, merge=None, return_sequences=False)(x, lengths)
    np.testing.assert_array_equal(np.stack(pair), h)


def chain():
    return nn.Sequential(
        nn.Embedding(5, 3, seed=0),
        rnncore.LSTM(3, 4, seed=1),
        nn.Activation("tanh"),
        rnncore.GRU(4, 2, seed=2),
        nn.Softmax(),
    )


def test_a_stream_of_steps_is_the_call():
    model = chain()
    ids = np.random.default_rng(0).integers(0, 5, (6, 3))
    whole, stream = model(ids), model.stream(3)
    steps = np.stack([stream.step(row) for row in ids])
    np.testing.assert_array_equal(steps[:3], whole[:3])
    assert tables.relative_error(steps, whole) <= tables.TOLERANCES["forward", F32]
    kept = stream.state
    again = stream.step(ids[0])
    stream.state = kept
    np.testing.assert_array_equal(stream.step(ids[0]), again)
    stream.reset()
    np.testing.assert_array_equal(stream.step(ids[0]), steps[0])


def test_a_chain_that_needs_the_end_does_not_stream():
    for module in (
        rnncore.RNN(3, 4, bidirectional=True),
        nn.Recurrent(rnncore.RNN(3, 4), order="reverse"),
        nn.Recurrent(rnncore.RNN(3, 4), return_sequences=False),
    ):
        with pytest.raises(UnsupportedError, match="needs the end"):
            nn.Sequential(module).stream()


def test_a_sequential_is_like_a_list():
    model = chain()
    assert len(model) == 5
    assert isinstance(model[0], nn.Embedding)
    assert isinstance(model[1], nn.Recurrent)
    assert "LSTM(3, 4)" in repr(model)


def test_parameters_are_read_only_and_updates_all_or_nothing():
    linear = nn.Linear(3, 2, seed=0)
    with pytest.raises(ValueError, match="read-only"):
        linear.parameters()["weight"][0, 0] = 1
    before = linear.state_dict()
    with pytest.raises(ShapeError, match="weight"):
        linear.update_parameters({"bias": np.ones(2, F32), "weight": np.ones((3, 2), F32)})
    np.testing.assert_array_equal(linear.parameters()["bias"], before["bias"])
    norm = nn.LayerNorm(3)
    with pytest.raises(ShapeError, match="weight"):
        norm.update_parameters({"bias": np.ones(3, F32), "weight": np.ones(4, F32)})
    np.testing.assert_array_equal(norm.parameters()["bias"], np.zeros(3, F32))
    with pytest.raises(ArgumentError, match="missing"):
        norm.load_state_dict({"weight": np.ones(3, F32)})


BAD = {
    "linear zero": (ArgumentError, lambda: nn.Linear(0, 2)),
    "linear dtype": (DTypeError, lambda: nn.Linear(1, 2, dtype="float16")),
    "linear x": (ShapeError, lambda: nn.Linear(3, 2)(normal(4, 2))),
    "linear x dtype": (DTypeError, lambda: nn.Linear(3, 2)(np.ones((4, 3)))),
    "embedding text": (DTypeError, lambda: nn.Embedding(3, 2)(["a"])),
    "embedding float": (DTypeError, lambda: nn.Embedding(3, 2)([0.0])),
    "embedding negative": (ArgumentError, lambda: nn.Embedding(3, 2)([-1])),
    "embedding large": (ArgumentError, lambda: nn.Embedding(3, 2)([3])),
    "norm eps": (ArgumentError, lambda: nn.LayerNorm(3, eps=float("nan"))),
    "activation": (ArgumentError, lambda: nn.Activation("__import__")),
    "order": (ArgumentError, lambda: nn.Recurrent(rnncore.RNN(1, 1), order="up")),
    "order both": (
        ArgumentError,
        lambda: nn.Recurrent(rnncore.RNN(1, 1, bidirectional=True), order="reverse"),
    ),
    "merge": (ArgumentError, lambda: nn.Recurrent(rnncore.RNN(1, 1), merge="max")),
    "sequences": (ArgumentError, lambda: nn.Recurrent(rnncore.RNN(1, 1), return_sequences=1)),
    "activation alpha": (ArgumentError, lambda: nn.Activation("elu", float("nan"))),
    "activation beta": (ArgumentError, lambda: nn.Activation("elu", 1.0, 2.0)),
    "dropout": (ArgumentError, lambda: nn.Dropout(1.0)),
    "dropout of integers": (DTypeError, lambda: nn.Dropout(0.5).forward([1, 2])),
    "recurrent": (ArgumentError, lambda: nn.Recurrent(nn.Linear(2, 3))),
    "sequential": (ArgumentError, lambda: nn.Sequential(3)),
    "attention in a chain": (ArgumentError, lambda: nn.Sequential(nn.Attention())),
    "a module twice": (ArgumentError, lambda: nn.Sequential(head := nn.Linear(2, 2), head)),
    "a module twice, deep": (
        ArgumentError,
        lambda: nn.Sequential(head := nn.Linear(2, 2), nn.Sequential(head)),
    ),
    "steps that are gone": (
        ArgumentError,
        lambda: nn.Sequential(nn.Recurrent(rnncore.RNN(1, 1), return_sequences=False), rnncore.RNN(1, 1)),
    ),
    "too deep": (
        ArgumentError,
        lambda: functools.reduce(lambda m, _: nn.Sequential(m), range(17), nn.Softmax()),
    ),
    "build too deep": (
        ArgumentError,
        lambda: nn.build_module(
            functools.reduce(
                lambda c, _: {"kind": "Sequential", "modules": [c]}, range(200), {"kind": "Softmax"}
            ),
            {},
        ),
    ),
    "build kind": (ArgumentError, lambda: nn.build_module({"kind": "Module"}, {})),
    "build chain": (ArgumentError, lambda: nn.build_module({"kind": "Sequential"}, {})),
    "build fields": (ArgumentError, lambda: nn.build_module({"kind": "Softmax", "axis": 1}, {})),
    "build extra": (ArgumentError, lambda: nn.build_module({"kind": "Softmax"}, {"weight": normal(1)})),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    error, call = BAD[name]
    with pytest.raises(error) as caught:
        call()
    assert isinstance(caught.value, RnncoreError)
