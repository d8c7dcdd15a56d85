# SPDX-License-Identifier: MIT
"""Layers and cells against those of torch.nn, eager."""

import copy
import pickle

import pytest

torch = pytest.importorskip("torch")

from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence  # noqa: E402
from torch_twins import MODES, assert_close, assert_equal, flat, gradients, initial, loss, twins  # noqa: E402

import rnncore.torch  # noqa: E402
from rnncore.errors import RnncoreError  # noqa: E402

T, N, I, H = 6, 3, 5, 7  # noqa: E741

both_dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
modes = pytest.mark.parametrize("mode", MODES)


@modes
@both_dtypes
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("form", ["time_first", "batch_first", "unbatched", "packed", "packed_unsorted"])
@pytest.mark.parametrize("given", [False, True], ids=["no_state", "state"])
def test_equals_torch(mode, dtype, num_layers, bidirectional, bias, form, given):
    batch_first = form == "batch_first"
    theirs, ours = twins(
        mode, dtype, num_layers=num_layers, bidirectional=bidirectional, bias=bias, batch_first=batch_first
    )
    shape = {"batch_first": (N, T, I), "unbatched": (T, I)}.get(form, (T, N, I))
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    hx = initial(theirs, None if form == "unbatched" else N, dtype) if given else None

    def value():
        if not form.startswith("packed"):
            return x
        lengths = [6, 4, 1] if form == "packed" else [2, 6, 1]
        return pack_padded_sequence(x, lengths, enforce_sorted=form == "packed")

    expected, got = theirs(value(), hx), ours(value(), hx)
    assert_close(got, expected)
    inputs = [x, *(flat(hx) if given else ())]
    assert_close(gradients(ours, got, *inputs), gradients(theirs, expected, *inputs), "gradient")
    with torch.no_grad():
        assert_equal(ours(value(), hx), got)
    if form.startswith("packed"):
        assert torch.equal(got[0].batch_sizes, expected[0].batch_sizes)


@modes
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", [list, tuple, torch.tensor])
def test_lengths_are_a_packed_sequence(mode, batch_first, kind):
    theirs, ours = twins(mode, bidirectional=True, batch_first=batch_first)
    x = torch.randn((N, T, I) if batch_first else (T, N, I))
    packed = pack_padded_sequence(x, [2, 6, 3], batch_first=batch_first, enforce_sorted=False)
    expected, state = theirs(packed)
    y, *final = ours(x, lengths=kind([2, 6, 3]))
    assert_close([y, final], [pad_packed_sequence(expected, batch_first=batch_first)[0], state])


def test_packed_sequences_of_a_batch_first_layer():
    theirs, ours = twins("gru", batch_first=True)
    packed = pack_sequence([torch.randn(n, I) for n in (2, 5, 3)], enforce_sorted=False)
    assert_close(ours(packed), theirs(packed))


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [(), (N,)], ids=["unbatched", "batched"])
@both_dtypes
def test_cells_equal_torch(name, bias, rows, dtype):
    theirs = getattr(torch.nn, name)(I, H, bias=bias, dtype=dtype)
    ours = getattr(rnncore.torch, name)(I, H, bias=bias, dtype=dtype)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(*rows, I, dtype=dtype, requires_grad=True)
    h, c = (torch.randn(*rows, H, dtype=dtype, requires_grad=True) for _ in range(2))
    for hx in (None, (h, c) if name == "LSTMCell" else h):
        got, expected = ours(x, hx), theirs(x, hx)
        assert_close(got, expected)
        inputs = [x, *(flat(hx) if hx is not None else ())]
        assert_close(gradients(ours, got, *inputs), gradients(theirs, expected, *inputs), "gradient")


# Options of rnncore's own ----------------------------------------------------------------------------------

OPTIONS = {
    "plain": ("GRU", {}),
    "layers": ("LSTM", {"num_layers": 2, "bidirectional": True, "proj_size": 2}),
    "dropout": ("GRU", {"num_layers": 2, "dropout": 0.5}),
    "layer_norm": ("LSTM", {"layer_norm": True}),
    "gru_norm": ("GRU", {"layer_norm": True}),
    "peepholes": ("LSTM", {"peepholes": True}),
    "coupled": ("LSTM", {"coupled": True}),
    "zoneout": ("LSTM", {"zoneout": 0.3, "zoneout_c": 0.2}),
    "recurrent_dropout": ("RNN", {"recurrent_dropout": 0.4}),
    "reset_before": ("GRU", {"reset_after": False}),
    "min_gru": ("MinGRU", {"num_layers": 2, "bidirectional": True}),
    "min_lstm": ("MinLSTM", {"bias": False}),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_gradients_are_those_of_differences(option):
    torch.manual_seed(1)
    name, options = OPTIONS[option]
    layer = getattr(rnncore.torch, name)(3, 4, dtype=torch.float64, **options)
    names = [name for name, _ in layer.named_parameters()]

    def run(x, *weights):
        torch.manual_seed(2)  # the same masks each time
        y, state = torch.func.functional_call(
            layer, dict(zip(names, weights, strict=True)), (x,), {"lengths": [3, 2]}
        )
        return [y, *flat(state)]

    x = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, *layer.parameters()))


@pytest.mark.parametrize("option", ["dropout", "zoneout", "recurrent_dropout"])
def test_masks_come_from_the_generator_of_torch(option):
    name, options = OPTIONS[option]
    layer = getattr(rnncore.torch, name)(3, 4, **options)
    x = torch.randn(5, 2, 3)
    torch.manual_seed(3)
    first, second = layer(x), layer(x)
    torch.manual_seed(3)
    assert_equal(layer(x), first)
    assert not torch.equal(first[0], second[0])


def test_evaluating_is_without_dropout():
    theirs, ours = twins("gru", num_layers=2, dropout=0.5)
    x = torch.randn(T, N, I)
    assert_close(ours.eval()(x), theirs.eval()(x))
    ours.train().dropout = 0.0
    theirs.train().dropout = 0.0
    assert_close(ours(x), theirs(x))


def test_batch_first_may_change():
    theirs, ours = twins("lstm")
    theirs.batch_first = ours.batch_first = True
    x = torch.randn(N, T, I)
    assert_close(ours(x), theirs(x))


def test_options_are_shown_and_kept():
    layer = rnncore.torch.LSTM(3, 4, peepholes=True)
    assert "peepholes=True" in repr(layer)
    other = rnncore.torch.LSTM(3, 4, peepholes=True)
    other.load_state_dict(layer.state_dict(), strict=True)
    x = torch.randn(T, N, 3)
    assert_equal(other(x), layer(x))
    assert_equal(pickle.loads(pickle.dumps(layer))(x), layer(x))


# Memory ----------------------------------------------------------------------------------------------------


def views():
    """Inputs (T, N, I) of unusual layouts."""
    yield "transposed", torch.randn(N, T, I).transpose(0, 1)
    yield "offset", torch.randn(T + 2, N, I)[2:]
    yield "every_second", torch.randn(T, N, 2 * I)[..., ::2]
    yield "expanded", torch.randn(T, 1, I).expand(T, N, I)


@pytest.mark.parametrize("x", [pytest.param(x, id=name) for name, x in views()])
def test_any_layout_of_the_input(x):
    _, ours = twins("lstm")
    assert_equal(ours(x), ours(x.contiguous()))
    with torch.no_grad():
        assert_equal(ours(x), ours(x.contiguous()))


@pytest.mark.parametrize("shape", [(0, N, I), (T, 0, I), (0, I)], ids=["T0", "N0", "unbatched_T0"])
def test_nothing_to_do(shape):
    _, ours = twins("lstm", bidirectional=True)
    y, (h, _) = ours(torch.zeros(shape))
    assert y.shape == (*shape[:-1], 2 * H) and h.shape == (2, *shape[1:-1], H)
    loss([y, h]).backward()
    assert ours.weight_ih_l0.grad.shape == ours.weight_ih_l0.shape


def test_only_wanted_gradients():
    theirs, ours = twins("gru")
    x = torch.randn(T, N, I)
    for layer in (theirs, ours):
        layer.weight_hh_l0.requires_grad_(False)
        loss(layer(x)).backward()
    assert ours.weight_hh_l0.grad is None
    assert_close(ours.weight_ih_l0.grad, theirs.weight_ih_l0.grad, "gradient")
    ours.requires_grad_(False)
    assert not ours(x)[0].requires_grad


@pytest.mark.parametrize("mode", ["lstm", "gru"])
@pytest.mark.parametrize("part", ["y", "h", "c"])
def test_a_loss_of_one_part(mode, part):
    theirs, ours = twins(mode)
    x = torch.randn(T, N, I, requires_grad=True)

    def gradient(layer):
        parts = flat(layer(x))
        return torch.autograd.grad(loss(parts[min("yhc".index(part), len(parts) - 1)]), x)

    assert_close(gradient(ours), gradient(theirs), "gradient")


def test_two_backward_passes():
    _, ours = twins("gru", num_layers=2, dropout=0.5)
    x = torch.randn(T, N, I, requires_grad=True)
    value = loss(ours(x))
    first = torch.autograd.grad(value, [x, *ours.parameters()], retain_graph=True)
    assert_equal(torch.autograd.grad(value, [x, *ours.parameters()]), first)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(value, x)


def test_second_derivatives_are_refused():
    _, ours = twins("lstm")
    x = torch.randn(T, N, I, requires_grad=True)
    (dx,) = torch.autograd.grad(loss(ours(x)), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        dx.sum().backward()


# Weights that change ---------------------------------------------------------------------------------------


def step(layer, x):
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1)
    loss(layer(x)).backward()
    optimiser.step()


@pytest.mark.parametrize("way", ["optimiser", "state_dict", "assigned", "data", "no_grad", "double"])
def test_changed_weights_are_seen(way):
    theirs, ours = twins("lstm")
    x = torch.randn(T, N, I)
    other = torch.nn.LSTM(I, H)
    for layer in (theirs.eval(), ours.eval()):
        with torch.no_grad():
            layer(x)
        if way == "optimiser":
            step(layer, x)
        elif way == "state_dict":
            layer.load_state_dict(other.state_dict())
        elif way == "assigned":
            layer.load_state_dict(copy.deepcopy(other.state_dict()), assign=True)
        elif way == "data":
            layer.weight_hh_l0.data.mul_(2)
            layer.flatten_parameters()
        elif way == "no_grad":
            with torch.no_grad():
                layer.weight_hh_l0.mul_(2)
        else:
            layer.double()
    x = x.to(ours.weight_ih_l0.dtype)
    with torch.no_grad():
        assert_close(ours(x), theirs(x), "gradient")


@pytest.mark.parametrize("kind", ["LSTM", "LSTMCell"])
def test_evaluated_weights_are_laid_out_once(kind):
    ours = getattr(rnncore.torch, kind)(I, H).eval()
    x = torch.randn(N, I)
    with torch.no_grad():
        before = flat(ours(x))
        kept = ours._packed[1]
        assert_equal(ours(x), before)
        assert ours._packed[1] is kept
        ours.weight_hh_l0.mul_(2) if kind == "LSTM" else ours.bias_ih.add_(1)
        assert not torch.equal(flat(ours(x))[0], before[0])


# Objects ---------------------------------------------------------------------------------------------------


@modes
def test_state_dicts_are_those_of_torch(mode):
    theirs, ours = twins(mode, num_layers=2, bidirectional=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict(), strict=True)
    assert isinstance(ours, torch.nn.RNNBase)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_are_equal_and_apart(copied):
    _, ours = twins("gru")
    x = torch.randn(T, N, I)
    with torch.no_grad():
        expected = ours.eval()(x)
        other = copied(ours)
        assert_equal(other(x), expected)
        other.weight_hh_l0.zero_()
        assert_equal(ours(x), expected)


@pytest.mark.parametrize("name", ["LSTMCell", "GRUCell", "RNNCell"])
def test_copies_of_cells(name):
    cell = getattr(rnncore.torch, name)(3, 4)
    x = torch.randn(2, 3)
    assert_equal(pickle.loads(pickle.dumps(cell))(x), cell(x))


# Errors ----------------------------------------------------------------------------------------------------

WRONG = {
    "half": (
        lambda m, x: m(x.half()),
        "input: expected float32 or float64, got torch.float16 (use .float())",
    ),
    "half_weights": (
        lambda m, x: m.half()(x),
        "weight_ih_l0: expected float32 or float64, got torch.float16 (use .float())",
    ),
    "meta": (
        lambda m, x: m(x.to("meta")),
        "input: expected a tensor on the CPU, got one on meta (use .cpu())",
    ),
    "meta_weights": (
        lambda m, x: m.to("meta")(x),
        "weight_ih_l0: expected a tensor on the CPU, got one on meta (use .cpu())",
    ),
    "array": (lambda m, x: m(x.numpy()), "input: expected a tensor, got ndarray"),
    "features": (lambda m, x: m(x[..., :4]), "x: expected shape (T, N, 5) or (T, 5), got (6, 3, 4)"),
    "rank": (lambda m, x: m(x[0, 0]), "x: expected shape (T, N, 5)"),
    "double": (
        lambda m, x: m(x.double()),
        "input: expected torch.float32, got torch.float64 (use .to(torch.float32))",
    ),
    "no_pair": (lambda m, x: m(x, torch.zeros(1, N, H)), "hx: expected a pair (h, c), got Tensor"),
    "three": (lambda m, x: m(x, (x, x, x)), "hx: expected a pair (h, c), got tuple of 3"),
    "half_pair": (lambda m, x: m(x, (torch.zeros(1, N, H), None)), "hx[1]: expected a tensor, got NoneType"),
    "state": (
        lambda m, x: m(x, (torch.zeros(1, N, 6), torch.zeros(1, N, 6))),
        "state[0]: expected shape (1, 3, 7), got (1, 3, 6)",
    ),
    "lengths": (lambda m, x: m(x, lengths=[7, 1, 1]), "lengths: expected values 0..6, got 7 at row 0"),
    "real_lengths": (lambda m, x: m(x, lengths=[1.5, 1, 1]), "lengths: expected an integer dtype"),
    "two_lengths": (
        lambda m, x: m(pack_sequence([x[:, 0]]), lengths=[6]),
        "lengths: expected None beside a PackedSequence",
    ),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("grad", [False, True], ids=["no_grad", "grad"])
def test_errors_are_one_sentence(case, grad):
    _, ours = twins("lstm")
    call, sentence = WRONG[case]
    with torch.set_grad_enabled(grad), pytest.raises(RnncoreError) as error:
        call(ours, torch.zeros(T, N, I))
    assert str(error.value).startswith(sentence) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: rnncore.torch.LSTM(3, 4, reset_after=True), "reset_after: expected one of zoneout, clip"),
        (
            lambda: rnncore.torch.GRU(3, 4, store="int8"),
            "store: expected none, tensors as PyTorch has them, got 'int8' (rnncore's own layers have stores",
        ),
        (lambda: rnncore.torch.RNN(3, 4, nonlinearity="gelu"), "nonlinearity: expected 'tanh' or 'relu'"),
        (lambda: rnncore.torch.RNNCell(3, 4, nonlinearity="gelu"), "nonlinearity: expected 'tanh' or 'relu'"),
        (
            lambda: rnncore.torch.GRUCell(3, 4)(torch.zeros(2, 5)),
            "input: expected shape (N, 3) or (3,), got (2, 5)",
        ),
    ],
    ids=["option", "store", "nonlinearity", "cell_nonlinearity", "cell_input"],
)
def test_errors_of_arguments(make, sentence):
    with pytest.raises(RnncoreError) as error:
        make()
    assert str(error.value).startswith(sentence)


def test_zoneout_has_gradients_in_training_alone():
    layer = rnncore.torch.GRU(3, 4, zoneout=0.2).eval()
    with pytest.raises(RnncoreError, match="zoneout"):
        layer(torch.zeros(2, 1, 3))
    with torch.no_grad():
        assert layer(torch.zeros(2, 1, 3))[0].shape == (2, 1, 4)
