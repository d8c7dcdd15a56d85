# SPDX-License-Identifier: MIT
"""Sizes of files and functions against the project's budgets.

Usage: python tools/sizes.py [--strict]

Prints what is over a budget and the largest files and functions. Budgets are there to be seen, not walls: the exit
code is 0, with --strict 1 if anything is over. A function's size is its lines without its docstring.
"""

import argparse
import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("csrc", "src", "tests", "tools", "examples", "bench")
SUFFIXES = {".c", ".h", ".inc", ".def", ".py", ".pyx", ".pxi", ".pxd", ".pyi"}
FILE, FUNCTION, CELL = 400, 60, 300
SHOWN = 8


def sources(root=ROOT):
    """All source files, as paths below the root."""
    found = (path for folder in FOLDERS for path in (root / folder).rglob("*") if path.suffix in SUFFIXES)
    return sorted(path.relative_to(root) for path in found if "build" not in path.parts)


def file_budget(path):
    """Lines that a file may have."""
    return CELL if path.parts[:2] == ("csrc", "cells") else FILE


def python_functions(text):
    """(name, lines) of every function in Python source."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            docstring = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) else 0
            yield node.name, node.end_lineno - node.lineno + 1 - docstring


def cython_functions(text):
    """(name, lines) of every def, cdef and cpdef function: from its header to the last line indented deeper."""
    text = re.sub(r'"""(?:[^"]|"(?!""))*"""\n', "", text)
    lines = text.splitlines()
    for start, line in enumerate(lines):
        header = re.match(r"( *)(?:def|cdef|cpdef)\b[^=]*?(\w+)\(", line)
        if not header or not re.search(r":\s*$|[(,]\s*$", line):
            continue
        end = start
        for i in range(start + 1, len(lines)):
            if lines[i].strip():
                if len(lines[i]) - len(lines[i].lstrip()) <= len(header[1]):
                    break
                end = i
        yield header[2], end - start + 1


def c_functions(text):
    """(name, lines) of every C function: a header at the margin, a brace at the margin, up to its match there."""
    name, start = None, None
    for number, line in enumerate(re.sub(r"/\*.*?\*/", "", text).splitlines()):
        if start is None and (header := re.match(r"[A-Za-z_][^;={]*?(\w+)\(", line)):
            name, start = header[1], number
            opened = False
        if start is None:
            continue
        if line.startswith("{"):
            opened = True
        ends_here = line.startswith("}") if opened else line.rstrip().endswith((";", "}"))
        if ends_here:
            if opened or "{" in line:
                yield name, number - start + 1
            start = None


def functions(path, text):
    """(name, lines) of the functions of a file, by its suffix."""
    if path.suffix == ".py":
        return list(python_functions(text))
    if path.suffix in {".pyx", ".pxi"}:
        return list(cython_functions(text))
    return list(c_functions(text)) if path.suffix in {".c", ".h", ".inc"} else []


def measure(root=ROOT):
    """(files, functions): lists of (lines, budget, label), largest first."""
    files, found = [], []
    for path in sources(root):
        text = (root / path).read_text(encoding="utf-8")
        files.append((len(text.splitlines()), file_budget(path), str(path)))
        found += [(lines, FUNCTION, f"{path}: {name}") for name, lines in functions(path, text)]
    return sorted(files, reverse=True), sorted(found, reverse=True)


def show(title, rows):
    """Print what is over its budget, and the largest."""
    over = [row for row in rows if row[0] > row[1]]
    print(f"{title}: {len(rows)}, {sum(row[0] for row in rows)} lines, {len(over)} over budget")
    for lines, budget, label in over + [row for row in rows if row not in over][:SHOWN]:
        print(f"  {lines:5} of {budget:3}  {'OVER  ' if lines > budget else '      '}{label}")
    return len(over)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strict", action="store_true", help="exit code 1 if anything is over its budget")
    arguments = parser.parse_args()
    files, found = measure()
    over = show("files", files) + show("functions", found)
    return 1 if arguments.strict and over else 0


if __name__ == "__main__":
    sys.exit(main())
