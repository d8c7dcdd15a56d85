# SPDX-License-Identifier: MIT
"""Reads the files that it is given and prints what each brings out, and how much memory it took: a line of JSON each.

Run as a process of its own: ``read_hostile.py READERS FILE ...``. The first files are sound: they have what
reading needs imported before it is measured.
"""

import json
import resource
import sys
from pathlib import Path

import rnncore


def high_water():
    """Most memory that this process has had since `reset`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def reset():
    Path("/proc/self/clear_refs").write_text("5")
    return high_water()


def children():
    return 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


def reading(read, path):
    """(class of the error or None, what it says) of one reader."""
    try:
        read(path)
    except rnncore.RnncoreError as error:
        return "RnncoreError", str(error)
    except BaseException as error:
        return type(error).__name__, str(error)
    return None, ""


READERS = (rnncore.formats.load, rnncore.load, rnncore.formats.inspect)


def report(path, count):
    before, others = reset(), children()
    found = [reading(read, path) for read in READERS[:count]]
    memory = max(high_water() - before, children() - others)
    return {"path": path, "found": found, "memory": memory, "size": Path(path).stat().st_size}


if __name__ == "__main__":
    for argument in sys.argv[2:]:
        print(json.dumps(report(argument, int(sys.argv[1]))), flush=True)
