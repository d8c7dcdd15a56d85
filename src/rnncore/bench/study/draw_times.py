# SPDX-License-Identifier: MIT
"""Pictures of times: steps and their tails, limits, threads, first calls and memory."""

from typing import Any

import numpy as np
import pandas as pd

from ..words import thread_words
from . import look
from .tables import OURS, Study, cell_title, title

MICRO = 1e6
GOLDEN = 0.618
"""Neighbouring dots lie apart, so that they do not hide each other."""


def step_rows(study: Study) -> pd.DataFrame:
    rows = study.measured
    one = (rows["mode"] == "step") & (rows["N"] == 1) & (rows["L"] == 1) & (rows["I"] == rows["H"])
    chosen = rows[one & (rows["threads"] == 1) & rows["row"].str.contains("-f32-")]
    return chosen.merge(study.systems[study.systems["status"] == "ok"], on="row")


def tails(figure: Any, study: Study) -> None:
    """Microseconds of a step by H, a panel per cell: the median, and a line up to what one in a thousand exceeds."""
    rows = step_rows(study)
    cells = list(dict.fromkeys(rows["cell"]))
    names = [name for name in study.names if name in set(rows["system"])]
    marks = look.marks(study.names)
    panels = look.panels(figure, len(cells), sharey=True)
    for axes, cell in zip(panels, cells, strict=True):
        sizes = sorted(rows[rows["cell"] == cell]["H"].unique())
        for place, name in enumerate(names):
            part = rows[(rows["cell"] == cell) & (rows["system"] == name)].sort_values("H")
            x = part["H"] * 1.035 ** (
                place - len(names) / 2
            )  # beside each other: tails would hide one another
            colour = look.system_colour(name)
            tail = part["p999"].fillna(part["p99"]).fillna(part["p50"])
            axes.vlines(x, MICRO * part["p50"], MICRO * tail, color=colour, linewidth=1.4, alpha=0.7)
            axes.plot(x, MICRO * part["p99"], "_", color=colour, markersize=5)
            axes.plot(x, MICRO * part["p50"], marks[name], color=colour, markersize=5)
        axes.set(xscale="log", yscale="log", xlabel="H")
        axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
        axes.minorticks_off()
        axes.set_title(cell_title(cell), fontsize=10)
        look.calm(axes, "y")
    ticks = (0.1, 1, 10, 100, 1000, 10000)
    look.log_ticks(panels[0].yaxis, ticks, *panels[0].get_ylim())
    panels[0].set_ylabel("microseconds a step: mark p50, dash p99, end p99.9")
    look.system_legend(figure, names, study.names)


def limit(figure: Any, study: Study) -> None:
    """Fraction of the limit: geometric mean of each system, the range of rnncore."""
    _set_means(
        figure,
        study,
        study.fractions,
        "fraction of the limit (mark: geometric mean; line: all rows of rnncore)",
    )
    figure.axes[0].axvline(1, color=look.colour("quiet"), linewidth=0.8)
    for axes in figure.axes:
        axes.set_xlim(left=0)


def scaling(figure: Any, study: Study) -> None:
    """Speed-up by threads: geometric mean of each system, the range of rnncore."""
    _set_means(
        figure,
        study,
        study.scaling,
        "times as fast as on one thread (mark: geometric mean; line: all rows of rnncore)",
    )
    for axes in figure.axes:
        axes.axvline(1, color=look.colour("quiet"), linewidth=0.8)


def _set_means(figure: Any, study: Study, frame: pd.DataFrame, label: str) -> None:
    """A panel per number of threads: a line per set, a mark per system that runs most of its rows."""
    counts = sorted(frame["threads"].unique())[: look.MOST_PANELS]
    order = [name for (name, _), _ in study.grouped(frame)]
    names = list(dict.fromkeys(order))
    marks = look.marks(study.names)
    for axes, count in zip(look.panels(figure, len(counts), sharey=True, sharex=True), counts, strict=True):
        part = frame[frame["threads"] == count]
        for place, name in enumerate(names):
            rows = part[part["set"] == name]
            ours = rows[rows["system"] == OURS]["ratio"]
            if not len(ours):
                continue
            axes.plot(
                [ours.min(), ours.max()], [place] * 2, color=look.colour("rnncore"), linewidth=1.2, alpha=0.6
            )
            for system in study.names[::-1]:
                found = rows[rows["system"] == system]["ratio"]
                # A system that refuses half of the rows would be compared on others.
                if 2 * len(found) > len(ours):
                    axes.plot(
                        np.exp(np.log(found).mean()), place, marks[system], color=look.system_colour(system),
                        markersize=8 if system == OURS else 5.5,
                    )  # fmt: skip
        look.by_set(axes, names)
        axes.set_title(thread_words(int(count)), fontsize=10)
    figure.supxlabel(label, fontsize=9)
    look.system_legend(figure, study.names, study.names)


# -- Machine and costs --------------------------------------------------------------------------------------


def roof_rows(study: Study) -> pd.DataFrame:
    rows = study.times
    chosen = rows[
        (rows["threads"] == 1) & rows["mode"].isin(["sequence", "step"]) & rows["row"].str.contains("-f32-")
    ]
    return chosen[chosen["flops"].notna()]


def roofline(figure: Any, study: Study) -> None:
    """FLOP/s of rows of one thread by how often a weight is used once it was read; the roofs are measured."""
    axes, rows = figure.subplots(), roof_rows(study)
    _roofs(axes, study, max(64.0, 0.6 * rows["N"].max()))
    best = study.best.set_index("row")["system"]
    others = rows[rows["system"].eq(rows["row"].map(best))]
    ours = rows[rows["system"] == OURS]
    for part, aside, style in (
        (others, 1.12, dict(marker="s", color=look.colour("other"), markersize=3.5, alpha=0.55)),
        (ours, 1.0, dict(marker="o", color=look.colour("rnncore"), markersize=5, alpha=0.8)),
    ):
        x = part["N"] / 2 * aside * 1.05 ** (2 * (np.arange(len(part)) * GOLDEN % 1) - 1)
        axes.plot(x, part["flops"] / part["ratio"] / 1e9, linestyle="none", mew=0, **style)
    axes.set(xscale="log", yscale="log", ylabel="GFLOP/s")
    axes.set_xlabel("FLOP per byte of weights that a step reads: N / 2 in float32")
    look.log_ticks(axes.xaxis, (0.5, 1, 2, 4, 8, 16, 32, 64, 128), *axes.get_xlim())
    look.log_ticks(axes.yaxis, (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000), *axes.get_ylim())
    look.calm(axes, "both")
    look.legend(figure, [axes.lines[-1], axes.lines[-2]], ["rnncore", "best other system"])


def _roofs(axes: Any, study: Study, right: float) -> None:
    """The peak, and the bandwidths of the smallest, a middle and the largest weights that were measured."""
    assert study.limits is not None
    peak, table = study.limits.peak("float32", 1), study.limits.bandwidth["1"]
    x = np.geomspace(0.1, right, 60)
    style = dict(color=look.colour("quiet"), fontsize=8)
    for size, rate in {table[0], table[len(table) // 2], table[-1]}:
        axes.plot(x, np.minimum(peak, rate * x) / 1e9, color=look.colour("quiet"), linewidth=1.2)
        amount = f"{size / 2**10:.0f} KB" if size < 2**20 else f"{size / 2**20:.0f} MB"
        along = dict(
            rotation=np.degrees(np.arctan2(rate / 1e9, 1)),
            rotation_mode="anchor",
            transform_rotates_text=True,
        )
        axes.text(
            0.11, 1.12 * 0.11 * rate / 1e9, f"{amount} of weights: {rate / 1e9:.0f} GB/s", **along, **style
        )
    axes.text(right, 1.06 * peak / 1e9, f"peak {peak / 1e9:.0f} GFLOP/s", ha="right", **style)


def costs(figure: Any, study: Study) -> None:
    """First call and memory of each system: the median of its rows, and a line over all of them."""
    panels = look.panels(figure, 2, sharey=True)
    names = study.names
    marks = look.marks(names)
    for axes, column, scale, label in (
        (panels[0], "first_call", 1e3, "milliseconds to prepare and to call once"),
        (panels[1], "memory", 1e-6, "megabytes that the library and its calls add"),
    ):
        for place, name in enumerate(names):
            values = scale * study.systems[study.systems["system"] == name][column].dropna()
            values = values[values > 0]
            if len(values):
                colour = look.system_colour(name)
                axes.plot([values.min(), values.max()], [place] * 2, color=colour, linewidth=1.2, alpha=0.6)
                axes.plot(values.median(), place, marks[name], color=colour, markersize=7)
                axes.text(
                    1.01,
                    place,
                    f"{values.median():.3g}" if values.median() < 1000 else f"{values.median():.0f}",
                    transform=axes.get_yaxis_transform(),
                    va="center",
                    fontsize=8,
                )
        axes.set(xscale="log", xlabel=label)
        axes.set_yticks(range(len(names)), [title(name) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        look.log_ticks(axes.xaxis, tuple(10.0**power for power in range(-4, 6)), *axes.get_xlim())
        look.calm(axes, "x")
