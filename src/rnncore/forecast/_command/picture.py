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
SCALES = ((1e12, 1e12, "trillions"), (1e9, 1e9, "billions"), (1e6, 1e6, "millions"), (1e5, 1e3, "thousands"))
"""From which value on labels are counted in what."""
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
    figure = Figure(figsize=(11, 6.6 if strip else 5.6))
    _headline(figure, levels, words, ink)
    bottom, top = (0.335, 0.80) if strip else (0.15, 0.785)
    axes = figure.add_axes((0.065, bottom, 0.905, top - bottom))
    scale = _panel(axes, study, track, pieces, levels, ink, shown)
    unit = words.unit or ("" if words.title == track.column else track.column)
    figure.text(0.065, top + 0.021, ", ".join(filter(None, (unit, scale))), color=ink["soft"], fontsize=10)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, frameon=False, fontsize=9.5)
    if strip:
        _strip(figure.add_axes((0.065, 0.125, 0.905, 0.105)), study, track, ink, shown)
    if words.credit:
        figure.text(0.065, 0.015, words.credit, color=ink["soft"], fontsize=8)
    return figure


def _many(study, pairs, levels, words, ink):
    """Several series: a small panel each."""
    chosen = pairs[:PANELS]
    lines = -(-len(chosen) // 2)
    figure = Figure(figsize=(11, 1.75 + 2.6 * lines))
    height = figure.get_figheight()
    _headline(figure, levels, words, ink)
    for number, (track, pieces) in enumerate(chosen):
        line, side = divmod(number, 2)
        bottom = (0.8 + 2.6 * (lines - 1 - line)) / height
        axes = figure.add_axes((0.065 + 0.475 * side, bottom, 0.43, 1.75 / height))
        scale = _panel(axes, study, track, pieces, levels, ink, _shown(study, track))
        names = (track.column if len(study.columns) > 1 or track.group is None else "", track.group, scale)
        axes.set_title(", ".join(filter(None, names)), loc="left", fontsize=10, fontweight="bold")
    figure.legend(
        *axes.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(0.05, 1 - 0.8 / height), ncols=4,
        frameon=False, fontsize=9.5,
    )  # fmt: skip
    left_out = len(pairs) - len(chosen)
    note = f"{left_out} more series are in the table only. " if left_out else ""
    if note or words.credit:
        figure.text(0.065, 0.15 / height, note + words.credit, color=ink["soft"], fontsize=8)
    return figure


def _shown(study, track):
    return min(max(SHOWN * study.plan.horizon, MIN_SHOWN), len(track.values))


def _headline(figure, levels, words, ink):
    """Title, and in words what the lines and bands mean."""
    height = figure.get_figheight()
    figure.text(0.065, 1 - 0.45 / height, words.title, fontsize=16, fontweight="bold", color=ink["ink"])
    figure.text(
        0.065, 1 - 0.58 / height, textwrap.fill(explain(levels), WRAP),
        fontsize=10, color=ink["soft"], va="top", linespacing=1.35,
    )  # fmt: skip


def explain(levels):
    """What the lines and bands mean, in words."""
    sentences = ["Half of the true values should lie above the coloured line"]
    if len(levels) == 1:
        sentences.append(f"{_share(levels[0])} in the band")
    elif len(levels) == 2:
        sentences.append(f"{_share(levels[0])} in the inner band, {_share(levels[1])} in the outer one")
    elif levels:
        shares = ", ".join(map(_share, levels))
        sentences.append(f"{shares} in the bands, from the innermost to the outermost")
    return ", ".join(sentences) + "."


def _share(level):
    return ORDINARY.get(level, f"{100 * level:g} in 100")


def _panel(axes, study, track, pieces, levels, ink, shown):
    """What was, what was forecast of it, what comes next; gives the word for the scale of the values."""
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
    scale = _scale(axes)
    if np.nanmin(values[first:]) >= 0 and axes.get_ylim()[0] < 0.25 * axes.get_ylim()[1]:
        axes.set_ylim(bottom=0)
    return scale


def _scale(axes):
    """Label large values in millions or more; gives the word for it, or nothing."""
    largest = max(map(abs, axes.get_ylim()))
    size, word = next(((size, word) for least, size, word in SCALES if largest >= least), (1, ""))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value / size:,.12g}"))
    return word


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
    axes.yaxis.set_major_locator(ticker.MaxNLocator(6))
    if isinstance(track.index, pd.DatetimeIndex):
        locator = dates.AutoDateLocator(minticks=4, maxticks=9)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(Calendar())
    else:
        axes.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:.12g}"))


class Calendar(ticker.Formatter):
    """Ticks of dates as people write them; the year stands below the first one and wherever it changes."""

    def __call__(self, value, place=None):
        """Text of one tick."""
        return self.format_ticks([value])[0]

    def format_ticks(self, values):
        """Text of all ticks, as fine as they need."""
        when = [dates.num2date(value) for value in values]
        form = _form(when)
        found, before = [], None
        for d in when:
            below = []
            if ":" in form and (before is None or d.date() != before.date()):
                below.append(f"{d.day} {d:%b}")
            if form != "%Y" and (before is None or d.year != before.year):
                below.append(f"{d.year}")
            found.append(
                "\n".join([d.strftime(form.replace("%d", str(d.day))), *[" ".join(below)] * bool(below)])
            )
            before = d
        return found


def _form(when):
    """The coarsest format that tells these dates apart."""
    if any(d.microsecond for d in when):
        return "%H:%M:%S.%f"
    if any(d.second for d in when):
        return "%H:%M:%S"
    if any(d.hour or d.minute for d in when):
        return "%H:%M"
    if any(d.day != 1 for d in when):
        return "%d %b"
    return "%b" if any(d.month != 1 for d in when) else "%Y"


def _strip(axes, study, track, ink, shown):
    """The whole series, small, with what is shown above marked."""
    when = _places(track.times(study.plan.horizon))
    n = len(track.values)
    axes.plot(*decimate(when[:n], np.where(track.seen, track.values, np.nan)), color=ink["soft"], lw=0.7)
    axes.axvspan(when[n - shown], when[-1], color=ink["next"], alpha=0.25, lw=0)
    axes.axvline(when[-1], color=ink["next"], lw=2)
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
