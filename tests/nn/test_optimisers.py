# SPDX-License-Identifier: MIT
"""Optimisers against hand-computed numbers and PyTorch, and what they take: a layer, a model, several of them."""

import math

import numpy as np
import pytest
import tables_training as tables
from compiled import assert_same_bits

import rnncore
from rnncore import nn
from rnncore.errors import ArgumentError, DTypeError, MemoryExhaustedError, ShapeError, TapeError
from rnncore.nn import SGD, Adam, Linear


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


# -- what is trained ----------------------------------------------------------------------------------------

X = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)


def model():
    return nn.Sequential(
        rnncore.GRU(3, 4, seed=0), nn.Sequential(nn.Dropout(0.2, seed=1), Linear(4, 2, seed=2))
    )


def grads_of(module):
    y, *_, tape = module.forward(X)
    return module.backward(tape, y)


def stepped(module, optimizer, given):
    optimizer.step(given)
    return module.state_dict()


@pytest.mark.parametrize("make", [lambda: rnncore.LSTM(3, 4, seed=0), model], ids=["layer", "model"])
def test_one_module_needs_no_list(make):
    expected = stepped(module := make(), Adam([module]), [grads_of(module).params])
    for given in (lambda g: g, lambda g: g.params, lambda g: [g], lambda g: (g.params,)):
        got = stepped(module := make(), Adam(module), given(grads_of(module)))
        assert_same_bits(got, expected)


def test_several_modules_take_what_backward_gave():
    def run(wrap):
        layer, head = rnncore.GRU(3, 4, seed=0), Linear(4, 2, seed=2)
        y, _, tape = layer.forward(X)
        out, head_tape = head.forward(y)
        head_grads = head.backward(head_tape, out)
        grads = layer.backward(tape, head_grads.x)
        Adam([layer, head]).step([wrap(grads), wrap(head_grads)])
        return layer.state_dict(), head.state_dict()

    assert_same_bits(run(lambda g: g), run(lambda g: g.params))


def test_a_model_trains_as_its_modules_do():
    whole, parts = model(), model()
    one, two = Adam(whole, lr=0.1, clip_norm=0.5), Adam([parts[0], parts[1]], lr=0.1, clip_norm=0.5)
    for _ in range(3):
        grads, other = grads_of(whole), grads_of(parts)
        own = [
            {
                name.removeprefix(f"{k}."): grad
                for name, grad in other.params.items()
                if name.startswith(f"{k}.")
            }
            for k in range(2)
        ]
        assert one.step(grads) == two.step(own)
    assert_same_bits(whole.state_dict(), parts.state_dict())


def test_modules_without_parameters_take_no_part():
    layer, dropout = rnncore.GRU(3, 4, seed=0), nn.Dropout(0.5)
    optimizer = Adam([layer, dropout])
    assert optimizer.step([grads_of(layer), {}]) > 0
    assert set(optimizer.state_dict()) == {"step", "lr"} | {
        f"{k}.{m}" for k in (0, 1) for m in optimizer._moments
    }


def test_a_model_is_resumed():
    whole, part = model(), model()
    first, second = Adam(whole), Adam(part)
    for _ in range(2):
        first.step(grads_of(whole))
    grads = grads_of(whole)
    part.load_state_dict(whole.state_dict())
    second.load_state_dict(first.state_dict())
    first.step(grads)
    second.step(grads)
    assert_same_bits(part.state_dict(), whole.state_dict())


def test_a_loaded_model_is_trained_further(tmp_path):
    trained = model()
    trained.save(tmp_path / "model.safetensors")
    again = rnncore.load(tmp_path / "model.safetensors")
    target = np.zeros((5, 2, 2), np.float32)
    losses, optimizer = [], Adam(again, lr=0.05)
    for _ in range(20):
        y, tape = again.forward(X, lengths=[5, 3])
        loss, dy = rnncore.mse_loss(y, target)
        optimizer.step(again.backward(tape, dy))
        losses.append(loss)
    assert losses[-1] < losses[0] / 2
    assert_same_bits(trained.state_dict(), model().state_dict())


WHAT_TO_DO = {
    "parameters": (
        lambda: Adam(rnncore.GRU(3, 4).parameters().values()),
        r"modules\[0\].*not its parameters",
    ),
    "number": (lambda: Adam(3), "modules: expected a module or some"),
    "nothing to train": (lambda: Adam([nn.Softmax()]), "at least one module with parameters"),
    "model and its layer": (lambda: Adam([m := model(), m[0]]), r"modules\[1\]: expected each module once"),
    "array": (lambda: Adam(Linear(2, 2)).step(np.ones(3)), "grads: .*pass on what backward gave"),
    "list of arrays": (
        lambda: Adam(Linear(2, 2)).step([np.ones(3)]),
        r"grads\[0\]: .*pass on what backward gave",
    ),
    "nothing": (lambda: Adam(Linear(2, 2)).step(None), "grads: .*pass on what backward gave"),
    "one of two": (
        lambda: Adam([Linear(2, 2), nn.LayerNorm(2)]).step({}),
        "2 modules.*in the order Linear, LayerNorm",
    ),
    "two of one": (lambda: Adam(Linear(2, 2)).step([{}, {}]), "gradients of 1 module"),
    "order": (
        lambda: Adam([Linear(2, 2), rnncore.GRU(3, 4)]).step([{"weight_ih_l0": np.ones(1)}, {}]),
        r"grads\[0\]: .*modules and gradients in one order",
    ),
}


@pytest.mark.parametrize("case", WHAT_TO_DO)
def test_errors_say_what_to_do(case):
    call, words = WHAT_TO_DO[case]
    with pytest.raises(ArgumentError, match=words):
        call()


def test_moments_that_memory_cannot_hold_are_named():
    class Huge(Vector):
        def parameters(self):
            return {"w": np.broadcast_to(np.float32(0), (2**60,))}

    with pytest.raises(MemoryExhaustedError, match=r"modules\[0\]"):
        Adam(Huge([0.0]))
