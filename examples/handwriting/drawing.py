# SPDX-License-Identifier: MIT
"""Pictures of digits: strokes as ink that is thinner where the pen is faster, and the densities of the writer."""

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from examples import common
from examples.handwriting.strokes import UNIT, State

INK, GENERATED = "#1b2a41", "#b23a48"
HEAT = LinearSegmentedColormap.from_list("heat", ["white", "#f6c9b4", "#d9606a", GENERATED, "#4a0f1c"])
matplotlib.rcParams["svg.hashsalt"] = "rnncore"  # the same picture is the same file


def strokes(offsets, states):
    """Paths (n, 2) of the pen from the first point, (0, 0), on; one per stroke."""
    path = np.concatenate([np.zeros((1, 2)), np.cumsum(offsets, axis=0)])
    return np.split(path, np.flatnonzero(states == State.LIFT) + 2)


def ink(axes, paths, color, width=2.4):
    """Draw paths; a segment's width falls with its length, as the recording takes points at equal times."""
    for path in paths:
        if len(path) < 2:
            axes.plot(*path[0], ".", color=color, markersize=2 * width)
            continue
        segments = np.stack([path[:-1], path[1:]], axis=1)
        lengths = np.hypot(*np.diff(path, axis=0).T)
        smooth = np.convolve(np.pad(lengths, 2, mode="edge"), np.full(5, 0.2), mode="valid")
        widths = width * (0.55 + 0.75 / (1 + smooth / UNIT))
        axes.add_collection(LineCollection(segments, linewidths=widths, colors=color, capstyle="round"))


def line(axes, drawings, color, gap=60.0):
    """Draw digits side by side on one line, each standing on it."""
    right, top = 0.0, 0.0
    for offsets, states in zip(drawings.offsets, drawings.states, strict=True):
        paths = strokes(offsets, states)
        points = np.concatenate(paths)
        low, high = points.min(axis=0), points.max(axis=0)
        ink(axes, [path - low + (right, 0) for path in paths], color)
        right, top = right + high[0] - low[0] + gap, max(top, high[1] - low[1])
    axes.set(xlim=(-gap / 2, right - gap / 2), ylim=(-gap / 4, top + gap / 4), aspect="equal")
    axes.axis("off")


def cell(axes, offsets, states, color, size=330.0):
    """Draw one digit in the middle of a square cell."""
    paths = strokes(offsets, states)
    points = np.concatenate(paths)
    x, y = (points.min(axis=0) + points.max(axis=0)) / 2
    half = max(size / 2, 1.1 * np.abs(points - (x, y)).max())
    ink(axes, paths, color, width=1.9)
    axes.set(xlim=(x - half, x + half), ylim=(y - half, y + half), aspect="equal")
    axes.axis("off")


def grid(path, rows):
    """A picture of rows (title, `Drawings`, color), one cell per digit; PNG or SVG by the file's name."""
    columns = len(rows[0][1])
    figure = Figure(figsize=(0.72 * columns + 1.3, 0.78 * len(rows)), layout="none")
    for r, (title, drawings, color) in enumerate(rows):
        figure.text(0.01, 1 - (r + 0.5) / len(rows), title, va="center", fontsize=9, color=color)
        for c in range(columns):
            box = ((0.72 * c + 1.3) / (0.72 * columns + 1.3), 1 - (r + 1) / len(rows))
            axes = figure.add_axes((*box, 0.72 / (0.72 * columns + 1.3), 1 / len(rows)))
            cell(axes, drawings.offsets[c], drawings.states[c], color)
    save(figure, path)


def number(path, drawings):
    """A picture of digits side by side, as a number is written."""
    figure = Figure(figsize=(0.85 * len(drawings), 1.3))
    line(figure.add_axes((0, 0, 1, 1)), drawings, GENERATED)
    save(figure, path)


def densities(path, drawings, samples):
    """A picture of where the writer expects each next point of real digits: `samples` (n, draws, 2) around them."""
    figure = Figure(figsize=(2.2 * len(drawings), 2.2))
    for k, (offsets, states, draws) in enumerate(
        zip(drawings.offsets, drawings.states, samples, strict=True)
    ):
        paths = strokes(offsets, states)
        points = np.concatenate(paths)
        (x, y), half = (points.min(axis=0) + points.max(axis=0)) / 2, 0.65 * np.ptp(points, axis=0).max()
        box = (x - half, x + half, y - half, y + half)
        spots = (points[:-1, np.newaxis] + draws).reshape(-1, 2)
        heat = np.histogram2d(*spots.T, bins=150, range=[box[:2], box[2:]])[0].T
        axes = figure.add_axes((k / len(drawings), 0, 1 / len(drawings), 1))
        axes.imshow(np.sqrt(heat), origin="lower", extent=box, cmap=HEAT, interpolation="bicubic", vmax=25)
        ink(axes, paths, INK, width=0.5)
        axes.axis("off")
    save(figure, path)


def save(figure, path):
    """Write a figure; PNG or SVG by the file's name."""
    metadata = {"Date": None} if path.suffix == ".svg" else None
    common.write_picture(figure, path, dpi=110, facecolor="white", metadata=metadata)
