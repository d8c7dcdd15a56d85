# SPDX-License-Identifier: MIT
"""What ``rnncore forecast`` does: read, train or load, test, forecast, write."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ... import interrupts
from ...errors import ArgumentError
from .._model.intervals import check_levels
from .._reading.lines import FILLS, Wanted, read_tracks
from .._reading.source import read_source
from . import output
from .report import Report
from .shipped import EXAMPLES
from .study import Plan, Study, load_models, plan

DEFAULT_EXAMPLE = "bikes"
DARK_NAME = "-dark"
"""A picture whose name ends in this is drawn in dark colours."""


TRAINING = frozenset(
    {"season", "test", "cell", "hidden_size", "context", "steps", "budget", "seed", "checkpoint"}
)
"""Options that say how to train: a model that is loaded has been."""


@dataclass(frozen=True)
class Options:
    """The options of the command, by the names that the command line gives them."""

    file: Path | None = None
    example: str | None = None
    column: tuple[str, ...] = ()
    covariate: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    fill: str | None = None
    header: bool | None = None
    skip: int = 0
    decimal: str | None = None
    missing: tuple[str, ...] = ()
    date_format: str | None = None
    timezone: str | None = None
    horizon: int | None = None
    season: tuple[int, ...] = ()
    level: tuple[float, ...] = (80.0, 95.0)
    test: int | None = None
    cell: str = "gru"
    hidden_size: int | None = None
    context: int | None = None
    steps: int | None = None
    budget: float = 20.0
    seed: int = 0
    threads: int | None = None
    load: Path | None = None
    out: Path = Path("forecast.csv")
    plot: tuple[Path, ...] = tuple(map(Path, ("forecast.png", "forecast.svg", "forecast-dark.svg")))
    save: Path | None = None
    checkpoint: Path | None = None
    force: bool = False
    title: str | None = None
    unit: str | None = None

    @property
    def levels(self):
        """Levels of the intervals, as shares."""
        for percent in self.level:
            if not 1 <= percent < 100:
                raise ArgumentError("--level", "percent from 1 to below 100, such as 80", f"{percent:g}")
        return check_levels([percent / 100 for percent in self.level])

    @property
    def outputs(self):
        """Files that will be written: (option, path)."""
        named = [("--out", self.out), *(("--plot", path) for path in self.plot)]
        named += [("--save", self.save), ("--checkpoint", self.checkpoint)]
        return [(option, path) for option, path in named if path is not None]


def run(options):
    """Run the command with these `Options`.

    Raises
    ------
    RnncoreError, OSError
        What is wrong, in one sentence; nothing was written.
    """
    from .picture import Words

    _check(options)
    report = Report()
    models, notes = (None, None) if options.load is None else load_models(options.load)
    shipped = _shipped(options, notes)
    study = _study(options, shipped, notes)
    report.series(study)
    if models is None:
        starts = _train(options, shipped, study, report)
        notes = _notes(options, shipped, study)
    else:
        starts = _take_models(options, study, models, notes)
    words = Words(
        **(notes["words"] | {name: text for name in ("title", "unit") if (text := getattr(options, name))})
    )
    study.test(options.levels, starts)
    for column, result in study.tested.items():
        report.scores(column, study.models[column], result, words.unit)
    _write(options, study, starts, words, notes | {"words": vars(words)}, report)


def _check(options):
    """Everything that can be known to fail before anything is read."""
    options.levels  # noqa: B018 (raises)
    for value, known, name in (
        (options.fill, FILLS, "--fill"),
        (options.decimal, (".", ","), "--decimal"),
        (options.example, EXAMPLES, "--example"),
    ):
        if value is not None and value not in known:
            raise ArgumentError(name, "one of " + ", ".join(known), value)
    if options.load is not None:
        for field in fields(Options):
            if field.name in TRAINING and getattr(options, field.name) != field.default:
                name = f"--{field.name.replace('_', '-')}"
                raise ArgumentError(name, "no option of training beside --load", getattr(options, field.name))
    if options.example and (options.file or options.load):
        raise ArgumentError("--example", "no file beside it", options.file or options.load)
    if options.file is None and options.load is None:
        for name in ("column", "covariate", "group", "time", "fill"):
            if getattr(options, name):
                raise ArgumentError(f"--{name}", "a file to go with it", "none")
    output.check_outputs(options.file, options.outputs, options.force)
    output.check_pictures(options.plot)


def _shipped(options, notes):
    """The shipped series that is meant, or None."""
    name = options.example if notes is None else notes["example"]
    if options.file is not None:
        return None
    if notes is not None and name is None:
        raise ArgumentError("--load", "a file with the newest values beside it", "none")
    return EXAMPLES[name or DEFAULT_EXAMPLE]


def _study(options, shipped, notes):
    """Read the series, and settle what is to be done with them."""
    if shipped is None:
        source, wanted = read_source(options.file, options.header, options.skip), _wanted(options, notes)
    else:
        source, wanted = replace(read_source(shipped.path), name=shipped.file), shipped.wanted
    tracks = read_tracks(source, wanted)
    wanted = replace(wanted, columns=tuple(dict.fromkeys(track.column for track in tracks.tracks)))
    keep_gaps = wanted.fill == "previous"
    if notes is None:
        horizon = options.horizon or (shipped.horizon if shipped else None)
        settled = plan(tracks, wanted.covariates, horizon=horizon, test=options.test, keep_gaps=keep_gaps)
    else:
        settled = Plan(notes["horizon"], 0, tuple(notes["known"]), tuple(notes["past"]), keep_gaps)
    return Study(tracks, wanted, settled)


def _wanted(options, notes):
    """What is to be read from the user's file: as the options say, else as the model was trained."""
    given = Wanted(
        options.column, options.time, options.group, options.covariate, options.fill, options.decimal,
        options.date_format, options.timezone, options.missing,
    )  # fmt: skip
    if notes is None:
        return given
    kept = {
        name: tuple(value) if isinstance(value, list) else value for name, value in notes["wanted"].items()
    }
    for name in ("columns", "group", "covariates"):
        if getattr(given, name) and getattr(given, name) != kept[name]:
            raise ArgumentError(
                f"--{name.rstrip('s')}", f"what the model was trained on, {kept[name]}", getattr(given, name)
            )
    own = {f.name: getattr(given, f.name) for f in fields(given) if getattr(given, f.name)}
    return Wanted(**(kept | own))


def _train(options, shipped, study, report):
    settings = {
        "cell": str(options.cell),
        "seasons": options.season or (shipped.seasons if shipped else None),
        "context": options.context,
        "hidden_size": options.hidden_size,
        "steps": options.steps,
        "seed": options.seed,
        "num_threads": options.threads,
    }
    if study.plan.test:
        report.say(f"  held out: the last {study.plan.test:,} values; nothing is trained or tuned on them")
    with interrupts.noted("interrupted, nothing was written") as asked:

        def training(show):
            def progress(state):
                show(state)
                return bool(asked)

            study.fit(settings, options.budget, progress, options.checkpoint)

        report.training(training, options.budget)
    if asked:
        report.say("interrupted: going on with the best networks so far")
    return None


def _notes(options, shipped, study):
    """What a later run needs to know beside the models, as JSON."""
    columns = study.columns
    words = {"title": ", ".join(columns), "unit": "", "credit": ""}
    if shipped is not None:
        words = {name: getattr(shipped, name) for name in words}
    return {
        "example": None if shipped is None else (options.example or DEFAULT_EXAMPLE),
        "wanted": vars(study.wanted),
        "frequency": study.tracks.frequency,
        "groups": [track.group for track in study.of(columns[0])],
        "trained": {
            column: [str(track.index[len(track.values) - study.plan.test - 1]) for track in study.of(column)]
            for column in columns
        },
        "horizon": study.plan.horizon,
        "known": study.plan.known,
        "past": study.plan.past,
        "words": words,
    }


def _take_models(options, study, models, notes):
    """Put loaded models in place; gives where the values after their training begin, by column and series."""
    tracks = study.tracks
    if tracks.frequency != notes["frequency"]:
        raise ArgumentError(
            "--load",
            f"values at steps of {notes['frequency']}, as the model was trained on",
            f"steps of {tracks.frequency}",
        )
    if options.horizon is not None and options.horizon != study.plan.horizon:
        raise ArgumentError("--horizon", f"{study.plan.horizon}, that of the model", options.horizon)
    groups = [track.group for track in study.of(study.columns[0])]
    if groups != notes["groups"]:
        raise ArgumentError(
            "--load", f"the groups {', '.join(notes['groups'] or ['none'])}", ", ".join(map(str, groups))
        )
    study.models = dict(zip(study.columns, models, strict=True))
    starts = {}
    for column, model in study.models.items():
        own = study.of(column)
        series, known, past = study.handed(column)
        model.update(series, known=known, past=past)
        starts[column] = [
            _after(track, last) for track, last in zip(own, notes["trained"][column], strict=True)
        ]
        left = min(len(track.values) - start for track, start in zip(own, starts[column], strict=True))
        first = model.shape_.first
        if (
            left < study.plan.horizon
            or min(map(len, (track.values for track in own))) < first + study.plan.horizon
        ):
            return None
    return starts


def _after(track, last):
    """Index of the first value after the time `last`, text of a date or a number."""
    if isinstance(track.index, pd.DatetimeIndex):
        return int(track.index.searchsorted(pd.Timestamp(last), side="right"))
    return int(np.searchsorted(track.index, float(last), side="right"))


def _write(options, study, starts, words, notes, report):
    """Make all files, then put them in place; Ctrl-C in between waits until all are there."""
    from .picture import draw

    rows = {column: study.rows(column, options.levels, starts) for column in study.columns}
    made = [(options.out, output.csv_bytes(output.forecast_table(study, options.levels, rows)))]
    for path in options.plot:
        dark = path.stem.endswith(DARK_NAME)
        made.append((path, draw(study, rows, options.levels, words, path.suffix[1:].lower(), dark)))
    with interrupts.noted("interrupted while files were written") as asked:
        for path, content in made:
            output.write_bytes(path, content)
        if options.save is not None:
            study.save(options.save, notes)
    report.say(f"forecast: {options.out}" + "".join(f", picture: {path}" for path in options.plot))
    if options.save is not None:
        report.say(f"model: {options.save}")
    if asked:
        interrupts.leave("interrupted, after all files were written")
