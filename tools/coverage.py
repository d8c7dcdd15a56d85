# SPDX-License-Identifier: MIT
"""Branch coverage of csrc/: how many outcomes of all conditions the C tests and the fuzzers' corpus have seen.

Usage: cmake --preset coverage && cmake --build --preset coverage
       python tools/coverage.py [build/coverage] [--floor PERCENT] [--missing]

Runs the tests of a build by the preset `coverage` (Clang) and merges what all programs counted. A condition that
several instruction sets or element types compile counts once, with the outcomes that any of them had; one that the
compiler folds to a constant does not count. What other systems compile (os_win32.c, os_wasm.c, NEON) is not part of
the build and not part of the figure. --missing lists the outcomes that no test had; below --floor the exit code is 1.
"""

import argparse
import collections
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "csrc"


def tool(name):
    """Path of an LLVM tool, by its name or with the version that Debian appends."""
    versioned = sorted(Path("/usr/bin").glob(f"{name}-[0-9]*"))
    return shutil.which(name) or (
        str(versioned[-1]) if versioned else sys.exit(f"{name}: not found (Debian: llvm)")
    )


def run_tests(build):
    """Runs the build's tests; the counts of each process become a file."""
    raw = build / "profiles"
    shutil.rmtree(raw, ignore_errors=True)
    raw.mkdir()
    command = ["ctest", "--test-dir", build, "-j", "2", "--output-on-failure", "--quiet"]
    subprocess.run(command, check=True, env=os.environ | {"LLVM_PROFILE_FILE": f"{raw}/%p.profraw"})
    return sorted(raw.glob("*.profraw"))


def export(build, raw):
    """What llvm-cov says about all programs of the build."""
    merged = build / "all.profdata"
    subprocess.run([tool("llvm-profdata"), "merge", "-o", merged, *raw], check=True)
    programs = [p for p in sorted(build.iterdir()) if p.is_file() and os.access(p, os.X_OK)]
    objects = [word for program in programs for word in ("-object", program)]
    command = [tool("llvm-cov"), "export", f"-instr-profile={merged}", *objects]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def outcomes(report):
    """{file below csrc/: {(line, column, end line, end column): [times true, times false]}}."""
    found = collections.defaultdict(dict)
    for file in report["data"][0]["files"]:
        path = Path(file["filename"])
        if not path.is_relative_to(SOURCES) or "examples" in path.parts:
            continue
        for *place, true, false, _file, _expanded, _kind in file["branches"]:
            counts = found[path.relative_to(SOURCES)].setdefault(tuple(place), [0, 0])
            counts[0] += true
            counts[1] += false
    return found


def show(found, missing):
    """Prints a line for each file, and what is missing; returns the percentage of all."""
    seen = total = 0
    for path, branches in sorted(found.items()):
        own = sum((true > 0) + (false > 0) for true, false in branches.values())
        seen, total = seen + own, total + 2 * len(branches)
        print(f"{100 * own / (2 * len(branches)):6.1f} %  {own:4} of {2 * len(branches):4}  {path}")
        lines = (SOURCES / path).read_text(encoding="utf-8").splitlines()
        for (line, column, end_line, end), (true, false) in sorted(branches.items()):
            if missing and not (true and false):
                never = " or ".join(word for word, count in (("true", true), ("false", false)) if not count)
                text = lines[line - 1][column - 1 : end - 1 if line == end_line else None]
                print(f"          {path}:{line}: never {never}: {text}")
    percent = 100 * seen / total
    print(f"{percent:6.1f} %  {seen} of {total}: branches of csrc/")
    return percent


def main():
    """Runs what the module's docstring says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("build", nargs="?", type=Path, default=ROOT / "build" / "coverage")
    parser.add_argument("--floor", type=float, default=0)
    parser.add_argument("--missing", action="store_true")
    options = parser.parse_args()
    build = options.build.resolve()
    percent = show(outcomes(export(build, run_tests(build))), options.missing)
    sys.exit(f"expected at least {options.floor:g} %" if percent < options.floor else 0)


if __name__ == "__main__":
    main()
