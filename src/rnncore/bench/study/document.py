# SPDX-License-Identifier: MIT
"""The report of a study: one page of HTML with everything in it, for light and dark, for wide and narrow screens."""

import html
import pathlib
import string
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from ..report import duration
from ..words import SETS, thread_words
from . import look, pictures, quotes
from .tables import OURS, Study, set_words, title

TEMPLATE = pathlib.Path(__file__).with_name("document.html")
SURE = 0.05
"""Of a test's p."""
SHOWN = 30
"""Longer lists are closed at first."""


def write(study: Study, path: pathlib.Path) -> None:
    """Write the report. OSError when the file cannot be written."""
    path.write_text(render(study), encoding="utf-8")


def render(study: Study) -> str:
    """The page."""
    found = [(name, heading, make(study)) for name, (heading, make) in SECTIONS.items()]
    shown = [(name, heading, text) for name, heading, text in found if text]
    links = "".join(f'<a href="#{name}">{heading}</a>' for name, heading, _ in shown)
    sections = [f'<h2 id="{name}">{heading}</h2>\n{text}' for name, heading, text in shown]
    name = f"rnncore and {len(study.others)} other systems"
    body = [f"<h1>{name}</h1>", _head(study), f"<nav>{links}</nav>", *sections]
    return string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=name, light=look.style(0), dark=look.style(1), body="\n".join(body)
    )


# -- Pieces -------------------------------------------------------------------------------------------------


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _table(head: list[str], lines: Iterable[list[str]], classes: dict[int, str] | None = None) -> str:
    """A table of finished cells (HTML); `classes` of whole columns."""
    classes = classes or {}

    def line(cells: list[str], tag: str) -> str:
        kinds = [f' class="{classes[place]}"' if place in classes else "" for place in range(len(cells))]
        return "".join(f"<{tag}{kind}>{cell}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))

    rows = "".join(f"<tr>{line(cells, 'td')}</tr>\n" for cells in lines)
    return f'<div class="wide"><table><thead><tr>{line(head, "th")}</tr></thead>\n<tbody>{rows}</tbody></table></div>'


def _picture(study: Study, name: str) -> str:
    if not pictures.PICTURES[name].possible(study):
        return ""
    drawn = look.inline(pictures.draw(name, study), name, html.escape(quotes.PICTURES[name]))
    return f'<div class="wide">{drawn}</div>'


def ratio(value: float) -> str:
    """Two digits behind the point, three figures at most."""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def interval(low: float, high: float) -> str:
    """``1.02 to 1.08``; a digit more where two would not show that 1 is outside."""
    digits = 3 if high - low < 0.03 or min(abs(low - 1), abs(high - 1)) < 0.005 else 2
    shown = [ratio(value) if value > 9.995 else f"{value:.{digits}f}" for value in (low, high)]
    return " to ".join(shown)


def _colour(value: float, verdict: str) -> str:
    return f'<span class="{verdict}">{ratio(value)}</span>'


def _details(summary: str, text: str, shown: bool = False) -> str:
    return f"<details{' open' if shown else ''}><summary>{html.escape(summary)}</summary>{text}</details>"


# -- Sections -----------------------------------------------------------------------------------------------


def _head(study: Study) -> str:
    settings, counts = study.env["settings"], study.best["verdict"].value_counts()
    facts = [(str(int(counts.get(word, 0))), words) for word, words in (
        ("win", "rows faster than every other system"), ("tie", "ties: the interval of the ratio holds 1"),
        ("loss", "rows in which another system is faster"),
    )]  # fmt: skip
    facts.append((str(len(study.measured)), f"rows measured; {len(study.skipped)} listed and skipped"))
    tiles = "".join(f'<div class="fact"><b>{figure}</b>{words}</div>' for figure, words in facts)
    where = (
        f"{study.machine}; {' and '.join(thread_words(count) for count in study.threads)}; profile "
        f"{settings.get('profile', '')}, begun {study.env['started']}"
        + ("" if study.env.get("finished") else " and not finished")
        + f". Against {study.against}."
    )
    return f'{_paragraph(where)}<div class="facts">{tiles}</div>'


def _speed(study: Study) -> str:
    lines = [
        [
            html.escape(SETS.get(row.set, row.set)), str(row.threads), str(row.rows), ratio(row.ratio),
            interval(row.low, row.high), ratio(row.median), ratio(row.worst),
            f'<span class="win">{row.win}</span>', str(row.tie),
            f'<span class="loss">{row.loss}</span>' if row.loss else "0",
            "" if pd.isna(row.fraction) else f"{row.fraction:.2f}",
        ]
        for row in study.sets.itertuples()
    ]  # fmt: skip
    head = [
        "set",
        "threads",
        "rows",
        "times as fast",
        "95 %",
        "median",
        "worst",
        "faster",
        "ties",
        "slower",
        "of the limit",
    ]
    words = (
        "Every dot is a row, one size of one cell: how many times as long the best other system takes, whichever "
        "that is. Right of 1 rnncore is faster. Rings are ties."
    )
    return _paragraph(words) + _picture(study, "speedup") + _table(head, lines)


def _named(rows: pd.DataFrame, word: str) -> str:
    """Rows by name, closed where they are many."""
    lines = [
        [
            html.escape(f"{row.words}, {thread_words(row.threads)}"),
            f"{_colour(row.ratio, row.verdict)} ({interval(row.low, row.high)})",
            html.escape(title(row.system)),
            html.escape(SETS.get(row.set, row.set)),
        ]
        for row in rows.itertuples()
    ]
    table = _table(["row", "our speed over theirs", "best other", "set"], lines, {2: "words", 3: "words"})
    return _details(f"{len(lines)} {word}", table, len(lines) <= SHOWN) if lines else ""


def _lost(study: Study) -> str:
    found = study.best.sort_values("ratio")
    losses, ties = (found[found["verdict"] == word] for word in ("loss", "tie"))
    head = "" if len(losses) else _paragraph("No row is lost; these are the closest.")
    return (
        head
        + _picture(study, "lost")
        + _named(losses, "lost: another system is faster")
        + _named(ties, "ties")
    )


def _heat(study: Study) -> str:
    drawn = _picture(study, "heat")
    words = (
        "Sequences by hidden size H and batch N, in classes: how many times as fast as the best other system, "
        "geometric means."
    )
    return drawn and _paragraph(words) + drawn


def _each(study: Study) -> str:
    cells = {(row.set, row.threads, row.system): row for row in study.pairs.itertuples()}
    names = [name for name in study.names if name != OURS]
    sizes = {key: part["row"].nunique() for key, part in study.grouped(study.ratios)}

    def cell(key: tuple[str, int, str]) -> str:
        row = cells.get(key)
        if row is None:
            return ""
        verdict = "win" if row.low > 1 else "loss" if row.high < 1 else "quiet"
        sure = "" if pd.isna(row.holm) or row.holm >= SURE else "*"
        fewer = f", {row.rows} rows" if row.rows < sizes[key[:2]] else ""
        more = f'<span class="quiet">{interval(row.low, row.high)}{fewer}</span>'
        return f"{_colour(row.ratio, verdict)}{sure}<br>{more}"

    lines = [
        [html.escape(set_words(*key)), *(cell((*key, name)) for name in names)]
        for key, _ in study.grouped(study.ratios)
    ]
    words = (
        "Geometric means of the other's time over that of rnncore, over the rows that the other runs, with 95 % "
        "intervals. A star: Wilcoxon's signed-rank test over the set's rows finds a difference at 5 %, "
        "Holm-corrected for all of this table."
    )
    return _paragraph(words) + _table(["set", *(html.escape(title(name)) for name in names)], lines)


def _limit(study: Study) -> str:
    drawn = _picture(study, "limit"), _picture(study, "roofline")
    words = (
        "The limit of a row is computed from the peak of multiply-adds and the read bandwidth of the level that its "
        "weights fit in, both measured beside every block."
    )
    return _paragraph(words) + "".join(drawn) if any(drawn) else ""


def _tails(study: Study) -> str:
    drawn = _picture(study, "tails")
    return drawn and _paragraph("One sample in, one out, called from Python.") + drawn


def _scaling(study: Study) -> str:
    text = _paragraph(f"More than {thread_words(max(study.threads, default=1))}: not measured.")
    return text + _picture(study, "scaling")


def _costs(study: Study) -> str:
    words = "Apart from timed calls: what preparing and the first call take once the library is imported, and memory."
    return _paragraph(words) + _picture(study, "costs")


def _conditions(study: Study) -> str:
    found = study.disturbed
    lines = [
        [
            html.escape(set_words(row.set, row.threads)),
            str(row.attempted),
            str(row.accepted),
            str(row.repeated),
        ]
        for row in found.itertuples()
    ]
    total = int(found["repeated"].sum())
    settings = study.env["settings"]
    numbers = study.conditions[["steal", "others"]].apply(pd.to_numeric).median().fillna(0)
    kept = study.env.get("blocks", {}).get("kept_though_disturbed", 0)
    words = (
        f"{settings.get('blocks')} blocks a row in {settings.get('preparations')} preparations. {total} of "
        f"{int(found['attempted'].sum())} attempted blocks were disturbed and repeated; {kept} were kept though "
        f"disturbed, after as many attempts as are made. Typical block: "
        f"{numbers['steal']:.1%} stolen by the host, {numbers['others']:.2f} processors taken by other processes. "
        f"Energy: {study.env.get('energy', '')}."
    )
    return _paragraph(words) + _table(["set", "attempted", "accepted", "repeated"], lines)


def _missing(study: Study) -> str:
    skipped = study.skipped
    lines = [
        [
            html.escape(f"{row.words}, {thread_words(row.threads)}"),
            html.escape(row.set),
            html.escape(row.reason),
        ]
        for row in skipped.itertuples()
    ]
    parts = [
        _details(
            f"{len(lines)} rows skipped", _table(["row", "set", "why"], lines, {1: "words", 2: "reason"})
        )
    ]
    parts = parts if lines else []
    shortened = study.measured[study.measured["listed_steps"] != study.measured["T"]].dropna(subset="T")
    lines = [
        [html.escape(row.words), f"{row.T:.0f}", f"{row.listed_steps:.0f}"] for row in shortened.itertuples()
    ]
    if lines:
        table = _table(["row", "steps measured", "steps listed"], lines)
        parts.append(_details(f"{len(lines)} rows with fewer steps than their list has", table))
    groups = (
        study.unfit.groupby(["system", "status", "reason"], sort=False)["row"]
        .agg(["size", "first"])
        .reset_index()
    )
    lines = [
        [html.escape(title(row.system)), row.status, str(row.size), html.escape(row.reason), row.first]
        for row in groups.itertuples(name="Group")
    ] if len(groups) else []  # fmt: skip
    if lines:
        table = _table(
            ["system", "", "rows", "why", "first of them"], lines, {1: "words", 3: "reason", 4: "words"}
        )
        total = len(study.unfit)
        parts.append(_details(f"{total} times a system was refused, wrong or failed", table))
    return "".join(parts)


def _rows(study: Study) -> str:
    times = study.times[study.times["system"] == OURS].set_index("row")["ratio"]
    others = [name for name in study.names if name != OURS]
    ratios = {(row.row, row.system): row for row in study.ratios.itertuples()}
    fractions = study.fractions[study.fractions["system"] == OURS].set_index("row")["ratio"]
    parts = []
    for key, rows in study.grouped(study.measured):
        lines = []
        for row in rows.itertuples():
            found = [ratios.get((row.row, name)) for name in others]
            cells = ["" if one is None else _interval_cell(one) for one in found]
            limit = f"{fractions[row.row]:.2f}" if row.row in fractions.index else ""
            ours = duration(times[row.row]) if row.row in times.index else ""
            lines.append([html.escape(row.words), ours, limit, *cells])
        head = ["row", "rnncore", "of the limit", *(html.escape(title(name)) for name in others)]
        parts.append(_details(f"{set_words(*key)}: {len(rows)} rows", _table(head, lines)))
    words = "Time of rnncore, then how many times as long each other system takes; point at a figure for its interval."
    return _paragraph(words) + "".join(parts)


def _interval_cell(one: Any) -> str:
    return f'<span class="{one.verdict}" title="{interval(one.low, one.high)}">{ratio(one.ratio)}</span>'


def _machine(study: Study) -> str:
    facts = {**study.env["machine"], **study.env["settings"], "commit of the study": study.env["commit"]}
    lines = [[html.escape(name), html.escape(_plain(value))] for name, value in facts.items()]
    versions = [
        [html.escape(title(name)), html.escape(str(value))] for name, value in study.env["versions"].items()
    ]
    return _table(["system", "version"], versions) + _details(
        "Machine and settings", _table(["", ""], lines, {1: "reason"})
    )


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


SECTIONS: dict[str, tuple[str, Callable[[Study], str]]] = {
    "speed": ("Speed by set", _speed),
    "lost": ("Lost and tied", _lost),
    "sizes": ("By size", _heat),
    "each": ("Against each system", _each),
    "limit": ("What the machine allows", _limit),
    "steps": ("A step of a stream", _tails),
    "threads": ("Threads", _scaling),
    "costs": ("First call and memory", _costs),
    "conditions": ("Conditions", _conditions),
    "missing": ("What is missing", _missing),
    "rows": ("Every row", _rows),
    "machine": ("Machine and versions", _machine),
}
"""Anchor to heading and what makes the text; an empty text leaves the section out."""
