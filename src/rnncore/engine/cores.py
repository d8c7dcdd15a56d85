# SPDX-License-Identifier: MIT
"""How many cores this process may use: those it may run on, and what a container's quota leaves of them."""

from __future__ import annotations

import os

_CGROUPS = "/sys/fs/cgroup"
_MEMBERSHIP = "/proc/self/cgroup"


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


def usable() -> int:
    """Cores for the threads of a call, at least 1: more threads than a quota's whole cores would be stopped in turn."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allowed = quota()
    return cores if allowed is None else max(1, min(cores, int(allowed)))
