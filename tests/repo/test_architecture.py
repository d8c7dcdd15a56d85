# SPDX-License-Identifier: MIT
"""The house rules that a machine can check: who may include or import whom, and what the core never does.

The tests read the sources beside this folder; what needs a C compiler is skipped without one.
"""

import ast
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
    "simd": ("simd/", "base/tuning.h", "base/splitmix.h", "base/fma.h", "include/rnncore.h"),
    "cells": ("cells/", "simd/kernels.h"),
    "isa": ("isa/", "simd/", "cells/"),
    "model": ("model/", "base/", "cells/cell.h", "simd/kernels.h", "isa/find.h", "include/rnncore.h"),
    "run": ("run/", "model/", "base/", "cells/cell.h", "simd/kernels.h", "isa/find.h", "include/rnncore.h"),
    "io": ("io/", "model/", "base/", "include/rnncore.h"),
    "examples": ("include/rnncore.h",),
}
# Headers of an operating system: in one place.
SYSTEM_HEADERS = re.compile(r"#\s*include\s+<(pthread|sched|unistd|windows|time|sys/\w+)\.h>")
C_FILES = sorted(p for p in CSRC.rglob("*") if p.suffix in {".c", ".h", ".inc", ".def"})

# Module: what must not be among the modules it needs, directly or not, when it is imported.
MUST_NOT_NEED = {
    "spec": ("engine", "layers", "reference", "nn", "formats"),
    "engine": ("layers", "reference", "nn", "formats", "estimators", "cli", "bench"),
    "reference": ("engine", "layers", "nn", "formats"),
    "layers": ("nn", "formats", "reference", "estimators", "cli", "bench"),
    "nn": ("formats", "reference", "estimators", "cli", "bench"),
    "nn.mixture": ("engine",),
    "formats": ("reference", "estimators", "cli", "bench"),
    "estimators": ("cli", "bench"),
    "": ("nn", "formats", "reference", "cli", "bench", "torch"),
}

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
    text = "".join(
        (PACKAGE / "engine" / f"_core.{end}").read_text(encoding="utf-8") for end in ("pxd", "pyx")
    )
    assert set(re.findall(r'cdef extern from "([^"]+)"', text)) == {"rnncore.h"}


def test_intrinsics_are_in_the_vector_header_only():
    word = re.compile(r"\b(?:_mm\d*_\w+|__m\d+\w*|v(?:ld|st)\d\w*|v\w+q_(?:n_)?[fusp]\d+|float\d+x\d_t)\b")
    allowed = {"simd/vec.h", "isa/amx.c"}
    found = {
        p.relative_to(CSRC).as_posix() for p in C_FILES if word.search(without_comments(p.read_text("utf-8")))
    }
    assert found <= allowed
    assert "simd/vec.h" in found  # the pattern still finds what it is for


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """Object files of the library, compiled without optimisation from the list in CMakeLists.txt."""
    compiler, nm = shutil.which("cc") or shutil.which("gcc"), shutil.which("nm")
    if not compiler or not nm or not sys.platform.startswith("linux"):
        pytest.skip("needs cc and nm on Linux")
    listed = re.search(
        r"set\(RNNCORE_SOURCES(.*?)\)", (ROOT / "CMakeLists.txt").read_text("utf-8"), re.DOTALL
    )[1]
    folder = tmp_path_factory.mktemp("objects")
    # Not position independent: constant tables of pointers then count as constants.
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O0", "-fno-pic", "-fno-pie", "-c"]
    kernels = [p for name in ("f32", "f64") for p in (CSRC / "isa").glob(f"*_{name}.c")]
    files = [*(ROOT / name for name in listed.split()), *kernels]
    subprocess.run([compiler, *flags, *files], cwd=folder, check=True)
    return {path.name: symbols(nm, path) for path in sorted(folder.glob("*.o"))}


def symbols(nm, path):
    """(kind, name) of the symbols of an object file."""
    lines = subprocess.run([nm, path], capture_output=True, text=True, check=True).stdout.splitlines()
    return [tuple(line.split()[-2:]) for line in lines]


def test_the_file_list_is_complete(objects):
    folders = ("base", "model", "run", "io", "isa")
    files = {f"{p.stem}.o" for folder in folders for p in (CSRC / folder).glob("*.c")}
    assert files == set(objects)


def test_the_core_has_no_mutable_globals(objects):
    mutable = [
        f"{file}: {name}" for file, table in objects.items() for kind, name in table if kind in "bBdDC"
    ]
    assert mutable == []


def test_the_core_never_prints_or_ends_the_process(objects):
    calls = [
        f"{file}: {name}" for file, table in objects.items() for _, name in table if name in FORBIDDEN_SYMBOLS
    ]
    assert calls == []


def test_internal_names_have_the_internal_prefix(objects):
    names = {name for table in objects.values() for kind, name in table if kind in "TDBRC"}
    assert [n for n in sorted(names) if not n.startswith(("rc_", "rnncore_"))] == []


# Python ----------------------------------------------------------------------------------------------------


def module_names():
    """Dotted names below rnncore of all modules and packages, with their files; "" is the package itself."""
    names = {}
    for path in sorted(PACKAGE.rglob("*.py*")):
        if path.suffix in {".py", ".pyx"}:
            parts = path.relative_to(PACKAGE).with_suffix("").parts
            names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


MODULES = module_names()


def import_time_nodes(tree):
    """Import statements that run when the module is imported: not those inside functions."""
    todo = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            todo.extend(ast.iter_child_nodes(node))


def resolve(module, path, node):
    """Names below rnncore ("own") and top-level names of others that an import statement loads."""
    if isinstance(node, ast.Import):
        return set(), {alias.name.split(".")[0] for alias in node.names}
    if node.level == 0:
        return set(), {node.module.split(".")[0]}
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    base = [part for part in package if part][: len(package) - node.level + 1]
    base += node.module.split(".") if node.module else []
    inside = {".".join([*base, alias.name]) for alias in node.names}
    found = {name for name in inside if name in MODULES} or {".".join(base)}
    return found, set()


def direct_imports(module):
    """(own modules, other top-level packages) that a module loads when it is imported."""
    path = MODULES[module]
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".pyx":
        lines = re.findall(r"^(?:from|import) .*", text, re.MULTILINE)
        text = "\n".join(line for line in lines if " cimport " not in line)
    own, other = set(), set()
    for node in import_time_nodes(ast.parse(text)):
        found, foreign = resolve(module, path, node)
        own |= found
        other |= foreign
    return own, other


def needed(module):
    """All own modules that importing a module loads, itself included; packages above it are not counted."""
    found, todo = set(), [module]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(direct_imports(name)[0])
    return found


@pytest.mark.parametrize("module", list(MUST_NOT_NEED), ids=lambda m: m or "rnncore")
def test_the_imports_follow_the_dependency_direction(module):
    too_much = [
        n for n in needed(module) for bad in MUST_NOT_NEED[module] if n == bad or n.startswith(bad + ".")
    ]
    assert too_much == []


def test_no_module_needs_itself():
    circles = [m for m in MODULES if any(m in needed(n) for n in direct_imports(m)[0])]
    assert circles == []


def test_importing_the_package_needs_numpy_only():
    foreign = {name for module in needed("") for name in direct_imports(module)[1]}
    assert foreign - set(sys.stdlib_module_names) == {"numpy"}


# Every file ------------------------------------------------------------------------------------------------


def source_files():
    folders = [
        ROOT / f for f in ("csrc", "src", "tests", "tools", "examples", "bench", ".ci") if (ROOT / f).is_dir()
    ]
    suffixes = {".c", ".h", ".inc", ".def", ".py", ".pyx", ".pxd", ".pyi", ".sh"}
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
