# SPDX-License-Identifier: MIT
"""Callbacks of `fit`: how they are called, and one that shows where the run stands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


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


class Progress:
    """Shows a run as it goes: a line for each epoch, below it a bar with speed and time left; by worker 0 alone.

    Parameters
    ----------
    unit : str
        What is counted.

    Raises
    ------
    ModuleNotFoundError
        rich is not installed; ``pip install "rnncore[cli]"`` brings it.

    Examples
    --------
    >>> progress = rnncore.nn.Progress(unit="frame")
    >>> progress.text(rnncore.nn.Run(epochs=2, steps=10, step=4, loss=0.5, seconds=8.0, tokens=400))
    'loss 0.5000  50 frames/s  0:12 left'
    """

    def __init__(self, unit: str = "token") -> None:
        self.unit = unit
        self._bar: Any = None

    def text(self, run: Any) -> str:
        """Loss, speed and time left."""
        return f"loss {run.loss:.4f}  {run.rate:,.0f} {self.unit}s/s  {_clock(run.remaining)} left"

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
            judged = f"  validation {run.validation_loss:.4f}" if run.validation_losses else ""
            mark = " *" if run.validation_losses and run.best_epoch == run.epoch else ""
            line = f"epoch {run.epoch}/{run.epochs}  {self.text(run)}{judged}{mark}"
            self._bar.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def on_end(self, run: Any) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
