# SPDX-License-Identifier: MIT
"""The run that trains the networks of one or several `Forecaster`s together, a step of all of them at a time.

Networks that see the same series through different views race: after a fifth of the run the view that is
behind drops out. A run keeps within a budget of seconds, can be stopped at any step, and goes on from its checkpoint.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import ArgumentError
from .crew import crews_of
from .modelfile import prefixed, read_file, strip, write_file

CHECKPOINT_FORMAT = "rnncore-forecaster-checkpoint-2"
CHECKPOINT_SECONDS = 1.0
"""A checkpoint is written at most this often: what a killed run repeats is bounded by it."""
CHECKS = 20
"""How often in a run the networks are judged, within STRETCH."""
STRETCH = (5, 250)
"""Steps between two checks, at least and at most: a check costs about as much as a step, and keeps the state."""
RACE = 0.2
"""Share of the run after which the view that is behind drops out."""
SURE = 0.1
"""Share of the budget after which the speed is known well enough to fit the number of steps to it."""
REPLAN = 0.05
"""Share of the budget between two plans."""


@dataclass(frozen=True)
class Progress:
    """State of a training run after a step of every network, as given to the `progress` callback.

    `loss` is the mean of the last steps' losses, `best` the mean of the best validation losses; `steps` is fitted to
    the budget as the run goes on.
    """

    step: int
    steps: int
    loss: float
    best: float
    windows_per_second: float
    elapsed: float
    remaining: float


@dataclass
class Entry:
    """A `Job` in the run: for which model (a number), through which view."""

    model: int
    view: str
    job: object
    runs: bool = True


class Run:
    """One training run over `entries`.

    Parameters
    ----------
    entries : list of Entry
    steps : int
        Steps of every network, if the budget allows.
    budget : float or None
        Seconds.
    progress : callable or None
        Called with a `Progress`; the run ends there if it returns true.
    checkpoint : path or None
    identity : str
        A checkpoint of another identity is refused.
    """

    def __init__(self, entries, steps, budget=None, progress=None, checkpoint=None, identity=""):
        self.entries, self.steps, self.budget, self.progress = entries, steps, budget, progress
        self.wished = steps
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.identity = identity
        self.round, self.spent, self.stopped = 0, 0.0, False
        self.boundary, self._crews = None, None
        self._written = time.perf_counter()
        self._resume()

    def train(self):
        """Train until the steps are done, the budget is spent, or `progress` or Ctrl-C stops it."""
        self._started = time.perf_counter() - self.spent
        self._planned = self._started, self.round
        try:
            self._loop()
        except KeyboardInterrupt:
            self.stopped = True
        self._end_race()
        self.spent = time.perf_counter() - self._started
        for entry in self.entries:
            entry.job.restore_best()
        if self.checkpoint is not None and self.boundary is not None:
            self._write()

    def running(self):
        """Entries that are still in the race."""
        return [entry for entry in self.entries if entry.runs]

    def _loop(self):
        if self.round == 0:
            self._judge()
        while self.round < self.steps and not self.stopped:
            losses = self._step()
            self.round += 1
            every = min(max(self.steps // CHECKS, STRETCH[0]), STRETCH[1])
            due = self.round % every == 0 or self.round == self.steps
            if due:
                self._check()
            if self.budget and time.perf_counter() - self._planned[0] > REPLAN * self.budget:
                self._plan()
            self._report(float(np.mean(losses)))

    def _step(self):
        """A step of every network; the losses."""
        if self._crews is None:
            self._crews = crews_of([entry.job for entry in self.running()])
        return [loss for crew in self._crews for loss in crew.step(self.round / self.steps)]

    def _judge(self):
        for entry in self.running():
            entry.job.judge()

    def _check(self):
        """Judge all, let the slower view drop out, and remember where the run stands."""
        for crew in self._crews:
            crew.give_back()
        self._judge()
        if self.round >= RACE * self.steps:
            self._end_race()
        self.spent = time.perf_counter() - self._started
        # One assignment, so that an interrupt finds the whole of this check or the whole of the last.
        self.boundary = self._snapshot()
        if self.checkpoint is not None and time.perf_counter() - self._written >= CHECKPOINT_SECONDS:
            self._write()

    def _end_race(self):
        for model in {entry.model for entry in self.running()}:
            views = {}
            for entry in self.running():
                if entry.model == model:
                    views.setdefault(entry.view, []).append(entry.job.best)
            best = min(views, key=lambda view: np.mean(views[view]))
            for entry in self.running():
                if entry.model == model and entry.view != best:
                    entry.runs = False
                    self._crews = None  # those that are left make up new ones

    def _plan(self):
        """Fit the number of steps to what is left of the budget, at the speed of the rounds since the last plan."""
        now = time.perf_counter()
        (then, before), self._planned = self._planned, (now, self.round)
        pace = (now - then) / max(self.round - before, 1)
        if now - self._started < SURE * self.budget:
            return
        left = self.budget - (now - self._started)
        rounds = self.wished - self.round
        # Until the race is over there are more networks to train than after it.
        race = max(int(RACE * self.wished) - self.round, 0)
        needed = pace * (race + (rounds - race) * self._after_race() / len(self.running()))
        self.steps = self.wished if needed <= left else self.round + int(rounds * max(left, 0.0) / needed)

    def _after_race(self):
        """Networks that will be left when one view of each model is."""
        views = {}
        for entry in self.running():
            views.setdefault(entry.model, {}).setdefault(entry.view, []).append(entry)
        return sum(len(next(iter(found.values()))) for found in views.values())

    def _report(self, loss):
        spent = time.perf_counter() - self._started
        if self.budget is not None and spent >= self.budget:
            self.steps = self.round
        if self.progress is None:
            return
        running = self.running()
        windows = sum(entry.job.settings.batch_size for entry in running)
        state = Progress(
            self.round,
            self.steps,
            loss,
            float(np.mean([entry.job.best for entry in running])),
            windows * self.round / spent,
            spent,
            spent / self.round * (self.steps - self.round),
        )
        self.stopped = bool(self.progress(state)) or self.stopped

    # -- checkpoints ----------------------------------------------------------------------------------------

    def _snapshot(self):
        """(meta, tensors) of the run at this round."""
        meta = {"round": self.round, "steps": self.steps, "spent": self.spent, "jobs": []}
        tensors = {}
        for number, entry in enumerate(self.entries):
            job = entry.job
            meta["jobs"].append({"runs": entry.runs, "best": job.best, "rng": job.rng.bit_generator.state})
            states = {"optimizer.": job.optimizer.state_dict()}
            states["layer."], states["head."] = job.state()
            states["best.layer."], states["best.head."] = job.best_state
            for name, state in states.items():
                tensors.update(prefixed(f"{number}.{name}", state))
        return meta, tensors

    def _write(self):
        meta, tensors = self.boundary
        write_file(self.checkpoint, tensors, meta | {"format": CHECKPOINT_FORMAT, "identity": self.identity})
        self._written = time.perf_counter()

    def _resume(self):
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        tensors, meta = read_file(self.checkpoint, CHECKPOINT_FORMAT)
        if meta.get("identity") != self.identity or len(meta["jobs"]) != len(self.entries):
            raise ArgumentError(
                "checkpoint",
                "a run with the same series and settings",
                f"another run in {self.checkpoint}",
                "choose another file or remove it",
            )
        self.round, self.steps, self.spent = meta["round"], meta["steps"], meta["spent"]
        for number, (entry, kept) in enumerate(zip(self.entries, meta["jobs"], strict=True)):
            job, own = entry.job, strip(tensors, f"{number}.")
            job.member.layer.load_state_dict(strip(own, "layer."))
            job.member.head.load_state_dict(strip(own, "head."))
            job.optimizer.load_state_dict(strip(own, "optimizer."))
            job.best_state = strip(own, "best.layer."), strip(own, "best.head.")
            job.rng.bit_generator.state, job.best, entry.runs = kept["rng"], kept["best"], kept["runs"]
        self.boundary = meta, tensors


def identify(settings, panels):
    """A text that two runs share only if settings and series are the same."""
    import hashlib

    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for panel in panels:
        for array in (panel.values, panel.seen, panel.known, panel.past, panel.codes, panel.starts):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
