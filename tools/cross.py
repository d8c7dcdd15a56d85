# SPDX-License-Identifier: MIT
"""Compile the C library and its tests for other systems, and run what this machine can run or emulate.

Usage: python tools/cross.py [--only NAME ...] [--folder BUILD]

Needs PyPI's ziglang, a compiler with the headers and C libraries of every system. Programs of other processors run
under qemu-user, those of Windows under Wine, if these are installed; the rest is compiled and linked, and said to be no
more. What runs must print the hashes of tests/c/bits.c that this machine's own compiler gives. Exit code 0: nothing
failed.
"""

import argparse
import concurrent.futures
import dataclasses
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-ffp-contract=off", "-fno-math-errno", "-Icsrc/include"]
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wvla", "-Werror"]
# What nothing here runs is only compiled: quickly, and without the checks that Zig adds to such code.
OPTIMISED, QUICK = ["-O2"], ["-O0", "-fno-sanitize=all"]
FOLDERS = ("base", "model", "run", "nn", "io", "isa")
# Programs of tests/c with their arguments; the first ones also where a processor is emulated, for its threads crawl.
EMULATED = {"bits": [], "test_fma": ["quick"], "test_sized": []}
PROGRAMS = EMULATED | {"test_core": [], "test_file": [], "test_refusals": [], "test_team": ["quick"]}
LIMIT = 1800  # seconds of a program


@dataclasses.dataclass(frozen=True)
class Target:
    """A system: its name for Zig, and the program that runs its programs elsewhere."""

    name: str
    runner: str | None = None

    @property
    def machine(self):
        return self.name.partition("-")[0]

    @property
    def windows(self):
        return "windows" in self.name

    @property
    def emulated(self):
        return bool(self.runner) and self.runner.startswith("qemu")

    def command(self):
        """What stands before a program's name; None: nothing here runs it."""
        here = platform.machine() == self.machine
        if "linux" in self.name and here and sys.platform == "linux":
            return []
        found = self.runner and (shutil.which(self.runner) or shutil.which(self.runner, path="/usr/lib/wine"))
        return [found] if found and (self.emulated or here) else None


TARGETS = [
    Target("x86_64-linux-musl"),
    Target("aarch64-linux-musl", "qemu-aarch64"),
    Target("riscv64-linux-musl", "qemu-riscv64"),
    Target("x86_64-windows-gnu", "wine64"),
    Target("aarch64-windows-gnu"),
    Target("x86_64-macos"),
    Target("aarch64-macos"),
]


def run(*command, environment=None):
    """Standard output of a command with one kind of line end; all it said, as an exception, if it fails."""
    words = list(map(str, command))
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout.replace("\r\n", "\n")


def build(compiler, folder, suffix="", links=("-lm", "-lpthread"), environment=None):
    """Compile the library and link the programs, all cores at work; a function that gives a program's path."""
    folder.mkdir(parents=True)
    sources = [path for name in FOLDERS for path in sorted((ROOT / "csrc" / name).glob("*.c"))]
    sources += [ROOT / "tests" / "c" / "model.c"]

    def compile_file(source):
        target = folder / f"{source.parent.name}_{source.stem}.o"
        run(*compiler, *FLAGS, *WARNINGS, "-c", source, "-o", target, environment=environment)
        return target

    def link(name):
        source = ROOT / "tests" / "c" / f"{name}.c"
        output = ["-o", folder / (name + suffix)]
        run(*compiler, *FLAGS, *WARNINGS, source, *objects, *links, *output, environment=environment)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_file, sources))
        list(pool.map(link, PROGRAMS))
    return lambda name: folder / (name + suffix)


def check(target, folder, environment, expected):
    """What became of a target, as a sentence; `expected` gives the hashes of this machine."""
    command = target.command()
    optimised = QUICK if command is None else OPTIMISED
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", target.name, *optimised]
    suffix, links = (".exe", ["-lm"]) if target.windows else ("", ["-lm", "-lpthread"])
    program = build(compiler, folder / target.name, suffix, links, environment)
    if command is None:
        return "compiled and linked; nothing here runs it"
    programs = EMULATED if target.emulated else PROGRAMS
    for name, arguments in programs.items():
        said = run(*command, program(name), *arguments, environment=environment)
        if name == "bits" and said != expected():
            return "FAILED: other bits"
    runner = f" ({target.runner})" if command else ""
    return f"the same bits; ran {', '.join(programs)}{runner}"


def main():
    """Build and run the targets; tell one line about each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [target.name for target in TARGETS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these systems")
    parser.add_argument("--folder", type=Path, help="where to build; default: a temporary folder")
    options = parser.parse_args()
    failed, hashes = False, []
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        own = {"ZIG_GLOBAL_CACHE_DIR": "cache", "ZIG_LOCAL_CACHE_DIR": "cache", "WINEPREFIX": "wine"}
        environment = (
            os.environ | {name: str(folder / part) for name, part in own.items()} | {"WINEDEBUG": "-all"}
        )

        def expected():
            if not hashes:
                hashes.append(run(build(["cc", *OPTIMISED], folder / "native")("bits")))
            return hashes[0]

        for target in TARGETS:
            if target.name not in options.only:
                continue
            try:
                said = check(target, folder, environment, expected)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                said = f"FAILED: {error}"
            failed |= said.startswith("FAILED")
            print(f"{target.name:22} {said}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
