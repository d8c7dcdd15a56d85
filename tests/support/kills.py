# SPDX-License-Identifier: MIT
"""Workers killed at moments of chance: none may hang, and no checkpoint may be torn.

    python -m tests.support.kills --runs 200

kills so many, of every recipe and on every engine, and goes on from each checkpoint; in the end the results are those
of runs that nobody killed.
"""

import argparse
import collections
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import launchers
from compiled import PATIENCE
from launchers import SCRIPT, hashes

from rnncore.nn import checkpoints

SILENCE = 3
"""Seconds that a worker may be silent, in place of 30."""


class Left(NamedTuple):
    """What a run left: whether there was a worker to kill, whether the run was done, the step of the checkpoint."""

    killed: bool
    done: bool
    step: int


def kill_somewhere(engine, workers, folder, chance, recipe):
    """Start a run, kill one of its workers at a moment of chance, and wait for the others."""
    arguments = ["--recipe", recipe, "--checkpoint", folder, "--how", "slowly", "--silence", SILENCE]
    process = launchers.start(engine, workers, [SCRIPT, *arguments])
    while process.poll() is None and len(workers_of(process.pid)) < workers:
        time.sleep(0.01)
    time.sleep(chance.uniform(0.3, 4.0))
    found = workers_of(process.pid)
    if found:
        os.kill(chance.choice(found), signal.SIGKILL)
    out, err = process.communicate(timeout=PATIENCE)
    assert not found or process.returncode != 0 or "{" in out, err
    data = checkpoints.read(Path(folder) / recipe)
    step = checkpoints.from_bytes(data, "it")[1]["run"]["step"] if data else 0
    return Left(bool(found), process.returncode == 0, step)


def workers_of(pid):
    """Processes of the run that carry out the script."""
    found, todo = [], [pid]
    while todo:
        parent = todo.pop()
        try:
            words = Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0")
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        except FileNotFoundError:
            continue
        todo += map(int, children)
        if str(SCRIPT).encode() in words[1:3]:
            found.append(parent)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance, count = random.Random(given.seed), collections.Counter()
    expected = hashes("alone", 1)
    with tempfile.TemporaryDirectory() as folder:
        while count.total() < given.runs:
            engine, recipe = chance.choice(["alone", "mpich", "openmpi", "gloo"]), chance.choice([*expected])
            workers = 1 if engine == "alone" else chance.randint(2, 4)
            left = kill_somewhere(engine, workers, folder, chance, recipe)
            count[engine] += left.killed
            word = "done" if left.done else "killed"
            print(f"{count.total():4} {engine} {workers} {recipe}: {word}, step {left.step}", flush=True)
            if left.done:  # look, and start over
                found = hashes("alone", 1, "--recipe", recipe, "--checkpoint", folder)
                assert found == {recipe: expected[recipe]}
                shutil.rmtree(Path(folder) / recipe)
        assert hashes("alone", 1, "--checkpoint", folder) == expected
    print(
        f"{count.total()} kills, {dict(count)}: none hung, no checkpoint was torn, the bits are the expected ones"
    )


if __name__ == "__main__":
    main()
