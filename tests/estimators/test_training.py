# SPDX-License-Identifier: MIT
"""What the estimators do with scikit-learn's words: epochs, early stopping, warm starts, weights, random states."""

import pickle

import numpy as np
import pytest
from compiled import ISAS, assert_same_bits

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline

import rnncore
from rnncore import errors
from rnncore.estimators import RNNClassifier, RNNRegressor, RNNTransformer, SequenceScaler

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SMALL = {"hidden_size": 6, "learning_rate_init": 0.02, "max_iter": 8, "random_state": 0}
KINDS = {
    "classifier": RNNClassifier(**SMALL, dropout=0.2),
    "regressor": RNNRegressor(**SMALL, num_layers=2, dropout=0.2, bidirectional=True, pooling="mean"),
    "transformer": RNNTransformer(**SMALL),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def data(n=40):
    """Ragged sequences; whether the first feature rises, which is the class, or how much, the number."""
    rng = np.random.default_rng(0)
    slopes = rng.standard_normal(n)
    X = [np.outer(np.arange(3 + k % 6), [slope, 1.0]) / 4 + 0.1 for k, slope in enumerate(slopes)]
    return X, slopes


def targets(kind, slopes):
    return np.array(["falls", "rises"])[(slopes > 0).astype(int)] if kind == "classifier" else slopes


def results(model, X):
    for method in ("predict_proba", "predict", "transform"):
        if hasattr(model, method):
            return getattr(model, method)(X)


def fitted(kind, **settings):
    X, slopes = data()
    return clone(KINDS[kind]).set_params(**settings).fit(X, targets(kind, slopes))


@each_kind
def test_a_random_state_gives_the_same_bits_again(kind):
    X = data()[0]
    one, other = fitted(kind), fitted(kind, num_threads=2)
    assert_same_bits(results(one, X), results(other, X))
    assert one.loss_curve_ == other.loss_curve_
    assert one.loss_curve_ != fitted(kind, random_state=1).loss_curve_


@each_kind
@pytest.mark.parametrize("isa", ISAS)
def test_an_estimator_has_the_same_bits_on_every_instruction_set(kind, isa):
    X = data()[0]
    with rnncore.use_isa(isa):
        found = fitted(kind)
    expected = fitted(kind)
    assert_same_bits(results(found, X), results(expected, X))
    assert found.loss_curve_ == expected.loss_curve_


@each_kind
def test_pickles_go_on_as_the_original_does(kind):
    X, slopes = data()
    model = fitted(kind)
    again = pickle.loads(pickle.dumps(model))
    assert_same_bits(results(again, X), results(model, X))
    for one in (model, again):
        one.partial_fit(X, targets(kind, slopes))
    assert_same_bits(results(again, X), results(model, X))


@each_kind
def test_training_learns(kind):
    curve = fitted(kind, max_iter=60, dropout=0.0).loss_curve_
    assert curve[-1] < 0.5 * curve[0]


@each_kind
def test_partial_fits_are_epochs(kind):
    X, slopes = data()
    y = targets(kind, slopes)
    whole, steps = fitted(kind, max_iter=3), clone(KINDS[kind])
    for _ in range(3):
        steps.partial_fit(X, y, **({"classes": np.unique(y)} if kind == "classifier" else {}))
    assert steps.loss_curve_ == whole.loss_curve_ and steps.n_iter_ == 3
    assert_same_bits(results(steps, X), results(whole, X))


def test_partial_fit_takes_classes_that_come_later():
    X, slopes = data()
    y = targets("classifier", slopes)
    model = RNNClassifier(**SMALL).partial_fit(X[:1], y[:1], classes=["falls", "rises", "stays"])
    model.partial_fit(X, y)
    assert model.predict_proba(X).shape == (40, 3)
    with pytest.raises(
        errors.ArgumentError, match="y: expected classes 'falls', 'rises', 'stays', got 'new'"
    ):
        model.partial_fit(X[:1], ["new"])


@each_kind
def test_a_warm_start_goes_on(kind):
    X, slopes = data()
    model = fitted(kind, warm_start=True)
    network, first = model.network_, list(model.loss_curve_)
    model.fit(X, targets(kind, slopes))
    assert model.network_ is network and model.n_iter_ == 2 * len(first)
    assert model.loss_curve_[: len(first)] == first and model.loss_curve_[-1] < first[-1]
    assert clone(model).set_params(warm_start=False).fit(X, targets(kind, slopes)).loss_curve_ == first


STOPPING = {"early_stopping": True, "validation_fraction": 0.25}


def test_the_transformer_validates_by_its_loss():
    model = fitted("transformer", **STOPPING)
    assert model.best_validation_score_ == max(model.validation_scores_) < 0
    assert len(model.validation_scores_) == model.n_iter_


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_early_stopping_keeps_the_best_parameters(kind):
    X = data()[0]
    settings = STOPPING | {"learning_rate_init": 1.0, "max_iter": 30}
    model = fitted(kind, **settings)
    best = int(np.argmax(model.validation_scores_))
    assert best < model.n_iter_ - 1 and model.best_validation_score_ == model.validation_scores_[best]
    shorter = fitted(kind, **settings | {"max_iter": best + 1})
    assert_same_bits(results(model, X), results(shorter, X))


def test_training_ends_when_nothing_becomes_better():
    model = fitted("regressor", tol=100.0, n_iter_no_change=2, max_iter=50)
    assert model.n_iter_ == 4  # the first is better than nothing, and more than two are not
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        fitted("regressor", max_iter=2)


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_samples_without_weight_are_not_there(kind):
    X, slopes = data()
    y, weight = targets(kind, slopes), np.repeat([1.0, 0.0], 20)
    weighted = clone(KINDS[kind]).fit(X, y, sample_weight=weight)
    without = clone(KINDS[kind]).fit(X[:20], y[:20])
    assert_same_bits(results(weighted, X), results(without, X))


def test_class_weights_move_the_border():
    X, slopes = data()
    y = targets("classifier", slopes)
    shares = [
        (RNNClassifier(**SMALL, class_weight=given).fit(X, y).predict(X) == "rises").mean()
        for given in ({"falls": 1000.0, "rises": 1.0}, {"falls": 1.0, "rises": 1000.0})
    ]
    assert shares == [0.0, 1.0]
    with pytest.raises(errors.ArgumentError, match="class_weight: expected a dict or None in partial_fit"):
        RNNClassifier(class_weight="balanced").partial_fit(X, y, classes=np.unique(y))


def test_labels_and_several_outputs():
    X, slopes = data()
    labels = np.stack([slopes > 0, slopes > 1, slopes < 0], axis=1).astype(int)
    model = RNNClassifier(**SMALL | {"max_iter": 100}).fit(X, labels)
    assert model.predict(X).shape == model.predict_proba(X).shape == (40, 3)
    assert (model.predict(X) == labels).mean() > 0.9 and model.score(X, labels) > 0.8
    numbers = np.stack([slopes, -slopes], axis=1)
    several = RNNRegressor(**SMALL | {"max_iter": 100}).fit(X, numbers)
    assert several.predict(X).shape == (40, 2) and several.score(X, numbers) > 0.8
    with pytest.raises(errors.ShapeError, match="y: expected 2 outputs"):
        several.partial_fit(X, slopes)


def pipeline():
    return make_pipeline(SequenceScaler(), RNNClassifier(**SMALL, num_threads=1))


def test_a_search_over_a_pipeline_of_ragged_lists_is_the_same_with_workers():
    X, slopes = data()
    grid = {"rnnclassifier__hidden_size": [3, 5], "rnnclassifier__cell": ["gru", "lstm"]}
    found = [
        GridSearchCV(pipeline(), grid, cv=3, n_jobs=n_jobs).fit(X, targets("classifier", slopes))
        for n_jobs in (None, 2)
    ]
    for k in range(3):
        assert_same_bits(*(search.cv_results_[f"split{k}_test_score"] for search in found))
    assert_same_bits(*(search.predict_proba(X) for search in found))
    assert found[0].best_score_ > 0.7


def test_predictions_of_workers_have_the_same_bits():
    X, slopes = data()
    found = [
        cross_val_predict(pipeline(), X, targets("classifier", slopes), method="predict_proba", n_jobs=n_jobs)
        for n_jobs in (None, 2)
    ]
    assert_same_bits(*found)


@each_kind
@pytest.mark.parametrize(
    "settings",
    [
        {"cell": "tanh"},
        {"hidden_size": 0},
        {"pooling": "max"},
        {"dropout": 1.0},
        {"batch_size": 0},
        {"learning_rate_init": -1.0},
        {"max_iter": 0},
        {"n_iter_no_change": 0},
        {"validation_fraction": 0.0},
        {"dtype": "float16"},
    ],
    ids=str,
)
def test_wrong_settings_are_named(kind, settings):
    with pytest.raises(errors.RnncoreError) as caught:
        fitted(kind, **settings)
    assert caught.value.field == next(iter(settings))


def test_one_class_is_none():
    with pytest.raises(errors.ArgumentError, match="y: expected at least two classes, got 1 class"):
        RNNClassifier().fit(data()[0], ["one"] * 40)


def test_features_of_the_transformer_have_names():
    names = fitted("transformer").get_feature_names_out()
    assert names.tolist() == [f"rnntransformer{k}" for k in range(6)]


def test_sequences_of_one_step_teach_the_transformer_nothing():
    model = RNNTransformer(**SMALL).fit(np.ones((4, 1, 2)))
    assert model.loss_curve_ == [0.0] * len(model.loss_curve_)
    assert model.transform(np.ones((4, 1, 2))).shape == (4, 6)
