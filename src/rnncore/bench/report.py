# SPDX-License-Identifier: MIT
"""Tables of a report for people, and what moved between two reports."""

from typing import Any

from . import stats
from .limits import Limits
from .results import case_of

MOVED = 0.03
"""Smallest relative change that counts as moved: repeated runs of a quiet machine agree within 2 %."""


def duration(seconds: float | None) -> str:
    """``1.23 us``, ``4.56 ms``; a dash for None."""
    if seconds is None:
        return "-"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


def _number(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)


def text_table(head: list[str], lines: list[list[str]]) -> str:
    """Columns aligned, the first to the left, the others to the right."""
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    cells = [
        [line[0].ljust(widths[0])]
        + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        for line in [head, ["-" * width for width in widths], *lines]
    ]
    return "\n".join("  ".join(line).rstrip() for line in cells)


def row_table(rows: list[dict[str, Any]]) -> str:
    """One block per row: every system with times, fraction of the limit and ratio to the best other one."""
    head = [
        "row / system",
        "median",
        "q1",
        "q3",
        "p99",
        "p99.9",
        "GFLOP/s",
        "of limit",
        "vs best",
        "busy",
        "error",
    ]
    lines = []
    for row in rows:
        lines.append([row["name"], *[""] * 5, "", duration(row["limit"]), "", "", ""])
        for system in sorted(row["systems"], key=lambda one: one.get("median", float("inf"))):
            if system["status"] != "ok":
                continue
            lines.append(
                [
                    "  " + system["name"],
                    *(duration(system[key]) for key in ("median", "q1", "q3", "p99", "p999")),
                    _number(1e-9 * case_of(row).flops() / system["median"], ".1f"),
                    _number(system["fraction"]),
                    _number(system["ratio"]),
                    _number(system["busy"]),
                    _number(system["error"], ".0e"),
                ]
            )
    return text_table(head, lines)


def problems(rows: list[dict[str, Any]]) -> list[str]:
    """One line for each system that was wrong or failed; refusals are expected and not listed."""
    return [
        f"{row['name']}: {system['name']} {system['status']}: {system['reason']}"
        for row in rows
        for system in row["systems"]
        if system["status"] in ("wrong", "failed")
    ]


def summary(rows: list[dict[str, Any]]) -> str:
    """Per set and system: rows, and geometric means of ratio to the best other and fraction of the limit."""
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for row in rows:
        for system in row["systems"]:
            if system["status"] == "ok":
                groups.setdefault((row["set"], case_of(row).threads, system["name"]), []).append(system)
    lines = []
    for (group, threads, name), systems in groups.items():
        ratios = [system["ratio"] for system in systems if system["ratio"] is not None]
        fractions = [system["fraction"] for system in systems if system["fraction"] is not None]
        lines.append(
            [
                f"{group} t{threads} {name}",
                str(len(systems)),
                _number(stats.geometric_mean(ratios) if ratios else None),
                _number(min(ratios) if ratios else None),
                _number(stats.geometric_mean(fractions) if fractions else None),
                _number(min(fractions) if fractions else None),
            ]
        )
    head = ["set, threads, system", "rows", "vs best (geo. mean)", "worst", "of limit (geo. mean)", "worst"]
    return text_table(head, lines)


def limits_text(limits: Limits | None) -> str:
    """The measured limits, for people."""
    if limits is None:
        return "limits: not measured (not wanted, or the extension rnncore.bench._limits was not built)"
    counts = list(limits.bandwidth)
    lines = [
        [
            f"FMA peak {key.rsplit('/', 1)[0]}",
            *(
                _number(1e-9 * limits.peaks[f"{key.rsplit('/', 1)[0]}/{count}"], ".0f") + " GFLOP/s"
                for count in counts
            ),
        ]
        for key in limits.peaks
        if key.endswith(f"/{counts[0]}")
    ]
    for index, (size, _) in enumerate(limits.bandwidth[counts[0]]):
        lines.append(
            [
                f"read + FMA of {size / 1024:.0f} KB",
                *(f"{1e-9 * limits.bandwidth[count][index][1]:.0f} GB/s" for count in counts),
            ]
        )
    lines.append(["flag from core to core", duration(limits.flag_latency), *[""] * (len(counts) - 1)])
    if limits.tail:
        median, p999 = (duration(value) for value in limits.tail)
        lines.append([f"a loop of {median}: p99.9", p999, *[""] * (len(counts) - 1)])
    if limits.drift:
        lines.append(
            ["FMA peak at the end / at the start", *(_number(limits.drift[count]) for count in counts)]
        )
    return text_table(
        [f"limits ({limits.isa})", *(f"{count} thread" + "s" * (count != "1") for count in counts)], lines
    )


# -- Comparison
# -----------------------------------------------------------------------------------------------------


def _by_key(report: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["name"], system["name"]): system for row in report["rows"] for system in row["systems"]}


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one["q1"] <= other["q3"] and other["q1"] <= one["q3"]


def compare(
    old: dict[str, Any], new: dict[str, Any], *, moved: float = MOVED
) -> dict[str, list[dict[str, Any]]]:
    """What moved between two reports.

    A system has moved when its median changed by more than `moved` and the quartile ranges do not overlap.
    Where both reports have a best other system, the change of the ratio to it is given too: it stays when the
    machine changed.

    Returns
    -------
    dict
        ``slower``, ``faster``, ``same`` (largest change first), each entry with ``row``, ``system``, ``old``,
        ``new`` (seconds), ``speedup`` (old / new), ``ratio_change`` and ``fraction_change`` (new / old, or
        None); ``status``: systems whose status changed; ``only_old``, ``only_new``: rows and systems that
        stand in one report only.
    """
    before, after = _by_key(old), _by_key(new)
    found: dict[str, list[dict[str, Any]]] = {key: [] for key in ("slower", "faster", "same", "status")}
    for key in (key for key in before if key in after):
        one, other = before[key], after[key]
        entry: dict[str, Any] = {"row": key[0], "system": key[1]}
        if one["status"] != other["status"]:
            found["status"].append({**entry, "old": one["status"], "new": other["status"]})
        elif one["status"] == "ok":
            entry.update(old=one["median"], new=other["median"], speedup=one["median"] / other["median"])
            for name in ("ratio", "fraction"):
                both = one[name] is not None and other[name] is not None
                entry[f"{name}_change"] = other[name] / one[name] if both else None
            change = max(entry["speedup"], 1 / entry["speedup"]) - 1
            kind = (
                "same"
                if change <= moved or _overlap(one, other)
                else "slower"
                if entry["speedup"] < 1
                else "faster"
            )
            found[kind].append(entry)
    for kind in ("slower", "faster", "same"):
        found[kind].sort(key=lambda one: -max(one["speedup"], 1 / one["speedup"]))
    found["only_old"] = [
        {"row": row, "system": system} for row, system in before if (row, system) not in after
    ]
    found["only_new"] = [
        {"row": row, "system": system} for row, system in after if (row, system) not in before
    ]
    return found


def compare_text(found: dict[str, list[dict[str, Any]]]) -> str:
    """The comparison, for people."""
    blocks = []
    for kind in ("slower", "faster"):
        lines = [
            [
                f"{one['row']}  {one['system']}",
                duration(one["old"]),
                duration(one["new"]),
                _number(one["speedup"]) + "x",
                _number(one["ratio_change"]),
                _number(one["fraction_change"]),
            ]
            for one in found[kind]
        ]
        if lines:
            head = [kind, "old", "new", "speed-up", "vs best: new/old", "of limit: new/old"]
            blocks.append(text_table(head, lines))
    blocks += [f"{one['row']}  {one['system']}: {one['old']} -> {one['new']}" for one in found["status"]]
    blocks.append(
        f"{len(found['slower'])} slower, {len(found['faster'])} faster, {len(found['same'])} the same, "
        f"{len(found['only_old'])} only in the old report, {len(found['only_new'])} only in the new one"
    )
    return "\n\n".join(blocks)
