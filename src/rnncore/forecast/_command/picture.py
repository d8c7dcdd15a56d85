# SPDX-License-Identifier: MIT
"""The picture: what was, what is forecast, how sure that is, and what came where that is known.

Drawn with matplotlib, in light or dark colours. Series of any length: where several values share a pixel, the
highest and the lowest are drawn.
"""

from __future__ import annotations

import io
import textwrap
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib import dates, rc_context, ticker
from matplotlib.figure import Figure

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1a1a1a",
    "soft": "#6b7280",
    "grid": "#e5e7eb",
    "test": "#2563a8",
    "next": "#c2410c",
}
DARK = {
    "paper": "#14171c",
    "ink": "#e8eaed",
    "soft": "#9aa3af",
    "grid": "#2c333d",
    "test": "#6cb0f5",
    "next": "#fb923c",
}
PANELS = 6
"""At most so many series are drawn."""
SHOWN = 7
"""So many horizons are shown before the forecast, at least MIN_SHOWN values."""
MIN_SHOWN = 60
OVERVIEW = 4
"""A series this many times longer than what is shown gets a strip with the whole of it."""
BINS = 1_000
WRAP = 118
ORDINARY = {0.8: "8 in 10", 0.9: "9 in 10", 0.95: "19 in 20", 0.5: "half", 0.99: "99 in 100"}


@dataclass(frozen=True)
class Words:
    """What the picture says: `title`, `unit` (may be empty) and `credit` (may be empty)."""

    title: str
    unit: str = ""
    credit: str = ""


def draw(study, rows, levels, words, kind, dark=False):
    """The picture as bytes.

    Parameters
    ----------
    study : Study
    rows : dict of str to list
        `Study.rows` of each column.
    levels : sequence of float
    words : Words
    kind : str
        Ending of the file, without the dot.
    dark : bool

    Returns
    -------
    bytes
    """
    ink = DARK if dark else LIGHT
    pairs = [
        (track, pieces)
        for column in study.columns
        for track, pieces in zip(study.of(column), rows[column], strict=True)
    ]
    style = {
        "figure.facecolor": ink["paper"], "axes.facecolor": ink["paper"], "text.color": ink["ink"],
        "xtick.color": ink["soft"], "ytick.color": ink["soft"], "axes.edgecolor": ink["soft"],
        "font.size": 10, "svg.hashsalt": "rnncore", "axes.axisbelow": True, "timezone": "UTC",
    }  # fmt: skip
    with rc_context(style):
        figure = (
            _alone(study, *pairs[0], levels, words, ink)
            if len(pairs) == 1
            else _many(study, pairs, levels, words, ink)
        )
        content = io.BytesIO()
        metadata = {"Date": None} if kind in ("svg", "svgz", "pdf") and kind != "pdf" else {}
        figure.savefig(content, format=kind, dpi=150, facecolor=ink["paper"], metadata=metadata)
    return content.getvalue()


def _alone(study, track, pieces, levels, words, ink):
    """One series: the forecast with what came before it, and the whole of a long series as a strip."""
    shown = _shown(study, track)
    strip = len(track.values) > OVERVIEW * shown
    figure = Figure(figsize=(11, 6.4 if strip else 5.6))
    _headline(figure, study, levels, words, ink)
    top = 0.80 if strip else 0.785
    axes = figure.add_axes((0.065, 0.31 if strip else 0.12, 0.905, top - (0.31 if strip else 0.12)))
    _panel(axes, study, track, pieces, levels, ink, shown)
    figure.text(0.065, top + 0.021, words.unit or track.column, color=ink["soft"], fontsize=10)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles, labels, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, frameon=False, fontsize=9.5
    )
    if strip:
        _strip(figure.add_axes((0.065, 0.10, 0.905, 0.12)), study, track, ink, shown)
    if words.credit:
        figure.text(0.065, 0.02, words.credit, color=ink["soft"], fontsize=8)
    return figure


def _many(study, pairs, levels, words, ink):
    """Several series: a small panel each."""
    chosen = pairs[:PANELS]
    lines = -(-len(chosen) // 2)
    figure = Figure(figsize=(11, 2.0 + 2.5 * lines))
    height = figure.get_figheight()
    _headline(figure, study, levels, words, ink)
    for number, (track, pieces) in enumerate(chosen):
        line, side = divmod(number, 2)
        bottom = (0.55 + 2.5 * (lines - 1 - line)) / height
        axes = figure.add_axes((0.065 + 0.475 * side, bottom, 0.43, 1.75 / height))
        _panel(axes, study, track, pieces, levels, ink, _shown(study, track))
        name = (
            track.column
            if track.group is None
            else track.group
            if len(study.columns) == 1
            else f"{track.column}, {track.group}"
        )
        axes.set_title(name, loc="left", fontsize=10, fontweight="bold")
    left_out = len(pairs) - len(chosen)
    note = f"{left_out} more series are in the table only. " if left_out else ""
    if note or words.credit:
        figure.text(0.065, 0.12 / height, note + words.credit, color=ink["soft"], fontsize=8)
    return figure


def _shown(study, track):
    return min(max(SHOWN * study.plan.horizon, MIN_SHOWN), len(track.values))


def _headline(figure, study, levels, words, ink):
    """Title, and in words what the lines and bands mean."""
    height = figure.get_figheight()
    figure.text(0.065, 1 - 0.45 / height, words.title, fontsize=16, fontweight="bold", color=ink["ink"])
    figure.text(
        0.065, 1 - 0.58 / height, textwrap.fill(explain(study, levels), WRAP),
        fontsize=10, color=ink["soft"], va="top", linespacing=1.35,
    )  # fmt: skip


def explain(study, levels):
    """What the lines and bands mean, in words."""
    sentences = ["Half of the true values should lie above the coloured line"]
    if len(levels) == 1:
        sentences.append(f"{_share(levels[0])} in the band around it")
    elif len(levels) == 2:
        sentences.append(
            f"{_share(levels[0])} in the dark band around it, {_share(levels[1])} in the light one"
        )
    elif levels:
        shares = ", ".join(map(_share, levels))
        sentences.append(f"{shares} in the bands around it, from the darkest to the lightest")
    return ", ".join(sentences) + "."


def _share(level):
    return ORDINARY.get(level, f"{100 * level:g} in 100")


def _panel(axes, study, track, pieces, levels, ink, shown):
    """History, forecasts of the test part with what came, the forecast of what comes next."""
    n, horizon = len(track.values), study.plan.horizon
    first = n - shown
    when = _places(track.times(horizon))
    values = np.where(track.seen, track.values, np.nan)
    axes.plot(
        *decimate(when[first:n], values[first:]), color=ink["ink"], lw=1.2, label="true values", zorder=3
    )
    past = [piece for piece in pieces[:-1] if piece[0] >= first]
    for number, piece in enumerate(past):
        label = "forecasts, made before the true values were known" if number == 0 else None
        _forecast(axes, when, piece, levels, ink["test"], label, 0.6)
    _forecast(axes, when, pieces[-1], levels, ink["next"], "forecast of what comes next", 1.0, values[n - 1])
    axes.axvline(when[n - 1], color=ink["soft"], lw=0.8, ls=(0, (2, 2)))
    axes.set_xlim(when[first], when[n + horizon - 1])
    _decorate(axes, track, ink)
    if np.nanmin(values[first:]) >= 0 and axes.get_ylim()[0] < 0.25 * axes.get_ylim()[1]:
        axes.set_ylim(bottom=0)


def _forecast(axes, when, piece, levels, color, label, strength, last=None):
    """Line and bands of one forecast, joined to the last value where one is given."""
    begin, median, lower, upper = piece
    at = when[begin : begin + len(median)]
    alphas = np.linspace(0.34, 0.14, len(levels)) if len(levels) > 1 else [0.25]
    for level, alpha in zip(levels, alphas, strict=True):
        low, high = lower[level], upper[level]
        x = at
        if last is not None:
            x, low, high = when[begin - 1 : begin + len(median)], np.append(last, low), np.append(last, high)
        axes.fill_between(x, low, high, color=color, alpha=alpha * strength, lw=0)
    if last is not None and np.isfinite(last):
        at, median = when[begin - 1 : begin + len(median)], np.append(last, median)
    axes.plot(at, median, color=color, lw=1.8 if last is not None else 1.3, label=label, zorder=4)


def _decorate(axes, track, ink):
    """Ticks that people read, a light grid, no box."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="y", color=ink["grid"], lw=0.8)
    axes.tick_params(axis="y", length=0)
    axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,g}"))
    axes.yaxis.set_major_locator(ticker.MaxNLocator(6))
    if isinstance(track.index, pd.DatetimeIndex):
        locator = dates.AutoDateLocator(minticks=4, maxticks=9)
        axes.xaxis.set_major_locator(locator)
        formats = ["%Y", "%b", "%-d %b", "%H:%M", "%H:%M", "%S.%f"]
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, formats=formats))
    else:
        axes.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))


def _strip(axes, study, track, ink, shown):
    """The whole series, small, with what is shown above marked."""
    when = _places(track.times(study.plan.horizon))
    n = len(track.values)
    axes.plot(*decimate(when[:n], np.where(track.seen, track.values, np.nan)), color=ink["soft"], lw=0.7)
    axes.axvspan(when[n - shown], when[-1], color=ink["next"], alpha=0.25, lw=0)
    axes.set_xlim(when[0], when[-1])
    _decorate(axes, track, ink)
    axes.grid(visible=False)
    axes.set_yticks([])
    axes.set_title(
        f"All {n:,} values; the coloured part is shown above", loc="left", fontsize=9, color=ink["soft"]
    )


def _places(index):
    """Times as matplotlib takes them: dates in the clock time of their zone."""
    if isinstance(index, pd.DatetimeIndex):
        return index.tz_localize(None).to_numpy()
    return np.asarray(index)


def decimate(x, y, bins=BINS):
    """At most ``2 * bins`` points of a line: of every stretch that shares a pixel the lowest and the highest."""
    size = len(y) // bins
    if size < 3:
        return x, y
    head = len(y) // size * size
    chunks = y[:head].reshape(-1, size)
    hidden = np.isnan(chunks)
    low = np.where(hidden, np.inf, chunks).argmin(axis=1)
    high = np.where(hidden, -np.inf, chunks).argmax(axis=1)
    starts = np.arange(0, head, size)
    picked = np.unique(np.concatenate([starts + low, starts + high, np.arange(head, len(y))]))
    return x[picked], y[picked]
