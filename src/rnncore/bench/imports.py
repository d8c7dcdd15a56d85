# SPDX-License-Identifier: MIT
"""What importing rnncore costs over importing NumPy."""

import os
import statistics
import subprocess
import sys
import tempfile

CODE = """
import numpy, time
begin = time.process_time_ns()
import rnncore
print(time.process_time_ns() - begin)
"""


def import_seconds(runs: int = 15) -> float:
    """Processor seconds of ``import rnncore`` after NumPy's, in fresh interpreters: the median of `runs`.

    One run more comes first and compiles; bytecode goes into a temporary folder, so that a checkout without any is
    measured like an installed package.
    """
    if runs < 1:
        raise ValueError(f"runs: expected at least 1, got {runs}")
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        times = [_once(environment) for _ in range(runs + 1)]
    return 1e-9 * statistics.median(times[1:])


def _once(environment: dict[str, str]) -> int:
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout)
