# SPDX-License-Identifier: MIT
"""What users may hand over as X, and what they are told about the rest."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
from rnncore import errors
from rnncore.estimators import RNNRegressor, SequenceScaler
from rnncore.estimators.sequences import CHUNK, Sequences, like, read

LENGTHS = (3, 1, 4)
RAGGED = [np.arange(2.0 * T).reshape(T, 2) for T in LENGTHS]
objects = np.empty(3, object)
objects[:] = RAGGED
FORMS = {
    "list": (RAGGED, LENGTHS, 2),
    "tuple": (tuple(RAGGED), LENGTHS, 2),
    "lists": ([row.tolist() for row in RAGGED], LENGTHS, 2),
    "objects": (objects, LENGTHS, 2),
    "one feature": ([np.arange(3.0), np.arange(2.0)], (3, 2), 1),
    "table": (np.ones((4, 5)), (5, 5, 5, 5), 1),
    "table of lists": ([[1.0, 2.0], [3.0, 4.0]], (2, 2), 1),
    "array": (np.ones((2, 4, 3)), (4, 4), 3),
}


@pytest.mark.parametrize("X, lengths, F", FORMS.values(), ids=FORMS)
def test_forms_of_x(X, lengths, F):
    data = read(SequenceScaler(), X, reset=True, dtype="float64")
    assert data.lengths.tolist() == list(lengths)
    assert data.values.shape == (sum(lengths), F)
    flat = [np.ravel(row) for row in X]
    np.testing.assert_array_equal(data.values.ravel(), np.concatenate(flat))
    for row, again in zip(X, like(X, data), strict=True):
        np.testing.assert_array_equal(row, again)


WRONG = {
    "features differ": ([np.ones((2, 3)), np.ones((2, 2))], r"X\[1\]: expected shape \(T, 3\)"),
    "no steps": ([np.ones((2, 3)), np.ones((0, 3))], r"X\[1\]: expected shape .* with T >= 1"),
    "four axes": ([np.ones((1, 2, 3))], r"X\[0\]: expected shape"),
    "NaN": ([np.full((2, 3), np.nan)], "X contains NaN"),
    "no samples": (np.ones((0, 4, 3)), "at least 1 sample"),
    "empty list": ([], "Expected 2D array"),
}


@pytest.mark.parametrize("X, text", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(X, text):
    with pytest.raises(ValueError, match=text):
        read(SequenceScaler(), X, reset=True, dtype="float64")


@pytest.mark.parametrize("fitted", ["list", "table"])
def test_x_must_be_like_that_of_the_fit(fitted):
    scaler = SequenceScaler().fit(FORMS[fitted][0])
    with pytest.raises(errors.ShapeError, match="features a step, as in fit"):
        scaler.transform(np.ones((2, 4, 3)))


def test_a_table_is_a_list_of_sequences_of_one_feature():
    table = np.random.default_rng(0).standard_normal((20, 6))
    options = {"hidden_size": 4, "max_iter": 3, "tol": 10.0, "n_iter_no_change": 1, "random_state": 0}
    one, other = (RNNRegressor(**options).fit(X, table[:, 0]) for X in (table, list(table)))
    assert (one.n_features_in_, other.n_features_in_) == (6, 1)
    np.testing.assert_array_equal(one.predict(table), other.predict(table[..., np.newaxis]))
    np.testing.assert_array_equal(one.predict(list(table)), other.predict(table))
    assert other.predict(table[:, :3]).shape == (20,)
    with pytest.raises(ValueError, match="expecting 6 features"):
        one.predict(table[:, :3])


@pytest.mark.parametrize(
    "lengths", [[1] * 10, [CHUNK + 1, 1, CHUNK], [5, 3, 9] * 10_000], ids=["few", "long", "many"]
)
def test_chunks_hold_every_row_once_and_few_steps(lengths):
    data = Sequences(np.zeros((1, 1)), np.array(lengths))
    chunks = list(data.chunks())
    assert sorted(np.concatenate(chunks)) == list(range(len(lengths)))
    assert all(len(rows) == 1 or len(rows) * data.lengths[rows].max() <= CHUNK for rows in chunks)


def test_batches_and_parts():
    data = read(SequenceScaler(), RAGGED, reset=True, dtype="float64")
    x, lengths = data.batch(np.array([2, 1]))
    assert x.shape == (4, 2, 2) and lengths.tolist() == [4, 1]
    np.testing.assert_array_equal(x[:, 0], RAGGED[2])
    np.testing.assert_array_equal(x[:1, 1], RAGGED[1])
    part = data.some(np.array([2, 0]))
    np.testing.assert_array_equal(part.values, np.concatenate([RAGGED[2], RAGGED[0]]))
