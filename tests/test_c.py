# SPDX-License-Identifier: MIT
"""The C library by itself: the example and the C tests, built from the source tree with CMake and a C compiler."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ("embed", "test_core", "test_team", "test_memory")


def run(*command, seconds):
    """Standard output; fails with everything printed if the command fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """The folder with the built programs."""
    if not (ROOT / "CMakeLists.txt").is_file():
        pytest.skip("not in a source tree")
    if not shutil.which("cmake"):
        pytest.skip("cmake is not installed")
    if not any(shutil.which(name) for name in (os.environ.get("CC", "cc"), "gcc", "clang")):
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("c")
    options = ["-DRNNCORE_TESTS=ON", "-DRNNCORE_PYTHON=OFF", "-DRNNCORE_BLAS=none"]
    if shutil.which("ninja"):
        options.append("-GNinja")
    run("cmake", "-S", str(ROOT), "-B", str(folder), *options, seconds=120)
    run("cmake", "--build", str(folder), "--parallel", "2", seconds=300)
    return folder


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(build, program):
    path = build / program
    if not path.exists() and program == "test_memory":
        pytest.skip("this system's linker cannot redirect allocations")
    shown = run(str(path), seconds=120)
    assert "agree to the last bit" in shown if program == "embed" else f"{program}: " in shown


def test_every_program_is_run(build):
    listed = run("ctest", "--test-dir", str(build), "-N", seconds=60)
    assert {line.split()[-1] for line in listed.splitlines() if "Test #" in line} <= set(PROGRAMS)
