# SPDX-License-Identifier: MIT
"""The example of sessions: they move between workers, one of which dies, and all answers keep their bits."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest
from compiled import PATIENCE

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVE = importlib.util.find_spec("ray") and importlib.util.find_spec("starlette")


@pytest.mark.parametrize(
    "workers",
    [
        pytest.param([], id="processes"),
        pytest.param(
            ["--serve"],
            id="serve",
            marks=[pytest.mark.full, pytest.mark.skipif(not SERVE, reason='needs pip install "ray[serve]"')],
        ),
    ],
)
def test_sessions_move_and_survive(workers, tmp_path):
    """A program of its own: processes that it starts load its main module."""
    command = [sys.executable, "-m", "examples.sessions", "--quick", "--out", str(tmp_path), *workers]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    log = (tmp_path / "log.txt").read_text("utf-8")
    counts = re.findall(r"(\d+) (?:moved|delivered twice|read again)", log)
    assert len(counts) == 3 and min(map(int, counts)) > 0
    assert log.startswith("8000 messages of 300 sensors")
    assert log.endswith("each sensor's sequence alone gives the same bits\n")
