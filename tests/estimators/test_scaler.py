# SPDX-License-Identifier: MIT
"""SequenceScaler against the mean and deviation of all steps together."""

import numpy as np
import pytest
import tables_training as tables

pytest.importorskip("sklearn")
from rnncore.estimators import SequenceScaler

RNG = np.random.default_rng(0)
RAGGED = [RNG.normal(3, 2, (T, 3)) for T in (4, 1, 7, 30)]
FORMS = {
    "list": RAGGED,
    "float32": [row.astype(np.float32) for row in RAGGED],
    "one feature": [row[:, 0] for row in RAGGED],
    "array": RNG.normal(3, 2, (5, 6, 2)),
    "table": RNG.normal(3, 2, (5, 6)),
}


def steps(X):
    return np.concatenate([row.reshape(len(row), -1) for row in X]).astype(np.float64)


@pytest.mark.parametrize("X", FORMS.values(), ids=FORMS)
def test_all_steps_count_alike(X):
    scaler = SequenceScaler().fit(X)
    values, dtype = steps(X), X[0].dtype
    rtol = tables.OPTIMIZER_RTOL[dtype.name]
    np.testing.assert_allclose(scaler.mean_, values.mean(axis=0), rtol=rtol)
    np.testing.assert_allclose(scaler.scale_, values.std(axis=0), rtol=rtol)
    scaled = scaler.transform(X)
    assert type(scaled) is type(X)
    for row, one, back in zip(X, scaled, scaler.inverse_transform(scaled), strict=True):
        assert one.shape == row.shape and one.dtype == dtype
        np.testing.assert_allclose(back, row, rtol=rtol, atol=10 * rtol)
    np.testing.assert_allclose(steps(scaled).std(axis=0), 1.0, rtol=rtol)


def test_parts_together_are_the_whole():
    whole, parts = SequenceScaler().fit(RAGGED), SequenceScaler()
    for row in RAGGED:
        parts.partial_fit([row])
    rtol = tables.OPTIMIZER_RTOL["float64"]
    np.testing.assert_allclose(parts.mean_, whole.mean_, rtol=rtol)
    np.testing.assert_allclose(parts.var_, whole.var_, rtol=rtol)
    assert parts.n_steps_seen_ == whole.n_steps_seen_ == 42


def test_what_does_not_change_is_not_scaled():
    X = [np.full((3, 1), 0.1), np.full((4, 1), 0.1)]
    scaler = SequenceScaler().fit(X)
    assert scaler.scale_.tolist() == [1.0]
    assert abs(scaler.transform(X)[0]).max() <= tables.OPTIMIZER_RTOL["float64"]


@pytest.mark.parametrize("with_mean", [False, True])
@pytest.mark.parametrize("with_std", [False, True])
def test_either_may_be_left_out(with_mean, with_std):
    scaler = SequenceScaler(with_mean=with_mean, with_std=with_std).fit(RAGGED)
    values = steps(RAGGED)
    wanted = (values - with_mean * values.mean(axis=0)) / (values.std(axis=0) if with_std else 1.0)
    np.testing.assert_allclose(
        steps(scaler.transform(RAGGED)),
        wanted,
        rtol=tables.OPTIMIZER_RTOL["float64"],
        atol=tables.FLOAT32_ATOL,
    )
