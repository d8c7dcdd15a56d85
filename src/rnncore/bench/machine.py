# SPDX-License-Identifier: MIT
"""Describes the machine and the software, so that a result can be understood later. Reads files of Linux
where there are any; elsewhere the fields stay empty."""

import os
import pathlib
import platform
import subprocess
from typing import Any

import numpy as np

_CPU = pathlib.Path("/sys/devices/system/cpu/cpu0")
_FLAGS = (
    "avx2",
    "fma",
    "avx512f",
    "avx512vl",
    "avx512_bf16",
    "avx512_vnni",
    "avx_vnni",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "sve",
    "bf16",
)


def _read(path: pathlib.Path) -> str:
    return path.read_text().strip() if path.is_file() else ""


def _cpuinfo(key: str) -> str:
    for line in _read(pathlib.Path("/proc/cpuinfo")).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def caches() -> dict[str, str]:
    """Sizes of the first core's caches, ``{"L1 Data": "48K", "L2 Unified": "2048K", ...}``."""
    found = {}
    for index in sorted((_CPU / "cache").glob("index*")):
        found[f"L{_read(index / 'level')} {_read(index / 'type')}"] = _read(index / "size")
    return found


def commit() -> str:
    """Commit of the checkout the package runs from, with ``+`` when files differ; empty for an installed
    package."""
    here = pathlib.Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "describe", "--always", "--exclude=*", "--dirty=+", "--abbrev=12"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    tracked = subprocess.run(
        ["git", "-C", str(here), "ls-files", "--error-unmatch", __file__], capture_output=True
    )
    return run.stdout.strip() if run.returncode == 0 and tracked.returncode == 0 else ""


def describe() -> dict[str, Any]:
    """Plain data: CPU, cores, caches, instruction sets, load, huge pages, versions, commit."""
    flags = set((_cpuinfo("flags") or _cpuinfo("Features")).split())
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "family": "/".join(_cpuinfo(key) for key in ("cpu family", "model", "stepping")),
        "cores": usable,
        "caches": caches(),
        "isa": [flag for flag in _FLAGS if flag in flags],
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "huge_pages": _read(pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")),
        "governor": _read(_CPU / "cpufreq/scaling_governor"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "commit": commit(),
    }
