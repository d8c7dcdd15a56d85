# SPDX-License-Identifier: MIT
"""The optimiser step in C against the NumPy one, over several arrays, threads and instruction sets."""

import numpy as np
import pytest
import tables_training as tables
from compiled import DTYPE, ISAS, assert_same_bits

from rnncore import _core, config, errors
from rnncore.training import SGD, Adam

STEPS, LR = 5, 0.02
SIZES = (1, 33, 40_000, 16_384)  # shorter than a vector, with a tail, of several pieces, of exactly one
METHODS = {
    "adam": (lambda m: Adam(m, lr=LR), {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}),
    "adamw-clipped": (
        lambda m: Adam(m, lr=LR, weight_decay=0.1, clip_norm=0.5),
        {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.1, "clip_norm": 0.5},
    ),
    "sgd": (lambda m: SGD(m, lr=LR), {"beta1": 0.0}),
    "sgd-momentum": (lambda m: SGD(m, lr=LR, momentum=0.9), {"beta1": 0.9}),
    "sgd-nesterov": (
        lambda m: SGD(m, lr=LR, momentum=0.9, nesterov=True, weight_decay=0.1, clip_norm=1.0),
        {"beta1": 0.9, "nesterov": True, "weight_decay": 0.1, "clip_norm": 1.0},
    ),
}
METHOD = pytest.mark.parametrize("method", METHODS)


class Vectors:
    """A module of plain arrays, as the NumPy optimisers take it."""

    def __init__(self, values):
        self.values = {str(i): value.copy() for i, value in enumerate(values)}

    def parameters(self):
        return self.values

    def update_parameters(self, values):
        for name, value in values.items():
            self.values[name][...] = value


def drawn(dtype):
    """Starting values, and gradients of every step."""
    rng = np.random.default_rng(3)
    values = [rng.standard_normal(size).astype(dtype) for size in SIZES]
    return values, [[rng.standard_normal(size).astype(dtype) for size in SIZES] for _ in range(STEPS)]


def run(method, dtype, **options):
    """(values, norms) after STEPS steps in C."""
    values, grads = drawn(dtype)
    kind, given = method.split("-")[0].replace("adamw", "adam"), METHODS[method][1]
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
    values, grads = drawn(dtype)
    module = Vectors(values)
    optimizer = METHODS[method][0]([module])
    expected = [optimizer.step([{str(i): grad for i, grad in enumerate(step)}]) for step in grads]
    got, norms = run(method, dtype)
    rtol = tables.OPTIMIZER_RTOL[np.dtype(dtype).name]
    np.testing.assert_allclose(norms, expected, rtol=rtol)
    for i, value in enumerate(got):
        scale = np.abs(module.values[str(i)]).max()
        np.testing.assert_allclose(value, module.values[str(i)], rtol=rtol, atol=rtol * scale)


@METHOD
@DTYPE
def test_threads_and_instruction_sets_change_no_bit(method, dtype):
    expected = run(method, dtype)
    for isa in ISAS:
        values, norms = run(method, dtype, isa=isa)
        assert norms == expected[1]
        assert_same_bits(values, expected[0])
    assert_same_bits(run(method, dtype, threads=2, team=config.team_for(2))[0], expected[0])


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
