# SPDX-License-Identifier: MIT
"""scikit-learn's own checks of estimators: none is skipped, and one fails in float32 alone."""

import functools
import os
import subprocess
import sys

import pytest

pytest.importorskip("sklearn")
from sklearn.utils.estimator_checks import (
    check_sample_weight_equivalence_on_dense_data,
    parametrize_with_checks,
)

from rnncore.estimators import RNNClassifier, RNNRegressor, RNNTransformer, SequenceScaler

SMALL = {"hidden_size": 16, "learning_rate_init": 0.02, "max_iter": 100, "num_threads": 1}
ESTIMATORS = [
    RNNClassifier(**SMALL),
    RNNRegressor(**SMALL),
    RNNTransformer(**SMALL | {"max_iter": 10}),
    SequenceScaler(),
]
WEIGHTS = "check_sample_weight_equivalence_on_dense_data"
REASON = (
    "weights round otherwise than repeated samples do, and the check allows 1e-7: less than float32 resolves"
)
SWITCH = "SCIPY_ARRAY_API"


def expected_failures(estimator):
    return {WEIGHTS: REASON} if isinstance(estimator, RNNClassifier | RNNRegressor) else {}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_estimators_are_scikit_learns(estimator, check):
    if getattr(check, "func", check).__name__ == "check_array_api_input" and SWITCH not in os.environ:
        done = array_api_checks()
        assert done.returncode == 0, done.stderr
    else:
        check(estimator)


@functools.cache
def array_api_checks():
    """Those of all estimators, in a process of their own: SciPy reads the switch of these checks when it is loaded."""
    code = (
        "from sklearn.utils.estimator_checks import check_array_api_input as check\n"
        f"from rnncore.estimators import *\nfor estimator in {ESTIMATORS!r}:\n"
        "    check('it', estimator, array_namespace='numpy', expect_only_array_outputs=False)"
    )
    command, environment = [sys.executable, "-c", code], os.environ | {SWITCH: "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", [RNNClassifier, RNNRegressor])
def test_the_check_of_weights_holds_in_float64(kind):
    estimator = kind(**SMALL, dtype="float64")
    assert check_sample_weight_equivalence_on_dense_data(kind.__name__, estimator) is None
