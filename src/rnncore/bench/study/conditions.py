# SPDX-License-Identifier: MIT
"""What the machine did while a block was measured, and whether that disturbed it.

Beside every block the process that measures runs two loops of its own, one in registers and one that reads weights from
L2, and reads what the system counts: time that a hypervisor took, the clock, what other processes used.
"""

import dataclasses
import os
import pathlib
import statistics
import time
from collections.abc import Iterable, Sequence

from .. import limits
from ..cases import Case

LOOP_SECONDS = 0.002
"""Each loop, before and after a block."""
LIMIT_SECONDS = 0.003
"""Each rate that bounds a row."""
LOOP_FLOPS = 1e9
LOOP_BYTES = 1e9
L2_BYTES = 256 * 1024
"""Weights that the second loop reads: past L1 everywhere, within one core's L2."""
FACTORS = {"register": 1.10, "l2": 1.25}
"""A block is disturbed when a loop takes longer than the row's median times this."""
EXCESS = {"steal": 0.05, "others": 0.25}
"""A block is disturbed when this much more than the row's median is taken: parts of the time, and of a processor."""
TICKS = 2
"""What the system counts in ticks is not judged below so many of them."""
FEWEST = 5
"""Blocks without which a row has no typical value."""
_STAT = pathlib.Path("/proc/stat")
_POWER = pathlib.Path("/sys/class/powercap")


@dataclasses.dataclass(frozen=True)
class Conditions:
    """Of one attempt at a block; None where the machine does not tell.

    Attributes
    ----------
    limit : float or None
        Shortest possible seconds of the row, from rates measured just before.
    register, l2 : float or None
        Seconds of the loops, `LOOP_FLOPS` and `LOOP_BYTES` by all threads together; the slower of before and after.
    steal : float or None
        Part of the processors' time that a hypervisor gave to others.
    clock : float or None
        Hz, the mean of the processors at the end.
    others : float or None
        Processor time of all other processes over the block's time.
    tick : float
        What one tick of the system's counters is of the block's time.
    """

    limit: float | None = None
    register: float | None = None
    l2: float | None = None
    steal: float | None = None
    clock: float | None = None
    others: float | None = None
    tick: float = 0.0


def disturbed(one: Conditions, row: Sequence[Conditions]) -> bool:
    """Whether a block's conditions are beyond the bounds, measured at what is typical of its row.

    Never with fewer than `FEWEST` blocks.
    """
    if len(row) < FEWEST:
        return False
    for name, factor in FACTORS.items():
        value, usual = getattr(one, name), _median(row, name)
        if value is not None and usual is not None and value > factor * usual:
            return True
    for name, excess in EXCESS.items():
        value, usual = getattr(one, name), _median(row, name)
        if value is not None and usual is not None and value - usual > max(excess, TICKS * one.tick):
            return True
    return False


def _median(row: Iterable[Conditions], name: str) -> float | None:
    values = [getattr(one, name) for one in row]
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


class Probe:
    """Measures the conditions of blocks."""

    def __init__(self, bounds: limits.Limits | None) -> None:
        """`bounds` are the machine's limits; without them, or without the extension, there are no loops."""
        core = limits.extension()
        here = core is not None and bounds is not None and bounds.isa in core.isas()
        self.isa: str = bounds.isa if bounds is not None and here else ""

    def start(self, case: Case, pids: Iterable[int]) -> "Watch":
        """Begin beside a block of a case that runs in the processes `pids`."""
        return Watch(self.isa, case, [os.getpid(), *pids])


class Watch:
    """One block under observation, from its making to `stop`."""

    def __init__(self, isa: str, case: Case, pids: list[int]) -> None:
        self.isa = isa
        self.case = case
        self.pids = pids
        self.limit: float | None = None
        self.before: tuple[float, float] | None = None
        if isa:
            self.limit = None if case.store else limits.limit_seconds(case, self._rates())
            self.before = loops(isa, case.threads)
        self.counted: tuple[int, int, int] | None = _processors()
        self.own: float = _used(pids)
        self.begin: float = time.perf_counter()

    def _rates(self) -> limits.Limits:
        return limits.measure_for(self.case, self.isa, seconds=LIMIT_SECONDS)

    def stop(self) -> Conditions:
        """The conditions from the making to now."""
        seconds = time.perf_counter() - self.begin
        own = _used(self.pids) - self.own
        now, steal, others, tick = _processors(), None, None, 0.0
        if now is not None and self.counted is not None:
            busy, stolen, every = (b - a for a, b in zip(self.counted, now, strict=True))
            steal = stolen / every if every else 0.0
            others = max(0.0, busy * _tick_seconds() - own) / seconds
            tick = _tick_seconds() / seconds
        register = l2 = None
        if self.before is not None:
            register, l2 = map(max, zip(self.before, loops(self.isa, self.case.threads), strict=True))
        return Conditions(self.limit, register, l2, steal, clock(), others, tick)


def loops(isa: str, threads: int) -> tuple[float, float]:
    """Seconds of the loop in registers and of the one that reads L2."""
    core = limits.extension()
    how = ("float32", threads, LOOP_SECONDS)
    flops = limits.typical(core.fma_peak, isa, *how)
    rate = limits.typical(core.read_bandwidth, isa, threads * L2_BYTES, *how)
    return LOOP_FLOPS / flops, LOOP_BYTES / rate


def _tick_seconds() -> float:
    return 1.0 / os.sysconf("SC_CLK_TCK")


def _processors() -> tuple[int, int, int] | None:
    """Ticks of all processors since the start: busy, stolen, all; None where there is no such file."""
    if not _STAT.exists():
        return None
    line = _STAT.read_text().partition("\n")[0]
    user, nice, system, idle, wait, irq, soft, steal = map(int, line.split()[1:9])
    busy = user + nice + system + irq + soft
    return busy, steal, busy + idle + wait + steal


def _used(pids: Iterable[int]) -> float:
    """Processor seconds of processes; those that have ended, or cannot be read, count nothing."""
    ticks = 0
    for pid in pids:
        try:
            after_name = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(after_name[11]) + int(after_name[12])
    return ticks * _tick_seconds() if ticks else 0.0


def clock() -> float | None:
    """Mean clock of the processors in Hz; None where the system does not tell."""
    info = pathlib.Path("/proc/cpuinfo")
    if not info.exists():
        return None
    found = [line.partition(":")[2] for line in info.read_text().splitlines() if line.startswith("cpu MHz")]
    return 1e6 * statistics.fmean(map(float, found)) if found else None


def energy_counter(folder: pathlib.Path = _POWER) -> pathlib.Path | None:
    """The file that counts the processor's microjoules, where there is one and it may be read."""
    for path in sorted(folder.glob("*/energy_uj")) if folder.is_dir() else ():
        if os.access(path, os.R_OK):
            return path
    return None


def energy(folder: pathlib.Path = _POWER) -> str:
    """Where joules could be read, or why they cannot."""
    counter = energy_counter(folder)
    if counter is not None:
        return f"{counter}: counts the whole package, so it is not split among systems that take turns"
    return f"not measurable: no counter that may be read under {folder}"
