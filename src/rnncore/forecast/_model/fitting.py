# SPDX-License-Identifier: MIT
"""From settings and series to networks that can be trained, and from trained ones to a forecaster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ...errors import ArgumentError
from . import calendars, intervals, seasons
from .inputs import as_lines, dates_of, freq_of
from .linear import Choice, fit_linear
from .network import Job, Member, title_of
from .panel import Panel
from .training import Entry
from .views import Lens, possible_views
from .windows import Shape, Windows, thin

FEW_WINDOWS = 2_500
"""Up to here five networks are validated on a fifth each; beyond it two on the last stretch, which is of one time."""
MANY_WINDOWS = 50_000
"""From here on the networks are larger."""
FOLDS = 5
LAST = 1 / 8
BELIEVED = 0.2
"""Windows that stop the training flatter a network: where they are few, only so large a gain is believed in full."""
MIN_BLOCK = 8
"""A fold validates on at least this many windows."""
CONTEXT = (24, 64)
"""The network reads one season, but not less or more than this; values of seasons before are inputs besides."""
LONGEST_LEVEL = 400
JUDGED = 400
"""Validation windows that are looked at during training."""
SCORED = 1_000
"""Validation windows whose errors give shares and intervals."""
ERROR_FLOOR = 0.02
"""Added to the linear path's errors (in spreads), so that a step it knows exactly does not outweigh all others."""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Settings:
    """What a training job needs to know."""

    hidden_size: int
    batch_size: int
    lr: float
    weight_decay: float
    dropout: float
    num_threads: int | None


@dataclass(frozen=True)
class Fold:
    """Origins to train on, origins to validate on, and the anchors of the networks that do so, one each."""

    train: np.ndarray
    valid: np.ndarray
    anchors: tuple[str, ...]


@dataclass
class Prepared:
    """A model ready to be trained: `facts` become attributes of the forecaster, `jobs` are (view, fold, Job)."""

    lines: list
    panel: Panel
    facts: dict
    folds: list
    jobs: list
    steps: int

    def entries(self, model):
        """What the run trains, for model number `model`."""
        return [Entry(model, view, job) for view, _, job in self.jobs]


def check_int(name, value, low=1):
    """Return an integer of at least `low`; ArgumentError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise ArgumentError(name, f"an integer >= {low}", repr(value))
    return int(value)


def check_share(name, value, high=np.inf):
    """Return a number in [0, high); ArgumentError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < high:
        raise ArgumentError(name, f"a number in [0, {high})", repr(value))
    return float(value)


def prepare(model, series, known=None, past=None):
    """Check settings and series, fit the linear paths, and make the networks; gives a `Prepared`."""
    horizon = check_int("horizon", model.horizon)
    title_of(model.cell)
    if model.budget is not None and check_share("budget", model.budget) == 0:
        raise ArgumentError("budget", "seconds > 0", model.budget)
    first = (
        series[0] if isinstance(series, (list, tuple)) and series and not np.isscalar(series[0]) else series
    )
    dates = dates_of(first)
    freq = None if dates is None else freq_of(dates)
    parts = () if freq is None else calendars.parts_of(calendars.offset(freq), len(dates))
    lines, indices, single = as_lines(series, known, past, horizon, parts, freq)
    _check_varies(lines)
    panel = Panel.of(lines, horizon)
    found = _seasons(model, panel, freq)
    shape = _shape(model, panel, found, parts)
    origins = panel.origins(shape.first, horizon)
    settings, steps = _settings(model, len(origins))
    facts = {
        "parts_": parts,
        "freq_": freq,
        "seasons_": found,
        "shape_": shape,
        "scales_": _scales(panel),
        "counts_": panel.counts,
        "single_": single,
        "future_": indices,
        "nonnegative_": model.nonnegative
        if model.nonnegative is not None
        else bool(min(np.nanmin(line.values) for line in lines) >= 0),
    }
    folds = _folds(panel, shape)
    jobs = _jobs(model, panel, facts, folds, settings)
    return Prepared(lines, panel, facts, folds, jobs, steps)


def _check_varies(lines):
    for number, line in enumerate(lines):
        values = line.values[np.isfinite(line.values)]
        with np.errstate(over="ignore"):  # an overflow shows as an infinite spread, refused below
            spread = float(values.std()) if len(values) else 0.0
        if not (np.isfinite(spread) and (len(lines) > 1 or spread > 1e-12 * np.abs(values).max())):
            name = "series" if len(lines) == 1 else f"series[{number}]"
            raise ArgumentError(name, "values that vary and can be squared", f"a spread of {spread:g}")


def _seasons(model, panel, freq):
    """The seasons that the series holds at least twice, shortest first."""
    shortest = int(panel.counts.min())
    if model.seasons is not None:
        found = tuple(sorted({check_int("seasons", season) for season in model.seasons} - {1}))
    else:
        found = () if freq is None else calendars.seasons_of(calendars.offset(freq))
        if not found:
            longest = int(panel.counts.argmax())
            start, count = panel.starts[longest], panel.counts[longest]
            found = (seasons.detect_season(panel.values[start : start + count]),)
    return tuple(season for season in found if 1 < season <= shortest // 2)


def _shape(model, panel, found, parts):
    """Sizes of the windows, and the check that the series are long enough for them."""
    shortest, horizon = int(panel.counts.min()), model.horizon
    if model.context is None:
        context = min(max(found[0] if found else 0, CONTEXT[0]), CONTEXT[1], max(shortest // 5, 2))
    else:
        context = check_int("context", model.context)
    lags = seasons.lags(found, horizon, shortest // 4)
    level = next((2 * season for season in reversed(found) if 2 * season <= LONGEST_LEVEL), context)
    shape = Shape(context, horizon, lags, level, calendars.tables(parts))
    needed = shape.first + 2 * (horizon + MIN_BLOCK)
    if shortest < needed:
        what = f"at least {needed} values for horizon {horizon} and context {context}"
        raise ArgumentError("series", what, f"{shortest}")
    return shape


def _settings(model, windows):
    """Settings of the jobs, and how many steps each trains: by how many windows there are, unless given."""
    size = 0 if windows <= FEW_WINDOWS else 1 if windows <= MANY_WINDOWS else 2
    hidden, batch, steps = ((16, 32, 400), (48, 64, 500), (64, 128, max(500, 2 * windows // 128)))[size]
    settings = Settings(
        hidden if model.hidden_size is None else check_int("hidden_size", model.hidden_size),
        batch if model.batch_size is None else check_int("batch_size", model.batch_size),
        check_share("lr", model.lr),
        check_share("weight_decay", model.weight_decay),
        check_share("dropout", model.dropout, 1),
        model.num_threads,
    )
    check_int("seed", model.seed, 0)
    return settings, steps if model.steps is None else check_int("steps", model.steps)


def _scales(panel):
    """Mean and standard deviation of every covariate, {"known": (2, K), "past": (2, W)}."""
    here = np.concatenate([np.arange(s, e) for s, e in zip(panel.starts, panel.ends, strict=True)])
    found = {}
    for name in ("known", "past"):
        table = getattr(panel, name)[here].astype(np.float64)
        spread = table.std(axis=0)
        found[name] = np.stack([table.mean(axis=0), np.where(spread > 0, spread, 1.0)]).astype(np.float32)
    return found


def _folds(panel, shape):
    """Split the origins: few ones in blocks that take turns, of many ones the last validate."""
    windows = len(panel.origins(shape.first, shape.horizon))
    if windows > FEW_WINDOWS:
        return [_fold(panel, shape, 1 - LAST, 1.0, ("level", "linear"))]
    shortest = int(panel.counts.min()) - shape.first
    count = max(min(FOLDS, shortest // (shape.horizon + MIN_BLOCK)), 2)
    edges = np.linspace(0, 1, count + 1)
    # From the level a network must learn the way up of a growing series, which few windows do not teach.
    return [_fold(panel, shape, low, high, ("linear",)) for low, high in pairwise(edges)]


def _fold(panel, shape, low, high, anchors):
    """The fold that validates between the shares `low` and `high` of each line; no target is in both parts."""
    train, valid = [], []
    for start, end in zip(panel.starts, panel.ends, strict=True):
        origins = np.arange(start + shape.first, end - shape.horizon + 1)
        begin, stop = (
            start + shape.first + int(share * (end - start - shape.first)) for share in (low, high)
        )
        train.append(origins[(origins + shape.horizon <= begin) | (origins >= stop)])
        valid.append(origins[(origins >= begin) & (origins + shape.horizon <= stop)])
    return Fold(np.concatenate(train), np.concatenate(valid), anchors)


@dataclass(frozen=True)
class Paths:
    """The linear paths of all folds through one lens, how they were fitted, and what they miss at every step ahead."""

    windows: Windows
    paths: list
    choice: Choice
    missed: np.ndarray


def _paths(panel, view, shape, scales, folds):
    """The linear paths of one view; all folds have the choice that misses least over all of them."""
    lens = Lens.of(view, panel)
    windows = Windows(panel, lens, shape, scales)
    fits = [fit_linear(windows, fold.train, thin(fold.valid, SCORED)) for fold in folds]
    missed = np.mean([fit.missed for fit in fits], axis=0)
    best = int(np.argmin(missed.mean(axis=1)))
    choice = fits[0].choices[best]
    windows = Windows(panel, replace(lens, level_input=choice.level_input), shape, scales)
    return Paths(windows, [fit.path(choice) for fit in fits], choice, missed[best])


def _jobs(model, panel, facts, folds, settings):
    """Linear paths and networks for every view and fold: [(view, fold number, Job)]."""
    shape, scales = facts["shape_"], facts["scales_"]
    paths = {view: _paths(panel, view, shape, scales, folds) for view in possible_views(panel)}
    view = min(paths, key=lambda view: paths[view].missed.mean())
    best = paths[view]
    whole = Windows(panel, Lens.of(view, panel), shape, scales)
    every = panel.origins(shape.first, shape.horizon)
    facts["linear_lens_"], facts["linear_paths"] = best.windows.lens, best
    facts["linear_"] = fit_linear(whole, every, choice=best.choice).path(best.choice)
    # Every step ahead counts in units of what the linear path misses there.
    weight = 1.0 / (np.min([found.missed for found in paths.values()], axis=0) + ERROR_FLOOR)
    jobs = []
    for view, found in paths.items():
        jobs += _view_jobs(model, view, found, folds, weight, settings, len(jobs))
    return jobs


def _view_jobs(model, view, found, folds, weight, settings, first):
    """The networks of one view; `first` numbers the first of them, for its seed."""
    windows, jobs = found.windows, []
    sizes = windows.width, model.cell, settings.hidden_size
    for number, (fold, path) in enumerate(zip(folds, found.paths, strict=True)):
        valid = thin(fold.valid, JUDGED)
        for anchor in fold.anchors:
            seeds = np.random.SeedSequence([model.seed, first + len(jobs)]).generate_state(2).tolist()
            spread = _distance(windows, thin(fold.train, SCORED), path if anchor == "linear" else None)
            member = Member.make(path, anchor, spread, *sizes, seeds[0])
            jobs.append((view, number, Job(member, windows, fold.train, valid, weight, settings, seeds[1])))
    return jobs


def _distance(windows, origins, path):
    """Root mean square distance of values from the anchor, for every step ahead, as the lens sees it."""
    values, there = windows.targets(origins)
    change = windows.lens.see(values, windows.lines(origins)) - windows.level[origins][:, np.newaxis]
    if path is not None:
        change = change - path(*windows.parts(windows.inputs(origins)))
    return np.sqrt((np.square(change) * there).sum(axis=0) / np.maximum(there.sum(axis=0), 1)) + 1e-6


def blend(quantiles, linear, share):
    """Quantiles (n, horizon, 3) whose median is moved towards the linear path's forecast (n, horizon)."""
    return quantiles + (1.0 - share) * (linear - quantiles[..., 1])[..., np.newaxis]


def finish(model, prepared, entries):
    """Set the facts on the forecaster, with the members that won and their share and scores."""
    view, windows = entries[0].view, entries[0].job.windows
    straight = prepared.facts.pop("linear_paths")
    kept = [(fold, job.member) for name, fold, job in prepared.jobs if name == view]
    origins = [thin(fold.valid, -(-SCORED // len(prepared.folds))) for fold in prepared.folds]
    quantiles, linear = [], []
    for number, some in enumerate(origins):
        own = [member.forecast(windows, some, model.num_threads) for fold, member in kept if fold == number]
        quantiles.append(np.mean(own, axis=0))
        linear.append(straight.paths[number].forecast(straight.windows, some))
    quantiles, linear, origins = (np.concatenate(part) for part in (quantiles, linear, origins))
    truth, there = windows.targets(origins)
    spread = windows.lens.spread[windows.panel.which[origins]]
    errors = [
        np.abs((blend(quantiles, linear, share)[..., 1] - truth) / spread[:, np.newaxis])[there].mean()
        for share in SHARES
    ]
    for name, value in prepared.facts.items():
        setattr(model, name, value)
    model.lens_, model.members_ = windows.lens, [member for _, member in kept]
    best = int(np.argmin(errors))
    gain = 1 - errors[best] / errors[0]
    model.share_ = SHARES[best] * (min(1.0, gain / BELIEVED) if len(prepared.folds) > 1 else 1.0)
    blended = blend(quantiles, linear, model.share_)
    model.scores_ = intervals.scores(blended, truth, there, spread).astype(np.float32)
