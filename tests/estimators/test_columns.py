# SPDX-License-Identifier: MIT
"""Columns of lists are sequences as they are, and go through scikit-learn's searches."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
from compiled import assert_same_bits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from rnncore import errors
from rnncore.estimators import RNNRegressor, SequenceScaler
from rnncore.estimators.sequences import read

pyarrow = pytest.importorskip("pyarrow")
RNG = np.random.default_rng(0)
PAIR = pyarrow.list_(pyarrow.float32(), 2)
LISTS = [RNG.random((2 + k % 5, 2), dtype=np.float32) for k in range(24)]
COLUMN = pyarrow.array([row.tolist() for row in LISTS], pyarrow.list_(PAIR))
SMALL = {
    "hidden_size": 4,
    "max_iter": 3,
    "tol": 10.0,
    "n_iter_no_change": 1,
    "random_state": 0,
    "num_threads": 1,
}


def of_polars():
    polars = pytest.importorskip("polars")
    return polars.from_arrow(COLUMN)


def of_pandas():
    pandas = pytest.importorskip("pandas")
    return pandas.Series(COLUMN, dtype=pandas.ArrowDtype(COLUMN.type))


def objects_of_pandas():
    return pytest.importorskip("pandas").Series(LISTS)


COLUMNS = {
    "pyarrow": lambda: COLUMN,
    "pyarrow, chunks": lambda: pyarrow.chunked_array([COLUMN[:5], COLUMN[5:]]),
    "polars": of_polars,
    "pandas": of_pandas,
    "pandas, arrays": objects_of_pandas,
}


@pytest.mark.parametrize("make", COLUMNS.values(), ids=COLUMNS)
def test_a_column_is_its_sequences(make):
    data, wanted = (read(SequenceScaler(), X, reset=True, dtype="float32") for X in (make(), LISTS))
    assert_same_bits(data.values, wanted.values)
    assert_same_bits(data.lengths, wanted.lengths)
    scaled, expected = (SequenceScaler().fit_transform(X) for X in (make(), LISTS))
    for one, other in zip(scaled, expected, strict=True):
        assert_same_bits(one, other)


def test_values_are_the_columns():
    data = read(SequenceScaler(), COLUMN, reset=True, dtype="float32")
    assert data.values.ctypes.data == COLUMN.values.values.buffers()[1].address


@pytest.mark.parametrize("make", COLUMNS.values(), ids=COLUMNS)
def test_a_search_takes_a_column(make):
    y = np.array([row.sum() for row in LISTS])
    model = make_pipeline(SequenceScaler(), RNNRegressor(**SMALL))
    found, wanted = (
        GridSearchCV(model, {"rnnregressor__cell": ["gru", "rnn"]}, cv=2).fit(X, y).predict(X)
        for X in (make(), LISTS)
    )
    assert_same_bits(found, wanted)


WRONG = {
    "numbers": (pyarrow.array([1.0, 2.0]), errors.UnsupportedError, "column: expected a column of lists"),
    "nulls": (pyarrow.array([[1.0], None]), errors.ArgumentError, "column: expected no nulls, got 1"),
    "no steps": (pyarrow.array([[1.0], []]), errors.ShapeError, r"X\[1\]: expected at least 1 step, got 0"),
    "NaN": (pyarrow.array([[1.0], [float("nan")]]), ValueError, "X contains NaN"),
}


@pytest.mark.parametrize("column, error, text", WRONG.values(), ids=WRONG)
def test_what_is_no_column_of_sequences_is_refused(column, error, text):
    with pytest.raises(error, match=text):
        SequenceScaler().fit(column)
