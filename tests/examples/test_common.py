# SPDX-License-Identifier: MIT
"""Training runs of the examples: killed at any step and resumed they end with the same bits."""

import numpy as np
import pytest

import rnncore
from examples import common
from examples.training import Training, cosine, dropout
from rnncore.nn import Adam, Linear, Sequential, mse_loss

pytest.importorskip("rich", reason="the progress bar needs rich")

STEPS = 30


class Killed(Exception):
    """Stands for the end of the process."""


def train(out, die_at=None, **options):
    """A small run with dropout and a best state; dies inside step `die_at`."""
    gru, head = rnncore.GRU(2, 4, seed=1), Linear(4, 1, seed=1)
    optimizer = Adam([gru, head], lr=1e-2)
    x = np.random.default_rng(0).standard_normal((5, 12, 2), dtype=np.float32)
    modules = {"gru": gru, "head": head}
    run = Training(out, modules, optimizer, steps=STEPS, seed=3, **{"settings": {}, **options})
    for step in run:
        y, _, tape = gru.forward(x[:, run.batch(12, 4)])
        y, mask = dropout(y, 0.3, run.rng)
        pred, head_tape = head.forward(y)
        loss, dpred = mse_loss(pred, np.zeros_like(pred))
        head_grads = head.backward(head_tape, dpred)
        grads = gru.backward(tape, head_grads.x * mask)
        optimizer.step([grads.params, head_grads.params])
        if step == die_at:
            raise Killed
        run.show(loss, 20)
        if run.every(7):
            run.judge(abs(step - 15))
    now = {f"{name}.{key}": a for name, m in modules.items() for key, a in m.state_dict().items()}
    run.restore_best()
    best = {f"{name}.{key}": a for name, m in modules.items() for key, a in m.state_dict().items()}
    return now, best, run


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("die_at", [0, 1, 14, STEPS - 1])
def test_a_killed_run_goes_on(tmp_path, monkeypatch, die_at):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    now, best, _ = train(tmp_path / "whole")
    monkeypatch.setattr(Training, "_save_if_due", Training._save)  # after each step
    with pytest.raises(Killed):
        train(tmp_path / "killed", die_at)
    again_now, again_best, run = train(tmp_path / "killed")
    assert run.resumed == (die_at > 0)
    assert same(now, again_now)
    assert same(best, again_best)
    assert not same(now, best)
    assert [step for step, *_ in run.history] == [7, 14, 21, 28, 30]


def test_a_finished_run_stays_finished(tmp_path):
    first, _, _ = train(tmp_path)
    second, _, run = train(tmp_path, die_at=STEPS - 1)
    assert run.step == STEPS and same(first, second)
    assert len((tmp_path / "log.txt").read_text().splitlines()) == 5


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    train(tmp_path)
    with pytest.raises(SystemExit, match="other settings"):
        train(tmp_path, settings={"hidden": 5})
    _, _, run = train(tmp_path, settings={"hidden": 5}, fresh=True)
    assert not run.resumed


def test_each_epoch_takes_every_row_once(tmp_path):
    _, _, run = train(tmp_path)
    for epoch in range(2):
        rows = []
        for run.step in range(3 * epoch, 3 * epoch + 3):
            rows += run.batch(12, 5).tolist()
        assert sorted(rows) == list(range(12))


def test_a_saved_model_is_loaded_back(tmp_path):
    model = Sequential(rnncore.LSTM(3, 5, seed=0), Linear(5, 2, seed=0))
    x = np.ones((4, 2, 3), np.float32)
    assert common.save_model(tmp_path / "model.safetensors", model, x) > 0
    assert np.array_equal(rnncore.load(tmp_path / "model.safetensors")(x), model(x))


def test_the_learning_rate_rises_and_falls():
    rates = [cosine(step, 100, 1.0, warmup=10) for step in range(101)]
    assert rates[9] == 1.0 and rates.index(max(rates)) == 9 and rates[100] == 0.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
