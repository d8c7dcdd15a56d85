# SPDX-License-Identifier: MIT
"""``rnncore bench study``: measures, or goes on measuring, into a directory."""

import argparse
import dataclasses
import os
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any

from .. import limits, machine, peers, shapes
from ..arguments import counts, default_threads, names
from ..progress import Progress
from ..stations import Stations
from . import plan as plans
from .blocks import Blocks
from .conditions import Probe, energy
from .files import SCHEMA, Directory, now

PROGRAM = "rnncore bench study"
INTERRUPTED = 130
BAD = ("wrong", "failed")


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    found = argparse.ArgumentParser(
        PROGRAM,
        description="Measure rows of all sets in every installed system, in random blocks, with what the machine did "
        "meanwhile. The same command goes on where a study was interrupted.",
    )
    found.add_argument(
        "--out", type=pathlib.Path, required=True, metavar="DIR", help="where the study is written"
    )
    profile = found.add_mutually_exclusive_group()
    for name, text in (
        ("quick", "a few rows of each set (the default)"),
        ("full", "all rows: hours for each number of threads"),
    ):
        profile.add_argument(f"--{name}", dest="profile", action="store_const", const=name, help=text)
    found.add_argument("--threads", type=counts, default=default_threads(), metavar="N,N",
                       help="numbers of threads (default: 1,2)")  # fmt: skip
    found.add_argument("--sets", type=names, default=plans.SETS, metavar="SET,SET",
                       help=f"any of {', '.join(shapes.SETS)} (default: {','.join(plans.SETS)})")  # fmt: skip
    found.add_argument("--systems", type=names, default=[], metavar="NAME,NAME",
                       help=f"any of {', '.join(peers.PEERS)} (default: all installed)")  # fmt: skip
    found.add_argument("--match", default="", metavar="TEXT", help="only rows whose name contains TEXT")
    for name, kind, text in (
        ("blocks", int, "accepted blocks of a row"),
        ("preparations", int, "how often systems are built anew for a row"),
        ("seconds", float, "of a system's calls in a block"),
        ("cap", float, "longest call of a row, on the nominal core; steps are shortened to fit"),
    ):
        found.add_argument(f"--{name}", type=kind, metavar="N", help=f"{text} (default: the profile's)")
    found.add_argument("--seed", type=int, default=0, help="of all that is random (default: 0)")
    found.set_defaults(profile="quick")
    return found


def plan_of(options: argparse.Namespace) -> plans.Plan:
    """What the arguments ask for. ValueError for systems that are unknown or not installed."""
    given = {name: getattr(options, name) for name in ("blocks", "preparations", "seconds")}
    given["cap_seconds"] = options.cap
    changes = {name: value for name, value in given.items() if value is not None}
    profile = dataclasses.replace(plans.PROFILES[options.profile], **changes)
    systems = options.systems or peers.installed()
    found = plans.Plan(profile, systems, options.threads, options.sets, options.match, options.seed)
    for name in systems:
        if missing := peers.missing(name):
            raise ValueError(f"systems: expected installed ones, got {name!r} without {missing}")
    return found


def environment(plan: plans.Plan) -> dict[str, Any]:
    """``env.json`` of a study that begins now; the limits are not measured yet."""
    described = machine.describe()
    return {
        "schema": SCHEMA,
        "machine": described,
        "versions": {name: peers.load(name).version() for name in plan.systems},
        "settings": plan.settings(),
        "limits": None,
        "commit": described["commit"],
        "started": now(),
        "finished": None,
        "energy": energy(),
    }


def memory_bytes() -> float:
    """Of the machine; infinite where the system does not tell."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return float("inf")
    return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit code. ValueError for wrong use or a directory of something else."""
    options = parser().parse_args(arguments)
    plan = plan_of(options)
    rows = plan.rows(memory_bytes())
    measured = [row for row in rows if not row.reason]
    if not measured:
        raise ValueError("rows: expected at least one, got none that fits --sets, --match and --threads")
    directory = Directory(options.out, environment(plan))
    if directory.finished:
        print(f"{options.out} is whole: {len(measured)} rows, finished {directory.env['finished']}")
        return 0
    bounds = _bounds(directory, plan)
    left = [row for row in measured if not directory.has(row)]
    try:
        _measure(plan, directory, bounds, left)
    except KeyboardInterrupt:
        directory.write_tables(rows)
        done = sum(directory.has(row) for row in measured)
        print(f"interrupted after {done} of {len(measured)} rows; the same command goes on", file=sys.stderr)
        return INTERRUPTED
    ended = limits.with_drift(bounds).to_json() if bounds else None
    directory.finish(rows, ended)
    print(f"{options.out} is whole: {len(measured)} rows measured, {len(rows) - len(measured)} skipped")
    print(f"Its figures: rnncore bench claims {options.out}; all of it: rnncore bench html {options.out}")
    return 0


def _bounds(directory: Directory, plan: plans.Plan) -> limits.Limits | None:
    """The machine's limits, measured when the study began."""
    if directory.env["limits"] is None:
        found = limits.measure(tuple(plan.threads))
        directory.keep_limits(found.to_json() if found else None)
    known = directory.env["limits"]
    return limits.Limits.from_json(known) if known else None


def _measure(
    plan: plans.Plan, directory: Directory, bounds: limits.Limits | None, left: Sequence[plans.Row]
) -> None:
    begin = time.monotonic()
    with Stations() as stations, Progress(plan.profile.blocks * len(left)) as bar:
        blocks = Blocks(plan, stations, Probe(bounds), bar.advance)
        for number, row in enumerate(left, 1):
            found = blocks.row(row)
            directory.add(row, found)
            if not bar.visible:
                ahead = (time.monotonic() - begin) / number * (len(left) - number)
                print(f"{number}/{len(left)} {_told(row, found)}; {ahead / 60:.0f} min left", flush=True)


def _told(row: plans.Row, found: dict[str, Any]) -> str:
    """A row that is done, in a line."""
    right = [one for one in found["systems"] if one["status"] == "ok"]
    out = [
        f"{one['system']} {one['status']}: {one['reason']}"
        for one in found["systems"]
        if one["status"] in BAD
    ]
    repeated = sum(not one["accepted"] for one in found["attempts"])
    return "; ".join([f"{row.case.name}: {len(right)} systems, {repeated} blocks repeated", *out])
