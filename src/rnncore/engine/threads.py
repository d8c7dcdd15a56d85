# SPDX-License-Identifier: MIT
"""How many threads calls use: one number of the process, and every call may ask for another."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from ..errors import ArgumentError, shown
from ..spec import check_int
from . import _core, cores

# More than this a call never uses, whatever it is allowed: several times the machine's cores, for others may leave it
# more of them than it sees, but not the thousand that a slip of the keyboard asks for.
MOST_THREADS = max(16, 4 * (os.cpu_count() or 1))


def _default_threads() -> int:
    text = os.environ.get("RNNCORE_NUM_THREADS")
    if text:
        if not text.isdecimal() or len(text) > 9 or int(text) < 1:
            raise ArgumentError("RNNCORE_NUM_THREADS", "an integer >= 1", shown(text))
        return int(text)
    return cores.usable()


class _Bound(threading.local):
    """What `limited` has set for the calls of this thread."""

    threads: int | None = None


_num_threads = _default_threads()
_bound = _Bound()
_team: _core.Team | None = None


def set_num_threads(n: int) -> None:
    """Threads that a call may use unless it names its own number; ArgumentError unless an int >= 1.

    However many that are, a call never starts more than four for each core of the machine, or 16 where it has few.

    Examples
    --------
    >>> import rnncore
    >>> before = rnncore.get_num_threads()
    >>> rnncore.set_num_threads(1)
    >>> rnncore.get_num_threads()
    1
    >>> rnncore.set_num_threads(before)
    """
    global _num_threads
    _num_threads = check_int("num_threads", n, 1)


def get_num_threads() -> int:
    """Threads that a call may use; at first RNNCORE_NUM_THREADS, or the cores it may run on within its quota,
    however many hardware threads each of them has."""
    return _num_threads


def threads_for(num_threads: int | None) -> int:
    """The bound on the threads of a call that asks for `num_threads` (None: the process's number)."""
    return min(num_threads or _bound.threads or _num_threads, MOST_THREADS)


@contextlib.contextmanager
def limited(threads: int) -> Iterator[None]:
    """Context manager: calls of this thread that name no number use at most so many; other threads' do not change."""
    before, _bound.threads = _bound.threads, threads
    try:
        yield
    finally:
        _bound.threads = before


def given_threads() -> int:
    """Threads that whoever runs tasks has given to each, at most `get_num_threads()`.

    Ray, Spark and Dask tell their workers by OMP_NUM_THREADS, Spark by what `spark.task.cpus` says.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    told = int(first) if first.isdecimal() and len(first) < 10 else 0
    return min(told or _num_threads, _num_threads)


def team_for(threads: int) -> _core.Team:
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
    _core.remember_main_thread()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_forget_team)
