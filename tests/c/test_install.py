# SPDX-License-Identifier: MIT
"""The C library as others get it: what `cmake --install` puts where, its symbols, and programs of any version."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from c_library import ROOT, run

import rnncore
from rnncore.engine import _core

EXAMPLES = {
    "sequence": "final states agree with the outputs",
    "stream": "one call and a stream of steps agree to the last bit",
    "threads": "one thread and 3 agree to the last bit",
}
HEADER = ROOT / "csrc" / "include" / "rnncore.h"
LARGEST = 1_000_000  # bytes of code and data

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="file names and tools of Linux")


@pytest.fixture(scope="module")
def prefix(c_build, tmp_path_factory):
    """Where the library is installed: moved after the installation, which must not matter."""
    folder = tmp_path_factory.mktemp("installed")
    run("cmake", "--install", str(c_build), "--prefix", str(folder / "first"))
    return Path(shutil.move(folder / "first", folder / "prefix"))


@pytest.fixture(scope="module")
def library(prefix):
    """The folder of the installed libraries."""
    (found,) = prefix.glob("lib*")
    return found


def header_functions():
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(encoding="utf-8"), flags=re.DOTALL)
    return sorted(re.findall(r"RNNCORE_API[^;(]*?(rnncore_\w+)\(", text))


def committed_symbols():
    return (ROOT / "tests" / "c" / "symbols.txt").read_text(encoding="utf-8").split()


# What is there ---------------------------------------------------------------------------------------------


def test_the_header_declares_the_committed_symbols():
    assert header_functions() == committed_symbols()


def test_versions_agree():
    numbers = re.findall(r"#define RNNCORE_VERSION_\w+ (\d+)", HEADER.read_text(encoding="utf-8"))
    assert ".".join(numbers) == rnncore.__version__


def visible(path):
    """The names that others may call."""
    lines = run("nm", "-D", "--defined-only", str(path)).splitlines()
    return sorted(line.split()[-1] for line in lines)


def dynamic(path):
    """What the loader is told: (tag, name) of a library, of those it needs, of where to look."""
    return set(re.findall(r"\((\w+)\).*\[(.*)\]", run("readelf", "-d", str(path))))


def needed(path):
    return {name for tag, name in dynamic(path) if tag == "NEEDED"}


SYSTEM = {"libc.so.6", "libm.so.6", "libpthread.so.0"}


@linux
def test_the_shared_library_has_the_committed_symbols_and_needs_the_system_alone(library):
    shared = library / "librnncore.so"
    assert visible(shared) == committed_symbols()
    major, minor, _ = rnncore.__version__.split(".")
    assert ("SONAME", f"librnncore.so.{major}.{minor}") in dynamic(shared)
    assert needed(shared) <= SYSTEM
    assert shared.resolve().name == f"librnncore.so.{rnncore.__version__}"


@linux
def test_pythons_package_has_the_library_once():
    """Its extension takes it from there, not from LD_LIBRARY_PATH; what others could link twice is not there."""
    folder, core = Path(rnncore.get_library_dir()), Path(_core.__file__)
    assert [path.name for path in folder.iterdir() if path.is_file()] == ["librnncore.so"]
    shared = folder / "librnncore.so"
    assert not shared.is_symlink() and visible(shared) == committed_symbols() and needed(shared) <= SYSTEM
    assert ("SONAME", shared.name) in dynamic(shared)
    assert visible(core) == ["PyInit__core"]
    assert {("NEEDED", shared.name), ("RPATH", "$ORIGIN/../lib")} <= dynamic(core)


@linux
def test_the_static_library_is_small(library):
    """All of it in a program; the archive itself also has tables for the linker."""
    lines = run("size", "--totals", str(library / "librnncore.a")).splitlines()
    code_and_data = int(lines[-1].split()[3])
    assert 0 < code_and_data <= LARGEST


def test_a_bare_configuration_works(tmp_path):
    run("cmake", "-S", str(ROOT), "-B", str(tmp_path))
    assert (tmp_path / "CMakeCache.txt").is_file()


# Programs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("static", ["ON", "OFF"], ids=["static", "shared"])
def test_the_examples_build_from_the_installed_package(prefix, tmp_path, static):
    source = shutil.copytree(ROOT / "csrc" / "examples", tmp_path / "examples")
    options = [f"-DCMAKE_PREFIX_PATH={prefix}", f"-DRNNCORE_STATIC={static}"]
    run("cmake", "-S", str(source), "-B", str(tmp_path / "build"), *options)
    run("cmake", "--build", str(tmp_path / "build"))
    for name, said in EXAMPLES.items():
        assert said in run(str(tmp_path / "build" / f"example_{name}"))
    usage = subprocess.run([tmp_path / "build" / "example_file"], capture_output=True, text=True)
    assert usage.returncode == 1 and "usage: file LAYER STEPS ROWS" in usage.stderr


def test_the_package_refuses_another_minor_version(prefix, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.21)\nproject(other C)\nfind_package(rnncore 0.0 REQUIRED)\n"
    )
    command = ["cmake", "-S", tmp_path, "-B", tmp_path / "b", f"-DCMAKE_PREFIX_PATH={prefix}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0 and "rnncore" in done.stderr


@linux
def test_pkg_config_tells_a_compiler_all(prefix, library, tmp_path):
    if not shutil.which("pkg-config"):
        pytest.skip("pkg-config is not installed")
    environment = os.environ | {"PKG_CONFIG_PATH": str(library / "pkgconfig")}
    command = ["pkg-config", "--cflags", "--libs", "rnncore"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    source = ROOT / "csrc" / "examples" / "sequence.c"
    program = tmp_path / "sequence"
    flags = [*done.stdout.split(), f"-Wl,-rpath,{library}", "-lm"]
    run("cc", "-std=c11", str(source), *flags, "-o", str(program))
    assert EXAMPLES["sequence"] in run(str(program))


def test_the_header_is_cpp_too(prefix, tmp_path):
    compiler = shutil.which("c++") or shutil.which("g++")
    if not compiler:
        pytest.skip("there is no C++ compiler")
    source = tmp_path / "main.cpp"
    source.write_text(
        "#include <rnncore.h>\nint main() { rnncore_config c{}; c.struct_size = sizeof c; return c.isa != nullptr; }\n"
    )
    flags = ["-Wall", "-Wextra", "-Werror", f"-I{prefix / 'include'}"]
    assert run(compiler, *flags, "-c", str(source), folder=tmp_path) == ""


# Other versions ------------------------------------------------------------------------------------------------


def grown(header):
    """The header with a field more at the end of every struct that may grow."""
    pattern = r"(typedef struct (rnncore_\w+) \{\n    size_t struct_size;.*?)(\} \2;)"
    text, count = re.subn(pattern, r"\1    double future;\n\3", header, flags=re.DOTALL)
    assert count == header.count("    size_t struct_size;") > 0
    return text


def client(folder, include, library, *options):
    """What tests/c/client.c prints with a header and a library."""
    program = folder / "client"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{include}", *options]
    links = [f"-L{library}", "-lrnncore", f"-Wl,-rpath,{library}"]
    run("cc", *flags, str(ROOT / "tests" / "c" / "client.c"), *links, "-o", str(program))
    return run(str(program)).splitlines()


SOUND = ["plan RNNCORE_OK", "param RNNCORE_OK weight_hh 6 2, nothing beyond it", "forward RNNCORE_OK 0 0 7"]


@linux
def test_a_program_of_this_version(prefix, library, tmp_path):
    assert client(tmp_path, prefix / "include", library) == SOUND


@linux
@pytest.mark.parametrize("future", [0, 1])
def test_a_program_of_a_later_version(library, tmp_path, future):
    (tmp_path / "rnncore.h").write_text(grown(HEADER.read_text(encoding="utf-8")), encoding="utf-8")
    said = client(tmp_path, tmp_path, library, f"-DFUTURE={future}")
    assert said[1] == SOUND[1]
    if future:
        assert said[0] == "plan RNNCORE_ERROR_UNSUPPORTED"
        assert said[2] == "forward RNNCORE_ERROR_UNSUPPORTED 7 7 7"
    else:
        assert said == SOUND


@linux
def test_a_program_of_an_earlier_version(prefix, tmp_path):
    """The library is of the later version, in plain C only, and refuses what an earlier program cannot have said."""
    source = shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
    header, door = source / "include" / "rnncore.h", source / "run" / "call.c"
    header.write_text(grown(header.read_text(encoding="utf-8")), encoding="utf-8")
    text = door.read_text(encoding="utf-8")
    first = "    if (!plan || !a->x.data"
    assert text.count(first) == 1
    door.write_text(
        text.replace(first, f"    if (a->future) return RNNCORE_ERROR_MEMORY;\n{first}"), encoding="utf-8"
    )
    (source / "isa" / "isas.def").write_text("X(scalar, 1)\n", encoding="utf-8")
    files = [path for name in ("base", "model", "run", "nn", "io") for path in (source / name).glob("*.c")]
    files += [source / "isa" / name for name in ("find.c", "scalar_f32.c", "scalar_f64.c")]
    flags = "-std=c11 -D_GNU_SOURCE -O0 -fPIC -fvisibility=hidden -ffp-contract=off -shared"
    run("cc", *flags.split(), *map(str, files), "-lm", "-lpthread", "-o", str(tmp_path / "librnncore.so"))
    assert client(tmp_path, prefix / "include", tmp_path) == SOUND
