# SPDX-License-Identifier: MIT
"""The C library by itself, as CMake builds it from the sources beside the tests."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from compiled import PATIENCE

ROOT = Path(__file__).resolve().parents[2]


def run(*command, folder=None):
    """The standard output of a command; fails with everything printed if the command fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(folder):
    """Build the library, its examples and its tests in the folder."""
    if not (ROOT / "CMakeLists.txt").is_file():
        pytest.skip("not in a source tree")
    if not shutil.which("cmake"):
        pytest.skip("cmake is not installed")
    if not any(shutil.which(name) for name in (os.environ.get("CC", "cc"), "gcc", "clang")):
        pytest.skip("there is no C compiler")
    options = ["-DRNNCORE_TESTS=ON", "-DRNNCORE_PYTHON=OFF"]
    if shutil.which("ninja"):
        options.append("-GNinja")
    run("cmake", "-S", str(ROOT), "-B", str(folder), *options)
    run("cmake", "--build", str(folder), "--parallel", "2")
    return folder
