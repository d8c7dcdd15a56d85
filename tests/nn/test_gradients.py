# SPDX-License-Identifier: MIT
"""Every module's backward: against central differences in float64, and against PyTorch where it has the module."""

import copy

import numpy as np
import pytest
import tables
from differences import assert_gradient, differences

import rnncore
from rnncore import nn, reference

T, N, I, H = 4, 3, 2, 3  # noqa: E741
LENGTHS = np.array([4, 2, 0])
F64 = "float64"


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def norm():
    module = nn.LayerNorm(I, dtype=F64)
    module.load_state_dict({"weight": draw(I, seed=3), "bias": draw(I, seed=4)})
    return module


def chain():
    """Everything that a chain may hold, a chain within it, and dropout."""
    return nn.Sequential(
        nn.Embedding(5, I, dtype=F64, seed=0),
        rnncore.LSTM(I, H, dtype=F64, seed=1),
        nn.Dropout(0.3, seed=2),
        nn.Sequential(nn.LayerNorm(H, dtype=F64), nn.Activation("silu")),
        nn.Recurrent(rnncore.GRU(H, H, bidirectional=True, dtype=F64, seed=3), merge="mul"),
        nn.Recurrent(rnncore.RNN(H, 2, dtype=F64, seed=4), order="reverse", return_sequences=False),
        nn.Linear(2, 2, dtype=F64, seed=5),
        nn.Softmax(),
    )


# A module, and what its forward takes.
MODULES = {
    "linear": (lambda: nn.Linear(I, 3, dtype=F64, seed=0), [draw(T, N, I)]),
    "linear without bias": (lambda: nn.Linear(I, 3, bias=False, dtype=F64, seed=0), [draw(I)]),
    "norm": (norm, [draw(T, N, I)]),
    "softmax": (nn.Softmax, [draw(N, 5)]),
    "dropout": (lambda: nn.Dropout(0.4, seed=3), [draw(5, 4)]),
    "no dropout": (lambda: nn.Dropout(0.0), [draw(5, 4)]),
    "dropout of turned memory": (lambda: nn.Dropout(0.4, seed=3), [draw(5, 4).T]),
    "embedding": (lambda: nn.Embedding(5, I, dtype=F64, seed=0), [np.array([[1, 4, 1], [0, 0, 1]])]),
    "chain": (chain, [np.random.default_rng(0).integers(0, 5, (T, N)), LENGTHS]),
    "chain of nothing": (nn.Sequential, [draw(3)]),
    "chain of twins": (
        lambda: nn.Sequential(reference.GRU(I, H, seed=0, dtype=F64), nn.Linear(H, 1, dtype=F64, seed=1)),
        [draw(T, N, I), LENGTHS],
    ),
} | {name: (lambda name=name: nn.Activation(name), [draw(3, 7)]) for name in nn.ACTIVATIONS}

RECURRENT = [
    (order, merge, sequences, batch_first, lengths)
    for order in ("forward", "reverse", "backwards")
    for merge in ("concat", "sum", "mul", "ave", None)
    for sequences in (True, False)
    for batch_first in (False, True)
    for lengths in (None, LENGTHS)
    if (merge == "concat" or order == "forward")
]


def start(module, inputs):
    """A probe of the output, the gradients of their product, and that product as a function of the parameters."""
    y, tape = copy.deepcopy(module).forward(*inputs)
    parts = y if isinstance(y, tuple) else (y,)
    probe = tuple(draw(*part.shape, seed=9) for part in parts)

    def loss(values):
        again = copy.deepcopy(module)  # which draws the same masks
        again.load_state_dict(values)
        y = again.forward(*inputs)[0]
        return float(
            sum(np.vdot(a, b) for a, b in zip(y if isinstance(y, tuple) else (y,), probe, strict=True))
        )

    grads = tape.owner.backward(tape, probe if isinstance(y, tuple) else probe[0])
    assert list(grads.params) == list(module.parameters())
    return grads, loss


def check(module, inputs):
    """Every element of every gradient."""
    grads, loss = start(module, inputs)
    values = module.state_dict()
    if inputs[0].dtype.kind == "f":
        assert_gradient(grads.x, differences(lambda: loss(values), inputs[0]))
    else:
        assert grads.x is None
    for name, got in grads.params.items():
        assert_gradient(got, differences(lambda: loss(values), values[name]))


def check_directions(module, inputs, count=3):
    """The slope along some directions in the space of the input and all parameters."""
    grads, loss = start(module, inputs)
    values, rng = module.state_dict(), np.random.default_rng(1)
    points, slopes = [*values.values()], [*grads.params.values()]
    if grads.x is not None:
        points, slopes = [inputs[0], *points], [grads.x, *slopes]
    for _ in range(count):
        ways = [rng.standard_normal(point.shape) for point in points]
        place, kept = np.zeros(1), [point.copy() for point in points]

        def along(place=place, kept=kept, ways=ways):
            for point, origin, way in zip(points, kept, ways, strict=True):
                point[...] = origin + place[0] * way
            return loss(values)

        expected = differences(along, place)
        for point, origin in zip(points, kept, strict=True):
            point[...] = origin
        assert_gradient(sum(np.vdot(a, b) for a, b in zip(slopes, ways, strict=True)), expected[0])


@pytest.mark.parametrize("name", MODULES)
def test_gradients_are_central_differences(name):
    make, inputs = MODULES[name]
    inputs = [array.copy(order="K") for array in inputs]
    if isinstance(module := make(), nn.Sequential):
        check_directions(module, inputs, count=5)
    else:
        check(module, inputs)


def row_id(row):
    order, merge, sequences, batch_first, lengths = row
    parts = [order, str(merge), "all" if sequences else "last", "NT" if batch_first else "TN"]
    return "-".join([*parts, "full" if lengths is None else "ragged"])


@pytest.mark.parametrize("row", RECURRENT, ids=row_id)
@pytest.mark.parametrize("cell", ["GRU", "LSTM"])
def test_recurrent_gradients_are_central_differences(row, cell):
    order, merge, sequences, batch_first, lengths = row
    both = order == "forward" and (merge != "concat" or sequences)
    layer = getattr(rnncore, cell)(
        I, 2, bidirectional=both, batch_first=batch_first, dtype=F64, seed=0, num_layers=2
    )
    x = draw(N, T, I) if batch_first else draw(T, N, I)
    module = nn.Recurrent(layer, order=order, merge=merge, return_sequences=sequences)
    check_directions(module, [x] if lengths is None else [x, lengths])


@pytest.mark.parametrize("sequences", [True, False])
def test_recurrent_gradients_of_one_row(sequences):
    layer = rnncore.LSTM(I, H, dtype=F64, seed=0)
    check(nn.Recurrent(layer, order="backwards", return_sequences=sequences), [draw(T, I)])


@pytest.mark.parametrize("dtype", ["float32", F64])
def test_gradients_are_pytorch_s(dtype):
    torch = pytest.importorskip("torch")
    sizes = {"linear": (6, 5), "embedding": (7, 6), "norm": (6,), "softmax": ()}
    own = {
        "linear": nn.Linear(6, 5, dtype=dtype, seed=1),
        "embedding": nn.Embedding(7, 6, dtype=dtype, seed=2),
        "norm": nn.LayerNorm(6, dtype=dtype),
        "softmax": nn.Softmax(),
    }
    own["norm"].load_state_dict({"weight": draw(6).astype(dtype), "bias": draw(6, seed=1).astype(dtype)})
    theirs = {
        "linear": torch.nn.Linear,
        "embedding": torch.nn.Embedding,
        "norm": torch.nn.LayerNorm,
        "softmax": lambda: torch.nn.Softmax(-1),
    }
    for name, module in own.items():
        other = theirs[name](*sizes[name]).to(getattr(torch, dtype))
        other.load_state_dict({key: torch.from_numpy(a) for key, a in module.state_dict().items()})
        x = np.array([[0, 6], [3, 3]]) if name == "embedding" else draw(4, 3, 6).astype(dtype)
        tx = torch.from_numpy(x)
        tx = tx if name == "embedding" else tx.requires_grad_()
        y, tape = module.forward(x)
        dy = draw(*y.shape, seed=5).astype(dtype)
        grads = module.backward(tape, dy)
        other(tx).backward(torch.from_numpy(dy))
        pairs = [(grads.params[key], p.grad) for key, p in other.named_parameters()]
        pairs += [] if name == "embedding" else [(grads.x, tx.grad)]
        for got, wanted in pairs:
            assert got.dtype == np.dtype(dtype)
            assert tables.relative_error(got, wanted.numpy()) <= tables.TOLERANCES["gradient", got.dtype]


@pytest.mark.parametrize("dtype", ["float32", F64])
def test_a_chain_s_gradients_are_pytorch_s(dtype):
    torch = pytest.importorskip("torch")
    model = nn.Sequential(
        nn.Embedding(7, 4, dtype=dtype, seed=0),
        rnncore.GRU(4, 5, num_layers=2, bidirectional=True, dtype=dtype, seed=1),
        nn.LayerNorm(10, dtype=dtype),
        nn.Linear(10, 3, dtype=dtype, seed=2),
    )
    theirs = [
        torch.nn.Embedding(7, 4),
        torch.nn.GRU(4, 5, num_layers=2, bidirectional=True),
        torch.nn.LayerNorm(10),
        torch.nn.Linear(10, 3),
    ]
    ids = np.random.default_rng(0).integers(0, 7, (6, 2))
    h = torch.from_numpy(ids)
    for k, part in enumerate(theirs):
        part.to(getattr(torch, dtype))
        own = model[k].state_dict()
        part.load_state_dict({name.replace("/", "."): torch.from_numpy(a) for name, a in own.items()})
        h = part(h)[0] if k == 1 else part(h)
    y, tape = model.forward(ids)
    loss, dy = rnncore.mse_loss(y, np.zeros_like(y))
    grads = model.backward(tape, dy)
    other = (h**2).mean()
    other.backward()
    assert (
        tables.relative_error(np.array(loss), other.detach().numpy()) <= tables.TOLERANCES["forward", y.dtype]
    )
    for k, part in enumerate(theirs):
        for name, parameter in part.named_parameters():
            got = grads.params[f"{k}.{name}"]
            assert (
                tables.relative_error(got, parameter.grad.numpy()) <= tables.TOLERANCES["gradient", y.dtype]
            )


def test_dropout_is_that_of_its_definition():
    """The mask streams of spec/masks.py, by the place of an element."""
    from rnncore.spec import masks
    from rnncore.spec.initializers import seed_streams

    x = draw(3, 4, 5).astype(np.float32)
    module = nn.Dropout(0.25, seed=8)
    y, _ = module.forward(x)
    again, _ = module.forward(x)
    key = masks.draw_call_key(seed_streams(8)[1])
    kept = masks.keep_mask(key, 0, x.shape, 0.25)
    np.testing.assert_array_equal(y, np.where(kept, x * masks.scale(0.25, np.float32), x * 0))
    assert not np.array_equal(y, again)
    assert module(x) is x


def test_a_chain_drops_in_forward_only():
    model, x = (
        nn.Sequential(nn.Dropout(0.5, seed=1), nn.Sequential(nn.Dropout(0.5, seed=2))),
        np.ones((50, 4)),
    )
    np.testing.assert_array_equal(model(x), x)
    assert set(model.forward(x)[0].flat) == {0.0, 4.0}


def test_dropouts_of_a_loaded_chain_differ_and_are_the_same_each_time(tmp_path):
    path, x = tmp_path / "model.safetensors", np.ones((50, 4), np.float32)
    nn.Sequential(
        nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5)), rnncore.GRU(4, 3, 2, dropout=0.5, seed=0)
    ).save(path)
    one, two = rnncore.load(path), rnncore.load(path)
    first, second = (part.forward(x)[0] for part in (one[0], one[1]))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(two[0].forward(x)[0], first)
    np.testing.assert_array_equal(two[2].forward(x)[0], one[2].forward(x)[0])
