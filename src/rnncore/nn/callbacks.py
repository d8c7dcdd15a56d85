# SPDX-License-Identifier: MIT
"""Callbacks of `fit`: what they are given, how they are called, and one that shows where the run stands."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import ArgumentError, shown


@dataclasses.dataclass
class Run:
    """Where a training run stands: what callbacks get and `fit` returns.

    Attributes
    ----------
    epochs, steps : int
        Of the whole run.
    epoch, step : int
        That are done.
    loss : float
        Mean over the tokens of the present epoch so far; of the last one where an epoch has just ended.
    lr, norm : float
        Of the last step: learning rate, and the gradient's norm before clipping.
    losses, validation_losses : list of float
        One for each epoch.
    best : float
        The lowest validation loss, that of epoch number `best_epoch` (from 1).
    tokens : int
        That were trained on.
    seconds : float
        That the run took, those before an interruption included.
    stopped : str
        Why the run ended before its last epoch: "", "patience", "callback".
    rank, workers : int
        This worker's number, and how many there are.

    Examples
    --------
    >>> run = rnncore.nn.Run(epochs=2, steps=10, step=4, seconds=8.0, tokens=400)
    >>> run.rate, run.remaining
    (50.0, 12.0)
    """

    epochs: int = 0
    steps: int = 0
    epoch: int = 0
    step: int = 0
    loss: float = math.nan
    lr: float = 0.0
    norm: float = 0.0
    losses: list[float] = dataclasses.field(default_factory=list)
    validation_losses: list[float] = dataclasses.field(default_factory=list)
    best: float = math.inf
    best_epoch: int = 0
    tokens: int = 0
    seconds: float = 0.0
    stopped: str = ""
    rank: int = 0
    workers: int = 1
    total: float = 0.0
    count: int = 0

    @property
    def validation_loss(self) -> float:
        """The last epoch's; NaN without one."""
        return self.validation_losses[-1] if self.validation_losses else math.nan

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds if self.seconds else 0.0

    @property
    def remaining(self) -> float:
        """Seconds left, at the speed so far."""
        return self.seconds / self.step * (self.steps - self.step) if self.step else math.nan


def call(callbacks: Iterable[Any], when: str, run: Any) -> bool:
    """Call those that have something to do now; whether one of them gave True.

    A plain callable has something to do at the end of an epoch.
    """
    stops = False
    for callback in callbacks:
        method = getattr(callback, when, None)
        if method is None and when == "on_epoch" and callable(callback):
            method = callback
        if method is not None:
            stops |= method(run) is True
    return stops


def _clock(seconds: float) -> str:
    """Seconds as m:ss; nothing for NaN."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}" if seconds == seconds else ""


def _mean(value: Any) -> float:
    """A number itself, of a fleet's the mean of those that are there."""
    there = np.ravel(value)[~np.isnan(np.ravel(value))]
    return float(there.mean()) if there.size else math.nan


class Progress:
    """Shows a run as it goes: a line for each epoch, below it a bar with speed and time left; by worker 0 alone.

    Parameters
    ----------
    unit : str
        What is counted.

    Raises
    ------
    ArgumentError
        The unit is no text.
    ModuleNotFoundError
        rich is not installed; ``pip install "rnncore[cli]"`` brings it.

    Examples
    --------
    >>> progress = rnncore.nn.Progress(unit="frame")
    >>> progress.text(rnncore.nn.Run(epochs=2, steps=10, step=4, loss=0.5, seconds=8.0, tokens=400))
    'loss 0.5000  50 frames/s  0:12 left'
    """

    def __init__(self, unit: str = "token") -> None:
        if not isinstance(unit, str):
            raise ArgumentError("unit", "a word", shown(unit))
        self.unit: str = unit
        self._bar: Any = None

    def text(self, run: Any) -> str:
        """Loss, speed and time left."""
        return f"loss {_mean(run.loss):.4f}  {run.rate:,.0f} {self.unit}s/s  {_clock(run.remaining)} left"

    def on_start(self, run: Any) -> None:
        """Begin to show."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        if run.rank:
            return
        self._bar = Progress(
            BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), transient=True
        )
        self._task = self._bar.add_task("", total=run.steps, completed=run.step)
        if self._bar.console.is_terminal:
            self._bar.start()

    def on_step(self, run: Any) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=run.step, description=self.text(run))

    def on_epoch(self, run: Any) -> None:
        """A line."""
        if self._bar is not None:
            judged = f"  validation {_mean(run.validation_loss):.4f}" if run.validation_losses else ""
            mark = " *" if run.validation_losses and np.any(run.best_epoch == run.epoch) else ""
            line = f"epoch {run.epoch}/{run.epochs}  {self.text(run)}{judged}{mark}"
            self._bar.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def on_end(self, run: Any) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
