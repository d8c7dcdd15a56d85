# SPDX-License-Identifier: MIT
"""rnncore among the libraries whose threads `threadpoolctl` limits; importing this registers it.

Examples
--------
>>> import rnncore.threadpoolctl
>>> from threadpoolctl import threadpool_limits
>>> before = rnncore.get_num_threads()
>>> with threadpool_limits(1):  # or {"rnncore": 1}
...     rnncore.get_num_threads()
1
>>> rnncore.get_num_threads() == before
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threadpoolctl import register

from .engine import threads
from .version import __version__

if TYPE_CHECKING:  # threadpoolctl has no types
    LibController = object
else:
    from threadpoolctl import LibController


class RnncoreController(LibController):
    """The number of threads of the process, as `rnncore.set_num_threads` has it."""

    user_api: str = "rnncore"
    internal_api: str = "rnncore"
    filename_prefixes: tuple[str, ...] = ("librnncore", "rnncore")
    check_symbols: tuple[str, ...] = ("rnncore_isa_name",)

    def get_num_threads(self) -> int:
        """Threads that a call may use."""
        return threads.get_num_threads()

    def set_num_threads(self, num_threads: int) -> None:
        """Bound the threads of calls to come."""
        threads.set_num_threads(num_threads)

    def get_version(self) -> str:
        """rnncore's version."""
        return __version__


register(RnncoreController)
