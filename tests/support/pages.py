# SPDX-License-Identifier: MIT
"""The pages of documentation that people write, and their fenced blocks."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = ("docs/project/", "docs/examples/", "docs/_build/", "docs/reference/python/")
"""Folders that the site's build writes."""
WRITTEN_PAGES = ("docs/reference/c.md", "docs/reference/command-line.md")
FIRST = ("README.md", "CONTRIBUTING.md", "SUPPORT.md", "CHANGELOG.md", "csrc/README.md")


def all_pages():
    """Names of all pages, from the root of the repository."""
    found = [
        path.relative_to(ROOT).as_posix()
        for folder in ("docs", "bench", "examples")
        for path in sorted((ROOT / folder).rglob("*.md"))
    ]
    return [*FIRST, *(name for name in found if not name.startswith(WRITTEN) and name not in WRITTEN_PAGES)]


def text(page):
    """The text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page, language):
    """The contents of the fenced blocks of a language in a page, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text(page), re.MULTILINE | re.DOTALL)
