# SPDX-License-Identifier: MIT
"""The optimiser step in C against its formulas in NumPy, over several arrays, threads and instruction sets."""

import math

import numpy as np
import pytest
import tables_training as tables
from compiled import DTYPE, ISAS, assert_same_bits

from rnncore import errors
from rnncore.engine import _core, threads

STEPS, LR = 5, 0.02
SIZES = (1, 33, 40_000, 16_384)  # shorter than a vector, with a tail, of several pieces, of exactly one
METHODS = {
    "adam": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
    "adamw-clipped": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.1, "clip_norm": 0.5},
    "adam-coupled": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.1, "decoupled": False},
    "sgd": {"beta1": 0.0, "grad_scale": 0.5},
    "sgd-momentum": {"beta1": 0.9},
    "sgd-nesterov": {"beta1": 0.9, "nesterov": True, "weight_decay": 0.1, "clip_norm": 1.0},
}
METHOD = pytest.mark.parametrize("method", METHODS)


def drawn(dtype):
    """Starting values, and gradients of every step."""
    rng = np.random.default_rng(3)
    values = [rng.standard_normal(size).astype(dtype) for size in SIZES]
    return values, [[rng.standard_normal(size).astype(dtype) for size in SIZES] for _ in range(STEPS)]


def in_numpy(method, dtype):
    """(values, norms) after STEPS steps, in float64 from the formulas."""
    given = {"weight_decay": 0.0, "decoupled": True, "clip_norm": math.inf, "grad_scale": 1.0} | METHODS[
        method
    ]
    values, steps = drawn(dtype)
    values = [value.astype(np.float64) for value in values]
    moments = [[np.zeros_like(value), np.zeros_like(value)] for value in values]
    beta1, beta2, norms = given["beta1"], given.get("beta2"), []
    for step, grads in enumerate(steps, 1):
        grads = [given["grad_scale"] * grad.astype(np.float64) for grad in grads]
        norms.append(math.sqrt(sum(np.vdot(grad, grad) for grad in grads)))
        for value, grad, (first, second) in zip(values, grads, moments, strict=True):
            grad = grad * min(1.0, given["clip_norm"] / norms[-1])
            if given["decoupled"]:
                value *= 1 - LR * given["weight_decay"]
            else:
                grad += given["weight_decay"] * value
            if beta2 is None:
                first[...] = beta1 * first + grad
                value -= LR * (grad + beta1 * first if given.get("nesterov") else first)
                continue
            first[...] = beta1 * first + (1 - beta1) * grad
            second[...] = beta2 * second + (1 - beta2) * grad**2
            mean, square = first / (1 - beta1**step), second / (1 - beta2**step)
            value -= LR * mean / (np.sqrt(square) + given["eps"])
    return values, norms


def run(method, dtype, **options):
    """(values, norms) after STEPS steps in C."""
    values, grads = drawn(dtype)
    kind, given = method.split("-")[0].replace("adamw", "adam"), METHODS[method]
    moments = [[np.zeros_like(value) for value in values] for _ in range(2)]
    norms = []
    for step in range(STEPS):
        tensors = [
            (value, grad, first if given["beta1"] else None, second if kind == "adam" else None)
            for value, grad, first, second in zip(values, grads[step], *moments, strict=True)
        ]
        norms.append(_core.update(kind, tensors, lr=LR, step=step + 1, **given, **options))
    return values, norms


@METHOD
@DTYPE
def test_agrees_with_numpy(method, dtype):
    values, expected = in_numpy(method, dtype)
    got, norms = run(method, dtype)
    rtol = tables.OPTIMIZER_RTOL[np.dtype(dtype).name]
    np.testing.assert_allclose(norms, expected, rtol=rtol)
    for value, right in zip(got, values, strict=True):
        np.testing.assert_allclose(value, right, rtol=rtol, atol=rtol * np.abs(right).max())


@METHOD
@DTYPE
def test_threads_and_instruction_sets_change_no_bit(method, dtype):
    expected = run(method, dtype)
    for isa in ISAS:
        values, norms = run(method, dtype, isa=isa)
        assert norms == expected[1]
        assert_same_bits(values, expected[0])
    assert_same_bits(run(method, dtype, threads=2, team=threads.team_for(2))[0], expected[0])


def test_decay_through_the_gradient_and_scaling():
    value, grad = np.array([2.0, -4.0]), np.array([1.0, 3.0])
    norm = _core.update(
        "sgd",
        [(value, grad, None, None)],
        lr=0.5,
        beta1=0.0,
        step=1,
        weight_decay=0.25,
        decoupled=False,
        grad_scale=2.0,
    )
    assert norm == 2 * np.sqrt(10.0)
    assert value.tolist() == [2 - 0.5 * (2 + 0.5), -4 - 0.5 * (6 - 1)]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_norm_that_is_not_finite_changes_nothing(bad):
    value, moments = np.ones(3, np.float32), np.zeros((2, 3), np.float32)
    grad = np.array([1, bad, 1], np.float32)
    norm = _core.update("adam", [(value, grad, *moments)], lr=0.1, beta1=0.9, beta2=0.99, eps=1e-8, step=1)
    assert not np.isfinite(norm)
    assert value.tolist() == [1, 1, 1]
    assert not moments.any()


@pytest.mark.parametrize(
    "options",
    [
        {"step": 0}, {"beta1": 1.0}, {"beta1": -0.1}, {"beta2": 1.0}, {"lr": -1.0}, {"lr": np.inf}, {"eps": np.nan},
        {"weight_decay": -1.0}, {"clip_norm": -1.0}, {"grad_scale": np.inf}, {"threads": 0},
    ],
    ids=str,
)  # fmt: skip
def test_bad_options_are_refused(options):
    value, moments = np.ones(3), np.zeros((2, 3))
    given = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "step": 1} | options
    with pytest.raises(errors.ArgumentError):
        _core.update("adam", [(value, np.ones(3), *moments)], **given)
    assert value.tolist() == [1, 1, 1]


def test_missing_moments_are_refused():
    value, grad = np.ones(3), np.ones(3)
    for method in ("adam", "sgd"):
        with pytest.raises(errors.ArgumentError):
            _core.update(method, [(value, grad, None, None)], lr=0.1, beta1=0.9, step=1)
    assert value.tolist() == [1, 1, 1]
