# SPDX-License-Identifier: MIT
"""The C library by itself, as CMake builds it from the sources beside the tests, or with NEON's kernels in plain C."""

import os
import shutil
import subprocess
import sys
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


def with_neon(folder):
    """A shared library for this processor whose instruction sets are NEON, its intrinsics in plain C, and scalar."""
    if not (ROOT / "csrc").is_dir():
        pytest.skip("not in a source tree")
    if not sys.platform.startswith("linux") or not shutil.which("cc"):
        pytest.skip("needs Linux, for LD_PRELOAD, and a C compiler")
    source, library = shutil.copytree(ROOT / "csrc", folder / "csrc"), folder / "librnncore.so"
    (source / "isa" / "isas.def").write_text("X(neon, 1)\nX(scalar, 1)\n", encoding="utf-8")
    kernels = [source / "isa" / f"{isa}_{dtype}.c" for isa in ("neon", "scalar") for dtype in ("f32", "f64")]
    for path in kernels[:2]:
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("#if defined(__aarch64__)", "#if 1"), encoding="utf-8")
    files = [path for name in ("base", "model", "run", "nn", "io") for path in (source / name).glob("*.c")]
    files += [source / "isa" / "find.c", *kernels]
    flags = "-std=c11 -D_GNU_SOURCE -DNDEBUG -O1 -fPIC -fvisibility=hidden -ffp-contract=off -fno-math-errno -shared"
    flags += f" -I{ROOT / 'tests' / 'c' / 'neon'}"
    run("cc", *flags.split(), *map(str, files), "-lm", "-lpthread", "-o", str(library))
    return library
