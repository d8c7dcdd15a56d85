# SPDX-License-Identifier: MIT
"""The house rules that a machine can check: who may include or import whom, and what the core never does.

The tests read the sources beside this folder; what needs a C compiler is skipped without one.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"
PACKAGE = ROOT / "src" / "rnncore"

if not CSRC.is_dir():
    pytest.skip("the sources are not here", allow_module_level=True)

# Folder of a C file: what its files may include of ours, as prefixes of paths below csrc.
MAY_INCLUDE = {
    "include": (),
    "base": ("base/", "include/rnncore.h"),
    "simd": (
        "simd/",
        "base/cpu.h",
        "base/tuning.h",
        "base/splitmix.h",
        "base/fma.h",
        "base/half.h",
        "include/rnncore.h",
    ),
    "cells": ("cells/", "simd/kernels.h"),
    "isa": ("isa/", "simd/", "cells/"),
    "model": ("model/", "base/", "cells/cell.h", "simd/kernels.h", "isa/find.h", "include/rnncore.h"),
    "run": ("run/", "model/", "base/", "cells/cell.h", "simd/kernels.h", "isa/find.h", "include/rnncore.h"),
    "nn": ("nn/", "base/", "simd/kernels.h", "isa/find.h", "include/rnncore.h"),
    "io": ("io/", "model/", "base/", "include/rnncore.h"),
    "examples": ("include/rnncore.h",),
}
# Headers of an operating system: in one place.
SYSTEM_HEADERS = re.compile(r"#\s*include\s+<(pthread|sched|unistd|windows|time|sys/\w+)\.h>")
C_FILES = sorted(p for p in CSRC.rglob("*") if p.suffix in {".c", ".h", ".inc", ".def"})

# Symbols that would let the core print, end the process or depend on hidden state.
FORBIDDEN_SYMBOLS = {
    *("printf", "fprintf", "vprintf", "vfprintf", "puts", "putchar", "fputs", "perror"),
    *("exit", "_exit", "quick_exit", "abort", "raise", "signal", "__assert_fail"),
    *("getenv", "setenv", "rand", "srand", "strtok", "errno", "__errno_location"),
}


def without_comments(text):
    """C source without comments and string contents."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)
    return re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', text)


def own_includes(path):
    """Paths below csrc of the quoted includes of a C file."""
    names = re.findall(
        r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', path.read_text(encoding="utf-8"), re.MULTILINE
    )
    near = ((path.parent / name, CSRC / "include" / name) for name in names)
    found = (beside if beside.exists() else public for beside, public in near)
    return [p.resolve().relative_to(CSRC).as_posix() for p in found]


def test_the_includes_follow_the_dependency_direction():
    wrong = []
    for path in C_FILES:
        name = path.relative_to(CSRC).as_posix()
        allowed = MAY_INCLUDE[name.split("/")[0]]
        wrong += [f"{name} includes {got}" for got in own_includes(path) if not got.startswith(allowed)]
    assert wrong == []


def test_the_operating_system_is_reached_through_one_header():
    users = {p.relative_to(CSRC).as_posix() for p in C_FILES if SYSTEM_HEADERS.search(p.read_text("utf-8"))}
    users = {name for name in users if not name.startswith("examples/")}
    assert users == {"base/os.h", "base/os_posix.c", "base/os_win32.c"}


def test_the_public_header_needs_the_c_standard_only():
    includes = re.findall(r"#include\s+(\S+)", (CSRC / "include" / "rnncore.h").read_text(encoding="utf-8"))
    assert includes == ["<stddef.h>", "<stdint.h>"]


def test_the_extension_sees_the_public_header_only():
    files = [PACKAGE / "__init__.pxd", PACKAGE / "engine/_core.pyx", *PACKAGE.glob("engine/*.pxi")]
    text = "".join(file.read_text("utf-8") for file in files)
    # What XLA hands over is no part of the library: its declarations stand beside the extension.
    assert set(re.findall(r'cdef extern from "([^"]+)"', text)) == {"rnncore.h", "xla.h"}


def test_intrinsics_are_in_the_vector_headers_only():
    word = re.compile(r"\b(?:_mm\d*_\w+|__m\d+\w*|v(?:ld|st)\d\w*|v\w+q_(?:n_)?[fusp]\d+|float\d+x\d_t)\b")
    allowed = {"simd/vec.h", "simd/dot.h", "isa/amx.c"}
    found = {
        p.relative_to(CSRC).as_posix() for p in C_FILES if word.search(without_comments(p.read_text("utf-8")))
    }
    assert found <= allowed
    assert "simd/vec.h" in found  # the pattern still finds what it is for


@pytest.fixture(scope="module")
def objects(c_build):
    """By C file, the symbols of the library's objects: (name, kind, section)."""
    if not sys.platform.startswith("linux") or not shutil.which("nm"):
        pytest.skip("needs nm on Linux")
    folder = c_build / "CMakeFiles" / "rnncore_objects.dir" / "csrc"
    return {path.relative_to(folder).as_posix()[:-2]: symbols(path) for path in sorted(folder.rglob("*.o"))}


def symbols(path):
    command = ["nm", "--format=sysv", path]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    return [(row[0], row[2], row[6]) for row in rows if len(row) == 7 and row[0] != "Name"]


def test_the_file_list_is_complete(objects):
    folders = ("base", "model", "run", "nn", "io", "isa")
    assert set(objects) == {f"{folder}/{p.name}" for folder in folders for p in (CSRC / folder).glob("*.c")}


def test_the_core_has_no_mutable_globals(objects):
    """Constant tables of pointers are data that only the loader writes."""
    mutable = [
        f"{file}: {name}"
        for file, table in objects.items()
        for name, kind, section in table
        if kind in "bBdDC" and not section.startswith(".data.rel.ro")
    ]
    assert mutable == []


def test_the_core_never_prints_or_ends_the_process(objects):
    calls = [
        f"{file}: {name}"
        for file, table in objects.items()
        for name, *_ in table
        if name in FORBIDDEN_SYMBOLS
    ]
    assert calls == []


def test_internal_names_have_the_internal_prefix(objects):
    names = {name for table in objects.values() for name, kind, _ in table if kind in "TDBRC"}
    assert [n for n in sorted(names) if not n.startswith(("rc_", "rnncore_"))] == []


# Every file ------------------------------------------------------------------------------------------------


def source_files():
    folders = [
        ROOT / f for f in ("csrc", "src", "tests", "tools", "examples", "bench", ".ci") if (ROOT / f).is_dir()
    ]
    suffixes = {".c", ".h", ".inc", ".def", ".py", ".pyx", ".pxi", ".pxd", ".pyi", ".sh"}
    found = [p for f in folders for p in f.rglob("*") if p.suffix in suffixes or p.parent == ROOT / ".ci"]
    found = [p for p in found if p.is_file() and "build" not in p.relative_to(ROOT).parts]
    return [*found, ROOT / "CMakeLists.txt", ROOT / "pyproject.toml"]


def test_every_file_starts_with_its_license():
    bare = []
    for path in source_files():
        lines = path.read_text(encoding="utf-8").splitlines()
        first = lines[1] if lines and lines[0].startswith("#!") and len(lines) > 1 else (lines or [""])[0]
        if "SPDX-License-Identifier: MIT" not in first:
            bare.append(str(path.relative_to(ROOT)))
    assert bare == []


def test_no_unfinished_marks():
    marks = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
    here = Path(__file__)
    assert [str(p) for p in source_files() if p != here and marks.search(p.read_text(encoding="utf-8"))] == []
