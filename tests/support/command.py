# SPDX-License-Identifier: MIT
"""Running ``rnncore`` in tests: in this process, and as a command of its own that can be interrupted."""

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

from compiled import PATIENCE

import rnncore

FAST = ["--horizon", "4", "--context", "10", "--season", "6", "--hidden-size", "3", "--steps", "5"]
"""Options that make a training short."""


def run(*arguments, stdin=None):
    """Run it in this process."""
    from typer.testing import CliRunner

    from rnncore.cli import app

    return CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)


def start(*arguments, **how):
    """Start it as a process of its own."""
    source = str(Path(rnncore.__file__).parents[1])
    path = os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "rnncore", *map(str, arguments)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, **how)


def wait_for(condition, process):
    """Wait until the condition holds or the process has ended; gives whether it holds."""
    for _ in range(100 * PATIENCE):
        if condition() or process.poll() is not None:
            break
        time.sleep(0.01)
    return condition()


def table_of(path):
    """Rows of a CSV as dicts."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
