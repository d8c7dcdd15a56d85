# SPDX-License-Identifier: MIT
"""A search of hyperparameters takes a run's callbacks: Optuna prunes."""

import pytest
from fitting import FULL, FULL_LABELS, train

from rnncore import nn


def test_optuna_prunes_a_run():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    epochs = []

    def objective(trial):
        def prune(run):
            trial.report(run.validation_loss, run.epoch)
            if trial.should_prune():
                epochs.append(run.epoch)
                raise optuna.TrialPruned

        # The first trials learn; one that stands still is behind them from its first epoch on.
        rate = nn.Cosine(0.05 if trial.number < 2 else 0.0)
        options = {"epochs": 4, "validation": 0.25, "callbacks": [prune], "schedule": rate}
        return train((FULL, FULL_LABELS), **options)[1].best

    pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=2)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), pruner=pruner)
    study.optimize(objective, n_trials=3)
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "COMPLETE", "PRUNED"] and epochs == [3]
    assert sorted(study.trials[2].intermediate_values) == [1, 2, 3]
