# SPDX-License-Identifier: MIT
"""`claims.md` of a study: the figures about speed that pages quote, with intervals and the commands that give them.

A section is a heading, text or a table, and the command. Pages copy sections (`quotes.section`).
"""

import pathlib
from collections.abc import Callable

import pandas as pd

from ..report import duration
from ..words import CELLS, SETS, thread_words
from . import quotes, statistics
from .document import interval, ratio
from .tables import OURS, Study, cell_title, set_words, title

NAMED = ("torch",)
"""Systems whose step is named beside the two fastest."""
STEP = 16
"""Units of the step that the first page names."""
HEADLINES = ("small", "server", "deepcpu", "ragged", "train")
"""Sets that the first page names."""


def write(study: Study) -> pathlib.Path:
    """Write the file beside the study's; its path."""
    path = study.folder / quotes.CLAIMS
    path.write_text(render(study), encoding="utf-8")
    return path


def render(study: Study) -> str:
    """The text."""
    parts = [
        "<!-- SPDX-License-Identifier: MIT -->",
        f"<!-- data: {quotes.digest(study.folder)} -->",
        "# Claims",
        f"What the study in this folder found, written by `rnncore bench claims {study.folder.name}`. {_where(study)}",
    ]
    command = f"rnncore bench study --{study.env['settings']['profile']} --out DIR"
    for name, (options, make) in SECTIONS.items():
        text = make(study) or "Not measured."
        parts += [f"## {name}", text, f"Command: `{' '.join([command, *options])}`"]
    return "\n\n".join(parts) + "\n"


# -- Sections -----------------------------------------------------------------------------------------------


def table(head: list[str], lines: list[list[str]]) -> str:
    """A Markdown table, the first column to the left, the others to the right."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines])


def _figure(row: pd.Series | dict) -> str:
    return f"{ratio(row['ratio'])} ({interval(row['low'], row['high'])})"


def _where(study: Study) -> str:
    day = study.env["started"][:10]
    return f"{study.machine}, {day}; against {study.against}."


def _headline(study: Study) -> str:
    sets = study.sets[study.sets["threads"] == 1].set_index("set")
    named = [f"{SETS[name]} {_figure(sets.loc[name])}" for name in HEADLINES if name in sets.index]
    counts = study.best["verdict"].value_counts()
    win, tie, loss = (int(counts.get(word, 0)) for word in ("win", "tie", "loss"))
    return (
        f"{_a_step(study)}Times as fast as the best other system, geometric means on one thread with 95 % "
        f"intervals: {', '.join(named)}. Of {len(study.best)} rows: {win} faster than every other system, "
        f"ties {tie}, lost {loss}. {_where(study)}"
    )


def _a_step(study: Study) -> str:
    """What a step of a small LSTM takes, from Python: of those measured, the one closest to `STEP` units."""
    times = study.times
    steps = times[
        (times["mode"] == "step") & (times["cell"] == "lstm") & (times["N"] == 1) & (times["L"] == 1)
    ]
    steps = steps[steps["row"].str.contains("-f32-") & (steps["system"] == OURS)]
    if not len(steps):
        return ""
    step = steps.loc[(steps["H"] - STEP).abs().idxmin()]
    found = times[times["row"] == step["row"]].set_index("system")["ratio"]
    fastest = found[[name for name in study.others if name in found.index]].sort_values()
    named = dict.fromkeys([*fastest.index[:2], *(name for name in NAMED if name in fastest.index)])
    others = ", ".join(f"{title(name)} {duration(found[name])}" for name in named)
    best = ", the first is the fastest other" if len(named) > 1 else ""
    what = f"A step of an LSTM with H = {step['H']:.0f} takes {duration(found[OURS])} from Python"
    return f"**{what}** ({others}{best}). "


def _sets(study: Study) -> str:
    lines = [
        [
            f"{SETS.get(row.set, row.set)} (`{row.set}`)", str(row.threads), str(row.rows),
            f"{ratio(row.ratio)} ({interval(row.low, row.high)})", ratio(row.median), ratio(row.worst),
            str(row.win), str(row.tie), str(row.loss), "" if pd.isna(row.fraction) else f"{row.fraction:.2f}",
        ]
        for row in study.sets.itertuples()
    ]  # fmt: skip
    head = [
        "set", "threads", "rows", "times as fast: geo. mean", "median", "worst", "faster", "ties", "lost",
        "of the limit: geo. mean",
    ]  # fmt: skip
    return table(head, lines)


def _lost(study: Study) -> str:
    rows = study.best[study.best["verdict"] == "loss"].sort_values("ratio")
    lines = [
        [f"{set_words(row['set'], row['threads'])}: {row['words']}", title(row["system"]), _figure(row)]
        for _, row in rows.iterrows()
    ]
    return table(["row", "faster", "our speed over theirs"], lines) if lines else "No row was lost."


def _by_cell(name: str) -> Callable[[Study], str]:
    def make(study: Study) -> str:
        rows = study.best[study.best["set"] == name]
        counts = sorted(rows["threads"].unique())
        head = [
            "cell",
            *(f"{thread_words(int(count))}: {what}" for count in counts for what in ("geo. mean", "worst")),
        ]
        lines = []
        for cell in [one for one in CELLS if (rows["cell"] == one).any()]:
            line = [cell_title(cell)]
            for count in counts:
                part = rows[(rows["cell"] == cell) & (rows["threads"] == count)]
                found = len(part) > 0
                line += [
                    _figure(statistics.geometric_mean(part)) if found else "",
                    ratio(part["ratio"].min()) if found else "",
                ]
            lines.append(line)
        return table(head, lines) if lines else ""

    return make


def _each(study: Study) -> str:
    cells = {(row["set"], row["threads"], row["system"]): _figure(row) for _, row in study.pairs.iterrows()}
    others = study.others
    lines = [
        [set_words(*key), *(cells.get((*key, name), "") for name in others)]
        for key, _ in study.grouped(study.ratios)
    ]
    return table(["set", *(title(name) for name in others)], lines)


def _threads(study: Study) -> str:
    found = study.scaling[study.scaling["system"] == OURS] if len(study.scaling) else study.scaling
    lines = [
        [SETS.get(name, name), str(threads), str(len(part)), _figure(statistics.geometric_mean(part))]
        for (name, threads), part in study.grouped(found)
    ]
    return table(["set", "threads", "rows", "times as fast as on one thread"], lines) if lines else ""


def _costs(study: Study) -> str:
    systems = (
        study.systems[study.systems["status"] == "ok"].groupby("system")[["first_call", "memory"]].median()
    )
    lines = [
        [title(name), duration(row["first_call"]), f"{row['memory'] / 1e6:.3g} MB"]
        for name in study.names
        if name in systems.index and not (row := systems.loc[name]).isna().any()
    ]
    return table(["system", "prepare and call once, median", "memory, median"], lines) if lines else ""


SECTIONS: dict[str, tuple[list[str], Callable[[Study], str]]] = {
    "machine": ([], _where),
    "headline": ([], _headline),
    "sets": (["--sets SET --threads N"], _sets),
    "lost": ([], _lost),
    "train": (["--sets train"], _by_cell("train")),
    "each": (["--sets SET --threads N --systems rnncore,OTHER"], _each),
    "threads": (["--sets SET --threads 1,N --systems rnncore"], _threads),
    "costs": ([], _costs),
}
"""Name to the options of the command that measures it, and what makes the text."""
