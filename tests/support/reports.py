# SPDX-License-Identifier: MIT
"""Reports made up for tests of the benchmark harness."""

from rnncore.bench import limits, results
from rnncore.bench.cases import Case

GIGA = 2.0**30  # a power of two: the sums and quotients below are exact
FLAT = limits.Limits(
    "flat",
    {"flat/float32/1": GIGA, "flat/float32/2": 2 * GIGA},
    {"1": [(1024.0, GIGA), (4096.0, GIGA / 2)], "2": [(1024.0, 2 * GIGA), (4096.0, GIGA)]},
)
TINY = Case("lstm", 3, 2, 4, 5)


def system(name, median, *, ours=False, status="ok", rounds=None, spread=0.01):
    """A system's entry as a row of a report holds it."""
    timed = {
        "median": median,
        "q1": median * (1 - spread),
        "q3": median * (1 + spread),
        "p99": None,
        "p999": None,
        "samples": 10,
        "rounds": rounds or [median, median],
        "busy": 1.0,
        "ratio": None,
        "best_other": None,
        "fraction": None,
    }
    entry = {"name": name, "ours": ours, "version": "1", "status": status, "reason": "", "error": 0.0}
    return {**entry, **(timed if status == "ok" else {"ratio": None, "best_other": None, "fraction": None})}


def made_report(*systems):
    row = {
        "set": "latency",
        "name": TINY.name,
        "limit": 1e-6,
        "systems": list(systems),
    }
    return results.make({"cpu": "a", "cores": 1}, FLAT, {}, [row])
