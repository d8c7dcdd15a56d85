# SPDX-License-Identifier: MIT
"""GridSearchCV over a pipeline on ragged sequences: who of nine men is speaking, in 7 to 29 frames."""

import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import rnncore
from examples import common, data
from rnncore.estimators import RNNClassifier, SequenceScaler


def with_changes(X):
    """The frames, and how they change from one to the next."""
    return [np.concatenate([x, 2 * np.gradient(x, axis=0)], axis=1) for x in X]


def main(argv=None):
    arguments = common.parser("sklearn_door", __doc__, trains=False).parse_args(argv)
    rnncore.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is chosen, not waited for
    log = common.Log(common.out_folder(arguments, "sklearn_door"))
    d = data.load("japanese_vowels")
    X, X_test = (data.ragged(d[f"{part}_x"], d[f"{part}_len"]) for part in ("train", "test"))
    classifier = RNNClassifier(
        bidirectional=True, pooling="mean", dropout=0.3, batch_size=32, learning_rate_init=5e-3, weight_decay=1e-2,
        max_iter=10 if arguments.quick else 40, n_iter_no_change=40, random_state=0,
    )  # fmt: skip
    model = make_pipeline(SequenceScaler(), FunctionTransformer(with_changes), classifier)
    grid = {
        "rnnclassifier__cell": ["gru", "lstm"],
        "rnnclassifier__hidden_size": [24, 48],
        "functiontransformer__func": [with_changes, None],
    }
    began = time.perf_counter()
    search = GridSearchCV(model, grid, cv=2 if arguments.quick else 5).fit(X, d["train_y"])
    seconds = time.perf_counter() - began
    fits = len(search.cv_results_["params"]) * search.n_splits_ + 1
    log(f"{fits} fits of {len(X)} utterances in {seconds:.1f} s")
    for params, mean in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True):
        inputs = "frames and changes" if params["functiontransformer__func"] else "frames"
        cell, hidden = params["rnnclassifier__cell"], params["rnnclassifier__hidden_size"]
        log(f"{cell:4} {hidden} units, {inputs:18}  {mean:.1%} right in cross-validation")
    log(f"the best: {search.score(X_test, d['test_y']):.1%} of {len(X_test)} other utterances right")


if __name__ == "__main__":
    common.start(main)
