# SPDX-License-Identifier: MIT
"""The processes that systems run in, kept from row to row, and the one that knows what is right.

A process waits in a read between its turns, so that it takes no processor from the others.
"""

import os
import pathlib
import sys
import time
from typing import Any

import numpy as np

from . import peers
from .cases import Case
from .process import PeerError, Process
from .worker import Station

SETTLE_SECONDS = 0.25
"""Longest wait for a system's threads to fall asleep: more than the 200 ms that Intel's OpenMP spins by default."""
LOOK_SECONDS = 0.0005
"""Between two looks at a system's threads."""


class Remote(Process):
    """A `Station` in a process of its own, with the environment its system wants."""

    def __init__(self, name: str, threads: int, isa: str = "") -> None:
        # The same import path as here, whatever put it together, as multiprocessing does.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        environment.update(peers.environment(name, threads, isa))
        super().__init__([sys.executable, "-m", "rnncore.bench.worker", name], environment)

    def settle(self) -> None:
        """Wait until no thread of the process runs, `SETTLE_SECONDS` at most.

        Thread pools go on spinning for a while after a call, and an idle neighbour whose pool spins slows others
        down several times. Where the system does not tell, the whole time is waited.
        """
        end = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < end and running(self.process.pid) != 0:
            time.sleep(LOOK_SECONDS)


class Local:
    """A `Station` in this process: for tests, debuggers and profilers. Thread environment variables come too
    late."""

    def __init__(self, name: str, threads: int) -> None:
        self.station: Station = Station(name)

    def call(self, method: str, *arguments: Any, timeout: float | None = None) -> Any:
        """Call a method of the station; its own exceptions come through."""
        return getattr(self.station, method)(*arguments)

    def settle(self) -> None:
        """Nothing: the caller shares the threads."""

    def close(self) -> None:
        """Forget the station."""
        self.station.peer = None


def running(pid: int) -> int | None:
    """How many threads of a process run or are ready to; None where the system does not tell."""
    found = 0
    try:
        for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
            # The state follows the name, which is in parentheses and may hold any character.
            found += (thread / "stat").read_text().rpartition(")")[2].split()[0] == "R"
    except OSError:
        return None
    return found


class Stations:
    """Processes of systems, kept between rows of the same number of threads, and a judge that knows what is right.

    Use as a context manager: it ends the processes.
    """

    def __init__(self, *, isa: str = "", in_process: bool = False) -> None:
        """`isa` is an instruction set of `peers.HELD` that systems are held to."""
        self.isa = isa
        self.in_process = in_process
        self.open: dict[str, Any] = {}
        self.judge: Any = None
        self.threads: int = 0
        self.right: tuple[str, dict[str, np.ndarray]] = ("", {})

    def __enter__(self) -> "Stations":
        return self

    def __exit__(self, *exception: object) -> None:
        self._close_all()
        self._close_judge()

    def use_threads(self, threads: int) -> None:
        """End the processes of another number of threads: most systems take theirs once, at import."""
        if threads != self.threads:
            self._close_all()
            self.threads = threads

    def station(self, name: str) -> Any:
        """A system's process, started if need be."""
        if name not in self.open:
            self.open[name] = self._start(name, self.threads, self.isa)
        return self.open[name]

    def settle(self) -> None:
        """Wait until the threads of all systems sleep, or for as long as is waited for one that does not."""
        for station in self.open.values():
            station.settle()

    def close(self, name: str) -> None:
        """End a system's process, where there is one."""
        station = self.open.pop(name, None)
        if station is not None:
            station.close()

    def expected(self, case: Case) -> dict[str, np.ndarray]:
        """What is right, by a process that is never timed. PeerError where it fails; the next one is another's."""
        if self.right[0] != case.problem_name:
            if self.judge is None:
                self.judge = self._start("numpy", os.cpu_count() or 1)
            try:
                self.right = (case.problem_name, self.judge.call("expected", case))
            except PeerError:
                self._close_judge()
                raise
        return self.right[1]

    def pids(self) -> list[int]:
        """The processes that are there now, the judge's among them."""
        every = [*self.open.values(), *([self.judge] if self.judge else [])]
        return [station.process.pid for station in every if isinstance(station, Remote)]

    def _start(self, name: str, threads: int, isa: str = "") -> Any:
        return Local(name, threads) if self.in_process else Remote(name, threads, isa)

    def _close_all(self) -> None:
        for name in list(self.open):
            self.close(name)

    def _close_judge(self) -> None:
        if self.judge is not None:
            self.judge.close()
            self.judge = None
