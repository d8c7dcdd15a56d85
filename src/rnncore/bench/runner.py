# SPDX-License-Identifier: MIT
"""Runs rows: every system in a process of its own, interleaved in rounds, checked before it is timed.

A process waits in a read between its bursts, so that it takes no processor from the others. Thread pools go
on spinning for a while after a call (measured: an idle neighbour with a spinning pool slows others 2.6 to 11
times); with more than one thread there is a pause between bursts for them to fall asleep.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import limits as limits_module
from . import oracle, peers, stats
from .cases import Case
from .process import PeerError
from .stations import Stations

PAUSE_SECONDS = 0.25
"""Between bursts with several threads: longer than the 200 ms that Intel's OpenMP spins by default."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long and how often to measure.

    Attributes
    ----------
    systems : names in `peers.PEERS`
    seconds : measuring time per system and row, all rounds together
    rounds : interleaved rounds per row
    pause : seconds between bursts with more than one thread
    in_process : no processes of their own
    isa : instruction set of `peers.HELD` that the systems are held to, each by its own switch
    """

    systems: Sequence[str]
    seconds: float = 1.0
    rounds: int = 10
    pause: float = PAUSE_SECONDS
    in_process: bool = False
    isa: str = ""

    def __post_init__(self) -> None:
        for name in self.systems:
            if name not in peers.PEERS:
                raise ValueError(f"peer: expected one of {list(peers.PEERS)}, got {name!r}")
        if self.isa not in peers.HELD or (self.isa and self.in_process):
            raise ValueError(
                f"isa: expected one of {list(peers.HELD)}, and processes of their own, got {self.isa!r}"
            )
        if not self.systems:
            raise ValueError("peers: expected at least one that is installed, got none")
        if self.rounds < 1 or not self.seconds > 0 or not self.pause >= 0:
            raise ValueError(
                "rounds and seconds: expected above 0, and pause at least 0, got "
                f"{self.rounds}, {self.seconds}, {self.pause}"
            )


class Runner:
    """Measures rows one after the other and keeps the processes between rows of the same number of
    threads."""

    def __init__(self, plan: Plan, tick: Callable[[str], None] = lambda text: None) -> None:
        """`tick` is called after every burst with a short text, for a progress bar."""
        self.plan = plan
        self.tick = tick
        self.stations: Stations = Stations(isa=plan.isa, in_process=plan.in_process)

    def __enter__(self) -> "Runner":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stations.__exit__(*exception)

    def ticks(self, rows: int) -> int:
        """How often `tick` will be called for so many rows."""
        return rows * self.plan.rounds * len(self.plan.systems)

    def row(self, group: str, case: Case, limits: limits_module.Limits | None = None) -> dict[str, Any]:
        """Measure one row.

        Returns
        -------
        dict
            Plain data: ``set``, ``name`` (of the case), ``limit`` (seconds or None) and ``systems``, a list of
            dictionaries with ``name``, ``ours``, ``version``, ``status`` ("ok", "wrong", "failed",
            "refused"), ``reason``, ``error`` (largest relative error) and, where timed, what
            `stats.summarise` gives, ``busy``, ``fraction`` of the limit, ``ratio`` to ``best_other``.
        """
        self.stations.use_threads(case.threads)
        systems = [self._prepare(name, case) for name in self.plan.systems]
        ready = [system for system in systems if system["status"] == "ok"]
        limits_now = self._measure(case, ready, limits)
        for _ in range(self.plan.rounds * (len(systems) - len(ready))):
            self.tick(case.name)
        limit = float(np.median(limits_now)) if limits_now else None
        stats.add_ratios(systems)
        for system in systems:
            timed = system["status"] == "ok" and limits_now
            system["fraction"] = stats.paired_ratio(limits_now, system["rounds"]) if timed else None
        return {
            "set": group,
            "name": case.name,
            "limit": limit,
            "systems": systems,
        }

    def _prepare(self, name: str, case: Case) -> dict[str, Any]:
        kind = peers.load(name)
        system = {"name": name, "ours": kind.ours, "version": "", "status": "ok", "reason": "", "error": None}
        refusal = kind.refusal(case, self.plan.isa)
        if refusal:
            return {**system, "status": "refused", "reason": refusal}
        right = self.stations.expected(case)
        try:
            station = self.stations.station(name)
            system["version"] = station.call("version")
            station.call("prepare", case)
            system["error"] = oracle.largest_error(station.call("check"), right)
        except PeerError as error:
            return self._failed(system, error)
        if not system["error"] <= oracle.bound(case):
            return {
                **system,
                "status": "wrong",
                "reason": f"error {system['error']:.1e} > {oracle.bound(case):.0e}",
            }
        return system

    def _failed(self, system: dict[str, Any], error: Exception) -> dict[str, Any]:
        self.stations.close(system["name"])
        system.update(status="failed", reason=str(error))
        return system

    def _measure(
        self, case: Case, systems: list[dict[str, Any]], limits: limits_module.Limits | None
    ) -> list[float]:
        """Time the systems in rounds; return the limit (seconds), measured again in each round."""
        limits_now = []
        calls: dict[str, list[np.ndarray]] = {system["name"]: [] for system in systems}
        busy: dict[str, list[float]] = {system["name"]: [] for system in systems}
        for number in range(self.plan.rounds):
            if limits:
                limits_now.append(limits_module.limit_now(case, limits))
            # Every second round backwards: what a neighbour leaves in the caches hits all alike.
            for system in systems if number % 2 == 0 else systems[::-1]:
                name = system["name"]
                if system["status"] == "ok":
                    try:
                        burst = self.stations.station(name).call(
                            "measure", self.plan.seconds / self.plan.rounds
                        )
                        calls[name].append(burst["calls"])
                        busy[name].append(burst["busy"])
                    except PeerError as error:
                        self._failed(system, error)
                    if case.threads > 1:
                        time.sleep(self.plan.pause)
                self.tick(f"{case.name} {name}")
        for system in systems:
            if system["status"] == "ok":
                system.update(
                    stats.summarise(calls[system["name"]]), busy=float(np.median(busy[system["name"]]))
                )
        return limits_now
