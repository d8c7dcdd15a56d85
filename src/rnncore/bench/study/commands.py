# SPDX-License-Identifier: MIT
"""Commands of `rnncore bench` that work with a study's directory: ``html``, ``claims`` and the comparison of two."""

import argparse
import importlib.util
import pathlib
from collections.abc import Sequence

NEEDS = ("scipy", "pandas", "matplotlib")


def check() -> None:
    """ModuleNotFoundError that says what to install."""
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"{missing[0]}: expected to be installed, got none (pip install 'rnncore[study]')",
            name=missing[0],
        )


def _parser(program: str, words: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(program, description=words)
    parser.add_argument("study", type=pathlib.Path, metavar="DIR", help="a study's directory")
    return parser


def html(program: str, arguments: Sequence[str]) -> int:
    """Write the report of a study."""
    parser = _parser(program, "Write the report of a study: one page of HTML that needs nothing else.")
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE", help="default: DIR/report.html")
    options = parser.parse_args(arguments)
    check()
    from . import document, tables

    path = options.out or options.study / "report.html"
    document.write(tables.Study.read(options.study), path)
    print(path)
    return 0


def claims(program: str, arguments: Sequence[str]) -> int:
    """Write the claims of a study."""
    parser = _parser(
        program, "Write DIR/claims.md: the figures that pages quote, with intervals and commands."
    )
    options = parser.parse_args(arguments)
    check()
    from . import claims as made
    from . import tables

    print(made.write(tables.Study.read(options.study)))
    return 0


def compare(old: pathlib.Path, new: pathlib.Path, fail: bool) -> int:
    """Show what moved between two studies; 1 if `fail` and rnncore got slower in a row beside the best other system."""
    check()
    from . import compare as made
    from . import tables

    before, after = tables.Study.read(old), tables.Study.read(new)
    print(made.text(before, after))
    return 1 if fail and made.moved(before, after, after.others) else 0
