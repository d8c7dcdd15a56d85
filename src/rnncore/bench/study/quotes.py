# SPDX-License-Identifier: MIT
"""What pages quote from a study's directory: sections of its `claims.md`, and pictures. No package is needed for it."""

import hashlib
import pathlib
import re

CLAIMS = "claims.md"
DATA = ("env.json", "rows.csv", "systems.csv", "blocks.csv.xz", "conditions.csv.xz")
"""The study's files; everything else is made of them."""
PICTURES = {
    "speedup": "How many times as fast as the best other system each row is, by set",
    "lost": "Rows in which another system is faster, or closest, with the intervals of the ratios",
    "heat": "How many times as fast as the best other system, by hidden size, batch and cell",
    "tails": "Microseconds of a step by hidden size and system: median and tails",
    "limit": "Fraction of the machine's limit by set and system",
    "roofline": "FLOP per second of each row on one thread beside the measured roofs",
    "scaling": "How many times as fast as on one thread, by set and system",
    "costs": "Time of the first call and memory of each system",
}
"""Name to what the picture shows."""


def digest(folder: pathlib.Path) -> str:
    """SHA-256 of the study's files."""
    found = hashlib.sha256()
    for name in DATA:
        found.update((folder / name).read_bytes())
    return found.hexdigest()


def section(folder: pathlib.Path, name: str) -> str:
    """The text of a section of the claims, without its command.

    Raises
    ------
    OSError
        The folder has no claims.
    ValueError
        No such section.
    """
    path = folder / CLAIMS
    text = path.read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(name)}\n\n(.*?)\n\nCommand: ", text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise ValueError(f"{path}: expected a section {name!r}, got none")
    return found[1]
