# SPDX-License-Identifier: MIT
"""Pictures of ratios: the distribution by set, what is lost, sizes."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.patches import Patch, Rectangle

from ..words import thread_words
from . import look, statistics
from .tables import Study, cell_title

SPREAD, GOLDEN = 0.3, 0.618
"""A set's dots lie up to SPREAD above and below its line, neighbours far apart, so that they do not hide each other."""
RATIO_TICKS = (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
H_BOUNDS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
N_BOUNDS = (1, 4, 8, 16, 32, 64, 128, 256)
"""Upper bounds of the classes that the heat map puts sizes into."""
HEAT = (1.0, 1.05, 1.5, 2.0, 4.0)
"""Ratios between its colours."""
FEWEST_LOSSES, MOST_LOSSES = 5, 40
"""Rows that the picture of them shows."""


def speedup(figure: Any, study: Study) -> None:
    """Dots per row of a set: won, tied (rings), lost (triangles in the shaded part)."""
    names, counts = study.compared, study.threads[: look.MOST_PANELS]
    shown = study.best[study.best["threads"].isin(counts)]
    low, high = min(0.5, shown["ratio"].min() * 0.8), max(4.0, shown["ratio"].max() * 1.25)
    for axes, count in zip(look.panels(figure, len(counts), sharey=True), counts, strict=True):
        axes.axvspan(low, 1, color=look.colour("shade"), linewidth=0)
        axes.axvline(1, color=look.colour("quiet"), linewidth=0.8)
        part = shown[shown["threads"] == count]
        for place, name in enumerate(names):
            rows = part[part["set"] == name]
            if not len(rows):
                continue
            heights = place + SPREAD * (2 * (np.arange(len(rows)) * GOLDEN % 1) - 1)
            _verdict_dots(axes, rows, heights)
            typical = statistics.geometric_mean(rows)["ratio"]
            axes.plot([typical] * 2, [place - 0.4, place + 0.4], color=look.colour("text"), linewidth=2)
            axes.text(
                1.01, place, f"{typical:.2f}", transform=axes.get_yaxis_transform(), va="center", fontsize=8
            )
        axes.set(xscale="log", xlim=(low, high))
        look.log_ticks(axes.xaxis, RATIO_TICKS, low, high)
        look.by_set(axes, names)
        axes.set_title(thread_words(count), fontsize=10)
    figure.supxlabel("times as fast as the best other system (bar and figure: geometric mean)", fontsize=9)
    styles = [_dot_style(word) for word in ("win", "tie", "loss")]
    handles = [figure.axes[0].plot([], [], linestyle="none", **one)[0] for one in styles]
    look.legend(figure, handles, ["faster", "tie: the interval holds 1", "slower"])


def _dot_style(verdict: str) -> dict[str, Any]:
    ours, quiet, loss = (look.colour(name) for name in ("rnncore", "quiet", "loss"))
    return {
        "win": dict(marker="o", color=ours, markersize=4.5, alpha=0.6, mew=0),
        "tie": dict(marker="o", color=quiet, markersize=4.5, fillstyle="none", mew=1),
        "loss": dict(marker="v", color=loss, markersize=5.5, mew=0),
    }[verdict]


def _verdict_dots(axes: Any, rows: pd.DataFrame, heights: np.ndarray) -> None:
    for word in ("win", "tie", "loss"):
        chosen = (rows["verdict"] == word).to_numpy()
        axes.plot(rows["ratio"][chosen], heights[chosen], linestyle="none", **_dot_style(word))


def losses(study: Study) -> pd.DataFrame:
    """The rows that are lost; where there are few, the closest ones after them."""
    found = study.best.sort_values("ratio")
    lost = int((found["verdict"] == "loss").sum())
    return found.head(min(max(lost, FEWEST_LOSSES), MOST_LOSSES))


def lost(figure: Any, study: Study) -> None:
    """A line per row that another system wins: ratio and interval, in the colour of the winner."""
    axes, rows = figure.subplots(), losses(study)
    marks = look.marks(study.names)
    for place, row in enumerate(rows.itertuples()):
        colour = look.system_colour(row.system)
        axes.plot([row.low, row.high], [place] * 2, color=colour, linewidth=2.5, solid_capstyle="butt")
        axes.plot(row.ratio, place, marks[row.system], color=colour, markersize=6)
        axes.text(
            1.01, place, f"{row.ratio:.2f}", transform=axes.get_yaxis_transform(), va="center", fontsize=8
        )
    axes.axvline(1, color=look.colour("quiet"), linewidth=0.8)
    low, high = 0.7 * rows["ratio"].min(), 1.4 * max(1.0, rows["ratio"].max())
    low, high = max(low, 0.98 * rows["low"].min()), min(high, 1.02 * max(1.0, rows["high"].max()))
    axes.set(xlabel="our speed over theirs, with its interval", xscale="log", xlim=(low, high))
    look.log_ticks(axes.xaxis, (*(tick / 10 for tick in range(1, 13)), 1.5, 2, 3, 5), low, high)
    axes.set_yticks(
        range(len(rows)), [f"{row.words}, {thread_words(row.threads)}" for row in rows.itertuples()]
    )
    axes.set_ylim(len(rows) - 0.5, -0.5)
    look.calm(axes, "x")
    look.system_legend(figure, [name for name in study.names if name in set(rows["system"])], study.names)


def heat_rows(study: Study) -> pd.DataFrame:
    rows = study.best
    return rows[(rows["mode"] == "sequence") & (rows["cell"] != "")]


def heat(figure: Any, study: Study) -> None:
    """Geometric means by classes of H and N, a panel per cell and number of threads."""
    rows = heat_rows(study)
    counts, cells = (
        study.threads[: look.MOST_PANELS],
        [name for name in ("lstm", "gru", "rnn") if (rows["cell"] == name).any()],
    )
    grid = figure.subplots(len(counts), len(cells), sharex=True, sharey=True, squeeze=False)
    for (line, count), (column, cell) in itertools.product(enumerate(counts), enumerate(cells)):
        axes, part = grid[line, column], rows[(rows["threads"] == count) & (rows["cell"] == cell)]
        where = [np.searchsorted(bounds, part[name]) for bounds, name in ((H_BOUNDS, "H"), (N_BOUNDS, "N"))]
        for (x, y), found in part.groupby(where):
            value = statistics.geometric_mean(found)["ratio"]
            meaning = f"heat{np.searchsorted(HEAT, value, side='right')}"
            axes.add_patch(Rectangle((x - 0.48, y - 0.47), 0.96, 0.94, color=look.colour(meaning), lw=0))
            axes.text(
                x, y, f"{value:.2f}" if value < 9.95 else f"{value:.0f}", ha="center", va="center", fontsize=8
            )
        axes.set_xlim(-0.5, len(H_BOUNDS) - 0.5)
        axes.set_ylim(-0.5, len(N_BOUNDS) - 0.5)
        axes.set_xticks(range(len(H_BOUNDS)), [str(bound) for bound in H_BOUNDS], fontsize=8)
        axes.set_yticks(range(len(N_BOUNDS)), [str(bound) for bound in N_BOUNDS], fontsize=8)
        axes.set_title(f"{cell_title(cell)}, {thread_words(count)}", fontsize=10)
        look.calm(axes, "")
    figure.supxlabel("H up to", fontsize=9)
    figure.supylabel("N up to", fontsize=9)
    bounds = ["", *(f"{bound:g}" for bound in HEAT), ""]
    labels = [f"{low} to {high}" if low and high else f"below {high}" if high else f"above {low}"
              for low, high in itertools.pairwise(bounds)]  # fmt: skip
    handles = [Patch(color=look.colour(f"heat{index}")) for index in range(len(labels))]
    look.legend(figure, handles, labels)
