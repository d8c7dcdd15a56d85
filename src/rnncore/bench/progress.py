# SPDX-License-Identifier: MIT
"""A progress bar with the time left on standard error: rich where it is installed, else one line; silent in a
pipe."""

import importlib.util
import sys
import time
from typing import Any

REDRAW_SECONDS = 0.2


class Progress:
    """Use as a context manager; call `advance` once per unit of work."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done: int = 0
        self.begin: float = time.monotonic()
        self.drawn: float = self.begin
        self.visible: bool = sys.stderr.isatty()
        self.bar: Any = None
        self.task: Any = None

    def __enter__(self) -> "Progress":
        if self.visible and importlib.util.find_spec("rich") is not None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            self.bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self.task = self.bar.add_task("starting", total=self.total)
            self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.stop()
        elif self.visible:
            sys.stderr.write("\r\x1b[K")

    def seconds_left(self) -> float | None:
        """Estimate from the pace so far; None before the first unit is done."""
        if self.done == 0:
            return None
        return (time.monotonic() - self.begin) / self.done * (self.total - self.done)

    def advance(self, text: str) -> None:
        """One more unit is done; `text` says which."""
        self.done += 1
        if self.bar is not None:
            self.bar.update(self.task, advance=1, description=text)
        elif self.visible and time.monotonic() - self.drawn > REDRAW_SECONDS:
            self.drawn = time.monotonic()
            left = self.seconds_left() or 0.0
            sys.stderr.write(
                f"\r\x1b[K{self.done}/{self.total}  {left / 60:.0f}:{left % 60:02.0f} left  {text}"
            )
            sys.stderr.flush()
