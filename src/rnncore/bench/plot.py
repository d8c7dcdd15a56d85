# SPDX-License-Identifier: MIT
"""Roofline and latency picture of a report. matplotlib is imported when a picture is asked for (extra
`cli`)."""

import math
import pathlib
from typing import Any

from .limits import Limits

LEVELS = (("L1", 32 << 10), ("L2", 512 << 10), ("L3", 8 << 20), ("memory", 64 << 20))
"""Roofs drawn: where weights of this size usually live."""
FORMATS = (".png", ".svg", ".pdf")
MOST_GROUPS = 40
"""Rows in the latency picture; more cannot be read."""


def check_name(path: pathlib.Path) -> None:
    """ValueError when `draw` cannot write a file of this name."""
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"picture: expected a name ending in {', '.join(FORMATS)}, got {path.name!r}")


def intensity(row: dict[str, Any]) -> float:
    """FLOP per byte of weights read: every recurrent weight once a step, every input weight once a call."""
    case = row["case"]
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[case["cell"]]
    item = {"float32": 4, "float64": 8}[case["dtype"]]
    inputs = case["D"] * sum(case["I"] if layer == 0 else case["D"] * case["H"] for layer in range(case["L"]))
    passes = 2 if case["mode"] in ("train", "fit") else 1
    read = item * gates * case["H"] * (inputs + passes * case["T"] * case["D"] * case["L"] * case["H"])
    return row["flops"] / read


def _roofline(axes: Any, rows: list[dict[str, Any]], limits: Limits | None, colours: dict[str, Any]) -> None:
    values = [intensity(row) for row in rows]
    low, high = min(values) / 2, max(max(values) * 2, 64.0)
    for threads in limits.bandwidth if limits else ():
        style = "-" if threads == "1" else "--"
        peak = limits.peak("float32", int(threads))
        axes.plot([low, high], [1e-9 * peak] * 2, style, color="black", linewidth=1)
        axes.text(high, 1e-9 * peak, f"FMA peak, t{threads}", ha="right", va="bottom", fontsize=7)
        for name, size in LEVELS:
            rate = limits.read_rate(size, int(threads))
            end = min(peak / rate, high)
            axes.plot([low, end], [1e-9 * rate * low, 1e-9 * rate * end], style, color="grey", linewidth=0.7)
            if threads == "1":
                axes.text(low, 1e-9 * rate * low, name, fontsize=7, color="grey", va="bottom")
    for name, colour in colours.items():
        points = [
            (intensity(row), 1e-9 * row["flops"] / system["median"], row["case"]["threads"])
            for row in rows
            for system in row["systems"]
            if system["name"] == name and system["status"] == "ok"
        ]
        for single, marker in ((True, "o"), (False, "s")):
            part = [(x, y) for x, y, threads in points if (threads == 1) == single]
            if part:
                axes.plot(*zip(*part, strict=True), marker, color=colour, markersize=4, alpha=0.8)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="FLOP per byte of weights read",
        ylabel="GFLOP/s",
        title="Roofline (circle: 1 thread, square: more)",
    )


def _latency(axes: Any, rows: list[dict[str, Any]], colours: dict[str, Any]) -> None:
    shown = rows[:MOST_GROUPS]
    for place, row in enumerate(shown):
        for system in row["systems"]:
            if system["status"] != "ok":
                continue
            colour = colours[system["name"]]
            axes.plot(system["median"] * 1e6, place, "o", color=colour, markersize=4)
            if system["p99"] is not None:
                axes.plot(
                    [system["median"] * 1e6, system["p99"] * 1e6], [place] * 2, color=colour, linewidth=0.8
                )
        if row["limit"]:
            axes.plot(row["limit"] * 1e6, place, "|", color="black", markersize=9)
    axes.set_yticks(range(len(shown)), [row["name"] for row in shown], fontsize=6)
    axes.invert_yaxis()
    more = f" (first {MOST_GROUPS} rows)" if len(rows) > MOST_GROUPS else ""
    axes.set(
        xscale="log",
        xlabel="microseconds a call: median, line to p99, bar at the limit",
        title=f"Latency{more}",
    )


def draw(report: dict[str, Any], path: pathlib.Path) -> None:
    """Draw a report into a PNG, SVG or PDF file.

    Raises
    ------
    ValueError
        Another suffix, or no system was timed.
    ModuleNotFoundError
        matplotlib is not installed.
    OSError
        The file cannot be written.
    """
    check_name(path)
    rows = [row for row in report["rows"] if any(system["status"] == "ok" for system in row["systems"])]
    if not rows:
        raise ValueError("report: expected at least one timed row, got none")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    limits = Limits.from_json(report["limits"]) if report["limits"] else None
    names = list(dict.fromkeys(system["name"] for row in rows for system in row["systems"]))
    colours = {name: f"C{index}" for index, name in enumerate(names)}
    height = max(5.0, 1.5 + 0.16 * min(len(rows), MOST_GROUPS) * math.sqrt(2))
    figure = Figure(figsize=(14, height), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _roofline(left, rows, limits, colours)
    _latency(right, rows, colours)
    handles = [left.plot([], [], "o", color=colour, label=name)[0] for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
    figure.suptitle(f"{report['machine']['cpu']}, {report['machine']['cores']} cores", fontsize=9)
    figure.savefig(path, dpi=130)
