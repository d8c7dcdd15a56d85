# SPDX-License-Identifier: MIT
"""The directory of a study: written row by row, so that a study that was interrupted goes on where it was.

`env.json` says how and where, ``parts/`` holds one file per row until all are there; then the tables are made of them.
Every file is written under another name and moved into place.
"""

import csv
import datetime
import io
import json
import lzma
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from .plan import Row

SCHEMA = 1
ENV = "env.json"
PARTS = "parts"
ROWS = ("set", "row", "threads", "listed_steps", "status", "reason", "source")
SYSTEMS = (
    "row", "system", "status", "reason", "version", "error", "first_call", "memory", "calls", "p50", "p99", "p999"
)  # fmt: skip
BLOCKS = ("row", "system", "block", "preparation", "place", "seconds", "calls", "busy")
CONDITIONS = (
    "row", "block", "attempt", "accepted", "limit", "register", "l2", "steal", "clock", "others"
)  # fmt: skip
DIGITS = 4
PASSING = ("load", "commit")
"""What may differ in a machine's description while it is the same; the commit is compared by itself."""


def now() -> str:
    """Time of day, ISO 8601 in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


class Directory:
    """Where a study is written."""

    def __init__(self, path: pathlib.Path, env: dict[str, Any]) -> None:
        """Open for a study that `env` describes: new, or one that was begun under the same.

        Raises
        ------
        ValueError
            The directory holds something else, or a study of other settings, another machine or another build.
        OSError
            It cannot be written.
        """
        self.path = path
        self.env: dict[str, Any] = env
        path.mkdir(parents=True, exist_ok=True)
        if (path / ENV).exists():
            found = read_env(path)
            check_same(path, found, env)
            self.env = found
        elif any(path.iterdir()):
            raise ValueError(f"{path}: expected a new directory or one of a study, got other files")
        else:
            self._write(ENV, _json(env))

    @property
    def finished(self) -> bool:
        """Whether all rows were there once."""
        return self.env["finished"] is not None

    def keep_limits(self, limits: dict[str, Any] | None) -> None:
        """Write down the machine's limits as they are now."""
        self.env["limits"] = limits
        self._write(ENV, _json(self.env))

    def has(self, row: Row) -> bool:
        """Whether a row is measured already."""
        return self._part(row).exists()

    def add(self, row: Row, found: dict[str, Any]) -> None:
        """Keep a row as `blocks.Blocks.row` gives it."""
        self._write(f"{PARTS}/{self._part(row).name}", json.dumps(found))

    def write_tables(self, rows: Sequence[Row]) -> None:
        """Make the tables of all rows that are there."""
        parts = {row.case.name: json.loads(self._part(row).read_text()) for row in rows if self.has(row)}
        self._write("rows.csv", _table(ROWS, map(_row_line, rows)))
        systems = ({"row": name, **one} for name, part in parts.items() for one in part["systems"])
        self._write("systems.csv", _table(SYSTEMS, systems))
        self._write("blocks.csv.xz", _pressed(_table(BLOCKS, _block_lines(parts))))
        self._write("conditions.csv.xz", _pressed(_table(CONDITIONS, _condition_lines(parts))))
        attempts = [one for part in parts.values() for one in part["attempts"]]
        self.env["blocks"] = {
            "accepted": sum(one["accepted"] for one in attempts),
            "repeated": sum(not one["accepted"] for one in attempts),
            "kept_though_disturbed": sum(part["kept"] for part in parts.values()),
        }
        self._write(ENV, _json(self.env))

    def finish(self, rows: Sequence[Row], limits: dict[str, Any] | None) -> None:
        """All rows are there: make the tables, say when, with the limits as they are at the end, and drop the parts."""
        self.env["limits"] = limits
        self.write_tables(rows)
        self.env["finished"] = now()
        self._write(ENV, _json(self.env))
        for row in rows:
            self._part(row).unlink(missing_ok=True)
        if (self.path / PARTS).is_dir():
            (self.path / PARTS).rmdir()

    def _part(self, row: Row) -> pathlib.Path:
        return self.path / PARTS / f"{row.case.name}.json"

    def _write(self, name: str, content: str | bytes) -> None:
        target = self.path / name
        target.parent.mkdir(exist_ok=True)
        fresh = target.with_name(f"{target.name}.new")
        fresh.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(fresh, target)


def read_env(path: pathlib.Path) -> dict[str, Any]:
    """``env.json`` of a study. ValueError where it is none or of another schema."""
    try:
        found = json.loads((path / ENV).read_text())
    except ValueError as error:
        raise ValueError(f"{path / ENV}: expected a study's description, got {error}") from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise ValueError(f"{path / ENV}: expected a study of schema {SCHEMA}, got another file")
    return found


def check_same(path: pathlib.Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    """ValueError naming the first thing in which a study that was begun differs from the one that is to go on."""
    for what in ("settings", "machine", "versions", "commit"):
        old, new = (_plain(env[what]) for env in (there, here))
        for name in sorted(old.keys() | new.keys()):
            if (was := old.get(name)) != (now := new.get(name)):
                raise ValueError(
                    f"{path}: expected {what} {name} {was!r}, with which this study was begun, got {now!r} "
                    "(another directory?)"
                )


def _plain(value: Any) -> dict[str, Any]:
    """A dictionary as JSON gives it back, without what passes; of a commit also without the mark of changed files."""
    if isinstance(value, dict):
        return {name: one for name, one in json.loads(json.dumps(value)).items() if name not in PASSING}
    return {"hash": value.rstrip("+")}


def _row_line(row: Row) -> dict[str, Any]:
    case = row.case
    known = {"set": row.group, "row": case.name, "threads": case.threads, "listed_steps": row.listed_steps}
    return {**known, "status": row.status, "reason": row.reason, "source": case.source}


def _block_lines(parts: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for name, part in parts.items():
        for attempt in sorted(part["attempts"], key=lambda one: one["block"]):
            for system, turn in attempt["turns"].items() if attempt["accepted"] else ():
                yield {"row": name, "system": system, **attempt, **turn}


def _condition_lines(parts: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for name, part in parts.items():
        for attempt in sorted(part["attempts"], key=lambda one: (one["block"], one["attempt"])):
            yield {"row": name, **attempt, **attempt["conditions"], "accepted": int(attempt["accepted"])}


def _table(columns: Sequence[str], lines: Iterable[dict[str, Any]]) -> str:
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(columns)
    for line in lines:
        table.writerow(_text(line[name]) for name in columns)
    return out.getvalue()


def _text(value: Any) -> Any:
    """Numbers to four digits, nothing for what is unknown."""
    if value is None:
        return ""
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else value


def _pressed(text: str) -> bytes:
    return lzma.compress(text.encode(), preset=9)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1) + "\n"
