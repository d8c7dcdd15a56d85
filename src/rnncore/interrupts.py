# SPDX-License-Identifier: MIT
"""Ctrl-C ends the command in one sentence, whatever it is doing.

An exception could be raised inside a callback that swallows it, or end in a traceback; a handler that writes its
sentence and leaves cannot. Where something must be finished first, the handler only takes a note.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

EXIT_CODE: int = 130
"""What shells give for a command that SIGINT ended."""


class Asked:
    """Whether Ctrl-C was pressed; as a condition, true if it was."""

    def __init__(self) -> None:
        self.asked: bool = False

    def __bool__(self) -> bool:
        return self.asked


def leave(sentence: str = "interrupted, nothing was written") -> NoReturn:
    """End the process with a sentence; the cursor that a progress bar hides is shown again."""
    show_cursor = "\r\x1b[K\x1b[?25h" if sys.stdout.isatty() else ""
    with contextlib.suppress(OSError):
        os.write(1, show_cursor.encode())
        os.write(2, f"rnncore: {sentence}\n".encode())
    os._exit(EXIT_CODE)


def install() -> None:
    """From now on, Ctrl-C ends the process with a sentence; where signals cannot be handled, nothing changes."""
    with contextlib.suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, lambda *_: leave())


def use_exceptions() -> None:
    """From now on, Ctrl-C raises KeyboardInterrupt again: for code that cleans up after itself."""
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def noted(sentence: str) -> Iterator[Asked]:
    """While the block runs, the first Ctrl-C is only noted in the `Asked` it gives; a second leaves with `sentence`."""
    asked = Asked()

    def handle(*_):
        if asked:
            leave(sentence)
        asked.asked = True

    try:
        before = signal.signal(signal.SIGINT, handle)
    except ValueError:  # not the main thread: Ctrl-C does not come here
        yield asked
        return
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
