# SPDX-License-Identifier: MIT
"""How many cores this process may use: those it may run on, and what a container's quota leaves of them.

Hardware threads of one core count once: they share its multipliers and caches, and what keeps those busy gains nothing
from two.
"""

from __future__ import annotations

import os

_CGROUPS = "/sys/fs/cgroup"
_MEMBERSHIP = "/proc/self/cgroup"
_PROCESSORS = "/sys/devices/system/cpu"


def _read(*path: str) -> str:
    """The text of a file, nothing if it cannot be read."""
    try:
        with open(os.path.join(*path), encoding="utf-8") as file:
            return file.read()
    except (OSError, ValueError):
        return ""


def _quota_in(folder: str) -> float | None:
    """Cores that the quota of a control group allows, version 2 or 1; None: it has none."""
    words = _read(folder, "cpu.max").split()
    if len(words) != 2:
        words = [*_read(folder, "cpu.cfs_quota_us").split(), *_read(folder, "cpu.cfs_period_us").split()]
    if len(words) != 2 or not all(word.isdecimal() for word in words) or int(words[1]) == 0:
        return None  # "max", or -1
    return int(words[0]) / int(words[1])


def quota(root: str = _CGROUPS, membership: str = _MEMBERSHIP) -> float | None:
    """Cores that the control groups of this process allow: the least of its own and those around it; None: all."""
    found = []
    for line in _read(membership).splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number != "0" and "cpu" not in controllers.split(","):
            continue
        top = root if number == "0" else os.path.join(root, controllers)
        parts = [part for part in path.split("/") if part not in ("", "..")]
        # Inside a container the path may be the host's: what is not there has no quota.
        found += [_quota_in(os.path.join(top, *parts[:k])) for k in range(len(parts) + 1)]
    return min((cores for cores in found if cores is not None), default=None)


def _numbers(text: str) -> set[int]:
    """The processors that a list of the kernel names, such as "0-3,8"."""
    ranges = [part.partition("-") for part in text.strip().split(",")]
    if not all(first.isdecimal() and (last or first).isdecimal() for first, _, last in ranges):
        return set()
    return {number for first, _, last in ranges for number in range(int(first), int(last or first) + 1)}


def physical(processors: set[int], root: str = _PROCESSORS) -> int:
    """Cores that the processors belong to: all of them where the system does not tell which share one."""
    left, cores = set(processors), 0
    while left:
        number = left.pop()
        left -= _numbers(_read(root, f"cpu{number}", "topology", "thread_siblings_list"))
        cores += 1
    return cores


def usable() -> int:
    """Cores for the threads of a call, at least 1: more threads than a quota's whole cores would be stopped in turn."""
    cores = physical(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allowed = quota()
    return cores if allowed is None else max(1, min(cores, int(allowed)))
