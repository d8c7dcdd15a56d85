# SPDX-License-Identifier: MIT
"""Every Python and console block of the pages is run, in the order of the page, in a folder of its own.

A block of Text right below one of Python is what that prints. In a console block, lines that begin with "$ " are
commands and the others, if there are any, what they print. "..." stands for anything.
"""

import contextlib
import doctest
import io
import re
import shlex
import subprocess
import sys

import pytest
from compiled import PATIENCE
from pages import all_pages, text

BLOCK = re.compile(
    r"^```(?P<language>python|console)\n(?P<code>.*?)^```\n(?:\n```text\n(?P<printed>.*?)^```)?",
    re.MULTILINE | re.DOTALL,
)
README = "README.md"  # each of its blocks stands for itself: tests/repo/test_docs.py
OTHERS = ("torch", "jax", "sklearn", "pandas")
LONG = ("rnncore forecast", "rnncore bench", "python -m examples")
PAGES = [page for page in all_pages() if page != README and BLOCK.search(text(page))]


def same(printed, expected):
    """Whether this was printed, but for spaces and what "..." stands for."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(expected, printed, flags)


def run_python(code, names, where):
    """Run a block with the names of those before it, and give what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, where, "exec"), names)
    return printed.getvalue()


def run_console(code, where):
    """Run the commands of a block, each of which must succeed, and give what they print."""
    printed = ""
    for command in re.findall(r"^\$ (.+)$", code, re.MULTILINE):
        words = shlex.split(command)
        if words[0] == "rnncore":
            words = [sys.executable, "-m", "rnncore", *words[1:]]
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, f"{where}: {command}\n{done.stderr}"
        printed += done.stdout
    return printed


def cases():
    """Pages that can be run at once, and those with long commands for --full."""
    found = []
    for page in PAGES:
        long = any(word in match["code"] for match in BLOCK.finditer(text(page)) for word in LONG)
        found.append(pytest.param(page, marks=[pytest.mark.full] if long else [], id=page))
    return found


@pytest.mark.parametrize("page", cases())
def test_the_blocks_of_a_page_run_and_print_what_it_says(page, tmp_path, monkeypatch):
    for package in OTHERS:
        if re.search(rf"^(import|from) {package}\b", text(page), re.MULTILINE):
            pytest.importorskip(package, reason="the page is about it")
    if "import jax" in text(page):
        pytest.importorskip("jax", reason="the page is about JAX")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    names = {"__name__": "__main__"}
    for number, block in enumerate(BLOCK.finditer(text(page)), 1):
        where = f"{page}, block {number}"
        if block["language"] == "python":
            found, expected = run_python(block["code"], names, where), block["printed"]
        else:
            found, expected = (
                run_console(block["code"], where),
                re.sub(r"^\$ .+\n", "", block["code"], flags=re.M),
            )
        if expected:
            assert same(found, expected), f"{where} prints\n{found}"


def test_the_tutorials_are_among_them():
    assert len([page for page in PAGES if page.startswith("docs/tutorials/")]) >= 4
    assert {"docs/howto/training.md", "docs/howto/files.md"} <= set(PAGES)
