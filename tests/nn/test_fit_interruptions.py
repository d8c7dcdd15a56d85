# SPDX-License-Identifier: MIT
"""`fit` that is interrupted and goes on: the same bits, and a checkpoint that is whole or not there."""

import json
import os
import signal

import numpy as np
import pytest
from fitting import LABELS, RAGGED, train
from worker_threads import together

from rnncore.errors import ArgumentError, FormatError
from rnncore.nn import checkpoints


def test_a_run_goes_on_where_its_checkpoint_stops(tmp_path):
    whole, run = train(validation=0.2, epochs=4)

    class Stop:
        def on_step(self, run):
            return run.step in (2, 5)

    for stopped in range(2):
        _, other = train(validation=0.2, epochs=4, checkpoint=tmp_path, callbacks=[Stop()])
        assert other.stopped == "callback" and other.step == (3, 6)[stopped]
    found = together(3, lambda comm: train(validation=0.2, epochs=4, checkpoint=tmp_path, comm=comm))
    for parameters, other in found:
        assert parameters == whole and other.losses == run.losses and other.best_epoch == run.best_epoch
    again, other = train(validation=0.2, epochs=4, checkpoint=tmp_path)
    assert again == whole and other.step == run.step
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"]


def test_a_longer_run_goes_on(tmp_path):
    train(epochs=2, checkpoint=tmp_path)
    assert train(epochs=4, checkpoint=tmp_path)[0] == train(epochs=4)[0]


def test_ctrl_c_leaves_a_whole_checkpoint(tmp_path):
    class Press:
        def on_step(self, run):
            if run.step == 5:
                os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint=tmp_path, callbacks=[Press()])
    assert signal.getsignal(signal.SIGINT) is before
    assert checkpoints.from_bytes(checkpoints.read(tmp_path), "it")[1]["run"]["step"] == 6
    assert train(checkpoint=tmp_path)[0] == train()[0]


def test_a_second_ctrl_c_does_not_wait():
    class Press:
        steps = 0

        def on_step(self, run):
            self.steps = run.step
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    press = Press()
    with pytest.raises(KeyboardInterrupt):
        train(callbacks=[press])
    assert press.steps == 1


@pytest.mark.parametrize(
    "options", [{"seed": 3}, {"batch_size": 8}, {"shards": 8}, {"data": (RAGGED[:40], LABELS[:40])}]
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, options):
    train(checkpoint=tmp_path, epochs=1)
    with pytest.raises(
        ArgumentError, match=f"checkpoint: expected a run of these arguments, got {next(iter(options))} "
    ):
        train(checkpoint=tmp_path, **options)
    assert train(checkpoint=tmp_path, resume=False, **options)[0] == train(**options)[0]


def test_a_damaged_checkpoint_is_refused(tmp_path):
    train(checkpoint=tmp_path, epochs=1)
    path = tmp_path / "checkpoint.npz"
    data = path.read_bytes()
    for damaged in (data[:-100], data[: len(data) // 2], b"", data[:1000] + b"\xff" * 8 + data[1008:]):
        path.write_bytes(damaged)
        if damaged:
            with pytest.raises(FormatError, match="expected a sound checkpoint"):
                train(checkpoint=tmp_path)
        else:
            assert train(checkpoint=tmp_path)[1].step == 12


def test_a_write_that_fails_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    train(checkpoint=tmp_path, epochs=1)
    before = (tmp_path / "checkpoint.npz").read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        train(checkpoint=tmp_path, epochs=2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"checkpoint.npz": before}


def test_a_checkpoint_is_readable_by_anybody(tmp_path):
    train(checkpoint=tmp_path, epochs=1)
    with np.load(tmp_path / "checkpoint.npz") as file:
        run = json.loads(bytes(file["run"]))
        assert file["module0/0.weight_ih_l0"].shape == (18, 3) and run["run"]["epoch"] == 1
