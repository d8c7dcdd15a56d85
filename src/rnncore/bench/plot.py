# SPDX-License-Identifier: MIT
"""The picture of what options of cells cost, as SVG for light and for dark pages (extra `study`)."""

import hashlib
import pathlib
from typing import Any

from . import options, results
from .words import machine

WORDS = "How many times as long a layer takes with one option"
SIZE = (9.6, 3.8)


def digest(path: pathlib.Path) -> str:
    """SHA-256 of what the picture is made from: the report and the code that draws."""
    look = pathlib.Path(__file__).parent / "study" / "look.py"
    found = hashlib.sha256()
    for part in (path, look, pathlib.Path(__file__)):
        found.update(part.read_bytes())
    return found.hexdigest()


def save(path: pathlib.Path, folder: pathlib.Path) -> None:
    """Write ``options-light.svg`` and ``options-dark.svg`` of a report; their descriptions hold `digest`.

    Raises
    ------
    ModuleNotFoundError
        matplotlib or pandas is not installed.
    OSError
        A file cannot be written.
    """
    from .study import look

    report = results.read(path)
    light = look.svg(lambda figure: _draw(figure, report, look), SIZE, "rnncore", digest(path))
    for theme, text in (("light", light), ("dark", look.dark(light))):
        (folder / f"options-{theme}.svg").write_text(text, encoding="utf-8")


def _draw(figure: Any, report: dict[str, Any], look: Any) -> None:
    """A panel per kind of call: how many times as long a layer takes with one option."""
    (_, _, *columns), lines = options.lines(report["rows"])
    lines = [line for line in lines if all(line)]
    panels = look.panels(figure, len(columns), sharey=True, sharex=True)
    for index, (axes, column) in enumerate(zip(panels, columns, strict=True)):
        for place, line in enumerate(lines):
            value = float(line[index + 2])
            axes.plot([1, value], [place] * 2, color=look.colour("rnncore"), linewidth=1.5)
            axes.plot(value, place, "o", color=look.colour("rnncore"), markersize=5)
        axes.axvline(1, color=look.colour("quiet"), linewidth=0.8)
        axes.set_title(column, fontsize=9)
        axes.set_yticks(range(len(lines)), [f"{cell}, {option}" for cell, option, *_ in lines])
        look.calm(axes, "x")
    panels[0].invert_yaxis()
    figure.supxlabel(f"times as long as the usual cell; {machine(report['machine'])}", fontsize=9)
