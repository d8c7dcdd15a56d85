# SPDX-License-Identifier: MIT
"""Optimisers against hand-computed numbers and PyTorch; losses and the linear head by central differences."""

import math

import numpy as np
import pytest
import tables_training as tables
from compiled import assert_same_bits
from differences import assert_gradient, differences

import rnncore
from rnncore.errors import ArgumentError, DTypeError, ShapeError, TapeError
from rnncore.nn import SGD, Adam, Linear, cross_entropy, mse_loss


class Vector:
    """The smallest module: one parameter."""

    def __init__(self, values, dtype="float64"):
        self.w = np.array(values, dtype)

    def parameters(self):
        view = self.w.view()
        view.flags.writeable = False
        return {"w": view}

    def update_parameters(self, values):
        self.w[...] = values["w"]


class Parameters:
    """A layer that lets optimisers in through `update_parameters` only."""

    def __init__(self, layer):
        self.parameters, self.update_parameters = layer.parameters, layer.update_parameters


# -- optimisers ---------------------------------------------------------------------------------------------


def test_adam_first_two_steps_by_hand():
    # Bias correction makes the first step lr * g/|g|. Second, with g = (1, 0) after (2, -4):
    # m = (0.9*0.2 + 0.1, 0.9*-0.4), v = (0.999*0.004 + 0.001, 0.999*0.016), divided by 1-0.81 and 1-0.998001.
    module = Vector([1.0, 1.0])
    optimizer = Adam([module], lr=0.5, eps=0.0)
    assert optimizer.step([{"w": np.array([2.0, -4.0])}]) == math.sqrt(20.0)
    np.testing.assert_allclose(module.w, [0.5, 1.5], rtol=tables.OPTIMIZER_RTOL["float64"])
    optimizer.step([{"w": np.array([1.0, 0.0])}])
    m, v = np.array([0.28, -0.36]) / 0.19, np.array([0.004996, 0.015984]) / 0.001999
    np.testing.assert_allclose(
        module.w, [0.5, 1.5] - 0.5 * m / np.sqrt(v), rtol=tables.OPTIMIZER_RTOL["float64"]
    )


def test_sgd_by_hand():
    plain, heavy, nesterov = (Vector([1.0]) for _ in range(3))
    for module, options in (
        (plain, {}),
        (heavy, {"momentum": 0.5}),
        (nesterov, {"momentum": 0.5, "nesterov": True}),
    ):
        optimizer = SGD([module], lr=0.25, **options)
        for grad in (1.0, 2.0):
            optimizer.step([{"w": np.array([grad])}])
    # buffers: 1, then 0.5 + 2 = 2.5; Nesterov steps: 1 + 0.5*1, then 2 + 0.5*2.5. All exact in binary.
    assert plain.w[0] == 1 - 0.25 * 3
    assert heavy.w[0] == 1 - 0.25 * (1 + 2.5)
    assert nesterov.w[0] == 1 - 0.25 * (1.5 + 3.25)


def test_clipping_uses_the_norm_over_all_modules():
    first, second = Vector([0.0]), Vector([0.0, 0.0])
    norm = SGD([first, second], lr=1.0, clip_norm=1.0).step(
        [{"w": np.array([3.0])}, {"w": np.array([0.0, 4.0])}]
    )
    assert norm == 5.0
    np.testing.assert_allclose(
        [*first.w, *second.w], [-0.6, 0.0, -0.8], rtol=tables.OPTIMIZER_RTOL["float64"]
    )


def test_small_gradients_are_not_clipped():
    module = Vector([0.0])
    SGD([module], lr=1.0, clip_norm=1.0).step([{"w": np.array([0.5])}])
    assert module.w[0] == -0.5


def test_norm_of_large_float32_gradients_is_finite():
    module = Vector([0.0, 0.0], "float32")
    norm = SGD([module], lr=1.0, clip_norm=1.0).step([{"w": np.array([3e30, 4e30], np.float32)}])
    np.testing.assert_allclose(norm, 5e30, rtol=tables.OPTIMIZER_RTOL["float32"])
    assert np.isfinite(module.w).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "kind",
    ["adam", "adamw", "adam-coupled", "sgd", "sgd-momentum", "sgd-nesterov", "sgd-coupled", "adam-clipped"],
)
def test_optimizers_agree_with_torch(kind, dtype):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    rng = np.random.default_rng(5)
    modules = [Linear(3, 4, dtype=dtype, seed=1), Linear(4, 2, bias=False, dtype=dtype, seed=2)]
    weights = [
        [torch.nn.Parameter(torch.from_numpy(a.copy())) for a in m.parameters().values()] for m in modules
    ]
    flat = [w for group in weights for w in group]
    ours, oracle = {
        "adam": lambda: (Adam(modules, lr=0.02), torch.optim.Adam(flat, lr=0.02)),
        "adamw": lambda: (
            Adam(modules, lr=0.02, betas=(0.8, 0.95), weight_decay=0.1),
            torch.optim.AdamW(flat, lr=0.02, betas=(0.8, 0.95), weight_decay=0.1),
        ),
        "sgd": lambda: (SGD(modules, lr=0.1), torch.optim.SGD(flat, lr=0.1)),
        "sgd-momentum": lambda: (
            SGD(modules, lr=0.1, momentum=0.9),
            torch.optim.SGD(flat, lr=0.1, momentum=0.9),
        ),
        "adam-coupled": lambda: (
            Adam(modules, lr=0.02, weight_decay=0.1, decoupled=False),
            torch.optim.Adam(flat, lr=0.02, weight_decay=0.1),
        ),
        "sgd-coupled": lambda: (
            SGD(modules, lr=0.1, momentum=0.9, weight_decay=0.1, decoupled=False),
            torch.optim.SGD(flat, lr=0.1, momentum=0.9, weight_decay=0.1),
        ),
        "sgd-nesterov": lambda: (
            SGD(modules, lr=0.1, momentum=0.9, nesterov=True),
            torch.optim.SGD(flat, lr=0.1, momentum=0.9, nesterov=True),
        ),
        "adam-clipped": lambda: (Adam(modules, lr=0.02, clip_norm=0.5), torch.optim.Adam(flat, lr=0.02)),
    }[kind]()
    for _ in range(12):
        grads = [
            {n: rng.normal(size=a.shape).astype(dtype) for n, a in m.parameters().items()} for m in modules
        ]
        for group, group_grads in zip(weights, grads, strict=True):
            for weight, grad in zip(group, group_grads.values(), strict=True):
                weight.grad = torch.from_numpy(grad.copy())
        if kind == "adam-clipped":
            torch.nn.utils.clip_grad_norm_(flat, 0.5)
        oracle.step()
        ours.step(grads)
    got = np.concatenate([a.ravel() for m in modules for a in m.parameters().values()])
    wanted = np.concatenate([w.detach().numpy().ravel() for w in flat])
    # clip_grad_norm_ adds 1e-6 to the norm it divides by.
    tolerance = tables.OPTIMIZER_RTOL["float32" if kind == "adam-clipped" else dtype]
    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


def test_scaled_gradients_take_the_same_step():
    plain, scaled = Vector([1.0, 2.0]), Vector([1.0, 2.0])
    grad = np.array([0.5, -4.0])
    norms = [
        Adam([plain], clip_norm=1.0).step([{"w": grad}]),
        Adam([scaled], clip_norm=1.0).step([{"w": 8 * grad}], grad_scale=0.125),
    ]
    assert norms[0] == norms[1]
    np.testing.assert_array_equal(plain.w, scaled.w)


@pytest.mark.parametrize("threads", [1, 2])
def test_layers_are_written_in_place_and_packed_again(threads):
    rng = np.random.default_rng(0)
    layer, twin = (rnncore.GRU(3, 5, seed=1) for _ in range(2))
    optimizer, reference = Adam([layer], lr=0.1), Adam([Parameters(twin)], lr=0.1)
    x, stream = rng.standard_normal((4, 2, 3)).astype(np.float32), layer.stream(2)
    flat = layer.parameters()["weight_ih_l0"].base
    for _ in range(3):
        y, _, tape = layer.forward(x)
        grads = layer.backward(tape, y).params
        optimizer.step([grads], num_threads=threads)
        reference.step([grads], num_threads=1)
        assert_same_bits(layer.state_dict().values(), twin.state_dict().values())
        assert_same_bits([layer(x)[0]], [twin(x)[0]])
    stream.reset()
    assert_same_bits([np.stack([stream.step(row) for row in x])], [layer(x)[0]])
    assert layer.parameters()["weight_ih_l0"].base is flat
    _, _, tape = layer.forward(x)
    optimizer.step([grads])
    with pytest.raises(TapeError):
        layer.backward(tape, y)


def test_a_step_that_fails_leaves_the_layer_as_it_was():
    layer = rnncore.RNN(2, 3, seed=0)
    before, version = layer.state_dict(), layer.version
    grads = {name: np.full_like(value, np.nan) for name, value in before.items()}
    with pytest.raises(ArgumentError, match="diverged"):
        Adam([layer]).step([grads])
    assert layer.version == version
    assert_same_bits(layer.state_dict().values(), before.values())


@pytest.mark.parametrize("make", [Adam, lambda m: SGD(m, lr=0.1, momentum=0.9)], ids=["adam", "sgd"])
def test_resumed_optimizer_takes_the_same_steps(make):
    rng = np.random.default_rng(0)
    grads = [[{"w": rng.normal(size=3)}] for _ in range(6)]
    whole, part = Vector([1.0, 2.0, 3.0]), Vector([1.0, 2.0, 3.0])
    optimizer, first = make([whole]), make([part])
    for step in grads:
        optimizer.step(step)
    for step in grads[:3]:
        first.step(step)
    second = make([part])
    second.load_state_dict(first.state_dict())
    for step in grads[3:]:
        second.step(step)
    np.testing.assert_array_equal(part.w, whole.w)


def test_state_dict_is_a_copy_and_is_checked():
    optimizer = Adam([Vector([1.0])])
    optimizer.state_dict()["0.exp_avg"][...] = 7.0
    assert optimizer.state_dict()["0.exp_avg"][0] == 0.0
    with pytest.raises(ArgumentError, match="state_dict"):
        optimizer.load_state_dict(SGD([Vector([1.0])], lr=0.1).state_dict())
    with pytest.raises(ShapeError, match=r"0\.exp_avg"):
        optimizer.load_state_dict(Adam([Vector([1.0, 2.0])]).state_dict())


OPTIMIZER_ERRORS = {
    "no-modules": (lambda: Adam([]), ArgumentError, "modules"),
    "not-a-module": (lambda: Adam([3]), ArgumentError, r"modules\[0\]"),
    "negative-lr": (lambda: Adam([Vector([1.0])], lr=-1), ArgumentError, "lr"),
    "nan-lr": (lambda: SGD([Vector([1.0])], lr=math.nan), ArgumentError, "lr"),
    "text-lr": (lambda: SGD([Vector([1.0])], lr="fast"), ArgumentError, "lr"),
    "beta-of-one": (lambda: Adam([Vector([1.0])], betas=(0.9, 1.0)), ArgumentError, r"betas\[1\]"),
    "one-beta": (lambda: Adam([Vector([1.0])], betas=0.9), ArgumentError, "betas"),
    "zero-clip": (lambda: Adam([Vector([1.0])], clip_norm=0.0), ArgumentError, "clip_norm"),
    "a-module-twice": (lambda: Adam([m := Vector([1.0]), m]), ArgumentError, r"modules\[1\]"),
    "nesterov-alone": (lambda: SGD([Vector([1.0])], nesterov=True), ArgumentError, "momentum"),
}


@pytest.mark.parametrize("case", OPTIMIZER_ERRORS, ids=str)
def test_optimizer_settings_are_checked(case):
    make, error, words = OPTIMIZER_ERRORS[case]
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize(
    ("grads", "error"),
    [
        ([], ArgumentError),
        ([{}], ArgumentError),
        ([{"v": np.zeros(2)}], ArgumentError),
        ([{"w": np.zeros(3)}], ShapeError),
        ([{"w": np.array([1.0, math.nan])}], ArgumentError),
        ([{"w": np.array([1.0, math.inf])}], ArgumentError),
        ([{"w": np.zeros(2, np.float32)}], DTypeError),
    ],
    ids=["none", "missing", "other-name", "shape", "nan", "inf", "dtype"],
)
def test_bad_gradients_change_nothing(grads, error):
    module = Vector([1.0, 2.0])
    optimizer = Adam([module])
    before = optimizer.state_dict()
    with pytest.raises(error, match="grads"):
        optimizer.step(grads)
    np.testing.assert_array_equal(module.w, [1.0, 2.0])
    assert all(np.array_equal(before[k], v) for k, v in optimizer.state_dict().items())


# -- losses -------------------------------------------------------------------------------------------------


def test_mse_by_hand():
    loss, dpred = mse_loss(np.array([1.0, 3.0]), np.array([0.0, 1.0]))
    assert loss == 2.5
    np.testing.assert_array_equal(dpred, [1.0, 2.0])
    loss, dpred = mse_loss(np.array([1.0, 3.0]), np.array([0.0, 1.0]), np.array([3.0, 1.0]))
    assert loss == 1.75
    np.testing.assert_array_equal(dpred, [1.5, 1.0])


@pytest.mark.parametrize("weight", [None, "full", "rows"])
def test_mse_gradient(weight):
    rng = np.random.default_rng(1)
    pred, target = rng.normal(size=(2, 5, 3))
    weight = {None: None, "full": rng.uniform(size=(5, 3)), "rows": rng.uniform(size=(5, 1))}[weight]
    _, dpred = mse_loss(pred, target, weight)
    assert_gradient(dpred, differences(lambda: mse_loss(pred, target, weight)[0], pred))


@pytest.mark.parametrize(
    "labels", [[[0, 3], [2, 1], [1, 1]], [[0, -100], [-100, 1], [3, 3]]], ids=["all", "ignored"]
)
def test_cross_entropy_gradient(labels):
    logits, labels = np.random.default_rng(2).normal(size=(3, 2, 4)), np.array(labels)
    _, dlogits = cross_entropy(logits, labels)
    assert_gradient(dlogits, differences(lambda: cross_entropy(logits, labels)[0], logits))
    assert not dlogits[labels == -100].any()


def test_cross_entropy_by_hand():
    # softmax of (0, ln 3) is (1/4, 3/4)
    loss, dlogits = cross_entropy(np.array([[0.0, math.log(3.0)]]), np.array([0]))
    np.testing.assert_allclose(loss, math.log(4.0), rtol=tables.OPTIMIZER_RTOL["float64"])
    np.testing.assert_allclose(dlogits, [[-0.75, 0.75]], rtol=tables.OPTIMIZER_RTOL["float64"])


def test_cross_entropy_of_huge_logits_is_exact():
    logits = np.array([[3e4, 0.0, -3e4], [0.0, 3e4, 0.0]], np.float32)
    loss, dlogits = cross_entropy(logits, np.array([0, 0]))
    assert loss == 1.5e4
    assert dlogits.dtype == np.float32
    np.testing.assert_allclose(dlogits, [[0, 0, 0], [-0.5, 0.5, 0]], atol=tables.FLOAT32_ATOL)


def test_cross_entropy_with_nothing_to_count():
    loss, dlogits = cross_entropy(np.ones((2, 3), np.float32), np.full(2, -1), ignore_index=-1)
    assert loss == 0.0
    assert dlogits.shape == (2, 3)
    assert not dlogits.any()


LOSS_ERRORS = {
    "mse-shape": (
        lambda: mse_loss(np.zeros((2, 3)), np.zeros((3, 2))),
        ShapeError,
        r"target: expected \(2, 3\)",
    ),
    "mse-integers": (lambda: mse_loss(np.zeros(2, int), np.zeros(2)), DTypeError, "pred"),
    "mse-empty": (lambda: mse_loss(np.zeros(0), np.zeros(0)), ShapeError, "pred"),
    "mse-weight-shape": (lambda: mse_loss(np.zeros(2), np.zeros(2), np.ones(3)), ShapeError, "weight"),
    "mse-weight-zero": (lambda: mse_loss(np.zeros(2), np.zeros(2), np.zeros(2)), ArgumentError, "weight"),
    "mse-weight-negative": (lambda: mse_loss(np.zeros(2), np.zeros(2), [2, -1]), ArgumentError, "weight"),
    "ce-scalar": (lambda: cross_entropy(np.float64(0), np.array(0)), ShapeError, "logits"),
    "ce-shape": (lambda: cross_entropy(np.zeros((2, 3)), np.zeros((2, 3), int)), ShapeError, "labels"),
    "ce-float-labels": (lambda: cross_entropy(np.zeros((2, 3)), np.zeros(2)), DTypeError, "labels"),
    "ce-label-too-big": (lambda: cross_entropy(np.zeros((2, 3)), np.array([0, 3])), ArgumentError, "got 3"),
    "ce-label-negative": (
        lambda: cross_entropy(np.zeros((2, 3)), np.array([0, -1])),
        ArgumentError,
        "got -1",
    ),
}


@pytest.mark.parametrize("case", LOSS_ERRORS, ids=str)
def test_loss_arguments_are_checked(case):
    call, error, words = LOSS_ERRORS[case]
    with pytest.raises(error, match=words):
        call()


# -- the linear head ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(4,), (5, 4), (3, 2, 4)], ids=str)
def test_linear_gradients(shape, bias):
    rng = np.random.default_rng(3)
    head = Linear(4, 3, bias=bias, dtype="float64", seed=4)
    x, probe = rng.normal(size=shape), rng.normal(size=(*shape[:-1], 3))
    y, tape = head.forward(x)
    grads = head.backward(tape, probe)
    np.testing.assert_array_equal(y, head(x))
    assert_gradient(grads.x, differences(lambda: float(np.vdot(head(x), probe)), x))
    assert list(grads.params) == list(head.parameters())
    for name in grads.params:
        values = head.state_dict()

        def loss(values=values):
            head.load_state_dict(values)
            return float(np.vdot(head(x), probe))

        assert_gradient(grads.params[name], differences(loss, values[name]))


def test_linear_parameters_are_read_only_and_seeded():
    head = Linear(9, 2, seed=1)
    with pytest.raises(ValueError, match="read-only"):
        head.parameters()["weight"][0, 0] = 1.0
    assert np.abs(head.parameters()["weight"]).max() <= 1 / 3
    np.testing.assert_array_equal(head.parameters()["weight"], Linear(9, 2, seed=1).parameters()["weight"])
    assert repr(head) == "Linear(in_features=9, out_features=2, bias=True, dtype='float32')"


def test_linear_tape_is_good_for_one_backward_of_its_own_layer():
    head, other = Linear(2, 1, dtype="float64", seed=0), Linear(2, 1, dtype="float64", seed=0)
    x, dy = np.ones((3, 2)), np.ones((3, 1))
    _, tape = head.forward(x)
    with pytest.raises(TapeError, match="this Linear"):
        other.backward(tape, dy)
    head.backward(tape, dy)
    with pytest.raises(TapeError, match="used"):
        head.backward(tape, dy)
    _, tape = head.forward(x)
    head.update_parameters({"bias": np.zeros(1)})
    with pytest.raises(TapeError, match="earlier"):
        head.backward(tape, dy)


LINEAR_ERRORS = {
    "zero-size": (lambda: Linear(0, 1), ArgumentError, "in_features"),
    "float-size": (lambda: Linear(2.0, 1), ArgumentError, "in_features"),
    "bool-size": (lambda: Linear(2, True), ArgumentError, "out_features"),
    "dtype": (lambda: Linear(2, 1, dtype="int32"), DTypeError, "dtype"),
    "no-dtype": (lambda: Linear(2, 1, dtype="real"), DTypeError, "dtype"),
    "x-shape": (lambda: Linear(2, 1)(np.zeros((2, 3), np.float32)), ShapeError, "x"),
    "x-dtype": (lambda: Linear(2, 1)(np.zeros((2, 2))), DTypeError, "x"),
    "unknown-name": (lambda: Linear(2, 1).update_parameters({"v": np.zeros(1)}), ArgumentError, "v"),
    "weight-shape": (
        lambda: Linear(2, 1).update_parameters({"weight": np.zeros((2, 1), np.float32)}),
        ShapeError,
        "weight",
    ),
    "weight-dtype": (
        lambda: Linear(2, 1).update_parameters({"weight": np.zeros((1, 2))}),
        DTypeError,
        "weight",
    ),
    "partial-state": (
        lambda: Linear(2, 1).load_state_dict({"bias": np.zeros(1, np.float32)}),
        ArgumentError,
        "weight",
    ),
    "dy-shape": (lambda: _backward(np.zeros((4, 1), np.float32)), ShapeError, "dy"),
    "dy-dtype": (lambda: _backward(np.zeros((3, 1))), DTypeError, "dy"),
}


def _backward(dy):
    head = Linear(2, 1)
    _, tape = head.forward(np.zeros((3, 2), np.float32))
    return head.backward(tape, dy)


@pytest.mark.parametrize("case", LINEAR_ERRORS, ids=str)
def test_linear_arguments_are_checked(case):
    call, error, words = LINEAR_ERRORS[case]
    with pytest.raises(error, match=words):
        call()
