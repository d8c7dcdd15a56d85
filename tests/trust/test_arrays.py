# SPDX-License-Identifier: MIT
"""Arrays of every kind to every call: the same bits as of a plain one, or an error that names the dtype."""

import array as buffers

import numpy as np
import pytest
from compiled import assert_same_bits

import rnncore
from rnncore import engine, nn, reference
from rnncore.errors import ArgumentError, DTypeError, OverlapError, RnncoreError

T, N, I, H = 5, 2, 3, 4  # noqa: E741
RNG = np.random.default_rng(0)


def drawn(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


# Layouts of the same values --------------------------------------------------------------------------------


def misaligned(array):
    """Elements that lie between element boundaries."""
    raw = np.empty(array.nbytes + 1, np.uint8)
    found = raw[1:].view(array.dtype).reshape(array.shape)
    found[...] = array
    assert not found.flags.aligned or not array.size or array.itemsize == 1
    return found


def strided(array):
    """Every second element of a larger array, backwards."""
    large = np.full((*array.shape[:-1], 2 * array.shape[-1]), 7, array.dtype)
    found = large[..., ::-2]
    found[...] = array
    return found


def read_only(array):
    found = array.copy()
    found.flags.writeable = False
    return found


def odd_strides(array):
    """Strides that are no whole elements where an axis has one place, and means nothing."""
    strides = [
        stride + 1 if size == 1 else stride for size, stride in zip(array.shape, array.strides, strict=True)
    ]
    return np.lib.stride_tricks.as_strided(array, array.shape, strides)


def mapped(array):
    return np.frombuffer(bytearray(array.tobytes()), array.dtype).reshape(array.shape)


class Own(np.ndarray):
    """Somebody's subclass."""


class Offered:
    """An object that gives an array when asked."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


LAYOUTS = {
    "misaligned": misaligned,
    "misaligned and strided": lambda array: misaligned(np.repeat(array, 2, axis=-1))[..., ::2],
    "strided": strided,
    "Fortran order": np.asfortranarray,
    "read-only": read_only,
    "odd strides": odd_strides,
    "over a buffer": mapped,
    "memory view": memoryview,
    "subclass": lambda array: array.view(Own),
    "offered": Offered,
}
LAYOUT = pytest.mark.parametrize("layout", LAYOUTS)


# Calls, as functions of one array ---------------------------------------------------------------------------

LSTM = rnncore.LSTM(I, H, seed=0)
WIDE = rnncore.GRU(I, H, 2, bidirectional=True, batch_first=True, seed=1)
ONE = rnncore.RNN(1, H, seed=2)  # one feature and one row: axes of one place
TWIN = reference.LSTM(I, H, seed=0)
LINEAR, NORM = rnncore.Linear(I, 2, seed=0), nn.LayerNorm(I)
X, STATE = drawn(T, N, I), (drawn(1, N, H), drawn(1, N, H))


def backward(module, x, dy, *more):
    """Gradients of a call of its own."""
    *_, tape = module.forward(x)
    return module.backward(tape, dy, *more)


def stepped(layer, x, state=None, rows=N):
    """Output and state after a step of a stream."""
    stream = layer.stream(rows)
    stream.state = state
    return stream.step(x), stream.state


def streamed(chunk):
    """Two chunks of a stream."""
    stream = LSTM.stream(N)
    return stream.run(chunk), stream.run(chunk), stream.state


def loaded(name):
    def call(value):
        layer = rnncore.LSTM(I, H, seed=5)
        layer.load_state_dict(layer.state_dict() | {name: value})
        return layer.state_dict(), layer(X)[0]

    return call


def packed(value):
    values = LSTM.state_dict() | {"weight_hh_l0": value}
    return engine.forward(engine.pack(LSTM.spec, values), engine.Call(LSTM.spec, X))


def optimised(value):
    head = rnncore.Linear(I, 2, bias=False, seed=0)
    norm = rnncore.Adam(head).step({"weight": value})
    return head.state_dict(), np.array(norm)


def loss_of(function, *more):
    def call(value):
        loss, grad = function(value, *more)
        return np.array(loss), grad

    return call


CALLS = {
    "x": (LSTM, X),
    "x of the twin": (TWIN, X),
    "x of two directions": (WIDE, drawn(N, T, I)),
    "x of one feature": (ONE, drawn(T, 1, 1)),
    "x unbatched": (LSTM, drawn(T, I)),
    "x of nothing": (LSTM, drawn(T, 0, I)),
    "x of no steps": (LSTM, drawn(0, N, I)),
    "x of forward": (lambda x: LSTM.forward(x)[:2], X),
    "h": (lambda h: LSTM(X, (h, STATE[1])), STATE[0]),
    "c": (lambda c: LSTM(X, (STATE[0], c)), STATE[1]),
    "h of one row": (lambda h: ONE(drawn(T, 1, 1) * 0, h), drawn(1, 1, H)),
    "dy": (lambda dy: backward(LSTM, X, dy), drawn(T, N, H)),
    "dy of one row": (lambda dy: backward(ONE, np.ones((T, 1, 1), np.float32), dy), drawn(T, 1, H)),
    "dh": (lambda dh: backward(LSTM, X, None, (dh, None)), drawn(1, N, H)),
    "x of a step": (lambda x: stepped(LSTM, x), X[0]),
    "x of a step of one row": (lambda x: stepped(ONE, x, rows=1), drawn(1, 1)),
    "x of a twin's step": (lambda x: stepped(TWIN, x), X[0]),
    "state of a stream": (lambda h: stepped(LSTM, X[0], (h, STATE[1])), STATE[0]),
    "chunk": (streamed, X),
    "weight_ih": (loaded("weight_ih_l0"), drawn(4 * H, I)),
    "bias_hh": (loaded("bias_hh_l0"), drawn(4 * H)),
    "weights of the engine": (packed, drawn(4 * H, H)),
    "gradients of Adam": (optimised, drawn(2, I)),
    "x of Linear": (LINEAR, X),
    "dy of Linear": (lambda dy: backward(LINEAR, X, dy), drawn(T, N, 2)),
    "x of LayerNorm": (NORM, X),
    "dy of LayerNorm": (lambda dy: backward(NORM, X, dy), X),
    "x of Dropout": (lambda x: nn.Dropout(0.5, seed=0).forward(x)[0], X),
    "x of Softmax": (nn.Softmax(), X),
    "x of Activation": (nn.Activation("elu"), X),
    "queries": (lambda q: nn.Attention()(q, X), drawn(3, N, I)),
    "memory": (lambda m: nn.Attention()(X, m), X),
    "x of Sequential": (nn.Sequential(LSTM, rnncore.Linear(H, 2, seed=1)), X),
    "pred": (loss_of(rnncore.mse_loss, X), drawn(T, N, I)),
    "logits": (loss_of(rnncore.cross_entropy, np.zeros((T, N), int)), X),
    "params": (loss_of(rnncore.mixture_loss, np.zeros((T, 2))), drawn(T, 12)),
}
CALL = pytest.mark.parametrize("call", CALLS)


def as_offered(layout, array):
    """None where this layout has no array of this shape."""
    if layout == "memory view" and not array.size:
        return None
    return LAYOUTS[layout](array)


@CALL
@LAYOUT
def test_any_layout_gives_the_same_bits(call, layout):
    function, array = CALLS[call]
    given = as_offered(layout, array)
    expected = function(array.copy())
    if given is not None:
        before = bytes(given) if layout == "memory view" else None
        assert_same_bits(function(given), expected)
        assert before is None or bytes(given) == before


@CALL
def test_an_axis_of_stride_zero_gives_the_same_bits(call):
    function, array = CALLS[call]
    if not array.size:
        return
    given = np.broadcast_to(array[:1], array.shape)
    assert_same_bits(function(given), function(given.copy()))


@CALL
@pytest.mark.parametrize("dtype", [">f4", "f2", "g", "i8", "u1", "?", "c8", "O", "U4", "M8[s]", "V4"])
def test_another_dtype_is_refused(call, dtype):
    function, array = CALLS[call]
    with pytest.raises(DTypeError) as caught:
        function(np.zeros(array.shape, dtype))
    assert caught.value.status == "DTYPE"


@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", ">i4", "u8"])
@pytest.mark.parametrize("layout", ["misaligned", "strided", "read-only", "odd strides"])
def test_integers_of_any_kind_are_integers(dtype, layout):
    integers = {
        lambda lengths: LSTM(X, lengths=lengths): [3, 5],
        lambda ids: nn.Embedding(9, 2, seed=0)(ids): [1, 8],
        lambda labels: rnncore.cross_entropy(X[0], labels)[1]: [2, 0],
        lambda rows: rows_after(rows): [1, 0],
    }
    for function, values in integers.items():
        given = LAYOUTS[layout](np.array(values, dtype))
        assert_same_bits(function(given), function(np.array(values)))


def rows_after(rows):
    stream = LSTM.stream(N)
    stream.step(X[0])
    stream.select(rows)
    return stream.state


# Results in the caller's memory -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layout", ["misaligned", "misaligned and strided", "strided", "Fortran order", "odd strides"]
)
@pytest.mark.parametrize("rows", [1, N])
def test_out_of_any_layout_gets_the_same_bits(layout, rows):
    x = X[:, :rows]
    for function, shape in (
        (LSTM, (T, rows, H)),
        (lambda x, out: LSTM.stream(rows).step(x[0], out), (rows, H)),
    ):
        expected, given = np.zeros(shape, np.float32), LAYOUTS[layout](np.zeros(shape, np.float32))
        function(x, out=expected)
        function(x, out=given)
        assert np.any(expected)
        assert_same_bits(np.array(given), expected)


@pytest.mark.parametrize("dtype", [">f4", "f2", "f8", "i4", "?", "O"])
def test_out_of_another_dtype_is_refused(dtype):
    for function, shape in ((LSTM, (T, N, H)), (lambda x, out: LSTM.stream(N).step(x[0], out), (N, H))):
        with pytest.raises(DTypeError, match="out"):
            function(X, out=np.zeros(shape, dtype))


def test_out_that_cannot_hold_results_is_refused():
    y = np.zeros((T, N, H), np.float32)
    step = LSTM.stream(N).step
    refused = {
        "read-only": (lambda: LSTM(X, out=read_only(y)), ArgumentError),
        "stride zero": (lambda: LSTM(X, out=np.lib.stride_tricks.as_strided(y, y.shape, (0, 16, 4))), OverlapError),
        "step, read-only": (lambda: step(X[0], read_only(y[0])), ArgumentError),
        "step, stride zero": (
            lambda: step(X[0], np.lib.stride_tricks.as_strided(y[0], (N, H), (0, 4))), OverlapError
        ),
        "no array": (lambda: LSTM(X, out=buffers.array("f", y.ravel())), ArgumentError),
    }  # fmt: skip
    for name, (call, error) in refused.items():
        with pytest.raises(error):
            call()
        assert not y.any(), name


def test_inputs_may_share_memory():
    """x, h and c are views of one buffer, and x is its own neighbour: a window that moves by less than its width."""
    buffer = drawn(64)
    x = np.lib.stride_tricks.as_strided(buffer, (T, N, I), (4, 8, 4))
    h, c = buffer[:8].reshape(1, N, H), buffer[4:12].reshape(1, N, H)
    assert_same_bits(LSTM(x, (h, c)), LSTM(x.copy(), (h.copy(), c.copy())))
    grads, again = (backward(LSTM, a, b, (d, None)) for a, b, d in (
        (x, np.lib.stride_tricks.as_strided(buffer, (T, N, H), (4, 8, 4)), h),
        (x.copy(), np.lib.stride_tricks.as_strided(buffer, (T, N, H), (4, 8, 4)).copy(), h.copy()),
    ))  # fmt: skip
    assert_same_bits(grads, again)


# Values that are no numbers, or too large ---------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, np.finfo(np.float32).max], ids=str)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("rows", [3, 19, 40])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_what_one_row_holds_stays_in_it(kind, rows, threads, value):
    """Forward, backward and streams: other rows have the bits that they have without it."""
    layer = getattr(rnncore, kind)(I, 21, 2, seed=1)
    x, dy = drawn(T, rows, I), drawn(T, rows, 21)
    spoilt, row = x.copy(), rows // 2
    spoilt[2, row, 1] = value
    others = np.arange(rows) != row
    results = []
    for given in (x, spoilt):
        with np.errstate(all="ignore"):
            y, state, tape = layer.forward(given, num_threads=threads)
            grads = layer.backward(tape, dy)
        stream = layer.stream(rows)
        steps = np.stack([stream.step(step) for step in given])
        parts = state if isinstance(state, tuple) else (state,)
        results.append([a[:, others] for a in (y, *parts, grads.x, steps)] + [y[:2]])
    assert_same_bits(results[1], results[0])


def test_diverged_gradients_change_nothing():
    head = rnncore.Linear(I, 2, seed=0)
    optimizer, before = rnncore.Adam(head), head.state_dict()
    for value in (np.nan, np.inf, -np.inf):
        grads = {name: np.full_like(array, value) for name, array in before.items()}
        with pytest.raises(ArgumentError, match="diverged"):
            optimizer.step(grads)
        assert_same_bits(head.state_dict(), before)
        assert optimizer.step_count == 0


def test_parameters_may_hold_anything_but_other_dtypes():
    """NaN in a weight is the caller's number: it flows, and comes back out."""
    layer = rnncore.GRU(I, H, seed=0)
    values = layer.state_dict()
    values["bias_hh_l0"][:] = np.nan
    layer.load_state_dict(values)
    assert np.isnan(layer(X)[0]).all()
    assert np.isnan(layer.state_dict()["bias_hh_l0"]).all()
    with pytest.raises(RnncoreError):
        layer.load_state_dict({name: array.astype(np.float16) for name, array in values.items()})
