# SPDX-License-Identifier: MIT
"""Types of command line arguments that several commands share."""

import argparse
import os


def names(text: str) -> list[str]:
    """``NAME,NAME`` as a list."""
    return [name for name in text.split(",") if name]


def counts(text: str) -> tuple[int, ...]:
    """``N,N`` as rising numbers above 0."""
    found = tuple(sorted({int(part) for part in text.split(",")}))
    if found[0] < 1:
        raise argparse.ArgumentTypeError(f"expected numbers above 0, got {text!r}")
    return found


def default_threads() -> tuple[int, ...]:
    """1 and 2, where there are two processors."""
    return (1,) if (os.cpu_count() or 1) == 1 else (1, 2)
