# SPDX-License-Identifier: MIT
"""What parts of a run over groups are kept under: functions by their names and by all the values that they hold."""

from functools import partial

import numpy as np
import pytest
from group_tables import WEEK, fitted, model, series

from rnncore import nn
from rnncore.cluster import Windows, groups_parts

TABLE = series(2)


class Scaled:
    """A loss that is told from others by what it holds alone."""

    def __init__(self, weights):
        self.weights, self.itself = weights, self

    def __call__(self, y, target):
        loss, dy = nn.mse_loss(y, target)
        return loss * float(self.weights[1000]), dy * self.weights[1000]


def weights(middle):
    found = np.ones(2001, np.float32)  # of which a text shows the ends
    found[1000] = middle
    return found


SOME = weights(1)


def scaled_loss(y, target, by):
    return Scaled(weights(by))(y, target)


def enclosed(by):
    def loss(y, target):
        return scaled_loss(y, target, by)

    return loss


def default(by):
    return lambda y, target, by=by: scaled_loss(y, target, by)


@pytest.mark.parametrize(
    "value, alike, other",
    [
        (enclosed(1), enclosed(1), enclosed(2)),
        (default(1), default(1), default(2)),
        (partial(max, np), partial(max, np), partial(max, pytest)),
        (partial(scaled_loss, by=1), partial(scaled_loss, by=1), partial(scaled_loss, by=2)),
        (
            partial(max, {"a": [model]}),
            partial(max, {"a": [model]}),
            partial(max, {"a": [scaled_loss]}),
        ),
        (Scaled(SOME), Scaled(weights(1)), Scaled(weights(2))),
        (Scaled(SOME).__call__, Scaled(weights(1)).__call__, Scaled(weights(2)).__call__),
        (nn.Cosine(0.1), nn.Cosine(0.1), nn.Cosine(0.2)),
        (WEEK, Windows("y", context=6, horizon=2), Windows("y", context=7, horizon=2)),
        (model, model, scaled_loss),
        (max, max, min),
    ],
    ids=[
        "closure",
        "default",
        "module",
        "partial",
        "nested",
        "object",
        "method",
        "schedule",
        "windows",
        "function",
        "built in",
    ],
)
def test_functions_are_told_apart_by_what_they_hold(value, alike, other):
    assert groups_parts.named(value) == groups_parts.named(alike) != groups_parts.named(other)
    assert " at 0x" not in groups_parts.named(value)


def test_parts_of_another_loss_are_not_taken(tmp_path):
    kept = []
    losses = [
        *(partial(scaled_loss, by=by) for by in (1, 2)),
        *(Scaled(weights(by)) for by in (1, 2)),
        *(enclosed(by) for by in (1, 2)),
    ]
    for loss in (*losses, *losses):
        fitted(TABLE, folder=tmp_path, epochs=1, loss=loss, progress=lambda run: kept.append(run.kept))
    assert kept == [0] * 6 + [2] * 6
