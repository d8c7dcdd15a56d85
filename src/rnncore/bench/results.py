# SPDX-License-Identifier: MIT
"""The file of a run: CSV, one line per row and system, under comment lines that say where it was made.

Everything that can be computed again is left out (a row's name holds its case), numbers have four digits: what is
left of a noisy measurement, and small enough to commit.
"""

import csv
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from .cases import Case
from .limits import Limits

SCHEMA = 2
"""Raised when a reader of older files would misread a newer one."""
MARK = "# "
HEAD = ("schema", "machine", "versions", "settings", "limits", "doubts")
"""The comment lines, each ``# name: JSON``."""
NUMBERS = (
    "median", "q1", "q3", "p99", "p999", "samples", "busy", "fraction", "ratio", "error", "limit"
)  # fmt: skip
"""Columns that hold numbers: seconds, but for the counts and quotients; `runner.Runner.row` says what they are."""
COLUMNS = ("set", "row", "system", "status", *NUMBERS, "best_other", "reason")
DIGITS = 4


def make(
    machine: dict[str, Any],
    limits: Limits | None,
    settings: dict[str, Any],
    rows: list[dict[str, Any]],
    doubts: Sequence[str] = (),
) -> dict[str, Any]:
    """Put a report together.

    Parameters
    ----------
    machine : dict
        As `machine.describe` gives it.
    limits : Limits or None
    settings : dict
        How it was measured.
    rows : list of dict
        As `runner.Runner.row` gives them.
    doubts : sequence of str
        Why its figures are not to be trusted.

    Returns
    -------
    dict
        Plain data with these names and ``versions`` of the systems.
    """
    return {
        "machine": machine,
        "versions": {one["name"]: one["version"] for row in rows for one in row["systems"] if one["version"]},
        "settings": settings,
        "limits": limits.to_json() if limits else None,
        "doubts": list(doubts),
        "rows": rows,
    }


def save(report: dict[str, Any], path: pathlib.Path) -> None:
    """Write a report.

    Raises
    ------
    ValueError
        A name that does not end in ``.csv``.
    OSError
        The file cannot be written.
    """
    check_name(path)
    with path.open("w", encoding="utf-8", newline="") as file:
        for name in HEAD:
            value = SCHEMA if name == "schema" else report[name]
            file.write(f"{MARK}{name}: {json.dumps(_rounded(value), allow_nan=False)}\n")
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for row in report["rows"]:
            for system in row["systems"]:
                line = {**system, "set": row["set"], "row": row["name"], "limit": row["limit"]}
                line["system"] = system["name"]
                table.writerow(_text(line.get(name)) for name in COLUMNS)


def check_name(path: pathlib.Path) -> None:
    """ValueError when `save` refuses a file of this name."""
    if path.suffix != ".csv":
        raise ValueError(f"report: expected a name ending in .csv, got {path.name!r}")


def read(path: pathlib.Path) -> dict[str, Any]:
    """Read a report.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is not a report of this harness, or of a newer one.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    head = list(_head(lines))
    report = dict(head)
    if report.get("schema") != SCHEMA or set(HEAD) - set(report):
        raise ValueError(f"{path}: expected a benchmark report of schema {SCHEMA}, got another file")
    del report["schema"]
    report["rows"] = []
    for line in csv.DictReader(lines[len(head) :]):
        _add(report, line)
    return report


def _head(lines: list[str]) -> Iterator[tuple[str, Any]]:
    for line in lines:
        if not line.startswith(MARK):
            return
        name, _, text = line.removeprefix(MARK).partition(": ")
        try:
            yield name, json.loads(text)
        except ValueError:
            return


def _add(report: dict[str, Any], line: dict[str, str]) -> None:
    """Put a line of the table into its row, which is the last one or a new one."""
    rows = report["rows"]
    if not rows or (rows[-1]["set"], rows[-1]["name"]) != (line["set"], line["row"]):
        limit = _number(line["limit"])
        rows.append({"set": line["set"], "name": line["row"], "limit": limit, "systems": []})
    system = {name: _number(line[name]) for name in NUMBERS if name != "limit"}
    system.update(name=line["system"], version=report["versions"].get(line["system"], ""))
    system.update(status=line["status"], reason=line["reason"], best_other=line["best_other"] or None)
    rows[-1]["systems"].append(system)


def case_of(row: dict[str, Any]) -> Case:
    """The case of a row."""
    return Case.named(row["name"])


def _rounded(value: Any) -> Any:
    """The same data with rounded numbers."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, (list, tuple)) else value


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def _number(text: str) -> float | None:
    return float(text) if text else None
