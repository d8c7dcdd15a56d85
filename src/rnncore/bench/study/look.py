# SPDX-License-Identifier: MIT
"""How pictures look: colours by what they are for, in two themes; SVG for files and for the inside of a page.

A picture is drawn once, in the colours of the light theme; as each of them has one meaning, the text of the SVG is
turned into the dark theme, or into one that follows the page, by replacing them.
"""

import io
import re
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ..words import SETS
from .tables import title

COLOURS = {
    "text": ("#1f2328", "#e6edf3"),
    "quiet": ("#6e7781", "#9198a1"),
    "grid": ("#d1d9e0", "#3d444d"),
    "shade": ("#fdecea", "#3a1f20"),
    "loss": ("#b3261e", "#ff8a80"),
    "rnncore": ("#0072b2", "#56b4e9"),
    "torch": ("#d55e00", "#ff9b57"),
    "onnxruntime": ("#00795a", "#3ddbb0"),
    "jax": ("#a77700", "#f0c75e"),
    "openvino": ("#aa4499", "#e79bd2"),
    "onednn": ("#661f4d", "#d7a8ff"),
    "keras": ("#4b5d0f", "#b7cf5b"),
    "other": ("#57606b", "#a8b1bb"),
    "heat0": ("#f2b8b1", "#8c2f28"),
    "heat1": ("#eceff2", "#343b44"),
    "heat2": ("#d3e6f4", "#173a52"),
    "heat3": ("#a9d0ea", "#1b5478"),
    "heat4": ("#79b6de", "#2272a4"),
    "heat5": ("#489ad0", "#3a92c9"),
}
"""Meaning to the colour on light and on dark ground: Okabe and Ito's hues, which colour-blind readers can tell apart,
made dark or light enough for thin lines. A system has the colour of its family, the first word of its name, and a mark
of its own; labels stand beside them."""
MOST_PANELS = 3
"""Numbers of threads beside each other."""
MARKS = ("o", "D", "^", "s", "v", "P", "X", "p", "h", "<", ">", "*")
SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": COLOURS["text"][0],
    "axes.labelcolor": COLOURS["text"][0],
    "xtick.color": COLOURS["text"][0],
    "ytick.color": COLOURS["text"][0],
}
"""Text stays text: small files, and a reader's own font."""


def colour(meaning: str) -> str:
    """What to draw with."""
    return COLOURS[meaning][0]


def system_colour(name: str) -> str:
    """A system's colour."""
    family = name.partition("-")[0]
    return colour(family if family in COLOURS else "other")


def marks(names: list[str]) -> dict[str, str]:
    """A mark for each system; rnncore's is the first."""
    return {name: MARKS[place % len(MARKS)] for place, name in enumerate(names)}


def calm(axes: Any, grid: str) -> None:
    """Take away what does not carry data."""
    axes.set_facecolor("none")
    axes.tick_params(colors=colour("quiet"), labelcolor=colour("text"), length=0)
    if grid:
        axes.grid(axis=grid, color=colour("grid"), linewidth=0.6)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def legend(figure: Any, handles: list[Any], labels: list[str]) -> None:
    """One legend above all panels."""
    figure.legend(
        handles, labels, loc="outside upper center", ncols=min(len(labels), 6), frameon=False,
        labelcolor=colour("text"),
    )  # fmt: skip


def panels(figure: Any, count: int, **options: Any) -> list[Any]:
    """Axes side by side."""
    return list(np.atleast_1d(figure.subplots(1, count, **options)).flat)


def by_set(axes: Any, names: list[str]) -> None:
    """A line per set, the first above."""
    axes.set_yticks(range(len(names)), [SETS.get(name, name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    calm(axes, "x")


def log_ticks(axis: Any, ticks: tuple[float, ...], low: float, high: float) -> None:
    """Ticks of a logarithmic axis, those between its ends, as plain numbers."""
    chosen = [tick for tick in ticks if low <= tick <= high]
    axis.set_ticks(chosen, [f"{tick:g}" for tick in chosen])
    axis.set_minor_locator(NullLocator())


def system_legend(figure: Any, names: list[str], all_names: list[str]) -> None:
    """Colours, marks and names of systems; marks are those that `marks` gives all."""
    known, axes = marks(all_names), figure.axes[0]
    handles = [axes.plot([], [], known[name], color=system_colour(name), markersize=6)[0] for name in names]
    if names:
        legend(figure, handles, [title(name) for name in names])


def svg(draw: Any, size: tuple[float, float], salt: str, description: str = "") -> str:
    """The SVG of what ``draw(figure)`` draws, in the light theme; the same picture is the same text."""
    with matplotlib.rc_context(SETTINGS | {"svg.hashsalt": salt}):
        figure = Figure(figsize=size, layout="constrained", facecolor="none")
        FigureCanvasSVG(figure)
        draw(figure)
        file = io.StringIO()
        figure.savefig(
            file, format="svg", bbox_inches="tight", metadata={"Date": None, "Description": description}
        )
    return file.getvalue()


def dark(text: str) -> str:
    """The same SVG for dark ground."""
    return _replace(text, dict(COLOURS.values()))


def inline(text: str, name: str, words: str) -> str:
    """The same SVG as an element of a page whose style sheet sets the colours (`style`) and which stands alone."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    used = set(re.findall(r"#([\w.-]+)[\")]", text))
    text = re.sub(
        r' id="([^"]+)"', lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", text
    )
    text = re.sub(r'(url\(|xlink:href=")#(\w)', rf"\1#{name}-\2", text).replace("xlink:href", "href")
    text = re.sub(
        r'<svg [^>]*viewBox="([^"]+)"[^>]*>',
        rf'<svg viewBox="\1" role="img" aria-label="{words}">',
        text,
        count=1,
    )
    return _replace(text, {light: f"var(--{meaning})" for meaning, (light, _) in COLOURS.items()})


def style(theme: int) -> str:
    """Declarations of the colours for `inline`, 0 for light and 1 for dark."""
    return " ".join(f"--{meaning}: {pair[theme]};" for meaning, pair in COLOURS.items())


def _replace(text: str, table: dict[str, str]) -> str:
    return re.sub(r"#[0-9a-f]{6}\b", lambda match: table.get(match[0], match[0]), text)
