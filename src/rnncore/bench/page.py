# SPDX-License-Identifier: MIT
"""The measured parts of a page of documentation, written from committed reports and studies.

A part stands between ``<!-- measured: KIND DETAIL | PATTERN -->`` and ``<!-- /measured -->``; the pattern names
reports, or the directory of a study, from the folder of the repository. `render` gives the page with every part made
anew; a test compares. Of a study, ``claims NAME`` is a section of its `claims.md` and ``picture NAME`` a picture.
"""

import os
import pathlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from . import options, peers, plot
from .report import duration
from .reports import CELLS, LOST, SETS, Study, mean, thread_words, words
from .study import quotes

PART = re.compile(
    r"(<!-- measured: (?P<kind>[a-z]+)(?: (?P<detail>\w+))? \| (?P<pattern>\S+) -->\n).*?(<!-- /measured -->)",
    re.DOTALL,
)
CHARTS = pathlib.PurePath("docs/charts")
HEADLINES = ("latency", "throughput", "ragged", "train")
"""Sets that the first page names."""


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value < 9.995 else f"{value:.1f}"


def _table(head: list[str], lines: list[list[str]]) -> str:
    """A Markdown table, the first column to the left, the others to the right."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines])


# -- Kinds of parts -----------------------------------------------------------------------------------------


def machine_part(study: Study, detail: str, page: pathlib.Path, root: pathlib.Path) -> str:
    """Where and against what it was measured, and what is doubtful."""
    lines = [_against(study)]
    lines += [f"No fractions of the limit from `{file}`: {why}." for file, why in study.doubtful.items()]
    return "\n".join(lines)


def against_part(study: Study, detail: str, page: pathlib.Path, root: pathlib.Path) -> str:
    """Where and against what it was measured."""
    return _against(study)


def sets_part(study: Study, detail: str, page: pathlib.Path, root: pathlib.Path) -> str:
    """A line per set and number of threads."""
    lines = []
    for (group, threads), rows in study.groups().items():
        ratios = [system["ratio"] for _, system in rows if system["ratio"] is not None]
        lost = sum(ratio < LOST for ratio in ratios)
        lines.append(
            [
                f"{SETS[group]} (`{group}`)",
                str(threads),
                str(len(rows)),
                _times(mean(ratios)),
                _times(float(np.median(ratios))),
                _times(min(ratios)),
                str(lost),
                _times(mean([system["fraction"] for _, system in rows])),
            ]
        )
    head = [
        "set",
        "threads",
        "rows",
        "times as fast: geo. mean",
        "median",
        "worst",
        "lost",
        "of the limit: geo. mean",
    ]
    return _table(head, lines)


def lost_part(study: Study, detail: str, page: pathlib.Path, root: pathlib.Path) -> str:
    """Every row in which another system is faster."""
    found = [
        (system["ratio"], f"{SETS[group]}, {thread_words(threads)}: {words(case)}", system["best_other"])
        for (group, threads), rows in study.groups().items()
        for case, system in rows
        if system["ratio"] is not None and system["ratio"] < LOST
    ]
    lines = [[name, peers.load(other).title, f"{ratio:.2f}"] for ratio, name, other in sorted(found)]
    return _table(["row", "faster", "our speed over theirs"], lines) if lines else "No row was lost."


def cells_part(study: Study, detail: str, page: pathlib.Path, root: pathlib.Path) -> str:
    """One set by cell."""
    groups = {threads: rows for (group, threads), rows in study.groups().items() if group == detail}
    head = [
        "cell",
        *(f"{thread_words(threads)}: {what}" for threads in groups for what in ("geo. mean", "worst")),
    ]
    lines = []
    for cell, name in CELLS.items():
        line = [name]
        for rows in groups.values():
            ratios = [system["ratio"] for case, system in rows if case.cell == cell]
            line += [_times(mean(ratios)), _times(min(ratios, default=None))]
        if any(line[1:]):
            lines.append(line)
    return _table(head, lines)


def headline_part(study: Study, detail: str, page: pathlib.Path, root: pathlib.Path) -> str:
    """A few sentences for the first page."""
    groups = study.groups()
    ratios = {key: [s["ratio"] for _, s in rows if s["ratio"] is not None] for key, rows in groups.items()}
    named = [
        f"{SETS[group]} {_times(mean(ratios[group, 1]))}" for group in HEADLINES if ratios.get((group, 1))
    ]
    total = [ratio for group in ratios.values() for ratio in group]
    lost = sum(ratio < LOST for ratio in total)
    return (
        f"{_a_step(study)}Times as fast as the best other system, geometric means on one thread: {', '.join(named)}; "
        f"{lost} of {len(total)} rows are lost. {_against(study)}"
    )


def _against(study: Study) -> str:
    """The machine and the other systems, a sentence."""
    others = ", ".join(
        f"{peers.load(name).title} {version.partition('+')[0]}" for name, version in study.peers().items()
    )
    return f"{study.machine}; against {others}."


def _a_step(study: Study) -> str:
    """What a step of a small LSTM takes, from Python."""
    name = "lstm-f32-step-T1N1I16H16L1D1-t1"
    found = {
        system: duration(entry["median"])
        for system in ["rnncore", *study.peers()]
        for _, case, entry in study.rows(system)
        if case.name == name
    }
    if "rnncore" not in found:
        return ""
    others = ", ".join(
        f"{peers.load(system).title} {time}" for system, time in found.items() if system != "rnncore"
    )
    return f"**A step of an LSTM with H = 16 takes {found['rnncore']} from Python** ({others}). "


def options_part(study: Study, detail: str, page: pathlib.Path, root: pathlib.Path) -> str:
    """What options of cells cost; the detail keeps those whose name begins with it."""
    rows = [row for report in study.reports.values() for row in report["rows"]]
    head, lines = options.lines(rows)
    return (
        _table(head, [line for line in lines if line[1].startswith(detail)])
        + f"\n\n{study.machine}, one thread."
    )


def chart_part(study: Study, detail: str, page: pathlib.Path, root: pathlib.Path) -> str:
    """A picture for light and for dark pages; `write` draws it."""
    return _two_themes(detail, plot.CHARTS[detail].words, page, root)


def claims_part(folder: pathlib.Path, detail: str, page: pathlib.Path, root: pathlib.Path) -> str:
    """A section of a study's claims."""
    return quotes.section(folder, detail)


def picture_part(folder: pathlib.Path, detail: str, page: pathlib.Path, root: pathlib.Path) -> str:
    """A picture of a study for light and for dark pages; `write` draws it."""
    if detail not in quotes.PICTURES:
        raise ValueError(f"{page}: expected a picture of {', '.join(quotes.PICTURES)}, got {detail!r}")
    return _two_themes(detail, quotes.PICTURES[detail], page, root)


def _two_themes(name: str, words: str, page: pathlib.Path, root: pathlib.Path) -> str:
    light, dark = (
        pathlib.PurePath(os.path.relpath(root / CHARTS / plot.file_name(name, theme), page.parent)).as_posix()
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


STUDY_KINDS: dict[str, Callable[[pathlib.Path, str, pathlib.Path, pathlib.Path], str]] = {
    "claims": claims_part,
    "picture": picture_part,
}
"""Kinds of parts whose pattern names the directory of a study."""
KINDS: dict[str, Callable[[Study, str, pathlib.Path, pathlib.Path], str]] = {
    "machine": machine_part,
    "against": against_part,
    "sets": sets_part,
    "lost": lost_part,
    "cells": cells_part,
    "headline": headline_part,
    "options": options_part,
    "chart": chart_part,
}


# -- Pages --------------------------------------------------------------------------------------------------


def parts(page: pathlib.Path) -> list[tuple[str, str, Any, pathlib.Path]]:
    """Kind, detail, reports (a study's directory) and repository of every part of a page, in order.

    Raises
    ------
    OSError
        The page cannot be read.
    ValueError
        No part, an unknown kind, or a pattern that no report fits.
    """
    found = []
    known = KINDS | STUDY_KINDS
    sources: dict[str, tuple[Any, pathlib.Path]] = {}
    for match in PART.finditer(page.read_text(encoding="utf-8")):
        kind, detail, pattern = match["kind"], match["detail"] or "", match["pattern"]
        if kind not in known:
            raise ValueError(f"{page}: expected a part of kind {', '.join(known)}, got {kind!r}")
        if pattern not in sources:
            sources[pattern] = _source(page, pattern)
        if (kind in STUDY_KINDS) != isinstance(sources[pattern][0], pathlib.Path):
            raise ValueError(f"{page}: expected {kind} with a pattern of its kind, got {pattern}")
        found.append((kind, detail, *sources[pattern]))
    if not found:
        raise ValueError(f"{page}: expected a part like <!-- measured: sets | PATTERN -->, got none")
    return found


def _source(page: pathlib.Path, pattern: str) -> tuple[Study | pathlib.Path, pathlib.Path]:
    for root in page.resolve().parents:
        paths = list(root.glob(pattern))
        if paths:
            return paths[0] if paths[0].is_dir() else Study(paths), root
    raise ValueError(f"{page}: expected reports that fit {pattern}, got none")


def render(page: pathlib.Path) -> str:
    """The page with every measured part made anew from its reports. Raises what `parts` raises."""
    known = KINDS | STUDY_KINDS
    made = iter(
        known[kind](source, detail, page.resolve(), root) for kind, detail, source, root in parts(page)
    )
    return PART.sub(lambda match: f"{match[1]}{next(made)}\n{match[5]}", page.read_text(encoding="utf-8"))


def write(page: pathlib.Path) -> None:
    """Write the measured parts of a page, and draw its charts (matplotlib, extras `cli` and `study`)."""
    text = render(page)
    for kind, detail, source, root in parts(page):
        (root / CHARTS).mkdir(parents=True, exist_ok=True)
        if kind == "chart":
            plot.draw(detail, source, root / CHARTS)
        elif kind == "picture":
            from .study import pictures, tables

            pictures.save(detail, tables.Study.read(source), root / CHARTS)
    page.write_text(text, encoding="utf-8")
