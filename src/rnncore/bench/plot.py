# SPDX-License-Identifier: MIT
"""Charts of a study, as SVG for light and for dark pages. matplotlib is imported when one is drawn (extra `cli`)."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable
from typing import Any

from . import options, peers
from .reports import CELLS, LOST, SETS, Study, mean, thread_words, words

THEMES = {
    "light": {
        "text": "#1f2328",
        "quiet": "#818b98",
        "grid": "#d1d9e0",
        "shade": "#ffebe9",
        "lost": "#cf222e",
    },
    "dark": {"text": "#e6edf3", "quiet": "#8b949e", "grid": "#3d444d", "shade": "#3a1d1f", "lost": "#ff7b72"},
}
"""Colours by what they are for."""
SYSTEM_COLOURS = {
    "rnncore": ("#0969da", "#58a6ff"),
    "onnxruntime-bound": ("#bc4c00", "#f0883e"),
    "torch": ("#8250df", "#bc8cff"),
    "jax": ("#1a7f37", "#56d364"),
}
"""Light and dark."""
OTHER_COLOURS = ("#818b98", "#8b949e")
MICRO = 1e6
SPREAD, GOLDEN = 0.28, 0.618
"""A set's dots lie up to SPREAD above and below its line, neighbours far apart, so that they do not hide each other."""
LEFT = 0.17
"""Left end of the ratios: room for the names of what is lost."""


@dataclasses.dataclass(frozen=True)
class Chart:
    """A kind of chart: what it shows, in words, its size in inches, and the function that draws it."""

    words: str
    size: tuple[float, float]
    draw: Callable[[Any, Study, "Look"], None]


@dataclasses.dataclass(frozen=True)
class Look:
    """Colours of one theme."""

    theme: str

    def __getattr__(self, name: str) -> str:
        return THEMES[self.theme][name]

    def system(self, name: str) -> str:
        """Colour of a system."""
        return SYSTEM_COLOURS.get(name, OTHER_COLOURS)[list(THEMES).index(self.theme)]

    def calm(self, axes: Any, grid: str) -> None:
        """Take away what does not carry data."""
        axes.set_facecolor("none")
        axes.tick_params(colors=self.quiet, labelcolor=self.text, length=0)
        axes.grid(axis=grid, color=self.grid, linewidth=0.6)
        axes.set_axisbelow(True)
        for side in axes.spines.values():
            side.set_visible(False)


def _label(group: str, threads: int) -> str:
    return f"{SETS[group]}, {thread_words(threads)}"


def _speedup(figure: Any, study: Study, look: Look) -> None:
    """Dots per row of a set; what is lost stands in the shaded part, the worst of a set with its name."""
    axes = figure.subplots()
    groups = {key: [one for one in rows if one[1]["ratio"]] for key, rows in study.groups().items()}
    axes.axvspan(LEFT, 1, color=look.shade, linewidth=0)
    axes.axvline(1, color=look.quiet, linewidth=0.8)
    for place, rows in enumerate(groups.values()):
        dots = [
            (s["ratio"], place + SPREAD * (2 * (index * GOLDEN % 1) - 1)) for index, (_, s) in enumerate(rows)
        ]
        for lost, colour in ((False, look.system("rnncore")), (True, look.lost)):
            part = [dot for dot in dots if (dot[0] < LOST) == lost]
            if part:
                axes.plot(
                    *zip(*part, strict=True), "o", color=colour, markersize=4, alpha=0.5 + 0.4 * lost, mew=0
                )
        typical = mean([system["ratio"] for _, system in rows])
        axes.plot([typical] * 2, [place - 0.36, place + 0.36], color=look.text, linewidth=2)
        case, worst = min(rows, key=lambda one: one[1]["ratio"])
        if worst["ratio"] < LOST:
            name = f"{CELLS[case.cell]}, N = {case.N}, H = {case.H}"
            axes.text(
                worst["ratio"] * 0.95, place, name, color=look.lost, fontsize=7, ha="right", va="center"
            )
        axes.text(
            1.01, place, f"{typical:.2f}", color=look.text, transform=axes.get_yaxis_transform(), va="center"
        )
    ticks = (0.5, 1, 2, 5, 10, 20, 50)
    axes.set(
        xscale="log",
        xlim=(LEFT, 60),
        xlabel="times as fast as the best other system (bar and figure: geometric mean)",
    )
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(range(len(groups)), [_label(*key) for key in groups])
    axes.invert_yaxis()
    look.calm(axes, "x")


def _step(figure: Any, study: Study, look: Look) -> None:
    """Microseconds of a step by hidden size, one panel per cell, with a line up to what one in a hundred exceeds."""
    panels = figure.subplots(1, len(CELLS), sharey=True)
    for axes, (cell, title) in zip(panels, CELLS.items(), strict=True):
        for name in ["rnncore", *study.peers()]:
            points = [
                (case.H, system)
                for group, case, system in study.rows(name)
                if group == "stream" and case.cell == cell and case.N == 1
            ]
            if points:
                sizes, found = zip(*points, strict=True)
                medians = [MICRO * system["median"] for system in found]
                axes.plot(
                    sizes, medians, "o-", color=look.system(name), markersize=4, label=peers.load(name).title
                )
                tails = [MICRO * (system["p99"] or system["median"]) for system in found]
                axes.vlines(sizes, medians, tails, color=look.system(name), linewidth=1, alpha=0.6)
        axes.set(xscale="log", yscale="log", xlabel="H")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.set_title(title, color=look.text, fontsize=10)
        look.calm(axes, "y")
    panels[0].set_ylabel("microseconds a step: median, line to p99")
    ticks = (0.1, 1, 10, 100)
    panels[0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    panels[0].minorticks_off()
    _legend(figure, *panels[0].get_legend_handles_labels(), look)


def _limit(figure: Any, study: Study, look: Look) -> None:
    """Fraction of the machine's limit: geometric mean of each system, and the range of rnncore."""
    axes = figure.subplots()
    groups = {
        key: rows for key, rows in study.groups().items() if any(system["fraction"] for _, system in rows)
    }
    names = [*study.peers(), "rnncore"]
    for place, (key, ours) in enumerate(groups.items()):
        fractions = [system["fraction"] for _, system in ours]
        axes.plot(
            [min(fractions), max(fractions)],
            [place] * 2,
            color=look.system("rnncore"),
            linewidth=1,
            alpha=0.5,
        )
        for name in names:
            rows = study.groups(name).get(key, [])
            typical = mean([system["fraction"] for _, system in rows])
            # A system that refuses half of the rows would be compared on others.
            if typical is not None and 2 * len(rows) > len(ours):
                axes.plot(
                    typical, place, "o", color=look.system(name), markersize=7 if name == "rnncore" else 5
                )
    axes.axvline(1, color=look.quiet, linewidth=0.8)
    axes.set_xlim(left=0)
    axes.set(xlabel="fraction of the limit: dots are geometric means, the line spans the rows of rnncore")
    axes.set_yticks(range(len(groups)), [_label(*key) for key in groups])
    axes.invert_yaxis()
    look.calm(axes, "x")
    handles = [axes.plot([], [], "o", color=look.system(name))[0] for name in names[::-1]]
    _legend(figure, handles, [peers.load(name).title for name in names[::-1]], look)


def _lost(figure: Any, study: Study, look: Look) -> None:
    """A bar per row that another system wins, with its name, from our speed over theirs up to a draw."""
    axes = figure.subplots()
    rows = sorted(
        (system["ratio"], f"{words(case)}, {thread_words(threads)}", system["best_other"])
        for (_, threads), found in study.groups().items()
        for case, system in found
        if system["ratio"] is not None and system["ratio"] < LOST
    )
    for place, (ratio, _, other) in enumerate(rows):
        axes.plot([ratio, 1], [place] * 2, color=look.system(other), linewidth=6, solid_capstyle="butt")
        axes.text(ratio - 0.006, place, f"{ratio:.2f}", color=look.text, ha="right", va="center", fontsize=8)
    axes.axvline(1, color=look.quiet, linewidth=0.8)
    axes.set(xlim=(min([1.0, *(ratio for ratio, _, _ in rows)]) - 0.1, 1.01), xlabel="our speed over theirs")
    axes.set_yticks(range(len(rows)), [name for _, name, _ in rows])
    axes.invert_yaxis()
    look.calm(axes, "x")
    winners = dict.fromkeys(other for _, _, other in rows)
    handles = [axes.plot([], [], "s", color=look.system(name))[0] for name in winners]
    _legend(figure, handles, [peers.load(name).title for name in winners], look)


def _options(figure: Any, study: Study, look: Look) -> None:
    """A panel per kind of call: how many times as long a layer takes with one option."""
    rows = [row for report in study.reports.values() for row in report["rows"]]
    (_, _, *columns), lines = options.lines(rows)
    panels = figure.subplots(1, len(columns), sharey=True, sharex=True)
    for index, (axes, column) in enumerate(zip(panels, columns, strict=True)):
        for place, line in enumerate(lines):
            value = float(line[index + 2])
            axes.plot([1, value], [place] * 2, color=look.system("rnncore"), linewidth=1.5)
            axes.plot(value, place, "o", color=look.system("rnncore"), markersize=5)
        axes.axvline(1, color=look.quiet, linewidth=0.8)
        axes.set_title(column, color=look.text, fontsize=9)
        axes.set_yticks(range(len(lines)), [f"{cell}, {option}" for cell, option, *_ in lines])
        look.calm(axes, "x")
    panels[0].invert_yaxis()
    panels[1].set_xlabel("times as long as the usual cell")


def _legend(figure: Any, handles: list[Any], labels: list[str], look: Look) -> None:
    figure.legend(
        handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, labelcolor=look.text
    )


CHARTS = {
    "speedup": Chart(
        "How many times as fast as the best other system each row is, by set", (9, 4.6), _speedup
    ),
    "step": Chart("Microseconds of a step by hidden size and system", (9, 3.4), _step),
    "limit": Chart("Fraction of the machine's limit by set and system", (9, 3.6), _limit),
    "lost": Chart("Rows in which another system is faster, and by how much", (9, 2.4), _lost),
    "options": Chart("How many times as long a layer takes with one option", (9, 3.6), _options),
}


def file_name(name: str, theme: str) -> str:
    """Name of a chart's file."""
    return f"{name}-{theme}.svg"


def digest(study: Study) -> str:
    """SHA-256 of what a chart is made from: the reports and the code that draws."""
    found = hashlib.sha256()
    for path in [*study.paths, pathlib.Path(__file__)]:
        found.update(path.read_bytes())
    return found.hexdigest()


def draw(name: str, study: Study, folder: pathlib.Path) -> None:
    """Draw a chart in every theme; the file's description holds `digest`.

    Raises
    ------
    ValueError
        No such chart.
    ModuleNotFoundError
        matplotlib is not installed.
    OSError
        A file cannot be written.
    """
    if name not in CHARTS:
        raise ValueError(f"chart: expected one of {', '.join(CHARTS)}, got {name!r}")
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    chart = CHARTS[name]
    # Text stays text: small files, and a reader's own font. The salt makes the same chart the same file.
    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": "rnncore",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9,
    }
    for theme in THEMES:
        look = Look(theme)
        colours = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), look.text)
        with matplotlib.rc_context(settings | colours):
            figure = Figure(figsize=chart.size, layout="constrained", facecolor="none")
            FigureCanvasSVG(figure)
            chart.draw(figure, study, look)
            figure.suptitle(study.machine, fontsize=8, color=look.quiet, y=-0.01, va="top")
            figure.savefig(
                folder / file_name(name, theme),
                bbox_inches="tight",
                metadata={"Date": None, "Description": digest(study)},
            )
