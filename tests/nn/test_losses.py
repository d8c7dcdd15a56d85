# SPDX-License-Identifier: MIT
"""Squared error and cross-entropy: by hand, by central differences, and what they refuse."""

import math

import numpy as np
import pytest
import tables_training as tables
from differences import assert_gradient, differences

from rnncore.errors import ArgumentError, DTypeError, ShapeError
from rnncore.nn import cross_entropy, mse_loss


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
