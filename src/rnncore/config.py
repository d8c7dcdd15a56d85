# SPDX-License-Identifier: MIT
"""Process-wide choices: instruction set, backend, threads; and what this build and machine offer.

`use_isa` and `use_backend` hold for the code inside their block in the present thread or task (a context
variable). The number of threads is one number of the process; every call may ask for another.
"""

import contextlib
import contextvars
import os
import platform
import sys

import numpy as np

from . import _core
from .blas import blas_name, scipy_blas
from .errors import ArgumentError
from .spec import check_int

BACKENDS = ("fused", "blas", "naive")

# More than this a call never uses, whatever it is allowed.
MOST_THREADS = 1024


def isas():
    """Instruction sets that this machine can run, fastest first; the environment variable RNNCORE_ISA caps them.

    Returns
    -------
    list of str
        For example ``["avx512", "avx2", "scalar"]``. Results are the same to the last bit on all of them.
    """
    names = _core.isas()
    cap = os.environ.get("RNNCORE_ISA")
    if not cap:
        return names
    if cap not in names:
        raise ArgumentError("RNNCORE_ISA", "one of " + ", ".join(names), repr(cap))
    return names[names.index(cap) :]


_isa = contextvars.ContextVar("rnncore_isa", default=isas()[0])
_backend = contextvars.ContextVar("rnncore_backend", default="fused")


def current_isa():
    """The instruction set that calls use now."""
    return _isa.get()


def current_backend():
    """The backend that calls use now."""
    return _backend.get()


@contextlib.contextmanager
def _using(variable, value):
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def use_isa(name):
    """Context manager: calls inside it run on the instruction set `name`.

    Raises
    ------
    ArgumentError
        Not one of `isas()`.
    """
    if name not in isas():
        raise ArgumentError("isa", "one of " + ", ".join(isas()), repr(name))
    return _using(_isa, name)


def use_backend(name):
    """Context manager: calls inside it run "fused", "blas" or "naive".

    "fused" is the packed kernels. "blas" is the textbook way, one product per time step by SciPy's BLAS, for
    comparison; its last bits depend on the BLAS. "naive" is the plain loop that defines the last bit of "fused"; it
    is slow. Training with "blas" runs forward and the products over all tokens of backward through BLAS, a tape keeping
    the backend it was made with; the time loop of backward and streams always run fused, and "naive" trains fused.

    Raises
    ------
    ArgumentError
        Another name.
    UnsupportedError
        "blas" without SciPy: ``pip install "rnncore[blas]"``.

    Notes
    -----
    Every thread of a "blas" call makes one product at a time, and SciPy's BLAS may share each of them among threads of
    its own. How many is your choice: ``OPENBLAS_NUM_THREADS=1`` in the environment, or
    ``with threadpoolctl.threadpool_limits(1):`` around the calls, holds it to the calling one.
    """
    if name not in BACKENDS:
        raise ArgumentError("backend", "one of " + ", ".join(BACKENDS), repr(name))
    if name == "blas":
        scipy_blas()
    return _using(_backend, name)


# Threads ---------------------------------------------------------------------------------------------------


def _default_threads():
    text = os.environ.get("RNNCORE_NUM_THREADS")
    if text:
        if not text.isdecimal() or int(text) < 1:
            raise ArgumentError("RNNCORE_NUM_THREADS", "an integer >= 1", repr(text))
        return int(text)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_num_threads = _default_threads()
_team = None


def set_num_threads(n):
    """Threads that a call may use unless it names its own number; ArgumentError unless an int >= 1."""
    global _num_threads
    _num_threads = check_int("num_threads", n, 1)


def get_num_threads():
    """Threads that a call may use; at first RNNCORE_NUM_THREADS or the cores this process may run on."""
    return _num_threads


def threads_for(num_threads):
    """The bound on the threads of a call that asks for `num_threads` (None: the process's number)."""
    return min(num_threads or _num_threads, MOST_THREADS)


def team_for(threads):
    """The process's team, with room for at least `threads` threads."""
    global _team
    team = _team
    if team is None or team.max_threads < threads:
        team = _team = _core.Team(max(threads, threads_for(None)))
    return team


def _forget_team():
    """In a forked child: the threads stayed with the parent, and a call of theirs may have been running."""
    global _team
    _team = None


os.register_at_fork(after_in_child=_forget_team)


# Report ----------------------------------------------------------------------------------------------------


def _cpu_name():
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        return platform.processor() or platform.machine()
    return platform.machine()


def config():
    """What this build and machine are.

    Returns
    -------
    dict
        Keys "version", "cpu", "cores", "isa", "isas", "blas", "threads", "python", "numpy", "platform".
    """
    from . import __version__

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


def show_config():
    """Print `config()`, one line per entry."""
    for name, value in config().items():
        print(f"{name:9}{', '.join(value) if isinstance(value, list) else value}")
