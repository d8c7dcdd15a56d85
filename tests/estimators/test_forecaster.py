# SPDX-License-Identifier: MIT
"""estimators.Forecaster gives what rnncore.Forecaster gives, in scikit-learn's words."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
from compiled import assert_same_bits
from series import FAST, waves
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

import rnncore
from rnncore import errors
from rnncore.estimators import Forecaster

SMALL = {name: value for name, value in FAST.items() if name != "steps"} | {"max_iter": FAST["steps"]}
MODEL = Forecaster(**SMALL, random_state=0)
SEED = int(np.random.RandomState(0).randint(np.iinfo(np.int32).max))


def test_it_is_the_forecaster():
    y = waves()
    model, wanted = clone(MODEL).fit(y), rnncore.Forecaster(**FAST, seed=SEED).fit(y).forecast(levels=0.9)
    assert_same_bits(model.predict(), wanted.median)
    lower, upper = model.predict_interval(level=0.9)
    assert_same_bits(lower, wanted.lower[0.9])
    assert_same_bits(upper, wanted.upper[0.9])
    assert_same_bits(model.predict(2), wanted.median[:2])


def test_columns_of_a_table_are_series():
    pandas = pytest.importorskip("pandas")
    table = np.stack([waves(seed=1), waves(seed=2)], axis=1)
    listed = clone(MODEL).fit(list(table.T)).predict()
    wanted = np.stack(listed, axis=1)
    assert wanted.shape == (4, 2)
    for y in (table, pandas.DataFrame(table)):
        model = clone(MODEL).fit(y)
        assert_same_bits(model.predict(), wanted)
        assert model.score(wanted) == 0.0 and model.score(wanted[:3] + 2.0) == pytest.approx(-2.0)
    with pytest.raises(errors.ArgumentError, match="y: expected 2 series, got 1"):
        model.score(table[:, 0])


def test_covariates_with_the_steps_to_come():
    y, known = waves(), np.arange(124.0)[:, np.newaxis]
    wanted = rnncore.Forecaster(**FAST, seed=SEED).fit(y, known=known).forecast().median
    assert_same_bits(clone(MODEL).fit(y, known).predict(), wanted)
    assert clone(MODEL).fit(np.stack([y, y], axis=1), known).predict().shape == (4, 2)


def test_a_search_over_time():
    search = GridSearchCV(MODEL, {"cell": ["gru", "rnn"]}, cv=TimeSeriesSplit(2, test_size=4)).fit(waves())
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.predict().shape == (4,)


def test_it_must_be_fitted():
    with pytest.raises(NotFittedError):
        Forecaster().predict()
