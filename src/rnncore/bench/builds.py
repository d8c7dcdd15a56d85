# SPDX-License-Identifier: MIT
"""Two builds of rnncore, each imported by an interpreter of its own, timed against each other.

A case is timed in short blocks, one of each build after the other, in random order; the two blocks of a pair are
milliseconds apart, so what the machine does in the meantime hits both. A block's time is that of its fastest burst,
which leaves out what interruptions add; a case's figure is the mean over the starts of the median over the pairs of
new / old. All cases are timed in several starts of both processes: where memory comes to lie, which moves small cases
by 1 or 2 %, is drawn anew, and the starts are what intervals are made of (`study.statistics`, extra `study`).
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .cases import STEP_INPUTS, Case, make_problem
from .process import Process
from .report import text_table

WORKER = pathlib.Path(__file__).with_name("build_worker.py")
BURST_SECONDS = 1e-3
"""Shorter bursts would time the clock, longer ones would rarely pass without an interruption."""
MOST_BURSTS = 20
FEWEST_BURSTS = 3


@dataclasses.dataclass(frozen=True)
class Row:
    """What one case gave.

    Attributes
    ----------
    group : str
        The set.
    case : Case
    times : ndarray (blocks, 2)
        Seconds of a run, old and new.
    starts : ndarray (blocks,)
        Which start of the processes a block belongs to.
    same_bits : bool
        Whether both builds gave the same outputs (in training: and gradients), to the last bit.
    """

    group: str
    case: Case
    times: np.ndarray
    starts: np.ndarray
    same_bits: bool

    @property
    def ratios(self) -> np.ndarray:
        """New over old of each pair of blocks, (blocks,): above 1 the new build is slower."""
        return self.times[:, 1] / self.times[:, 0]


@dataclasses.dataclass(frozen=True)
class Plan:
    """Which builds are compared, and how long.

    Attributes
    ----------
    old, new : path
        Interpreters that import them.
    blocks : int
        Pairs of blocks of a case, all starts together.
    starts : int
        How often both processes are started.
    seconds : float
        Length of a block. A case costs about 2 * blocks * seconds; calls above `seconds` cost more.
    seed : int
        Of the order within the pairs.
    """

    old: pathlib.Path
    new: pathlib.Path
    blocks: int = 15
    starts: int = 3
    seconds: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.starts <= self.blocks or not self.seconds > 0:
            raise ValueError(
                "starts, blocks and seconds: expected 1 <= starts <= blocks and seconds above 0, got "
                f"{self.starts}, {self.blocks}, {self.seconds}"
            )
        for python in (self.old, self.new):
            if not os.access(python, os.X_OK) or python.is_dir():
                raise ValueError(f"build: expected a Python interpreter, got {str(python)!r}")

    def shares(self) -> list[int]:
        """Blocks of each start."""
        return [len(part) for part in np.array_split(np.arange(self.blocks), self.starts)]


class Pair:
    """Both builds, each in a process of its own. A context; leaving it ends them."""

    def __init__(self, plan: Plan) -> None:
        self.seconds: float = plan.seconds
        # A path into this package would lead both interpreters to one and the same build.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        # abspath, not resolve: an interpreter finds its environment beside the link that it was called by.
        self.processes: list[Process] = [
            Process([os.path.abspath(python), "-P", str(WORKER)], environment)
            for python in (plan.old, plan.new)
        ]

    def __enter__(self) -> "Pair":
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self.processes:
            process.close()

    def describe(self) -> list[dict[str, str]]:
        """Version, place and instruction set of both."""
        return [process.call("describe") for process in self.processes]

    def time(self, case: Case, blocks: int, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
        """Seconds of a run in each block, (blocks, 2), and whether both gave the same bits."""
        problem = make_problem(case)
        numbers = {"params": problem.params, "x": problem.x, "dy": problem.dy, "lengths": None}
        if case.ragged:
            numbers["lengths"] = case.lengths()
        digests = [process.call("prepare", dataclasses.asdict(case), numbers) for process in self.processes]
        clocks = [functools.partial(process.call, "time") for process in self.processes]
        return interleaved(clocks, blocks, self.seconds, rng), digests[0] == digests[1]


def interleaved(
    clocks: Sequence[Callable[[int, int], float]], blocks: int, seconds: float, rng: np.random.Generator
) -> np.ndarray:
    """Time several things in turns.

    Parameters
    ----------
    clocks : sequence of callable
        `build_worker.Build.time` of each.
    blocks : int
    seconds : float
        Length of a block.
    rng : numpy.random.Generator
        Of the order within a turn.

    Returns
    -------
    ndarray (blocks, len(clocks))
        Seconds of a run.
    """
    repeats, bursts = _sizes(clocks[0], seconds)
    times = np.empty((blocks, len(clocks)))
    for block in range(blocks):
        for index in rng.permutation(len(clocks)):
            times[block, index] = clocks[index](repeats, bursts)
    return times


def _sizes(clock: Callable[[int, int], float], seconds: float) -> tuple[int, int]:
    """Runs in a burst and bursts in a block, the same for all that take turns."""
    repeats = 1
    while (once := clock(repeats, 1)) * repeats < BURST_SECONDS / 2:
        repeats *= 2
    repeats = max(1, round(BURST_SECONDS / once))
    return repeats, int(np.clip(seconds / (once * repeats), FEWEST_BURSTS, MOST_BURSTS))


def measure(
    plan: Plan, rows: Sequence[tuple[str, Case]], *, tick: Callable[[str], None] = lambda text: None
) -> list[Row]:
    """Time all rows; `tick` is called once for each row of each start."""
    rng = np.random.default_rng(plan.seed)
    times: list[list[np.ndarray]] = [[] for _ in rows]
    same = [True] * len(rows)
    for blocks in plan.shares():
        with Pair(plan) as pair:
            for index, (_, case) in enumerate(rows):
                found, equal = pair.time(case, blocks, rng)
                times[index].append(found)
                same[index] &= equal
                tick(case.name)
    starts = np.repeat(np.arange(plan.starts), plan.shares())
    return [
        Row(group, case, np.concatenate(parts), starts, equal)
        for (group, case), parts, equal in zip(rows, times, same, strict=True)
    ]


def describe(plan: Plan) -> list[dict[str, str]]:
    """Version, place and instruction set of old and new."""
    with Pair(plan) as pair:
        return pair.describe()


def comparable(rows: Sequence[tuple[str, Case]]) -> list[tuple[str, Case]]:
    """The rows that call layers alone, in float32 or float64: all else has moved between builds."""
    return [(group, case) for group, case in rows if case.mode != "fit" and not case.store]


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Geometric mean over cases, with a 95 % interval.

    Returns
    -------
    dict
        ``ratio``, ``low``, ``high``, ``cases``.
    """
    import pandas as pd

    from .study import statistics

    blocks = [
        pd.DataFrame({"case": index, "preparation": row.starts, "value": row.ratios})
        for index, row in enumerate(rows)
    ]
    found = statistics.geometric_mean(statistics.estimates(pd.concat(blocks), ["case"]))
    return {**{name: found[name] for name in ("ratio", "low", "high")}, "cases": len(rows)}


def table(rows: Sequence[Row], moved: float) -> str:
    """The comparison, for people: a line per case and one per set, marks where more than `moved` has changed."""
    lines, groups = [], list(dict.fromkeys(row.group for row in rows))
    for group in groups:
        part = [row for row in rows if row.group == group]
        lines += [line_of(row, moved) for row in part] + [_group_line(group, part, moved), [""] * 6]
    head = ["case", "old", "new", "new / old", "95 %", ""]
    return text_table(head, lines[:-1])


def line_of(row: Row, moved: float) -> list[str]:
    """Cells of a case's line."""
    old, new = (f"{1e6 * value:.4g} us" for value in _seconds(row))
    found = summarise([row])
    notes = [_mark(found, moved), "" if row.same_bits else "other bits"]
    return [
        row.case.name, old, new, f"{found['ratio']:.3f}", _interval(found), ", ".join(filter(None, notes))
    ]  # fmt: skip


def _group_line(group: str, rows: Sequence[Row], moved: float) -> list[str]:
    found = summarise(rows)
    name = f"{group}, geometric mean of {found['cases']}"
    return [name, "", "", f"{found['ratio']:.3f}", _interval(found), _mark(found, moved)]


def _seconds(row: Row) -> np.ndarray:
    """Medians of old and new; of a stream those of one step."""
    return np.median(row.times, axis=0) / (STEP_INPUTS if row.case.mode == "step" else 1)


def _interval(found: dict[str, Any]) -> str:
    return f"{found['low']:.3f} - {found['high']:.3f}"


def _mark(found: dict[str, Any], moved: float) -> str:
    """A change counts when the ratio is beyond `moved` and its interval does not hold 1."""
    if found["ratio"] > 1 + moved and found["low"] > 1:
        return "slower"
    return "faster" if found["ratio"] < 1 / (1 + moved) and found["high"] < 1 else ""


def slower(rows: Sequence[Row], moved: float) -> list[str]:
    """Sets whose geometric mean says that the new build is slower by more than `moved`."""
    groups = list(dict.fromkeys(row.group for row in rows))
    return [
        group
        for group in groups
        if _mark(summarise([row for row in rows if row.group == group]), moved) == "slower"
    ]
