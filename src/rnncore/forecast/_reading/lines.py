# SPDX-License-Identifier: MIT
"""From a table to series on even steps: which columns, which groups, sorted, gaps filled or refused."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ...errors import ArgumentError
from .columns import is_numeric, to_numbers
from .grid import Grid, make_grid
from .times import Times, find_time_column, read_times, step_name, write

FILLS = ("interpolate", "previous", "zero")
PARTS_OF_TIMES = frozenset({"quarter", "month", "week", "day", "hour", "hr", "minute", "time"})
"""Names of columns, in lower case, that stand beside a column of times only if that is not all of it."""


@dataclass(frozen=True)
class Wanted:
    """What the user asked for, as far as reading is concerned."""

    columns: tuple[str, ...] = ()
    time: str | None = None
    group: str | None = None
    covariates: tuple[str, ...] = ()
    fill: str | None = None
    decimal: str | None = None
    date_format: str | None = None
    zone: str | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Track:
    """One series on its grid.

    Attributes
    ----------
    column, group : str, str or None
    values : float64 (n,)
        From the first to the last value; gaps are NaN or filled as asked.
    seen : bool (n,)
        Whether the file has the value.
    covariates : float64 (n + rows to come in the file, number of covariates)
    index : pandas.DatetimeIndex or float64 array (n,)
    grid : Grid
        Of the whole group, its first time that of `index`.
    """

    column: str
    group: str | None
    values: np.ndarray
    seen: np.ndarray
    covariates: np.ndarray
    grid: Grid

    @property
    def index(self):
        return self.grid.index

    def times(self, ahead):
        """Index of the values and of `ahead` steps after them."""
        return self.grid.extended(ahead)


@dataclass(frozen=True)
class Tracks:
    """All series of a table: those of one column after the other, by group within."""

    tracks: list[Track]
    time_name: str
    style: tuple
    freq: object
    notes: list[str] = field(default_factory=list)

    def text(self, values):
        """Times as the file writes them."""
        return write(self.style, values)

    @property
    def frequency(self):
        """Name of the frequency; "rows" where there are no times."""
        return "rows" if self.style == ("rows",) else step_name(self.freq)


def read_tracks(source, wanted):
    """Read the series that are `wanted` from a `Source`.

    Raises
    ------
    ArgumentError
        A column is missing or ambiguous, times repeat or are uneven, values are missing and no fill was asked for.
    """
    table = source.table
    for option, names in _named_columns(wanted).items():
        for name in names:
            if name not in table.columns:
                raise ArgumentError(option, f"one of {', '.join(table.columns)}", name)
    time = wanted.time or find_time_column(source)
    columns = tuple(dict.fromkeys(wanted.columns)) or (_only_column(source, wanted, time),)
    for name in wanted.covariates:
        if name in columns:
            raise ArgumentError("--covariate", "another column than those that are forecast", name)
    notes = list(source.notes)
    times = _times(source, time, wanted)
    names = (*columns, *wanted.covariates)
    numbers = {
        name: to_numbers(source, name, wanted.decimal, wanted.missing).to_numpy()
        for name in dict.fromkeys(names)
    }
    parts = _groups(table, wanted.group)
    arranged = {key: _arrange(source, times, rows, notes) for key, rows in parts.items()}
    _one_frequency(source, times, arranged)
    tracks = []
    for column in columns:
        for key, (rows, grid) in arranged.items():
            track = _track(source, wanted, times, column, key, rows, grid, numbers, notes)
            tracks.append(track)
    freq = next(iter(arranged.values()))[1].freq
    return Tracks(tracks, "step" if time is None else times.name, times.style, freq, _told(notes))


def _told(notes):
    """Notes as sentences, each once; what holds for several columns is said of all of them."""
    told = {}
    for note in dict.fromkeys(notes):
        what, text = note if isinstance(note, tuple) else (None, note)
        told.setdefault(text, []).append(what)
    return [
        text if subjects == [None] else f"{', '.join(subjects)}: {text}" for text, subjects in told.items()
    ]


def _named_columns(wanted):
    return {
        "--column": wanted.columns,
        "--time": (wanted.time,) if wanted.time else (),
        "--group": (wanted.group,) if wanted.group else (),
        "--covariate": wanted.covariates,
    }


def _only_column(source, wanted, time):
    """The one column that can be meant."""
    table = source.table
    taken = {time, wanted.group, *wanted.covariates}
    others = [name for name in table.columns if name not in taken]
    numeric = [name for name in others if is_numeric(table[name])]
    parts = [name for name in numeric if name.lower() in PARTS_OF_TIMES]
    if time is not None and parts and table[time].duplicated().any():
        raise _split_times(source, [time, *parts])
    if len(numeric) == 1:
        return numeric[0]
    if not numeric and len(others) == 1:
        return others[0]
    if not numeric:
        raise ArgumentError(source.name, "a column of numbers", f"none among {', '.join(table.columns)}")
    raise ArgumentError(
        "--column",
        f"one or more of {', '.join(numeric)}",
        "nothing",
        f"{source.name} has several columns of numbers",
    )


def _times(source, time, wanted):
    if time is None:
        return Times("", np.arange(1.0, len(source.table) + 1), ("rows",))
    return read_times(source, time, wanted.date_format, wanted.zone)


def _groups(table, group):
    """Rows of each group, by its key, in the order of their first rows."""
    if group is None:
        return {None: np.arange(len(table))}
    keys = table[group].astype(str).str.strip().to_numpy()
    return pd.Series(np.arange(len(table))).groupby(keys, sort=False).indices


def _arrange(source, times, rows, notes):
    """(rows in the order of time, their grid); refuses times that repeat."""
    values = times.values[rows]
    lines = source.table.index[rows]
    steps = np.diff(values.asi8 if isinstance(values, pd.DatetimeIndex) else values)
    if len(steps) and (steps < 0).any():
        order = np.argsort(values, kind="stable")
        rows, values, lines = rows[order], values[order], lines[order]
        how = "newest first" if (steps <= 0).all() else "out of order"
        notes.append(f'the rows are {how}: sorted by "{times.name}"')
        steps = np.diff(values.asi8 if isinstance(values, pd.DatetimeIndex) else values)
    if (steps == 0).any():
        again = int(np.flatnonzero(steps == 0)[0]) + 1
        text = write(times.style, values[again : again + 1])[0]
        others = [name for name in source.table.columns if name != times.name]
        if parts := [name for name in others if name.lower() in PARTS_OF_TIMES]:
            raise _split_times(source, [times.name, *parts])
        words = [name for name in others if not is_numeric(source.table[name])]
        hint = (
            f"several series in one file are told apart by --group, such as --group {words[0]}"
            if words
            else ""
        )
        raise ArgumentError(
            source.where(lines[again], times.name),
            "every time once",
            f"{text} again",
            hint or "times of a day with two hours the same need --timezone",
        )
    return rows, make_grid(source, times.name, values, lines)


def _split_times(source, names):
    what = "a column of whole times"
    return ArgumentError(
        source.name, what, f"parts of them in {', '.join(names)}", "join them into one column"
    )


def _one_frequency(source, times, arranged):
    found = {step_name(grid.freq): key for key, (_, grid) in arranged.items()}
    if len(found) > 1:
        (one, key), (other, other_key) = list(found.items())[:2]
        raise ArgumentError(
            source.name, f"the same steps in all groups, {one} as in {key}", f"{other} in {other_key}"
        )


def _track(source, wanted, times, column, key, rows, grid, numbers, notes):
    """One series: on the grid, cut to its first and last value, filled."""
    places = grid.locate(times.values[rows])
    values = np.full(len(grid.index), np.nan)
    values[places] = numbers[column][rows]
    there = np.flatnonzero(np.isfinite(values))
    if not there.size:
        raise ArgumentError(
            source.name, f'values in column "{column}"', "none" + (f" in group {key}" if key else "")
        )
    first, last = there[0], there[-1] + 1
    if first:
        notes.append(
            f'"{column}" begins at {write(times.style, grid.index[first : first + 1])[0]}'
            if times.name
            else f"the first {first} rows are empty"
        )
    index = grid.extended(0)[first:last]
    values = values[first:last]
    seen = np.isfinite(values)
    if not seen.all():
        values = _filled(source, wanted, times, column, key, index, values, seen, notes)
    covariates = np.full((len(grid.index), len(wanted.covariates)), np.nan)
    for number, name in enumerate(wanted.covariates):
        covariates[places, number] = numbers[name][rows]
    covariates = covariates[first:]
    for number, name in enumerate(wanted.covariates):
        own = covariates[: last - first, number]
        if np.isnan(own).any():
            covariates[: last - first, number] = _filled(
                source, wanted, times, name, key, index, own, np.isfinite(own), notes
            )
    return Track(column, key, values, seen, covariates, Grid(index, grid.freq))


def _filled(source, wanted, times, column, key, index, values, seen, notes):
    """Values with the gaps filled as asked; refuses them if nothing was asked."""
    gaps = np.flatnonzero(~seen)
    text = write(times.style, index[gaps[:1]])[0] if times.name else f"row {gaps[0] + 1}"
    what = f'"{column}"' + (f" of {key}" if key else "")
    if wanted.fill is None:
        wanted_, got = (
            f"a value at each of {len(values):,} steps",
            f"{len(gaps):,} missing, the first at {text}",
        )
        raise ArgumentError(
            f"{source.name}, {what}", wanted_, got, "say --fill interpolate, previous or zero"
        )
    ways = {"interpolate": "interpolated", "previous": "the last value repeated", "zero": "taken as zero"}
    scored = "" if wanted.fill == "zero" else ", not scored"
    notes.append((what, f"{len(gaps):,} of {len(values):,} values missing, {ways[wanted.fill]}{scored}"))
    found = pd.Series(values)
    if wanted.fill == "zero":
        return found.fillna(0.0).to_numpy()
    found = found.interpolate() if wanted.fill == "interpolate" else found
    return found.ffill().bfill().to_numpy()
