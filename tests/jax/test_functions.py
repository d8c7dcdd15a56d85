# SPDX-License-Identifier: MIT
"""The functions of rnncore.jax give the bits of rnncore's own calls, compiled, differentiated and mapped."""

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

import rnncore  # noqa: E402
import rnncore.jax  # noqa: E402
from rnncore import engine  # noqa: E402
from rnncore.errors import RnncoreError  # noqa: E402
from rnncore.spec import initializers  # noqa: E402

T, N, I, H = 5, 3, 4, 6  # noqa: E741

# Name of a function, options that the parameters show, options of the call.
MODES = {
    "rnn": ("rnn", {}, {}),
    "relu": ("rnn", {}, {"nonlinearity": "relu"}),
    "lstm": ("lstm", {}, {}),
    "projected": ("lstm", {"proj_size": 2}, {}),
    "peepholes": ("lstm", {"peepholes": True}, {"clip": 0.5}),
    "coupled": ("lstm", {"coupled": True}, {"activations": {"g": "relu"}}),
    "normalised": ("lstm", {"layer_norm": True}, {}),
    "gru": ("gru", {}, {}),
    "reset_before": ("gru", {}, {"reset_after": False}),
    "normalised_gru": ("gru", {"layer_norm": True}, {}),
    "min_gru": ("min_gru", {}, {}),
    "min_lstm": ("min_lstm", {}, {"activations": {"g": "tanh"}}),
}
STACKS = {"one": {}, "two_both": {"num_layers": 2, "bidirectional": True}}
# Form of the input: whether there are biases, and an initial state.
FORMS = {
    "time_first": (True, False),
    "batch_first": (False, True),
    "unbatched": (True, True),
    "ragged": (True, True),
}


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """The type; float64 is there while a test asks for it."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", request.param == "float64")
    yield request.param
    jax.config.update("jax_enable_x64", before)


class Twin:
    """A function of rnncore.jax with its options and parameters, and the engine's calls with the same ones."""

    def __init__(self, mode, dtype="float32", bias=True, batch_first=False, **stack):
        self.name, shown, own = MODES[mode]
        self.options = {"batch_first": batch_first, **own}
        self.spec = engine.Spec(self.name, I, H, bias=bias, dtype=dtype, **shown, **stack, **self.options)
        self.rng = np.random.default_rng(2)
        self.values = initializers.uniform(self.spec, self.rng)
        self.params = {name: jnp.asarray(array) for name, array in self.values.items()}

    def __call__(self, params, x, state=None, lengths=None, **options):
        return getattr(rnncore.jax, self.name)(params, x, state, lengths, **self.options, **options)

    def draw(self, *shape):
        return self.rng.standard_normal(shape).astype(self.spec.dtype)

    def inputs(self, form="time_first", given=False, rows=N):
        """x, an initial state or None, lengths or None."""
        shape = {"batch_first": (rows, T, I), "unbatched": (T, I)}.get(form, (T, rows, I))
        state = None
        if given:
            state = tuple(self.draw(*s) for s in self.spec.state_shapes(rows))
            if form == "unbatched":
                state = tuple(part[:, 0] for part in state)
            state = state if len(state) > 1 else state[0]
        return self.draw(*shape), state, np.array([5, 0, 2], "int32") if form == "ragged" else None

    def infer(self, x, state=None, lengths=None):
        return engine.forward(
            engine.pack(self.spec, self.values), engine.Call(self.spec, x, state, lengths=lengths)
        )

    def train(self, x, state=None, lengths=None, **options):
        """Results, and the gradients of `loss` in (params, x, state)."""
        key = options.pop("key", None)
        weights = engine.pack(self.spec, self.values, engine.needed(training=True))
        call = engine.Call(self.spec, x, state, lengths=lengths)
        y, final, tape = engine.record(weights, call, engine.Training(call, **options), key=key)
        dstate = jax.tree.map(lambda part: 2 * part, final)
        grads = engine.backward(tape, 2 * y, dstate)
        return (y, final), (grads.params, grads.x, None if state is None else grads.state)

    def loss(self, params, x, state=None, lengths=None, **options):
        return sum((part**2).sum() for part in jax.tree.leaves(self(params, x, state, lengths, **options)))


def assert_equal(got, expected):
    """The same to the last bit."""
    got, expected = jax.tree.leaves(got), jax.tree.leaves(expected)
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("form", FORMS)
def test_bits_are_those_of_numpy_calls(mode, stack, form, dtype):
    bias, given = FORMS[form]
    twin = Twin(mode, dtype, bias, form == "batch_first", **STACKS[stack])
    x, state, lengths = twin.inputs(form, given)
    assert_equal(jax.jit(twin)(twin.params, x, state, lengths), twin.infer(x, state, lengths))
    wanted = (0, 1, 2) if given else (0, 1)
    grads = jax.jit(jax.grad(twin.loss, wanted))(twin.params, x, state, lengths)
    assert_equal(grads, twin.train(x, state, lengths)[1][: len(wanted)])


@pytest.mark.parametrize("mode", ["rnn", "lstm", "gru", "min_gru", "min_lstm"])
def test_gradients_are_those_of_differences(mode):
    jax.config.update("jax_enable_x64", True)
    try:
        twin = Twin(mode, "float64", num_layers=2, bidirectional=True)
        x, state, lengths = twin.inputs("ragged", given=True)
        check = pytest.importorskip("jax.test_util").check_grads
        operands = jax.tree.map(jnp.asarray, (twin.params, x, state))
        assert check(lambda *three: twin.loss(*three, lengths), operands, order=1, modes=["rev"]) is None
    finally:
        jax.config.update("jax_enable_x64", False)


def test_ragged_batches_compile_once():
    twin, traces = Twin("gru"), []

    @jax.jit
    def step(params, x, lengths):
        traces.append(lengths)
        return jax.value_and_grad(twin.loss)(params, x, None, lengths)

    x = twin.inputs()[0]
    losses = {float(step(twin.params, x, twin.rng.integers(0, T + 1, N))[0]) for _ in range(1000)}
    assert len(traces) == 1 and step._cache_size() == 1
    assert len(losses) > 50  # they were different batches


# Training --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{"dropout": 0.5}, {"zoneout": 0.25}, {"recurrent_dropout": 0.5}],
    ids=lambda options: next(iter(options)),
)
@pytest.mark.parametrize("mode", ["rnn", "lstm", "gru"])
def test_masks_are_those_of_the_key(mode, options):
    twin = Twin(mode, num_layers=2)
    x = twin.inputs()[0]
    key = jax.random.key(3)
    low, high = (int(word) for word in jax.random.bits(key, (2,), "uint32"))
    asked = {name: value for name, value in options.items() if name == "recurrent_dropout"}
    twin.spec = engine.Spec(mode, I, H, 2, **{name: options[name] for name in options.keys() - asked})
    results, expected = twin.train(x, key=low | high << 32, **asked)
    assert_equal(jax.jit(lambda *two: twin(*two, key=key, **options))(twin.params, x), results)
    grads = jax.grad(lambda *two: twin.loss(*two, key=key, **options), (0, 1))(twin.params, x)
    assert_equal(grads, expected[:2])
    twin.spec = engine.Spec(mode, I, H, 2, **{name: options[name] for name in options.keys() & {"zoneout"}})
    assert_equal(twin(twin.params, x, **options), twin.infer(x))  # no key, no masks


@pytest.mark.parametrize("checkpoint", ["gates", 2])
def test_checkpoints_give_equal_gradients(checkpoint):
    twin = Twin("lstm", num_layers=2)
    x, _, lengths = twin.inputs("ragged")
    expected = jax.grad(twin.loss)(twin.params, x, None, lengths)
    got = jax.grad(lambda *four: twin.loss(*four, checkpoint=checkpoint))(twin.params, x, None, lengths)
    assert_equal(got, expected)


def test_a_pulled_back_call_can_be_pulled_again():
    twin = Twin("lstm")
    y, pull = jax.vjp(lambda params: twin(params, twin.inputs()[0]), twin.params)
    ones = jax.tree.map(jnp.ones_like, y)
    assert_equal(pull(ones), pull(ones))


def test_second_derivatives_are_refused():
    twin = Twin("rnn")
    x = twin.inputs()[0]
    with pytest.raises(ValueError, match=r"FFI call|cannot be differentiated"):
        jax.grad(lambda x: jax.grad(twin.loss, 1)(twin.params, x).sum())(x)


def test_threads_change_nothing():
    twin = Twin("lstm")
    x, _, lengths = twin.inputs("ragged")
    one, two = (
        jax.grad(lambda p, n=n: twin.loss(p, x, None, lengths, num_threads=n))(twin.params) for n in (1, 2)
    )
    assert_equal(one, two)


def test_a_scan_over_steps_carries_the_state():
    twin = Twin("gru")
    x = twin.inputs()[0]
    h, y = jax.lax.scan(
        lambda h, x: twin(twin.params, x[None], h)[::-1], jnp.zeros((1, N, H)), jnp.asarray(x)
    )
    assert_equal((y[:, 0], h), twin.infer(x))


# vmap ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(
    "axes", [(None, 0, None, None), (None, 0, 0, 0), (0, None, None, None), (None, None, None, 0)]
)
def test_mapped_calls_are_those_of_a_loop(mode, batch_first, axes):
    twin = Twin(mode, batch_first=batch_first, bidirectional=True)
    form = "batch_first" if batch_first else "time_first"
    sets = [
        (initializers.uniform(twin.spec, twin.rng), *twin.inputs(form, True)[:2], np.array([T, 1, k]))
        for k in range(2)
    ]
    operands = [
        sets[0][k]
        if axis is None
        else jax.tree.map(lambda *parts: np.stack(parts), *(one[k] for one in sets))
        for k, axis in enumerate(axes)
    ]
    loop = [[sets[0 if axis is None else j][k] for k, axis in enumerate(axes)] for j in range(2)]
    for call in (twin, jax.grad(twin.loss, (0, 1, 2))):
        mapped = jax.jit(jax.vmap(call, axes))(*operands)
        for j in range(2):
            assert_equal(jax.tree.map(lambda part, j=j: part[j], mapped), call(*loop[j]))


def test_calls_that_share_parameters_are_mapped_as_one():
    twin = Twin("lstm")
    xs = twin.draw(7, 2, T, N, I)
    mapped = jax.vmap(jax.vmap(lambda x: twin(twin.params, x)))
    text = str(jax.make_jaxpr(mapped)(xs))
    assert "scan" not in text and "while" not in text
    assert_equal(jax.tree.map(lambda part: part[3, 1], mapped(xs)), twin.infer(xs[3, 1]))


# Parameters and errors -------------------------------------------------------------------------------------


def test_parameters_are_drawn_like_those_of_layers():
    params = rnncore.jax.init(jax.random.key(0), "lstm", 40, 100, 2, layer_norm=True)
    assert {name: array.shape for name, array in params.items()} == engine.Spec(
        "lstm", 40, 100, 2, layer_norm=True
    ).parameter_shapes()
    weight = np.asarray(params["weight_hh_l1"])
    assert 0.099 < weight.max() <= 0.1 and -0.1 <= weight.min() < -0.099
    assert (params["gain_ih_l0"] == 1).all() and not params["bias_c_l0"].any()
    assert not (params["weight_hh_l0"] == params["weight_hh_l1"]).any()


def test_parameters_of_layers_are_taken():
    layer = rnncore.GRU(I, H, seed=0)
    x = np.ones((T, N, I), "float32")
    assert_equal(rnncore.jax.gru(layer.parameters(), x), layer(x))


def test_nothing_to_do():
    twin = Twin("lstm", bidirectional=True)
    for shape in ((0, N, I), (T, 0, I), (0, I)):
        x = jnp.zeros(shape)
        assert_equal(jax.jit(twin)(twin.params, x), twin.infer(np.asarray(x)))
        grads = jax.grad(twin.loss)(twin.params, x)
        assert {name: array.shape for name, array in grads.items()} == twin.spec.parameter_shapes()


WRONG = {
    "features": (
        lambda p, x: rnncore.jax.lstm(p, x[..., :2]),
        "x: expected shape (T, N, 4) or (T, 4), got (5, 3, 2)",
    ),
    "half": (lambda p, x: rnncore.jax.lstm(p, x.astype("float16")), "x: expected dtype float32, got float16"),
    "state": (lambda p, x: rnncore.jax.lstm(p, x, x), "state: expected a pair (h, c), got"),
    "lengths": (
        lambda p, x: rnncore.jax.lstm(p, x, lengths=[1, 2]),
        "lengths: expected shape (3,), got (2,)",
    ),
    "real_lengths": (
        lambda p, x: rnncore.jax.lstm(p, x, lengths=[1.0, 2.0, 3.0]),
        "lengths: expected an integer",
    ),
    "other": (lambda p, x: rnncore.jax.gru(p, x), "weight_ih_l0: expected shape (18, 4), got (24, 4)"),
    "min": (lambda p, x: rnncore.jax.min_gru(p, x), "weight_hh_l0: expected "),
    "missing": (
        lambda p, x: rnncore.jax.lstm({"weight": x}, x),
        "params: expected a dict with the matrix weight_ih_l0",
    ),
    "zoneout": (
        lambda p, x: jax.grad(lambda p: rnncore.jax.lstm(p, x, zoneout=0.1)[0].sum())(p),
        "key: expected a key where gradients are wanted with zoneout",
    ),
    "stored": (
        lambda p, x: rnncore.jax.lstm({name: array.astype("bfloat16") for name, array in p.items()}, x),
        "dtype: expected float32 or float64, got dtype(bfloat16)",
    ),
    "double": (
        lambda p, x: rnncore.jax.init(jax.random.key(0), "gru", 3, 4, dtype="float64"),
        "dtype: expected float32",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_are_one_sentence(case):
    twin = Twin("lstm")
    call, sentence = WRONG[case]
    with pytest.raises(RnncoreError) as error:
        call(twin.params, jnp.asarray(twin.inputs()[0]))
    assert str(error.value).startswith(sentence) and "\n" not in str(error.value)


def test_a_length_that_cannot_be_is_an_error_of_the_run():
    twin = Twin("gru")
    call = jax.jit(twin)
    x = twin.inputs()[0]
    with pytest.raises(RuntimeError, match="length"):
        jax.block_until_ready(call(twin.params, x, None, np.array([6, 1, 1])))
    assert_equal(call(twin.params, x, None, np.array([5, 1, 1])), twin.infer(x, lengths=[5, 1, 1]))
