# SPDX-License-Identifier: MIT
"""Measures one row: systems built anew several times, blocks in which each has one turn in random order, blocks that
were disturbed again."""

import collections
import dataclasses
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import oracle, peers, stats
from ..cases import Case
from ..process import PeerError, PeerTimeout
from ..stations import Stations
from .conditions import Conditions, Probe, disturbed
from .plan import Plan, Row

ATTEMPTS = 3
"""At one block; the last is accepted whatever disturbs it."""
REPEATED_PART = 0.5
"""Of a row's blocks that may be repeated: on a machine that is never quiet a study ends, too."""
WARM_PART = 0.25
"""Of a turn's seconds that untimed calls before it may take; one call at least."""
RESTARTED = ("rnncore", "rnncore-again")
"""Systems that get a new process with every preparation, so that our figures do not stand for one placement of code and
libraries in memory. The others start slowly."""
PREPARE_SECONDS = 120.0
CALL_SECONDS = 60.0
"""Longest wait for a system that is built, and one that has its turn; then its process is ended."""
SLOW_TRIES = 3
"""A system is too slow for a row when the best of so many calls is."""
STRIKES = 3
"""Rows in which a system did not answer, after which it is not asked again."""
SYSTEM_COLUMNS = (
    "system", "status", "reason", "version", "error", "first_call", "memory", "calls", "p50", "p99", "p999"
)  # fmt: skip


@dataclasses.dataclass
class Attempt:
    """One attempt at a block: what each system took, and the conditions."""

    block: int
    preparation: int
    attempt: int
    turns: dict[str, dict[str, Any]]
    conditions: Conditions
    accepted: bool = True


def middle(calls: np.ndarray) -> float:
    """Mean of the middle half of seconds; of three the median.

    Robust as the median is, without its steps: a clock may count in tens of nanoseconds, and a call take a hundred.
    """
    outside = (len(calls) + 1) // 4
    return float(np.sort(calls)[outside : len(calls) - outside].mean())


class Blocks:
    """Measures rows; keeps the processes from row to row. Use as a context manager."""

    def __init__(
        self,
        plan: Plan,
        stations: Stations,
        probe: Probe,
        tick: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`tick` is called after every accepted block with a short text."""
        self.plan = plan
        self.stations = stations
        self.probe = probe
        self.tick = tick
        self.strikes: collections.Counter[str] = collections.Counter()

    def row(self, row: Row) -> dict[str, Any]:
        """Measure a row.

        Returns
        -------
        dict
            ``systems``: a dictionary per system with `SYSTEM_COLUMNS`; ``attempts``: the attempts at blocks as plain
            data, `dataclasses.asdict` of `Attempt`; ``kept``: how many blocks were accepted though disturbed.
        """
        case, profile = row.case, self.plan.profile
        self.stations.use_threads(case.threads)
        systems = {name: self._entry(name, case) for name in self.plan.systems}
        attempts: list[Attempt] = []
        kept = 0
        shares = np.array_split(np.arange(profile.blocks), profile.preparations)
        for preparation, share in enumerate(shares):
            for system in systems.values():
                if system["status"] == "ok":
                    self._prepare(system, case, preparation)
            if preparation == 0:
                self._gate(systems, case)
            self.stations.settle()
            kept += self._share(systems, case, preparation, [int(block) for block in share], attempts)
            for system in systems.values():
                if preparation == 0 and system["status"] == "ok":
                    self._first(system)
        return {
            "systems": [self._summary(system, attempts) for system in systems.values()],
            "attempts": [dataclasses.asdict(attempt) for attempt in attempts],
            "kept": kept,
        }

    def _entry(self, name: str, case: Case) -> dict[str, Any]:
        kind = peers.load(name)
        entry = {**dict.fromkeys(SYSTEM_COLUMNS), "system": name, "status": "ok", "reason": ""}
        entry["version"] = kind.version()
        reason = kind.refusal(case)
        if not reason and self.strikes[name] >= STRIKES:
            reason = f"did not answer in {STRIKES} rows"
        return {**entry, "status": "refused", "reason": reason} if reason else entry

    def _prepare(self, system: dict[str, Any], case: Case, preparation: int) -> None:
        """Build a system for the case, from the second time on at other addresses."""
        name = system["system"]
        if name in RESTARTED:
            self.stations.close(name)
        place = (
            zlib.crc32(f"{self.plan.seed} {case.name} {name} {preparation}".encode()) if preparation else 0
        )
        self._ask(system, "prepare", case, place, timeout=PREPARE_SECONDS)
        if preparation:
            # Some systems compile at the first call: that belongs into no block.
            self._ask(system, "measure", 0.0, 0.0, timeout=PREPARE_SECONDS)

    def _gate(self, systems: dict[str, dict[str, Any]], case: Case) -> None:
        """Mark the systems whose outputs are wrong, and those that are too slow to have their turns."""
        try:
            right = self.stations.expected(case)
        except PeerError as error:
            for system in systems.values():
                if system["status"] == "ok":
                    system.update(status="failed", reason=f"nothing to check it against: {error}")
            return
        for system in systems.values():
            outputs = self._ask(system, "check", timeout=PREPARE_SECONDS)
            if outputs is None:
                continue
            try:
                system["error"] = oracle.largest_error(outputs, right)
            except KeyError as error:
                system.update(status="wrong", reason=f"no output {error}")
                continue
            if not system["error"] <= oracle.bound(case):
                reason = f"error {system['error']:.1e} > {oracle.bound(case):.0e}"
                system.update(status="wrong", reason=reason)
                continue
            self._leave_out_if_slow(system)

    def _leave_out_if_slow(self, system: dict[str, Any]) -> None:
        slow, seconds = self.plan.profile.slow_seconds, []
        while len(seconds) < SLOW_TRIES and (not seconds or min(seconds) > slow):
            turn = self._ask(system, "measure", 0.0, 0.0, timeout=CALL_SECONDS)
            if turn is None:
                return
            seconds.append(float(turn["calls"].min()))
        if min(seconds) > slow:
            system.update(status="refused", reason=f"a call takes {min(seconds):.2g} s, more than {slow:g} s")

    def _first(self, system: dict[str, Any]) -> None:
        first = self._ask(system, "first_call", timeout=CALL_SECONDS)
        if first is not None:
            system.update(first_call=first["seconds"], memory=first["memory"])

    def _share(
        self,
        systems: dict[str, dict[str, Any]],
        case: Case,
        preparation: int,
        blocks: list[int],
        attempts: list[Attempt],
    ) -> int:
        """Measure the blocks of one preparation, the disturbed ones again; how many were accepted all the same."""
        kept = 0
        for number in range(ATTEMPTS):
            made = [self._block(systems, case, block, preparation, number) for block in blocks]
            attempts += made
            conditions = [attempt.conditions for attempt in attempts]
            again = []
            for attempt in made:
                repeated = sum(not one.accepted for one in attempts)
                may = number + 1 < ATTEMPTS and repeated < REPEATED_PART * self.plan.profile.blocks
                bad = disturbed(attempt.conditions, conditions)
                attempt.accepted = not (bad and may)
                kept += bad and not may
                if attempt.accepted:
                    self.tick(case.name)
                else:
                    again.append(attempt.block)
            blocks = again
        return kept

    def _block(
        self, systems: dict[str, dict[str, Any]], case: Case, block: int, preparation: int, number: int
    ) -> Attempt:
        """One turn of each system, in an order drawn from seed, row, block and attempt."""
        rng = np.random.default_rng([self.plan.seed, zlib.crc32(case.name.encode()), block, number])
        ready = [system for system in systems.values() if system["status"] == "ok"]
        seconds = self.plan.profile.seconds
        watch = self.probe.start(case, self.stations.pids())
        turns = {}
        for place, index in enumerate(rng.permutation(len(ready))):
            system = ready[index]
            turn = self._ask(system, "measure", seconds, WARM_PART * seconds, timeout=CALL_SECONDS)
            if turn is not None:
                turns[system["system"]] = {"place": place, **turn}
                self.stations.station(system["system"]).settle()
        return Attempt(block, preparation, number, turns, watch.stop())

    def _ask(self, system: dict[str, Any], method: str, *arguments: Any, timeout: float) -> Any:
        """Call a method of a system that is still in; None, and an end of its process, where that fails."""
        if system["status"] != "ok":
            return None
        name = system["system"]
        try:
            return self.stations.station(name).call(method, *arguments, timeout=timeout)
        except PeerError as error:
            self.strikes[name] += isinstance(error, PeerTimeout)
            self.stations.close(name)
            system.update(status="failed", reason=str(error))
            return None

    def _summary(self, system: dict[str, Any], attempts: list[Attempt]) -> dict[str, Any]:
        """The system's line, with the calls of accepted blocks; one that did not live to the end has no times."""
        name = system["system"]
        for attempt in attempts:
            if system["status"] != "ok":
                attempt.turns.pop(name, None)
        parts = [one.turns[name]["calls"] for one in attempts if one.accepted and name in one.turns]
        if parts:
            found = stats.summarise(parts)
            system.update(calls=found["samples"], p50=found["median"], p99=found["p99"], p999=found["p999"])
        for attempt in attempts:
            if name in attempt.turns:
                turn = attempt.turns[name]
                calls = turn.pop("calls")
                turn.update(seconds=middle(calls), calls=len(calls))
        return system
