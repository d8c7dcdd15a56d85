# SPDX-License-Identifier: MIT
"""Parts of a run over groups: kept in a folder under the name of what they follow from, and counted as they go."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.threads import given_threads, limited
from ..errors import ArgumentError, FormatError
from ..formats.files import check_path, replacing
from ..version import __version__
from .groups_table import arrow

PACK = 256
"""Groups that are trained, kept and counted together."""


@dataclasses.dataclass
class GroupRun:
    """Where a run over groups stands: what its callback gets.

    Attributes
    ----------
    groups, done : int
        All groups, and those that are done.
    failed : int
        Results that are errors.
    kept : int
        Groups whose results were found in the folder.
    seconds : float
        That the run took so far.

    Examples
    --------
    >>> from rnncore.cluster import GroupRun
    >>> run = GroupRun(groups=1000, done=250, failed=1, seconds=0.5)
    >>> run.rate, run.remaining
    (500.0, 1.5)
    >>> print(run)
    250 of 1,000 groups  500/s  0:01 left  1 failed
    """

    groups: int = 0
    done: int = 0
    failed: int = 0
    kept: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Groups a second, without those that were kept."""
        return (self.done - self.kept) / self.seconds if self.seconds else 0.0

    @property
    def remaining(self) -> float:
        """Seconds left, at the speed so far; NaN before there is one."""
        return (self.groups - self.done) / self.rate if self.rate else math.nan

    def __str__(self) -> str:
        left = "" if math.isnan(self.remaining) else f"  {self._clock()} left"
        failed = f"  {self.failed:,} failed" if self.failed else ""
        return f"{self.done:,} of {self.groups:,} groups  {self.rate:,.0f}/s{left}{failed}"

    def _clock(self) -> str:
        return f"{int(self.remaining) // 60}:{int(self.remaining) % 60:02}"


def run_parts(
    packs: Any, groups: int, work: Callable[[Any], Any], folder: Folder | None, progress: Any
) -> list[Any]:
    """The results of all packs, in their order; those in the folder are not made again."""
    run, started, found = GroupRun(groups=groups), time.perf_counter(), []
    for pack in packs:
        result = None if folder is None else folder.read(pack.table)
        if result is None:
            result = work(pack)
            if folder is not None:
                folder.write(pack.table, result)
        else:
            run.kept += len(pack)
        found.append(result)
        run.done += len(pack)
        run.failed += len(result) - result["error"].null_count
        run.seconds = time.perf_counter() - started
        if progress is not None:
            progress(run)
    return found


class Folder:
    """Results of parts, each in a file whose name is a digest of the recipe and of the part's rows.

    So a part is found again whoever made it: another process, another engine, a run that was killed.
    """

    def __init__(self, path: Any, recipe: Mapping[str, str]) -> None:
        self.path: Path = Path(check_path(path, "folder"))
        self.recipe: bytes = json.dumps({"version": __version__, **recipe}, sort_keys=True).encode()

    def _place(self, table: Any) -> Path:
        pa = arrow()
        sink = _Hash(self.recipe)
        with pa.PythonFile(sink, mode="w") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)
        return self.path / f"groups-{sink.digest.hexdigest()[:32]}.arrow"

    def read(self, table: Any) -> Any:
        """The result of a part, or None.

        Raises
        ------
        FormatError
            The file is damaged.
        """
        pa, place = arrow(), self._place(table)
        if not place.exists():
            return None
        try:
            return pa.ipc.open_file(pa.py_buffer(place.read_bytes())).read_all()
        except pa.ArrowException as error:
            raise FormatError(str(place), "results of a part", str(error), "damaged? delete it") from error

    def write(self, table: Any, result: Any) -> None:
        """Keep a part's result; there whole or not at all."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (
            replacing(self._place(table)) as draft,
            draft.open("wb") as file,
            arrow().ipc.new_file(file, result.schema) as writer,
        ):
            writer.write_table(result)


class _Hash:
    """A file that keeps the digest of what is written to it."""

    closed: bool = False

    def __init__(self, first: bytes) -> None:
        self.digest: Any = hashlib.sha256(first)

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def named(value: Any, within: frozenset[int] = frozenset()) -> str:
    """A function or an object as a recipe tells it from others: its name, and all the values that it holds.

    `within` are the objects that hold it, so that what holds itself has an end.
    """
    if id(value) in within:
        return "..."
    inner = functools.partial(named, within=within | {id(value)})
    if isinstance(value, np.ndarray):
        data = hashlib.sha256(np.ascontiguousarray(value)).hexdigest()
        return f"array({value.dtype.str}, {value.shape}, {data})"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(inner, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name!r}: {inner(one)}' for name, one in value.items())}}}"
    if isinstance(value, functools.partial):
        return f"{inner(value.func)}(*{inner(value.args)}, **{inner(value.keywords)})"
    if (owner := getattr(value, "__self__", None)) is not None and not inspect.ismodule(owner):
        return f"{inner(owner)}.{value.__name__}"
    if inspect.ismodule(value):
        return value.__name__
    # Without its module: a script's own is another one in the processes that it starts.
    if (name := getattr(value, "__qualname__", None)) is not None:
        held = _held(value) if inspect.isfunction(value) else {}
        return name + inner(held) if held else name
    return type(value).__qualname__ + inner(vars(value)) if hasattr(value, "__dict__") else repr(value)


def _held(function: Any) -> dict[str, Any]:
    """What a function has taken from the one around it, and what its arguments are if they are left out."""
    defaults = inspect.signature(function).parameters.values()
    own = {one.name: one.default for one in defaults if one.default is not one.empty}
    return own | dict(inspect.getclosurevars(function).nonlocals)


def check_progress(value: Any) -> Any:
    """A function of a GroupRun, or None."""
    if value is not None and not callable(value):
        raise ArgumentError("progress", "a function of a GroupRun, such as print, or None", repr(value)[:80])
    return value


def text_of(error: Exception) -> str:
    """An error as it stands in a row."""
    return f"{type(error).__name__}: {error}"


def in_task(work: Callable[[Any], Any], table: Any) -> Any:
    """What `work` makes of a table, with the threads that an engine has given to the task."""
    with limited(given_threads()):
        return work(table)
