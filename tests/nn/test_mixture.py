# SPDX-License-Identifier: MIT
"""The mixture of bivariate Gaussians: its loss by hand, by central differences and against PyTorch; its samples."""

import math

import numpy as np
import pytest
import tables_training as tables
from differences import assert_gradient, differences

from rnncore.errors import ArgumentError, DTypeError, ShapeError
from rnncore.nn import mixture, mixture_loss, mixture_sample


def drawn(shape, M, seed=0):
    """Parameters of mixtures and a point for each."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(*shape, 6 * M)), rng.normal(size=(*shape, 2))


def test_one_gaussian_by_hand():
    # Standard deviations 2 and 4, correlation tanh(ln 2) = 3/5, at X = 1 and Y = 2:
    # Q = (1 + 4 - 2 * 0.6 * 2) / (1 - 0.36) = 4.0625, log p = -log(2 pi * 2 * 4 * 0.8) - Q / 2.
    params = np.array([7.0, 1.0, -1.0, math.log(2.0), math.log(4.0), math.log(2.0)])
    loss, dparams = mixture_loss(params, [3.0, 7.0])
    np.testing.assert_allclose(
        loss, math.log(2 * math.pi * 6.4) + 2.03125, rtol=tables.OPTIMIZER_RTOL["float64"]
    )
    # One component's weight is 1 whatever its logit. dQ/2 by X is (1 - 0.6 * 2) / 0.64, by the mean -1/2 of it.
    assert dparams[0] == 0
    np.testing.assert_allclose(dparams[1], 0.3125 / 2, rtol=tables.OPTIMIZER_RTOL["float64"])


@pytest.mark.parametrize("weight", [None, "points", "rows"])
@pytest.mark.parametrize("M", [1, 4])
def test_gradient(M, weight):
    params, target = drawn((3, 2), M)
    weight = {None: None, "points": [[1.0, 0.0], [2.0, 0.5], [0.0, 1.0]], "rows": [[1.0], [2.0], [3.0]]}[
        weight
    ]
    _, dparams = mixture_loss(params, target, weight)
    assert_gradient(dparams, differences(lambda: mixture_loss(params, target, weight)[0], params))


def test_gradient_of_strong_correlations():
    params, target = drawn((4,), 3)
    params[:, 15:] = [[4.0, -4.0, 0.0], [-5.0, 5.0, 1.0], [3.0, 3.0, 3.0], [-6.0, 0.0, 6.0]]
    target[:, 1] = np.sign(params[:, 15]) * target[:, 0]  # on the ridge, where a wrong formula would cancel
    _, dparams = mixture_loss(params, target)
    expected = differences(lambda: mixture_loss(params, target)[0], params)
    scale = np.abs(expected).max()
    assert_gradient(dparams / scale, expected / scale)


@pytest.mark.parametrize("correlated", [True, False], ids=["correlated", "round"])
def test_agrees_with_torch(correlated):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    params, target = drawn((5, 3), 4, seed=1)
    params[..., 20:] *= correlated
    p = torch.from_numpy(params).requires_grad_()
    w, m, n, a, b, r = p.unflatten(-1, (6, 4)).unbind(-2)
    a, b, rho = a.exp(), b.exp(), r.tanh()
    rows = [torch.stack([a * a, rho * a * b], -1), torch.stack([rho * a * b, b * b], -1)]
    gaussians = torch.distributions.MultivariateNormal(torch.stack([m, n], -1), torch.stack(rows, -2))
    density = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(logits=w), gaussians)
    oracle = -density.log_prob(torch.from_numpy(target)).mean()
    oracle.backward()
    loss, dparams = mixture_loss(params, target)
    np.testing.assert_allclose(loss, oracle.item(), rtol=tables.OPTIMIZER_RTOL["float64"])
    np.testing.assert_allclose(
        dparams, p.grad.numpy(), rtol=tables.MIXTURE_TORCH_RTOL, atol=tables.DIFFERENCE_ATOL
    )


def test_agrees_with_the_equations_of_the_paper():
    params, target = drawn((), 3)
    w, m, n, a, b, r = params.reshape(6, 3)
    pi, rho = np.exp(w) / np.exp(w).sum(), np.tanh(r)
    X, Y, rest = (target[0] - m) * np.exp(-a), (target[1] - n) * np.exp(-b), 1 - rho**2
    Q = (X * X + Y * Y - 2 * rho * X * Y) / rest
    joint = pi * np.exp(-Q / 2 - a - b) / (2 * np.pi * np.sqrt(rest))
    g = joint / joint.sum()
    expected = [
        pi - g,
        -g * (X - rho * Y) / rest * np.exp(-a),
        -g * (Y - rho * X) / rest * np.exp(-b),
        g * (1 - X * (X - rho * Y) / rest),
        g * (1 - Y * (Y - rho * X) / rest),
        g * (rho * (Q - 1) - X * Y),
    ]
    loss, dparams = mixture_loss(params, target)
    np.testing.assert_allclose(loss, -np.log(joint.sum()), rtol=tables.OPTIMIZER_RTOL["float64"])
    np.testing.assert_allclose(dparams, np.concatenate(expected), rtol=tables.OPTIMIZER_RTOL["float64"])


def test_chunks_and_weights_are_means(monkeypatch):
    params, target = drawn((7,), 2)
    whole = mixture_loss(params, target)
    monkeypatch.setattr(mixture, "CHUNK", 4)  # two points at once, the last one alone
    parts = mixture_loss(params, target)
    np.testing.assert_allclose(parts[0], whole[0], rtol=tables.OPTIMIZER_RTOL["float64"])
    np.testing.assert_array_equal(parts[1], whole[1])
    single = [mixture_loss(p, t)[0] for p, t in zip(params, target, strict=True)]
    np.testing.assert_allclose(whole[0], np.mean(single), rtol=tables.OPTIMIZER_RTOL["float64"])
    weight = np.array([1.0, 0, 0, 2.0, 0, 0, 0])
    loss, dparams = mixture_loss(params, target, weight)
    np.testing.assert_allclose(loss, (single[0] + 2 * single[3]) / 3, rtol=tables.OPTIMIZER_RTOL["float64"])
    assert not dparams[weight == 0].any()


def test_float32_is_float64_rounded():
    params, target = (a.astype(np.float32) for a in drawn((6,), 20))
    loss, dparams = mixture_loss(params, target)
    exact = mixture_loss(params.astype(np.float64), target)
    assert loss == exact[0]
    assert dparams.dtype == np.float32
    np.testing.assert_array_equal(dparams, exact[1].astype(np.float32))


@pytest.mark.parametrize("r", [-50.0, 0.0, 50.0])
@pytest.mark.parametrize("log_std", [-50.0, 50.0])
@pytest.mark.parametrize("far", [0.0, 1e40])
def test_extremes_stay_finite(r, log_std, far):
    params = np.zeros((1, 12))
    params[0, :2] = 1e300, -1e300
    params[0, 6:10], params[0, 10:] = log_std, r
    loss, dparams = mixture_loss(params, [[far, -far]])
    assert math.isfinite(loss)
    assert np.isfinite(dparams).all()


ERRORS = {
    "integers": (lambda: mixture_loss(np.zeros(6, int), np.zeros(2)), DTypeError, "params"),
    "scalar": (lambda: mixture_loss(np.float64(0), np.zeros(2)), ShapeError, "params"),
    "not-six": (lambda: mixture_loss(np.zeros((2, 7)), np.zeros((2, 2))), ShapeError, r"6\*M"),
    "none": (lambda: mixture_loss(np.zeros((2, 0)), np.zeros((2, 2))), ShapeError, r"6\*M"),
    "empty": (lambda: mixture_loss(np.zeros((0, 6)), np.zeros((0, 2))), ShapeError, "params"),
    "target": (
        lambda: mixture_loss(np.zeros((3, 6)), np.zeros((3, 1))),
        ShapeError,
        r"target: expected \(3, 2\)",
    ),
    "weight-shape": (
        lambda: mixture_loss(np.zeros((3, 6)), np.zeros((3, 2)), np.ones(2)),
        ShapeError,
        "weight",
    ),
    "weight-zero": (lambda: mixture_loss(np.zeros(6), np.zeros(2), 0), ArgumentError, "weight"),
    "weight-negative": (
        lambda: mixture_loss(np.zeros((2, 6)), np.zeros((2, 2)), [2, -1]),
        ArgumentError,
        "weight",
    ),
    "weight-nan": (lambda: mixture_loss(np.zeros(6), np.zeros(2), math.nan), ArgumentError, "weight"),
    "sample-shape": (lambda: mixture_sample(np.zeros(5), np.random.default_rng()), ShapeError, "params"),
    "bias-negative": (
        lambda: mixture_sample(np.zeros(6), np.random.default_rng(), -0.1),
        ArgumentError,
        "bias",
    ),
    "bias-nan": (
        lambda: mixture_sample(np.zeros(6), np.random.default_rng(), math.nan),
        ArgumentError,
        "bias",
    ),
}


@pytest.mark.parametrize("case", ERRORS, ids=str)
def test_arguments_are_checked(case):
    call, error, words = ERRORS[case]
    with pytest.raises(error, match=words):
        call()


# -- samples ------------------------------------------------------------------------------------------------


def test_samples_have_the_moments_of_the_mixture():
    # Weights 1/4 and 3/4, means (-2, 1) and (2, 0), deviations (1, 2) and (1/2, 1), correlations 3/5 and -3/5.
    n = 200_000
    params = np.array(
        [0, math.log(3), -2, 2, 1, 0, 0, math.log(0.5), math.log(2), 0, math.log(2), -math.log(2)]
    )
    drawn = mixture_sample(np.broadcast_to(params, (n, 12)), np.random.default_rng(0))
    first = drawn[:, 0] < 0  # 2 and 4 deviations away: 2.3 % and 0.003 % are on the other side
    mean = np.array([0.25 * -2 + 0.75 * 2, 0.25])
    cov = np.array([[0.25 * 1 + 0.75 * 0.25, 0.25 * 1.2 - 0.75 * 0.3], [0, 0.25 * 4 + 0.75 * 1]])
    cov += np.array([[3.0, -0.75], [0, 3 / 16]])  # between the means: w1 w2 (difference)^2
    assert drawn.shape == (n, 2)
    assert abs(first.mean() - 0.25 * 0.977) < tables.sampling_error(0.5, n)
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=tables.sampling_error(2.0, n))
    got = np.cov(drawn.T)
    np.testing.assert_allclose(
        [got[0, 0], got[0, 1], got[1, 1]],
        [cov[0, 0], cov[0, 1], cov[1, 1]],
        atol=tables.sampling_error(6.0, n),
    )


def test_bias_narrows_and_prefers():
    n = 20_000
    params = np.broadcast_to(np.array([0, 1.0, -50, 50, 0, 0, 0, 0, 0, 0, 0, 0]), (n, 12))
    for bias in (0.0, 1.0, 3.0):
        points = mixture_sample(params, np.random.default_rng(1), bias)
        share = 1 / (1 + math.exp(-(1 + bias)))  # logits 0 and 1 + bias
        assert abs((points[:, 0] > 0).mean() - share) < tables.sampling_error(0.5, n)
        assert abs(points[:, 1].std() - math.exp(-bias)) < tables.sampling_error(math.exp(-bias), n)


def test_correlation_of_one_lies_on_the_line():
    params = np.zeros((100, 6), np.float32)
    params[:, 5] = 20.0
    points = mixture_sample(params, np.random.default_rng(0))
    assert points.dtype == np.float32
    np.testing.assert_allclose(points[:, 0], points[:, 1], atol=tables.FLOAT32_ATOL)


def test_samples_are_seeded_and_shaped():
    params, _ = drawn((4, 3), 2)
    first, second = (mixture_sample(params, np.random.default_rng(5)) for _ in range(2))
    assert first.shape == (4, 3, 2)
    np.testing.assert_array_equal(first, second)
    assert mixture_sample(params[:0], np.random.default_rng()).shape == (0, 3, 2)
