# SPDX-License-Identifier: MIT
"""A search of hyperparameters takes a run's callbacks: Ray Tune is told."""

import pytest
from fitting import FULL, FULL_LABELS, train


@pytest.mark.full
def test_ray_tune_is_told(ray, tmp_path):
    tune = pytest.importorskip("ray.tune")

    def trainable(config):
        def report(run):
            tune.report({"loss": run.validation_loss, "epoch": run.epoch})

        options = {"epochs": 3, "validation": 0.25, "callbacks": [report], "seed": config["seed"]}
        train((FULL, FULL_LABELS), **options)

    tuner = tune.Tuner(
        trainable,
        param_space={"seed": tune.grid_search([0, 1])},
        run_config=tune.RunConfig(storage_path=str(tmp_path)),
    )
    found = tuner.fit()
    assert [len(one.metrics_dataframe) for one in found] == [3, 3]
    assert all(one.metrics["epoch"] == 3 for one in found)
