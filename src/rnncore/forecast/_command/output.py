# SPDX-License-Identifier: MIT
"""Files that the command writes: checked before the training, whole or not there, never overwritten unasked."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from ...errors import ArgumentError
from ...formats.safetensors import replacing


def check_outputs(source, targets, force):
    """Raise before the training what would fail after it.

    Parameters
    ----------
    source : path or None
        The file that is read.
    targets : list of (option, path)
    force : bool
        Whether files that exist may be overwritten.

    Raises
    ------
    ArgumentError
    """
    seen = set() if source is None else {Path(source).resolve()}
    for option, path in targets:
        folder = path.absolute().parent
        if path.is_dir() or not folder.is_dir():
            raise ArgumentError(option, "a file in an existing folder", str(path))
        if not os.access(folder, os.W_OK):
            raise ArgumentError(option, "a folder that can be written to", str(folder))
        if path.resolve() in seen:
            raise ArgumentError(option, "a file of its own", str(path))
        seen.add(path.resolve())
        # A run goes on from its checkpoint, and refuses a file that is none.
        if path.exists() and not force and option != "--checkpoint":
            raise ArgumentError(option, "a new file", f"{path}, which exists", "--force overwrites it")


def check_pictures(paths):
    """Raise unless matplotlib can draw to files with these endings."""
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = FigureCanvasBase.get_supported_filetypes()
    for path in paths:
        if path.suffix.removeprefix(".").lower() not in kinds:
            raise ArgumentError("--plot", f"a name that ends in one of {', '.join(sorted(kinds))}", str(path))


def write_bytes(path, content):
    """Write a file that is either the old one or the new one, whenever the process dies."""
    with replacing(path) as draft:
        Path(draft).write_bytes(content)


def forecast_table(study, levels, rows):
    """The forecasts as a DataFrame: time, column and group where there are several, truth, forecast, bounds.

    `rows` has the `Study.rows` of each column. Forecasts have seven digits, as many as their float32 has.
    """
    tracks = study.tracks
    frames = [
        _frame(study, track, pieces, levels)
        for column in study.columns
        for track, pieces in zip(study.of(column), rows[column], strict=True)
    ]
    table = pd.concat(frames, ignore_index=True)
    several = {"column": len(study.columns) > 1, "group": tracks.tracks[0].group is not None}
    return table.drop(columns=[name for name, there in several.items() if not there])


def _frame(study, track, pieces, levels):
    """All forecasts of one series; its pieces follow each other without a gap."""
    median = np.concatenate([piece[1] for piece in pieces])
    begin, stop = pieces[0][0], pieces[0][0] + len(median)
    when = track.times(study.plan.horizon)[begin:stop]
    cells = {
        study.tracks.time_name: study.tracks.text(when),
        "column": track.column,
        "group": track.group,
        "truth": pd.Series(track.values).where(track.seen).reindex(range(begin, stop)).to_numpy(),
        "forecast": _digits(median),
    }
    for level in levels:
        for side, name in ((2, "lower"), (3, "upper")):
            cells[f"{name}_{100 * level:g}"] = _digits(
                np.concatenate([piece[side][level] for piece in pieces])
            )
    return pd.DataFrame(cells)


def _digits(values):
    return [f"{value:.7g}" for value in values]


def csv_bytes(table):
    """A table as CSV."""
    return table.to_csv(index=False).encode()
