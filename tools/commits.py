# SPDX-License-Identifier: MIT
"""Name the commits whose message does not keep the rule: a subject of at most 72 characters, a body that says why.

Checked are commits made after `SINCE`; merges need no body. Exit code 1: some do not keep it.
Usage: python tools/commits.py [REPOSITORY]
"""

import subprocess
import sys

LONGEST = 72
SINCE = "2026-11-27T02:00:00+00:00"
"""The history before the rule is left as it is."""
KNOWN = ("b67bb9f", "ceabaa9", "3b51c3d", "351da14")
"""Four that were merged before anybody had looked; the history of main is not rewritten."""
FORMAT = "%h%x00%p%x00%s%x00%b%x1e"


def git(repository, *arguments):
    """What a git command prints."""
    command = ["git", "-C", repository, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def broken(text):
    """Sentences about the commits in `text`, the output of ``git log --format=FORMAT``."""
    found = []
    for entry in text.split("\x1e")[:-1]:
        name, parents, subject, body = entry.strip("\n").split("\x00")
        if name.startswith(KNOWN):
            continue
        if len(subject) > LONGEST:
            found.append(
                f"{name}: the subject has {len(subject)} characters, at most {LONGEST} fit: {subject}"
            )
        if len(parents.split()) < 2 and not body.strip():
            found.append(f"{name}: no body says why: {subject}")
    return found


def main(repository="."):
    """Check; the exit code."""
    found = broken(git(repository, "log", f"--format={FORMAT}", f"--since-as-filter={SINCE}"))
    print("\n".join(found) or "all commits keep the rule")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
