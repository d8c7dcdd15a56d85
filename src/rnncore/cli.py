# SPDX-License-Identifier: MIT
"""The command line: ``rnncore forecast``, ``score``, ``info``, ``inspect``, ``convert``, ``verify`` and ``bench``.

Bad input gives one sentence on standard error and exit code 2. Everything that can be checked (files,
formats, packages) is checked before the training starts.
"""

from __future__ import annotations

import json
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from . import __version__, interrupts
from .errors import RnncoreError

app: typer.Typer = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Recurrent networks on CPUs: forecast a series, score tables, look into and convert models, measure.",
)

_OTHERS = {"allow_extra_args": True, "ignore_unknown_options": True}


class Cell(StrEnum):
    """Cells the command can train."""

    gru = "gru"
    lstm = "lstm"
    rnn = "rnn"
    min_gru = "min_gru"
    min_lstm = "min_lstm"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rnncore {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Recurrent networks on CPUs: forecast a series, score tables, look into and convert models, measure."""


def _option(panel: str, text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


_read = partial(_option, "What is read")
_train = partial(_option, "Training")
_make = partial(_option, "What is written")

_File = typer.Argument(
    metavar="FILE",
    help="The series: CSV in most dialects, compressed or not, Parquet, or - for standard input. "
    "Default: two years of hourly bike hire, shipped with the package.",
)
_Example = _read(
    "A series that ships with the package: bikes or sunspots.", autocompletion=lambda: ["bikes", "sunspots"]
)
_Column = _read("Column to forecast; may be repeated.")
_Covariate = _read("Column that helps; known ahead if the file goes on with it. May be repeated.")
_Group = _read("Column that tells several series in one file apart.")
_Time = _read("Column of times; default: found.")
_Fill = _read(
    "Fill missing values: interpolate, previous or zero.",
    autocompletion=lambda: ["interpolate", "previous", "zero"],
)
_Header = _read("Whether the first line holds names; default: found.", "--header/--no-header")
_Skip = _read("Lines to leave out at the start.", min=0)
_Decimal = _read("Decimal sign, . or , if it cannot be told.")
_Missing = _read("Text that stands for a missing value, such as -9999; may be repeated.")
_DateFormat = _read("How dates are written, such as %d/%m/%Y.")
_Timezone = _read("Time zone of local times, such as Europe/Berlin.")
_Horizon = _train("Steps to forecast; default: what is usual, such as a day of hours.", min=1)
_Season = _train("Steps in a season; may be repeated. Default: by the calendar.", min=2)
_Test = _train("Last values to hold out for the test; default: a tenth or a fifth.", min=0)
_Cell = _train("Recurrent cell.")
_HiddenSize = _train("Units of each network; default: by length.", min=1)
_Context = _train("Steps that the network reads; default: a season.", min=1)
_Steps = _train("Training steps of each network; default: by length.", min=1)
_Budget = _train("Training takes at most so many seconds.", min=0.01)
_Seed = _train("Seed of all random numbers.", min=0)
_Threads = _train("Threads of the layers.", min=1)
_Load = _train("Forecast with a saved model; nothing is trained.")
_Checkpoint = _train("Keep the state of the training here; if the file exists, go on from it.")
_Level = _make("Level of an interval in percent [default: 80, 95]; may be repeated.")
_Out = _make("Where to write the forecast.")
_Plot = _make(
    "Where to draw the picture [default: forecast.png, forecast.svg, forecast-dark.svg]; -dark draws dark."
)
_Save = _make("Where to save the model (safetensors).")
_Force = _make("Overwrite files that exist.", "--force")
_Title = _make("Title of the picture.")
_Unit = _make("Unit of the values, for table and picture.")


@app.command()
def forecast(
    file: Annotated[Path | None, _File] = None,
    example: Annotated[str | None, _Example] = None,
    column: Annotated[list[str] | None, _Column] = None,
    covariate: Annotated[list[str] | None, _Covariate] = None,
    group: Annotated[str | None, _Group] = None,
    time: Annotated[str | None, _Time] = None,
    fill: Annotated[str | None, _Fill] = None,
    header: Annotated[bool | None, _Header] = None,
    skip: Annotated[int, _Skip] = 0,
    decimal: Annotated[str | None, _Decimal] = None,
    missing: Annotated[list[str] | None, _Missing] = None,
    date_format: Annotated[str | None, _DateFormat] = None,
    timezone: Annotated[str | None, _Timezone] = None,
    horizon: Annotated[int | None, _Horizon] = None,
    season: Annotated[list[int] | None, _Season] = None,
    test: Annotated[int | None, _Test] = None,
    cell: Annotated[Cell, _Cell] = Cell.gru,
    hidden_size: Annotated[int | None, _HiddenSize] = None,
    context: Annotated[int | None, _Context] = None,
    steps: Annotated[int | None, _Steps] = None,
    budget: Annotated[float, _Budget] = 20.0,
    seed: Annotated[int, _Seed] = 0,
    threads: Annotated[int | None, _Threads] = None,
    load: Annotated[Path | None, _Load] = None,
    checkpoint: Annotated[Path | None, _Checkpoint] = None,
    level: Annotated[list[float] | None, _Level] = None,
    out: Annotated[Path, _Out] = Path("forecast.csv"),
    plot: Annotated[list[Path] | None, _Plot] = None,
    save: Annotated[Path | None, _Save] = None,
    force: Annotated[bool, _Force] = False,
    title: Annotated[str | None, _Title] = None,
    unit: Annotated[str | None, _Unit] = None,
) -> None:
    """Train on a series, test against simple forecasts, forecast what comes next."""
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in locals().items()}
    try:
        from .forecast._command.run import Options, run

        # An option that was left out has the default of `Options`.
        run(Options(**{name: value for name, value in given.items() if value is not None}))
    except ModuleNotFoundError as error:
        _refuse(f'the forecast needs the package {error.name}: pip install "rnncore[cli]"', error)
    except (RnncoreError, OSError) as error:
        _refuse(str(error), error)


def _refuse(message: str, error: Any) -> Any:
    """Say it in one line, whatever the message holds, and exit with 2."""
    typer.echo(f"rnncore: {' '.join(message.split())}", err=True)
    raise typer.Exit(2) from error


class Engine(StrEnum):
    """Where tables are scored."""

    local = "local"
    ray = "ray"
    spark = "spark"
    dask = "dask"


class Steps(StrEnum):
    """What is kept of results for each step."""

    all = "all"
    last = "last"


_Model = typer.Argument(metavar="MODEL", help="The model, a file that rnncore inspect can read.")
_Source = typer.Argument(metavar="IN", help="Parquet or Arrow files: one, or a folder of them.")
_Target = typer.Argument(
    metavar="OUT", help="A folder of Parquet files, which is one table to what reads them."
)
_Sequence = _read(
    "Column of sequences; several stand side by side as features. Default: the only column of lists.",
    "--column",
)
_Keep = _make("Column that goes through; may be repeated. Default: all but the sequences.")
_Output = _make("Name of the column of results.")
_WhichSteps = _make("Of a model that gives a result for each step: all, or the last one.")
_Engine = _make("Where the parts are done; all its machines must see the files.")
_ScoreThreads = _make("Threads of a call. Default: all, on an engine what it gives a task.", min=1)
_Anew = _make("Throw away the parts of another run.", "--force")


@app.command()
def score(
    model: Annotated[Path, _Model],
    source: Annotated[Path, _Source],
    target: Annotated[Path, _Target],
    column: Annotated[list[str] | None, _Sequence] = None,
    keep: Annotated[list[str] | None, _Keep] = None,
    output: Annotated[str, _Output] = "score",
    steps: Annotated[Steps, _WhichSteps] = Steps.all,
    engine: Annotated[Engine, _Engine] = Engine.local,
    threads: Annotated[int | None, _ScoreThreads] = None,
    force: Annotated[bool, _Anew] = False,
) -> None:
    """Score the sequences of a table; parts that are done are kept, and the same command does the rest."""
    from .cluster.command import Options, run

    try:
        run(Options(model, source, target, column, keep, output, str(steps), str(engine), threads, force))
    except (RnncoreError, OSError) as error:
        _refuse(str(error), error)


@app.command()
def info(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show CPU, instruction sets, BLAS, threads and versions."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from .engine.config import config

    found = config()
    if as_json:
        typer.echo(json.dumps(found, indent=2, default=str))
        return
    table = Table(show_header=False)
    for name, value in _flatten(found):
        table.add_row(Text(name), Text(value))
    Console().print(table)


def _flatten(found: Any, prefix: str = "") -> Any:
    """Yield (dotted name, text) of a nested dict."""
    for name, value in found.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield (
                prefix + str(name),
                ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value),
            )


@app.command(add_help_option=False, context_settings=_OTHERS)
def inspect(ctx: typer.Context) -> None:
    """Show what a model file holds: layers, shapes, parameters, what maps to what."""
    from .formats.__main__ import main

    interrupts.use_exceptions()
    raise typer.Exit(main(["inspect", *ctx.args]))


@app.command(add_help_option=False, context_settings=_OTHERS)
def convert(ctx: typer.Context) -> None:
    """Convert a model between file formats; the names' endings say which."""
    from .formats.__main__ import main

    interrupts.use_exceptions()
    raise typer.Exit(main(["convert", *ctx.args]))


@app.command()
def verify(
    timeout: Annotated[
        float, typer.Option(help="Seconds that another worker may be silent.", min=0.1)
    ] = 30.0,
) -> None:
    """Train a small model of each cell; the last line is one SHA-256, the same on every machine.

    Under mpiexec or torchrun the workers train together and print the same line once.
    """
    from .cluster import connect
    from .verify import verify as train_all

    try:
        comm = connect(timeout=timeout)
        found = train_all(comm)
    except RnncoreError as error:
        _refuse(str(error), error)
    if comm.rank == 0:
        typer.echo("\n".join(f"{name:5}{value}" for name, value in found.items() if name != "all"))
        typer.echo(found["all"])


@app.command(add_help_option=False, context_settings=_OTHERS)
def bench(ctx: typer.Context) -> None:
    """Measure this machine and the installed systems against each other; see rnncore bench --help."""
    from .bench.__main__ import main

    interrupts.use_exceptions()
    raise typer.Exit(main(ctx.args))
