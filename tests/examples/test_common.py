# SPDX-License-Identifier: MIT
"""What the examples' training runs share: a log of the epochs, also of those before an interruption."""

import argparse

import numpy as np
import pytest

import rnncore
from examples import common
from rnncore.nn import Adam, Linear, Sequential, fit, mse_loss

pytest.importorskip("rich", reason="the progress bar needs rich")


def train(log, batch_size=4, fresh=False, **options):
    model = Sequential(rnncore.GRU(2, 4, seed=1), Linear(4, 1, seed=1))
    x = np.random.default_rng(0).random((12, 5, 2), dtype=np.float32)
    arguments = argparse.Namespace(seed=3, fresh=fresh)
    how = {"epochs": 4, "batch_size": batch_size, "validation": 0.25} | options
    return fit(model, (x, x[..., :1]), mse_loss, Adam(model), **how, **common.training(log, arguments))


def epochs(folder):
    return [line for line in (folder / "log.txt").read_text().splitlines() if line.startswith("epoch")]


def test_a_run_that_goes_on_has_the_lines_of_all_its_epochs(tmp_path):
    for name in ("whole", "ended"):
        (tmp_path / name).mkdir()
    train(common.Log(tmp_path / "whole"))
    train(common.Log(tmp_path / "ended"), epochs=2)
    run = train(common.Log(tmp_path / "ended"))
    assert run.step == run.steps == 12 and len(epochs(tmp_path / "whole")) == 4
    assert epochs(tmp_path / "ended") == epochs(tmp_path / "whole")
    assert train(common.Log(tmp_path / "ended"), fresh=True).step == 12


def test_a_checkpoint_of_another_run_is_one_sentence(tmp_path):
    train(common.Log(tmp_path))
    with pytest.raises(SystemExit) as end:
        common.start(lambda: train(common.Log(tmp_path), batch_size=5))
    assert "--fresh" in str(end.value) and "\n" not in str(end.value)
    assert train(common.Log(tmp_path), batch_size=5, fresh=True).step == 8


def test_dropout_keeps_the_mean():
    x = np.ones((200, 300), np.float32)
    y, mask = common.dropout(x, 0.25, np.random.default_rng(0))
    assert set(np.unique(y)) == {0, np.float32(1 / 0.75)} and np.array_equal(y, mask)
    assert abs(y.mean() - 1) < 0.02


def test_a_saved_model_is_loaded_back(tmp_path):
    model = Sequential(rnncore.LSTM(3, 5, seed=0), Linear(5, 2, seed=0))
    x = np.ones((4, 2, 3), np.float32)
    assert common.save_model(tmp_path / "model.safetensors", model, x) > 0
    assert np.array_equal(rnncore.load(tmp_path / "model.safetensors")(x), model(x))
