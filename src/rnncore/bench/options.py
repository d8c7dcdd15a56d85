# SPDX-License-Identifier: MIT
"""What options of cells cost beside the usual cell: the same layer with and without, one thread, taking turns."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from . import builds
from .build_worker import Build
from .cases import STEP_INPUTS, Case, make_problem
from .report import text_table

HARD = ("hard_sigmoid", 0.2, 0.5)
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "lstm": {
        "clip beyond all values": {"clip": 1e6},
        "peepholes": {"peepholes": True},
        "coupled gates": {"coupled": True},
        "hard sigmoid at i f o": {"activations": {"i": HARD, "f": HARD, "o": HARD}},
        "zoneout of h": {"zoneout": 0.1},
        "zoneout of h and c": {"zoneout": 0.1, "zoneout_c": 0.1},
    },
    "gru": {
        "clip beyond all values": {"clip": 1e6},
        "hard sigmoid, softplus": {"activations": {"r": HARD, "z": HARD, "n": "softplus"}},
        "zoneout of h": {"zoneout": 0.1},
    },
    "rnn": {"elu": {"activations": {"h": "elu"}}, "zoneout of h": {"zoneout": 0.1}},
}
"""Cell to name of a row to arguments of the layer."""
PLAIN = "plain"
COLUMNS = {
    "a step of a stream, H = 32": (1, 1, 32, "step"),
    "T = 100, N = 32, H = 128": (100, 32, 128, "sequence"),
    "the same with gradients": (100, 32, 128, "train"),
}
"""Name of a column to (T, N, H, mode)."""


def cases(cell: str) -> list[Case]:
    """A case per column."""
    return [Case(cell, T, N, H, H, mode=mode) for T, N, H, mode in COLUMNS.values()]


def measure(
    cells: Iterable[str] = tuple(OPTIONS),
    *,
    blocks: int = 15,
    seconds: float = 0.02,
    seed: int = 0,
    tick: Callable[[str], None] = lambda text: None,
) -> list[dict[str, Any]]:
    """Rows as `results.save` takes them: a row per cell and column, a system per option and ``plain``.

    ``ratio`` of an option is the median over the blocks of plain / option: below 1 it costs something.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for cell in cells:
        for case in cases(cell):
            rows.append(_row(case, blocks, seconds, rng))
            tick(case.name)
    return rows


def _row(case: Case, blocks: int, seconds: float, rng: np.random.Generator) -> dict[str, Any]:
    problem = make_problem(case)
    numbers = {"params": problem.params, "x": problem.x, "dy": problem.dy, "lengths": None}
    layers = {PLAIN: {}} | OPTIONS[case.cell]
    runs = []
    for options in layers.values():
        runs.append(Build())
        runs[-1].prepare(dataclasses.asdict(case), numbers, options)
    times = builds.interleaved([run.time for run in runs], blocks, seconds, rng)
    times /= STEP_INPUTS if case.mode == "step" else 1
    systems = []
    for index, name in enumerate(layers):
        q1, median, q3 = map(float, np.quantile(times[:, index], (0.25, 0.5, 0.75)))
        ratio = float(np.median(times[:, 0] / times[:, index])) if index else None
        timed = {"median": median, "q1": q1, "q3": q3, "samples": blocks, "ratio": ratio}
        known = {"name": name, "status": "ok", "version": "", "best_other": PLAIN if index else None}
        systems.append({**known, **timed, "reason": ""})
    return {"set": "options", "name": case.name, "limit": None, "systems": systems}


def lines(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the table: cell, option, and how many times as long as the usual cell, by column."""
    ratios = {(row["name"], system["name"]): system["ratio"] for row in rows for system in row["systems"]}
    measured = {row["name"] for row in rows}
    found = []
    for cell, options in OPTIONS.items():
        names = [case.name for case in cases(cell)]
        for option in options if measured & set(names) else ():
            values = [ratios.get((name, option)) for name in names]
            found.append(
                [cell.upper(), option, *("" if value is None else f"{1 / value:.2f}" for value in values)]
            )
    return ["cell", "option", *COLUMNS], found


def table(rows: list[dict[str, Any]]) -> str:
    """The table, for people."""
    return text_table(*lines(rows))
