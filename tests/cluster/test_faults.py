# SPDX-License-Identifier: MIT
"""What workers do when one of them fails: each ends, in time, with an error that says why; the checkpoint is whole."""

import random

import launchers
import pytest
import recipes
from kills import SILENCE, kill_somewhere
from launchers import ENGINES, SCRIPT, hashes

ENGINE = pytest.mark.parametrize("engine", ENGINES)


def misfortune(engine, how, folder, at=7):
    """What three workers of one recipe say when this happens to worker 1."""
    arguments = [SCRIPT, "--recipe", "gru-ragged", "--silence", SILENCE, "--checkpoint", folder]
    arguments += ["--rank", 1, "--how", how, *(["--at", at] if at else [])]
    return launchers.run(engine, 3, arguments)


@pytest.mark.full
@ENGINE
def test_a_worker_that_raises(engine, tmp_path):
    code, out, err = misfortune(engine, "raise", tmp_path)
    assert code != 0 and "{" not in out
    assert "OSError: the disk is on fire" in err
    assert "worker 1: expected to train, got OSError: the disk is on fire" in err


@pytest.mark.full
@ENGINE
def test_a_worker_that_is_killed(engine, tmp_path, expected_gru):
    code, out, err = misfortune(engine, "kill", tmp_path)
    assert code != 0 and "{" not in out
    # mpiexec ends the others itself and says so; gloo's workers see that one is gone.
    assert any(words in err + out for words in ("worker 1", "KILLED BY SIGNAL", "signal 9", "SIGKILL"))
    checked = hashes("gloo", 2, "--recipe", "gru-ragged", "--checkpoint", tmp_path)
    assert checked == expected_gru


@pytest.mark.full
@ENGINE
def test_a_worker_that_is_slow(engine, tmp_path):
    code, out, err = misfortune(engine, "slow", tmp_path)
    assert code != 0 and "{" not in out
    assert f"worker 1: expected an answer within {SILENCE} s" in err


@pytest.mark.parametrize("how", ["data", "version"])
@pytest.mark.full
@ENGINE
def test_a_worker_with_something_else(engine, how, tmp_path):
    code, out, err = misfortune(engine, how, tmp_path, at=None)
    assert code != 0 and "{" not in out
    assert f"worker 1: expected {how} of worker 0" in err


@pytest.fixture(scope="module")
def expected_gru():
    return hashes("alone", 1, "--recipe", "gru-ragged")


@pytest.mark.full
@pytest.mark.parametrize("k, recipe", list(enumerate(recipes.recipes())))
def test_runs_go_on_with_other_engines_and_workers(k, recipe, tmp_path):
    first, second, last = (ENGINES[(k + part) % 3] for part in range(3))
    killed = [kill_somewhere(first, 2, tmp_path, random.Random(k), recipe)]
    killed += [kill_somewhere(second, 4, tmp_path, random.Random(k + 9), recipe)]
    assert all(0 <= left.step <= 51 for left in killed)
    found = hashes(last, 3, "--recipe", recipe, "--checkpoint", tmp_path)
    assert found == hashes("alone", 1, "--recipe", recipe)


def test_a_killed_process_leaves_a_whole_checkpoint(tmp_path, expected_gru):
    for k in range(3):
        kill_somewhere("alone", 1, tmp_path, random.Random(k), "gru-ragged")
    assert hashes("alone", 1, "--recipe", "gru-ragged", "--checkpoint", tmp_path) == expected_gru
