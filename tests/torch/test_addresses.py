# SPDX-License-Identifier: MIT
"""The usual calls go to the core by addresses; others by arrays, to the same bits."""

import pytest

torch = pytest.importorskip("torch")

from torch_twins import MODES, assert_close, assert_equal, flat, gradients, initial, twins  # noqa: E402

import rnncore  # noqa: E402
import rnncore.torch  # noqa: E402
from rnncore.torch import function  # noqa: E402

T, N, I, H = 6, 3, 5, 7  # noqa: E741


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("given", [False, True], ids=["no_state", "state"])
def test_calls_on_addresses_give_the_bits_of_others(mode, dtype, batch_first, given, monkeypatch):
    _, ours = twins(mode, dtype, num_layers=2, bidirectional=True, batch_first=batch_first, dropout=0.25)
    x = torch.randn((N, T, I) if batch_first else (T, N, I), dtype=dtype, requires_grad=True)
    hx = initial(ours, N, dtype) if given else None
    found = []
    for usual in (True, False):
        if not usual:
            monkeypatch.setattr(function.Plan, "fit", lambda *args: None)
        torch.manual_seed(4)
        result = ours.train()(x, hx)
        grads = gradients(ours, result, x, *(flat(hx) if given else ()))
        with torch.no_grad():
            found.append([*flat(result), *grads, *flat(ours.eval()(x, hx))])
    assert_equal(*found)


def test_tensors_that_are_not_as_usual():
    _, ours = twins("lstm")
    x, h = torch.randn(T, N, I), torch.randn(1, N, H)
    negative = torch.complex(x, -x).conj().imag
    assert negative.is_neg()
    assert_equal(ours(negative), ours(x.clone()))
    spread = torch.randn(1, N, 2 * H)[..., ::2]
    assert_equal(ours(x, (spread, h)), ours(x, (spread.contiguous(), h)))
    expected = ours(x, (spread, h))
    ours.weight_hh_l0 = torch.nn.Parameter(ours.weight_hh_l0.detach().t().contiguous().t())
    assert not ours.weight_hh_l0.is_contiguous()
    assert_equal(ours(x, (spread, h)), expected)
    y = ours(x)[0]
    (expanded,) = torch.autograd.grad(y.sum(), ours.bias_ih_l0, retain_graph=True)
    (dense,) = torch.autograd.grad(y, ours.bias_ih_l0, torch.ones_like(y))
    assert_equal([expanded], [dense])


@pytest.mark.parametrize("name", ["naive", "blas"])
def test_backends_reach_calls(name):
    _, ours = twins("gru")
    x = torch.randn(T, N, I)
    expected = ours(x)
    if name == "blas":
        pytest.importorskip("scipy")
    with rnncore.use_backend(name):
        assert_close(ours(x), expected)
        with torch.no_grad():
            assert_close(ours.eval()(x), expected)


def test_new_tensors_are_on_the_cpu_whatever_the_default_device():
    _, ours = twins("gru", num_layers=2, dropout=0.5)
    x = torch.randn(T, N, I)
    torch.manual_seed(6)
    expected = ours(x)
    grads = gradients(ours, expected)
    with torch.device("meta"):
        torch.manual_seed(6)
        got = ours(x)
        assert_equal(got, expected)
    assert_equal(gradients(ours, got), grads)


def test_batches_of_many_sizes():
    _, ours = twins("lstm", batch_first=True)
    x = torch.randn(N, 70, I)
    expected = ours(x)[0]
    assert_equal([ours(x[:, :k])[0] for k in range(1, 71)], [expected[:, :k] for k in range(1, 71)])
    assert_equal(ours(x)[0], expected)
