# SPDX-License-Identifier: MIT
"""What ``rnncore score`` does: parts with a bar, rows per second and the time left; Ctrl-C ends it between two."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from .. import interrupts
from ..errors import ArgumentError
from .files import Part, score_files, sequence_columns
from .scorer import Scorer


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's arguments and options, by their names."""

    model: Path
    source: Path
    target: Path
    column: list[str] | None
    keep: list[str] | None
    output: str
    steps: str
    engine: str
    threads: int | None
    force: bool


def _columns(options: Options) -> list[str]:
    if options.column:
        return options.column
    found = sequence_columns(options.source)
    if len(found) != 1:
        raise ArgumentError("--column", "a column of lists", ", ".join(found) or "none", "say which")
    return found


def text(part: Part, seconds: float) -> str:
    """Rows a second, and the time left at that speed."""
    if not part.rows:
        return ""
    left = seconds / part.rows * (part.all_rows - part.rows)
    return f"{part.rows / seconds:,.0f} rows/s  {int(left) // 60}:{int(left) % 60:02} left"


def run(options: Options) -> None:
    """Score; the process ends with `interrupts.EXIT_CODE` after Ctrl-C, when the part at hand is done."""
    scorer = Scorer(
        options.model,
        _columns(options),
        options.threads,
        output=options.output,
        steps=options.steps,
        keep=options.keep,
    )
    parts = score_files(scorer, options.source, options.target, engine=options.engine, force=options.force)
    console, started = Console(stderr=True), time.perf_counter()
    again = "the same command goes on"
    columns = BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}")
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with interrupts.noted(f"interrupted, the parts in {options.target} are whole; {again}") as asked, bar:
        task: Any = None
        for part in parts:
            seconds = time.perf_counter() - started
            task = bar.add_task("", total=part.parts) if task is None else task
            bar.update(task, completed=part.done, description=text(part, seconds))
            if asked and part.done < part.parts:
                break
    if part.done < part.parts:
        interrupts.leave(f"interrupted, {part.done} of {part.parts} parts are done; {again}")
    rate = f", {part.rows / seconds:,.0f} rows/s" if part.rows else ""
    print(f"{options.target}: {part.parts} parts, {part.rows} rows scored now{rate}")
