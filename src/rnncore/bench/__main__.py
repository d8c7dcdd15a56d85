# SPDX-License-Identifier: MIT
"""Command line: ``python -m rnncore.bench [SET ...]``, and the commands in `COMMANDS`.

argparse, so that the study runs with nothing but NumPy installed.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from . import builds, cases, imports, limits, machine, page, peers, report, results, shapes
from . import options as cell_options
from .arguments import counts, default_threads, names
from .process import PeerError
from .progress import Progress
from .runner import PAUSE_SECONDS, Plan, Runner
from .study import commands as study_commands
from .study import measure as study

PROGRAM = "rnncore bench"
USAGE_ERROR = 2


def _run_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        PROGRAM,
        description="Measure rows of named sets in every installed system.",
        epilog=f"Other commands, each with --help: {' | '.join(f'{PROGRAM} {name}' for name in COMMANDS)}",
    )
    parser.add_argument(
        "sets", nargs="*", metavar="SET", help=f"any of {', '.join(shapes.SETS)} (default: latency)"
    )
    parser.add_argument(
        "--threads",
        type=counts,
        default=default_threads(),
        metavar="N,N",
        help="numbers of threads (default: 1,2)",
    )
    parser.add_argument("--cell", type=names, default=[], metavar="NAME,NAME", help="only these cells")
    parser.add_argument("--match", default="", metavar="TEXT", help="only rows whose name contains TEXT")
    parser.add_argument(
        "--peers",
        type=names,
        default=[],
        metavar="NAME,NAME",
        help=f"only these of {', '.join(peers.PEERS)} (default: all installed)",
    )
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="measuring time per row and system (default: 1)"
    )
    parser.add_argument("--rounds", type=int, default=10, help="interleaved rounds (default: 10)")
    parser.add_argument(
        "--pause",
        type=float,
        default=PAUSE_SECONDS,
        help=f"seconds between systems with several threads (default: {PAUSE_SECONDS})",
    )
    parser.add_argument(
        "--isa", choices=sorted(peers.HELD), default="", help="hold all systems to this instruction set"
    )
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE", help="write the report, a .csv")
    parser.add_argument("--no-limits", action="store_true", help="do not measure the machine's limits")
    parser.add_argument(
        "--in-process", action="store_true", help="all systems in this process (for debugging)"
    )
    return parser


def _run(arguments: Sequence[str]) -> int:
    options = _run_parser().parse_args(arguments)
    groups = options.sets or ["latency"]
    rows = shapes.select(groups, options.threads, cells=options.cell, match=options.match)
    if not rows:
        raise ValueError("rows: expected at least one, got none that fits --cell, --match and --threads")
    plan = Plan(
        options.peers or peers.installed(),
        options.seconds,
        options.rounds,
        options.pause,
        options.in_process,
        options.isa,
    )
    for name in plan.systems:
        missing = peers.missing(name)
        if missing:
            raise ValueError(f"peers: expected installed systems, got {name!r} without {missing}")
    if options.out:
        results.check_name(options.out)
    described = machine.describe()
    bounds = None if options.no_limits else limits.measure(options.threads)
    print(report.limits_text(bounds) + "\n", flush=True)
    settings = {
        "sets": groups,
        "seconds": plan.seconds,
        "rounds": plan.rounds,
        "pause": plan.pause,
        "in_process": plan.in_process,
        "isa": plan.isa,
    }
    made = results.make(described, bounds, settings, [])
    if options.out:
        results.save(made, options.out)  # fails now rather than after an hour
    _measure(plan, rows, bounds, made["rows"])
    doubts = []
    if bounds is not None:
        bounds = limits.with_drift(bounds)
        doubts = limits.doubts(bounds, described["cores"])
    made = results.make(described, bounds, settings, made["rows"], doubts)
    if options.out:
        results.save(made, options.out)
    _print_rows(made)
    return 0


def _measure(
    plan: Plan,
    rows: list[tuple[str, cases.Case]],
    bounds: limits.Limits | None,
    found: list[dict[str, Any]],
) -> None:
    with Runner(plan) as runner, Progress(runner.ticks(len(rows))) as bar:
        runner.tick = bar.advance
        try:
            for group, case in rows:
                found.append(runner.row(group, case, bounds))
        except KeyboardInterrupt:
            # The rows that are done are worth keeping; an hour's run is not lost to one key.
            print(f"interrupted after {len(found)} of {len(rows)} rows", file=sys.stderr)


def _compare_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        f"{PROGRAM} compare",
        description="Show what moved between two studies or reports, or time two builds against each other now.",
    )
    parser.add_argument(
        "reports",
        nargs="*",
        type=pathlib.Path,
        metavar="REPORT",
        help="two: old and new; or studies' directories",
    )
    for name in ("old", "new"):
        parser.add_argument(
            f"--{name}",
            type=pathlib.Path,
            metavar="PYTHON",
            help=f"interpreter that imports the {name} build",
        )
    parser.add_argument(
        "--sets",
        type=names,
        default=["stream", "latency", "throughput", "train"],
        metavar="SET,SET",
        help="of builds (default: stream,latency,throughput,train)",
    )
    parser.add_argument("--threads", type=counts, default=(1,), metavar="N,N", help="of builds (default: 1)")
    parser.add_argument("--cell", type=names, default=[], metavar="NAME,NAME", help="only these cells")
    parser.add_argument("--match", default="", metavar="TEXT", help="only rows whose name contains TEXT")
    parser.add_argument("--blocks", type=int, default=15, help="pairs of blocks of each row (default: 15)")
    parser.add_argument("--starts", type=int, default=3, help="starts of both processes (default: 3)")
    parser.add_argument("--seconds", type=float, default=0.02, help="length of a block (default: 0.02)")
    parser.add_argument(
        "--moved",
        type=float,
        default=report.MOVED,
        metavar="PART",
        help=f"smallest relative change that counts (default: {report.MOVED})",
    )
    parser.add_argument(
        "--fail",
        action="store_true",
        help="exit with 1 when a row of rnncore (of builds: a set's geometric mean) got slower",
    )
    return parser


def _compare(arguments: Sequence[str]) -> int:
    options = _compare_parser().parse_args(arguments)
    if options.old and options.new and not options.reports:
        return _compare_builds(options)
    if options.old or options.new or len(options.reports) != 2:
        raise ValueError("compare: expected two reports, or --old and --new with an interpreter each")
    if all(path.is_dir() for path in options.reports):
        return study_commands.compare(*options.reports, options.fail)
    old, new = (results.read(path) for path in options.reports)
    found = report.compare(old, new, moved=options.moved)
    print(report.compare_text(found))
    ours = [entry for entry in found["slower"] if peers.load(entry["system"]).ours]
    return 1 if options.fail and ours else 0


def _compare_builds(options: argparse.Namespace) -> int:
    study_commands.check()
    plan = builds.Plan(options.old, options.new, options.blocks, options.starts, options.seconds)
    rows = shapes.select(options.sets, options.threads, cells=options.cell, match=options.match)
    rows = builds.comparable(rows)
    if not rows:
        raise ValueError("rows: expected at least one, got none that fits --cell, --match and --threads")
    for name, facts in zip(("old", "new"), builds.describe(plan), strict=True):
        print(f"{name}: rnncore {facts['version']}, {facts['isa']}, {facts['place']}", flush=True)
    with Progress(plan.starts * len(rows)) as bar:
        found = builds.measure(plan, rows, tick=bar.advance)
    print("", builds.table(found, options.moved), sep="\n")
    return 1 if options.fail and builds.slower(found, options.moved) else 0


def _report(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(f"{PROGRAM} report", description="Show all that reports hold.")
    parser.add_argument("reports", nargs="+", type=pathlib.Path, metavar="REPORT")
    for path in parser.parse_args(arguments).reports:
        found = results.read(path)
        bounds = limits.Limits.from_json(found["limits"]) if found["limits"] else None
        facts = found["machine"] | found["versions"] | found["settings"]
        print(f"{path}\n" + ", ".join(f"{name}: {value}" for name, value in facts.items()) + "\n")
        print(report.limits_text(bounds) + "\n")
        _print_rows(found)
    return 0


def _print_rows(found: dict[str, Any]) -> None:
    rows = found["rows"]
    print(report.row_table(rows), report.summary(rows), *report.problems(rows), sep="\n\n")
    print("".join(f"\nDOUBTFUL: {doubt}" for doubt in found["doubts"]))


def _page(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        f"{PROGRAM} page", description="Write the measured parts of Markdown pages, and draw their charts."
    )
    parser.add_argument("pages", nargs="+", type=pathlib.Path, metavar="PAGE")
    for path in parser.parse_args(arguments).pages:
        page.write(path)
    return 0


def _import(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        f"{PROGRAM} import", description="Measure what importing rnncore costs over NumPy."
    )
    parser.add_argument("--runs", type=int, default=15, help="fresh interpreters (default: 15)")
    print(
        f"import: {report.duration(imports.import_seconds(parser.parse_args(arguments).runs))} of processor time"
    )
    return 0


def _limits(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        f"{PROGRAM} limits", description="Measure what this machine can do at best."
    )
    parser.add_argument("--threads", type=counts, default=default_threads(), metavar="N,N")
    parser.add_argument("--seconds", type=float, default=0.05, help="per figure (default: 0.05)")
    options = parser.parse_args(arguments)
    print(report.limits_text(limits.measure(options.threads, seconds=options.seconds)))
    return 0


def _list(arguments: Sequence[str]) -> int:
    argparse.ArgumentParser(
        f"{PROGRAM} list", description="Show all rows, and which systems there are."
    ).parse_args(arguments)
    for name in shapes.SETS:
        lines = [[f"  {case.problem_name}", case.source] for _, case in shapes.select([name])]
        print(f"{name}\n" + "\n".join("   ".join(line) for line in lines))
    for name in peers.PEERS:
        missing = peers.missing(name)
        print(f"{name}: " + (f"missing {missing}" if missing else peers.load(name).version() or "installed"))
    return 0


def _options(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        f"{PROGRAM} options",
        description="Measure what options of cells cost beside the usual cell, on one thread.",
    )
    parser.add_argument("--cell", type=names, default=list(cell_options.OPTIONS), metavar="NAME,NAME")
    parser.add_argument("--blocks", type=int, default=15, help="turns of each layer (default: 15)")
    parser.add_argument("--seconds", type=float, default=0.02, help="length of a block (default: 0.02)")
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE", help="write the report, a .csv")
    chosen = parser.parse_args(arguments)
    for cell in chosen.cell:
        if cell not in cell_options.OPTIONS:
            raise ValueError(f"cell: expected one of {list(cell_options.OPTIONS)}, got {cell!r}")
    if chosen.out:
        results.check_name(chosen.out)
    with Progress(len(chosen.cell) * len(cell_options.COLUMNS)) as bar:
        rows = cell_options.measure(
            chosen.cell, blocks=chosen.blocks, seconds=chosen.seconds, tick=bar.advance
        )
    if chosen.out:
        settings = {"blocks": chosen.blocks, "seconds": chosen.seconds}
        results.save(results.make(machine.describe(), None, settings, rows), chosen.out)
    print(cell_options.table(rows))
    return 0


def _html(arguments: Sequence[str]) -> int:
    return study_commands.html(f"{PROGRAM} html", arguments)


def _claims(arguments: Sequence[str]) -> int:
    return study_commands.claims(f"{PROGRAM} claims", arguments)


COMMANDS = {
    "study": study.main,
    "report": _report,
    "html": _html,
    "claims": _claims,
    "page": _page,
    "compare": _compare,
    "options": _options,
    "limits": _limits,
    "import": _import,
    "list": _list,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Wrong use and unreadable files give one sentence and 2."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    command = _run
    if arguments and arguments[0] in COMMANDS:
        command = COMMANDS[arguments.pop(0)]
    try:
        return command(arguments)
    except (ValueError, OSError, ModuleNotFoundError, PeerError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return USAGE_ERROR


if __name__ == "__main__":
    sys.exit(main())
