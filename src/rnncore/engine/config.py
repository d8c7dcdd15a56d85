# SPDX-License-Identifier: MIT
"""What this build and machine offer."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

import numpy as np

from ..version import __version__
from .backends import current_isa, isas
from .blas import blas_name
from .threads import get_num_threads


def _cpu_name():
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        return platform.processor() or platform.machine()
    return platform.machine()


def config() -> dict[str, Any]:
    """What this build and machine are.

    Returns
    -------
    dict
        Keys "version", "cpu", "cores", "isa", "isas", "blas", "threads", "python", "numpy", "platform".
    """
    return {
        "version": __version__,
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "isa": current_isa(),
        "isas": isas(),
        "blas": blas_name(),
        "threads": get_num_threads(),
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "platform": platform.platform(),
    }


def show_config() -> None:
    """Print `config()`, one line per entry."""
    for name, value in config().items():
        print(f"{name:9}{', '.join(value) if isinstance(value, list) else value}")
