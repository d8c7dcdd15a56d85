# SPDX-License-Identifier: MIT
"""Several reports of one machine, as pages and charts show them."""

import pathlib
import re
from collections.abc import Iterator
from typing import Any

from . import peers, results, stats
from .cases import Case
from .limits import SCALING

SETS = {
    "stream": "single steps of a stream",
    "latency": "sequences of one row",
    "throughput": "batches",
    "ragged": "batches with lengths of their own",
    "odd": "sizes that no kernel was made for",
    "deepcpu": "DeepCPU's shapes",
    "trading": "trading models",
    "train": "training",
    "device": "DeepBench, devices",
    "server": "DeepBench, servers",
    "training": "DeepBench, training",
    "small": "small models",
    "real": "models in use",
    "int8": "weights of 8 bits",
}
"""Words for the sets of `shapes.SETS`, in the order of the page."""
CELLS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}
LOST = 0.995
"""Ratios below are losses: what rounds to 1.00 is a draw."""


class Study:
    """Several reports of one machine.

    Attributes
    ----------
    reports : dict
        File name to report.
    doubtful : dict
        File name to the reason why its limits, and with them fractions of the limit, are not to be trusted.
    """

    def __init__(self, paths: list[pathlib.Path]) -> None:
        self.paths: list[pathlib.Path] = sorted(paths)
        self.reports: dict[str, dict[str, Any]] = {path.name: results.read(path) for path in self.paths}
        self.doubtful: dict[str, str] = _doubtful(self.reports)

    @property
    def machine(self) -> str:
        """The hardware, in words."""
        found = next(iter(self.reports.values()))["machine"]
        name = re.sub(r"\s*\(R\)|\s+Processor\b", "", found["cpu"])
        widest = "AVX-512" if "avx512f" in found["isa"] else "AVX2" if "avx2" in found["isa"] else "NEON"
        return f"{name} (family {found['family']}), {found['cores']} cores, {widest}"

    def rows(self, name: str = "") -> Iterator[tuple[str, Case, dict[str, Any]]]:
        """Set, case and the entry of a system (rnncore's own by default) in every row it was timed in.

        The entry has the row's ``limit``, and no ``fraction`` where the report's limits are doubtful.
        """
        for file, report in self.reports.items():
            for row in report["rows"]:
                for system in row["systems"]:
                    if system["name"] == (name or "rnncore") and system["status"] == "ok":
                        fraction = None if file in self.doubtful else system["fraction"]
                        yield (
                            row["set"],
                            results.case_of(row),
                            {**system, "limit": row["limit"], "fraction": fraction},
                        )

    def groups(self, name: str = "") -> dict[tuple[str, int], list[tuple[Case, dict[str, Any]]]]:
        """(set, threads) to the cases and entries of a system, in the order of `SETS`."""
        found: dict[tuple[str, int], list[tuple[Case, dict[str, Any]]]] = {}
        for group, case, system in self.rows(name):
            found.setdefault((group, case.threads), []).append((case, system))
        return dict(sorted(found.items(), key=lambda item: (list(SETS).index(item[0][0]), item[0][1])))

    def peers(self) -> dict[str, str]:
        """The other systems that were timed, to their versions."""
        versions: dict[str, str] = {}
        for report in self.reports.values():
            versions.update(report["versions"])
        return {
            name: versions[name]
            for name in peers.PEERS
            if name in versions and not name.startswith("rnncore")
        }


def _doubtful(reports: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Reports whose peak is far below that of the same number of threads in another one."""
    peaks: dict[str, dict[str, float]] = {}
    for file, report in reports.items():
        if report["limits"]:
            for key, value in report["limits"]["peaks"].items():
                _, dtype, threads = key.split("/")
                if dtype == "float32":
                    best = peaks.setdefault(threads, {})
                    best[file] = max(best.get(file, 0.0), value)
    return {
        file: f"its peak with {thread_words(int(threads))} is {value / max(best.values()):.0%} of another run's"
        for threads, best in peaks.items()
        for file, value in best.items()
        if value < SCALING * max(best.values())
    }


def words(case: Case) -> str:
    """A case for people: ``LSTM, T = 25, N = 32, I = H = 512``."""
    parts = {
        f"T = {case.T}": case.mode != "step",
        f"N = {case.N}": True,
        f"I = H = {case.H}" if case.I == case.H else f"I = {case.I}, H = {case.H}": True,
        f"L = {case.L}": case.L > 1,
        "both directions": case.D == 2,
        "ragged": case.ragged,
        "float64": case.dtype == "float64",
        case.store: bool(case.store),
        "a whole iteration": case.mode == "fit",
    }
    return ", ".join([CELLS[case.cell], *(part for part, shown in parts.items() if shown)])


def mean(values: list[float | None]) -> float | None:
    """Geometric mean of those that are known; None when none is."""
    known = [value for value in values if value is not None]
    return stats.geometric_mean(known) if known else None


def thread_words(count: int) -> str:
    """``1 thread``, ``2 threads``."""
    return "1 thread" if count == 1 else f"{count} threads"
