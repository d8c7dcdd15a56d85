# SPDX-License-Identifier: MIT
"""Resident memory of this process, in bytes: now, and its peak."""

import contextlib
import pathlib
import subprocess
import sys

_STATUS = pathlib.Path("/proc/self/status")
_BARE = "import numpy, pathlib; print(pathlib.Path('/proc/self/status').read_text())"


def _field(text: str, name: str) -> int:
    """A line of the kind ``VmHWM:  1234 kB``."""
    return 1024 * int(text.partition(f"{name}:")[2].split()[0])


def resident() -> int | None:
    """Resident now; None where the system has no /proc."""
    return _field(_STATUS.read_text(), "VmRSS") if _STATUS.exists() else None


def peak() -> int | None:
    """The most that was resident at once since `forget_peak`, else since the start."""
    if _STATUS.exists():
        return _field(_STATUS.read_text(), "VmHWM")
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def forget_peak() -> None:
    """Begin the peak again at what is resident now, where the system lets a process do so."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def bare() -> int | None:
    """Peak of an interpreter that has imported NumPy and nothing else. Cost: a process."""
    if not _STATUS.exists():
        return None
    done = subprocess.run([sys.executable, "-c", _BARE], capture_output=True, text=True, check=True)
    return _field(done.stdout, "VmHWM")
