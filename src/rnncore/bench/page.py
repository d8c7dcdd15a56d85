# SPDX-License-Identifier: MIT
"""The measured parts of a page of documentation, written from what is committed in `bench/results`.

A part stands between ``<!-- measured: KIND DETAIL | PATH -->`` and ``<!-- /measured -->``; the path, from the folder of
the repository, is the directory of a study, or a report. `render` gives the page with every part made anew; a test
compares. ``claims NAME`` is a section of a study's `claims.md`, ``picture NAME`` one of its pictures; ``options`` and
``chart options`` are what options of cells cost, table and picture of a report.
"""

import os
import pathlib
import re
from collections.abc import Callable

from . import options, plot, results
from .study import quotes
from .words import machine

PART = re.compile(
    r"(<!-- measured: (?P<kind>[a-z]+)(?: (?P<detail>\w+))? \| (?P<path>\S+) -->\n).*?(<!-- /measured -->)",
    re.DOTALL,
)
CHARTS = pathlib.PurePath("docs/charts")


def _table(head: list[str], lines: list[list[str]]) -> str:
    """A Markdown table, the first column to the left, the others to the right."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines])


# -- Kinds of parts -----------------------------------------------------------------------------------------


def options_part(source: pathlib.Path, detail: str, page: pathlib.Path, root: pathlib.Path) -> str:
    """What options of cells cost; the detail keeps those whose name begins with it."""
    report = results.read(source)
    head, lines = options.lines(report["rows"])
    chosen = _table(head, [line for line in lines if line[1].startswith(detail)])
    return f"{chosen}\n\n{machine(report['machine'])}, one thread."


def chart_part(source: pathlib.Path, detail: str, page: pathlib.Path, root: pathlib.Path) -> str:
    """The picture of what options cost."""
    return _two_themes("options", plot.WORDS, page, root)


def claims_part(source: pathlib.Path, detail: str, page: pathlib.Path, root: pathlib.Path) -> str:
    """A section of a study's claims."""
    return quotes.section(source, detail)


def picture_part(source: pathlib.Path, detail: str, page: pathlib.Path, root: pathlib.Path) -> str:
    """A picture of a study for light and for dark pages; `write` draws it."""
    if detail not in quotes.PICTURES:
        raise ValueError(f"{page}: expected a picture of {', '.join(quotes.PICTURES)}, got {detail!r}")
    return _two_themes(detail, quotes.PICTURES[detail], page, root)


def _two_themes(name: str, words: str, page: pathlib.Path, root: pathlib.Path) -> str:
    light, dark = (
        pathlib.PurePath(os.path.relpath(root / CHARTS / f"{name}-{theme}.svg", page.parent)).as_posix()
        for theme in ("light", "dark")
    )
    return "\n".join(
        [
            "<picture>",
            f'  <source media="(prefers-color-scheme: dark)" srcset="{dark}">',
            f'  <img alt="{words}" src="{light}">',
            "</picture>",
        ]
    )


KINDS: dict[str, Callable[[pathlib.Path, str, pathlib.Path, pathlib.Path], str]] = {
    "claims": claims_part,
    "picture": picture_part,
    "options": options_part,
    "chart": chart_part,
}


# -- Pages --------------------------------------------------------------------------------------------------


def parts(page: pathlib.Path) -> list[tuple[str, str, pathlib.Path, pathlib.Path]]:
    """Kind, detail, study or report, and repository of every part of a page, in order.

    Raises
    ------
    OSError
        The page cannot be read.
    ValueError
        No part, an unknown kind, or a path that is not there.
    """
    found = []
    for match in PART.finditer(page.read_text(encoding="utf-8")):
        kind, detail, path = match["kind"], match["detail"] or "", match["path"]
        if kind not in KINDS:
            raise ValueError(f"{page}: expected a part of kind {', '.join(KINDS)}, got {kind!r}")
        root = next((root for root in page.resolve().parents if (root / path).exists()), None)
        if root is None:
            raise ValueError(f"{page}: expected a study or a report {path}, got none")
        if (kind in ("claims", "picture")) != (root / path).is_dir():
            raise ValueError(
                f"{page}: expected the directory of a study for claims and pictures alone, got {path}"
            )
        found.append((kind, detail, root / path, root))
    if not found:
        raise ValueError(f"{page}: expected a part like <!-- measured: claims NAME | PATH -->, got none")
    return found


def render(page: pathlib.Path) -> str:
    """The page with every measured part made anew. Raises what `parts` raises."""
    made = iter(
        KINDS[kind](source, detail, page.resolve(), root) for kind, detail, source, root in parts(page)
    )
    return PART.sub(lambda match: f"{match[1]}{next(made)}\n{match[5]}", page.read_text(encoding="utf-8"))


def write(page: pathlib.Path) -> None:
    """Write the measured parts of a page, and draw its pictures (extra `study`)."""
    text = render(page)
    studies = {}
    for kind, detail, source, root in parts(page):
        if kind in ("chart", "picture"):
            (root / CHARTS).mkdir(parents=True, exist_ok=True)
        if kind == "chart":
            plot.save(source, root / CHARTS)
        if kind == "picture":
            from .study import pictures, tables

            studies[source] = studies.get(source) or tables.Study.read(source)
            pictures.save(detail, studies[source], root / CHARTS)
    page.write_text(text, encoding="utf-8")
