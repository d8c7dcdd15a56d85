# SPDX-License-Identifier: MIT
"""What a study measures and how long: profiles, and rows that are listed, shortened, left out or measured."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import peers, shapes
from ..cases import Case
from ..limits import Limits, limit_seconds

SETS = (
    "device", "server", "training", "deepcpu", "trading", "small", "odd", "ragged", "train", "real", "int8"
)  # fmt: skip
"""Sets of `shapes.SETS` that are measured unless others are named."""
NOMINAL = Limits(
    "nominal",
    {"nominal/float32/1": 1e11, "nominal/float64/1": 5e10},
    {"1": [(2.0**20, 1e11), (2.0**22, 2.5e10)]},
)
"""A core that no machine is: a row's steps are shortened by it, so that all machines measure the same rows."""
LEAST_STEPS = 8
"""Steps are not shortened below: the input product of all steps together would weigh too much."""
LEAST_BLOCKS = 2
MEMORY_PART = 0.5
"""Of the machine's memory that a row's systems may fill together."""
COPIES = 3
"""Copies of weights and arrays that a system holds, about: the problem, its own, and what a call makes."""


@dataclasses.dataclass(frozen=True)
class Profile:
    """How much is measured.

    Attributes
    ----------
    name : str
    blocks : int
        Accepted blocks of a row.
    preparations : int
        How often systems are built anew for a row, each time for an equal share of its blocks.
    seconds : float
        Of one system's calls in a block; one call at least.
    cap_seconds : float
        Longest call, on the `NOMINAL` core, of a row that is measured; its steps are shortened to fit.
    slow_seconds : float
        A system whose call takes longer is left out of the row, and says so.
    rows : dict or None
        Set to the number of rows measured of it, spread evenly over its list; None measures all.
    """

    name: str
    blocks: int
    preparations: int
    seconds: float
    cap_seconds: float
    slow_seconds: float
    rows: dict[str, int] | None = None


PROFILES = {
    "quick": Profile(
        "quick", 30, 5, 0.010, 0.010, 0.25,
        {"device": 3, "server": 6, "training": 2, "deepcpu": 3, "trading": 4, "small": 5, "odd": 4, "ragged": 2,
         "train": 4, "real": 4, "int8": 4},
    ),
    "full": Profile("full", 30, 5, 0.020, 0.060, 1.5),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of ``rows.csv``: a row that is measured, or why it is not."""

    group: str
    case: Case
    listed_steps: int
    reason: str = ""

    @property
    def status(self) -> str:
        """``measured`` or ``skipped``."""
        return "skipped" if self.reason else "measured"


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that decides what a study measures.

    Attributes
    ----------
    profile : Profile
    systems : names in `peers.PEERS`
    threads : numbers of threads, rising
    sets : names in `shapes.SETS`
    match : only rows whose name contains this
    seed : of the order of systems in blocks, and of where preparations put their arrays
    """

    profile: Profile
    systems: Sequence[str]
    threads: Sequence[int] = (1,)
    sets: Sequence[str] = SETS
    match: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.systems:
            if name not in peers.PEERS:
                raise ValueError(f"systems: expected some of {list(peers.PEERS)}, got {name!r}")
        if not self.systems:
            raise ValueError("systems: expected at least one that is installed, got none")
        if len(set(self.systems)) < len(self.systems):
            raise ValueError(f"systems: expected each once, got {', '.join(self.systems)}")
        profile = self.profile
        if profile.blocks < LEAST_BLOCKS or not 1 <= profile.preparations <= profile.blocks:
            raise ValueError(
                f"blocks and preparations: expected at least {LEAST_BLOCKS} blocks and at most as many preparations, "
                f"got {profile.blocks} and {profile.preparations}"
            )
        if not (profile.seconds > 0 and profile.cap_seconds > 0):
            raise ValueError(
                f"seconds and cap: expected above 0, got {profile.seconds} and {profile.cap_seconds}"
            )

    def settings(self) -> dict[str, Any]:
        """Plain data; a study goes on only under the same."""
        profile = dataclasses.asdict(self.profile)
        profile["profile"] = profile.pop("name")
        lists = {name: list(getattr(self, name)) for name in ("threads", "sets", "systems")}
        return {**profile, **lists, "match": self.match, "seed": self.seed}

    def rows(self, memory: float = float("inf")) -> list[Row]:
        """All listed rows, each with what becomes of it, for a machine with so many bytes of memory."""
        found: list[Row] = []
        taken: dict[str, str] = {}
        for count in self.threads:
            for group in self.sets:
                listed = [case for _, case in shapes.select([group], [count], match=self.match)]
                rows = [self._fit(group, case, memory) for case in listed]
                chosen = self._chosen(group, _distinct(rows, group, taken))
                taken |= {row.case.name: group for row in chosen if not row.reason}
                found += chosen
        return found

    def _fit(self, group: str, case: Case, memory: float) -> Row:
        """The row, its steps shortened if need be, or the reason why it is left out."""
        cap = self.profile.cap_seconds
        fits = shortened(case, cap)
        if fits is None:
            shortest = dataclasses.replace(case, T=min(case.T, LEAST_STEPS))
            needs = (
                f"a call of {shortest.T} steps takes {nominal_seconds(shortest):.2g} s on the nominal core"
            )
            return Row(group, case, case.T, f"{needs}, more than the cap of {cap:g} s")
        needed = COPIES * bytes_of(fits) * len(self.systems)
        if needed > MEMORY_PART * memory:
            return Row(
                group, case, case.T, f"{len(self.systems)} systems need about {needed / 2**30:.1f} GiB"
            )
        return Row(group, fits, case.T)

    def _chosen(self, group: str, rows: list[Row]) -> list[Row]:
        limit = (self.profile.rows or {}).get(group)
        measured = [index for index, row in enumerate(rows) if not row.reason]
        if limit is None or len(measured) <= limit:
            return rows
        kept = {measured[i] for i in np.linspace(0, len(measured) - 1, limit).round().astype(int)}
        reason = f"not in the profile {self.profile.name}, which measures {limit} rows of this set"
        return [
            row if row.reason or index in kept else dataclasses.replace(row, reason=reason)
            for index, row in enumerate(rows)
        ]


def _distinct(rows: Iterable[Row], group: str, taken: Mapping[str, str]) -> list[Row]:
    """Leave out rows whose name, once shortened, is `taken` (name to set) or that of a row before.

    A row that is left out keeps the name that it has in its list.
    """
    found, names = [], dict(taken)
    for row in rows:
        name = row.case.name
        if not row.reason and name in names:
            whole = dataclasses.replace(row.case, T=row.listed_steps)
            row = Row(group, whole, row.listed_steps, f"stands as {name} in the set {names[name]}")
        elif not row.reason:
            names[name] = group
        found.append(row)
    return found


def nominal_seconds(case: Case) -> float:
    """Seconds of a call on one `NOMINAL` core."""
    return limit_seconds(dataclasses.replace(case, threads=1), NOMINAL)


def shortened(case: Case, cap: float) -> Case | None:
    """The case with as many of its steps as keep a call within `cap` nominal seconds; None when `LEAST_STEPS` do not.

    Steps are cut to two digits.
    """
    if nominal_seconds(case) <= cap:
        return case
    low, high = 0, case.T
    while high - low > 1:
        middle = (low + high) // 2
        fits = nominal_seconds(dataclasses.replace(case, T=middle)) <= cap
        low, high = (middle, high) if fits else (low, middle)
    unit = 10 ** max(0, len(str(low)) - 2)
    steps = low // unit * unit
    return dataclasses.replace(case, T=steps) if steps >= LEAST_STEPS else None


def bytes_of(case: Case) -> int:
    """Bytes of weights, inputs and outputs, and of gates that training keeps, about."""
    wide = case.I + case.D * case.H * (2 + (8 if case.trains else 0) * case.L)
    weights = sum(int(np.prod(shape)) for shape in case.parameter_shapes().values())
    return case.itemsize * (weights * (3 if case.trains else 1) + case.T * case.N * wide)
