# SPDX-License-Identifier: MIT
"""The process that one system runs in: builds it, checks it, times it, spoken to over its standard streams.

`Station` does the work and is used directly when no process of its own is wanted.
"""

import functools
import gc
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from . import memory, oracle, peers
from .build_worker import serve
from .cases import Case, make_problem

WARM_BURSTS = 2
"""Untimed calls (of a stream: walks through its inputs) before each burst, to be as in steady use."""
WARM_SECONDS = 0.2
"""...but no more of them once this has passed."""
WALK_SECONDS = 0.05
"""...and a walk ends after this, or the burst's own seconds: a step of a large model takes milliseconds."""
CLOCK_READINGS = 501
PLACE_BLOCKS = 32


def clock_cost() -> float:
    """Seconds between two readings of the clock with nothing between them.

    A mean, since a clock may count in tens of nanoseconds; without the readings that something interrupted.
    """
    clock = time.perf_counter_ns
    gaps = np.empty(CLOCK_READINGS)
    for i in range(CLOCK_READINGS):
        begin = clock()
        gaps[i] = clock() - begin
    return 1e-9 * float(gaps[gaps <= 2 * np.median(gaps)].mean())


def _blocks(place: int) -> list[np.ndarray]:
    """Blocks of memory, each written to, of 16 bytes to 1 MiB, as many as `PLACE_BLOCKS`."""
    sizes = 2 ** np.random.default_rng(place).uniform(4, 20, PLACE_BLOCKS)
    return [np.ones(int(size), np.uint8) for size in sizes]


class Station:
    """One system in this process, one case at a time."""

    def __init__(self, name: str, *, alone: bool = False) -> None:
        """`alone` says that the process has no other use."""
        self.alone = alone
        self.kind: type[peers.Peer] = peers.load(name)
        self.peer: peers.Peer | None = None
        self.ballast: list[np.ndarray] = []
        self.base: int | None = memory.resident()
        self.kind.preload()
        self.first_seconds: float = 0.0

    def prepare(self, case: Case, place: int = 0) -> None:
        """Build the system for a case. The one before is dropped first: two never share the memory.

        Other numbers than 0 for `place` put it elsewhere in memory: blocks of sizes drawn by it take up what the
        one before left.
        """
        self.peer = None
        self.ballast = []
        gc.collect()
        if (
            self.alone
        ):  # what is alive without a peer is the library, which later collections need not look through
            gc.freeze()
        self.ballast = _blocks(place) if place else []
        problem = make_problem(case)
        memory.forget_peak()
        begin = time.perf_counter()
        self.peer = self.kind(case, problem)
        self.first_seconds = time.perf_counter() - begin

    def check(self) -> dict[str, np.ndarray]:
        """Outputs of the part of the case that is checked, in the form of `oracle.expected`."""
        peer = self.peer
        steps, rows = oracle.checked_part(peer.case)
        if peer.case.mode == "train":
            self._first(peer.train)
            return peer.gradients()
        if peer.case.mode == "fit":
            losses = [self._first(peer.fit), *(peer.fit() for _ in range(oracle.FIT_CHECK - 1))]
            return {"losses": np.array(losses, dtype=float)}
        if peer.case.mode == "sequence":
            return {"y": np.array(peer.result(self._first(peer.forward))[:steps, :rows])}
        peer.reset()
        first = self._first(functools.partial(peer.step, peer.problem.x[0])).copy()
        return {"y": np.array([first, *(peer.step(x).copy() for x in peer.problem.x[1:steps])])}

    def _first(self, call: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        result = call()
        self.first_seconds += time.perf_counter() - begin
        return result

    def first_call(self) -> dict[str, float | int | None]:
        """What the case cost at first, after `check`.

        Returns
        -------
        dict
            ``seconds``: of building the system and its first call, in a process that has imported it; ``memory``:
            bytes of the peak from the building to now over what was there before the import (of rnncore itself: over
            an interpreter with NumPy), None where the system does not tell.
        """
        peak = memory.peak()
        # rnncore itself is in this process from the start, and its memory counts as its own.
        base = memory.bare() if self.kind.ours else self.base
        known = base is not None and peak is not None
        return {"seconds": self.first_seconds, "memory": max(peak - base, 0) if known else None}

    def measure(self, seconds: float, warm_seconds: float = WARM_SECONDS) -> dict[str, Any]:
        """Time single calls for about `seconds`, at least one, after `WARM_BURSTS` untimed ones, or as many as begin
        within `warm_seconds`.

        Returns
        -------
        dict
            ``calls``: float64 array of seconds per call, the clock's own cost taken off; ``busy``: processor
            time of the whole process over wall time, which is what the system used of the machine.
        """
        begin = time.perf_counter()
        for _ in range(WARM_BURSTS):
            self._burst(0.0)
            if time.perf_counter() - begin > warm_seconds:
                break
        gc.collect()
        gc.disable()
        try:
            begin, begin_cpu = time.perf_counter(), time.process_time()
            calls = self._burst(seconds)
            busy = (time.process_time() - begin_cpu) / (time.perf_counter() - begin)
            cost = clock_cost()  # here and now: it changes with the processor's clock
        finally:
            gc.enable()
        calls = np.maximum(1e-9 * np.array(calls, dtype=float) - cost, 1e-9)
        return {"calls": calls, "busy": busy}

    def _burst(self, seconds: float) -> list[int]:
        clock = time.perf_counter_ns
        end = clock() + int(1e9 * seconds)
        times = []
        if self.peer.case.mode == "step":
            step, inputs = self.peer.step, list(self.peer.problem.x)
            latest = max(end, clock() + int(1e9 * WALK_SECONDS))
            while True:
                for x in inputs:
                    begin = clock()
                    if begin > latest:
                        return times
                    step(x)
                    times.append(clock() - begin)
                if clock() >= end:
                    return times
        call = {"train": self.peer.train, "fit": self.peer.fit, "sequence": self.peer.forward}[
            self.peer.case.mode
        ]
        while True:
            begin = clock()
            call()
            times.append(clock() - begin)
            if clock() >= end:
                return times

    def expected(self, case: Case) -> dict[str, np.ndarray]:
        """Right answers of a case. Asked of a process that is never timed."""
        return oracle.expected(case, make_problem(case))

    def version(self) -> str:
        """Version of the system."""
        return self.kind.version()


if __name__ == "__main__":
    serve(Station(sys.argv[1], alone=True))
