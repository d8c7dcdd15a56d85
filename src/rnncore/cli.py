# SPDX-License-Identifier: MIT
"""The command line: ``rnncore forecast``, ``info``, ``inspect``, ``convert`` and ``bench``.

Bad input gives one sentence on standard error and exit code 2. Everything that can be checked (files,
formats, packages) is checked before the training starts.
"""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from . import __version__, interrupts
from .errors import RnncoreError

app: typer.Typer = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Recurrent networks on CPUs: forecast a series, look into and convert models, measure.",
)

SERIES, TRAINING, OUTPUT = "What is read", "Training", "What is written"
OTHERS = {"allow_extra_args": True, "ignore_unknown_options": True}


class Cell(StrEnum):
    """Cells the command can train."""

    gru = "gru"
    lstm = "lstm"
    rnn = "rnn"


def _version(wanted: bool):
    if wanted:
        typer.echo(f"rnncore {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Recurrent networks on CPUs: forecast a series, look into and convert models, measure."""


def _read(text, *names, **more):
    return typer.Option(*names, help=text, rich_help_panel=SERIES, **more)


def _train(text, *names, **more):
    return typer.Option(*names, help=text, rich_help_panel=TRAINING, **more)


def _make(text, *names, **more):
    return typer.Option(*names, help=text, rich_help_panel=OUTPUT, **more)


@app.command()
def forecast(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="The series: CSV in most dialects, compressed or not, Parquet, or - for standard input. "
            "Default: two years of hourly bike hire, shipped with the package.",
        ),
    ] = None,
    example: Annotated[str | None, _read("A series that ships with the package: bikes or sunspots.")] = None,
    column: Annotated[list[str] | None, _read("Column to forecast; may be repeated.")] = None,
    covariate: Annotated[
        list[str] | None,
        _read("Column that helps; known ahead if the file goes on with it. May be repeated."),
    ] = None,
    group: Annotated[str | None, _read("Column that tells several series in one file apart.")] = None,
    time: Annotated[str | None, _read("Column of times; default: found.")] = None,
    fill: Annotated[str | None, _read("Fill missing values: interpolate, previous or zero.")] = None,
    header: Annotated[
        bool | None, _read("Whether the first line holds names; default: found.", "--header/--no-header")
    ] = None,
    skip: Annotated[int, _read("Lines to leave out at the start.", min=0)] = 0,
    decimal: Annotated[str | None, _read("Decimal sign, . or , if it cannot be told.")] = None,
    missing: Annotated[
        list[str] | None, _read("Text that stands for a missing value, such as -9999.")
    ] = None,
    date_format: Annotated[str | None, _read("How dates are written, such as %d/%m/%Y.")] = None,
    timezone: Annotated[str | None, _read("Time zone of local times, such as Europe/Berlin.")] = None,
    horizon: Annotated[
        int | None, _train("Steps to forecast; default: what is usual, such as a day of hours.", min=1)
    ] = None,
    season: Annotated[
        list[int] | None, _train("Steps in a season; may be repeated. Default: by the calendar.", min=2)
    ] = None,
    test: Annotated[
        int | None, _train("Last values to hold out for the test; default: a tenth or a fifth.", min=0)
    ] = None,
    cell: Annotated[Cell, _train("Recurrent cell.")] = Cell.gru,
    hidden_size: Annotated[int | None, _train("Units of each network; default: by length.", min=1)] = None,
    context: Annotated[int | None, _train("Steps that the network reads; default: a season.", min=1)] = None,
    steps: Annotated[int | None, _train("Training steps of each network; default: by length.", min=1)] = None,
    budget: Annotated[float, _train("Training takes at most so many seconds.", min=0.01)] = 20.0,
    seed: Annotated[int, _train("Seed of all random numbers.", min=0)] = 0,
    threads: Annotated[int | None, _train("Threads of the layers.", min=1)] = None,
    load: Annotated[Path | None, _train("Forecast with a saved model; nothing is trained.")] = None,
    checkpoint: Annotated[
        Path | None, _train("Keep the state of the training here; if the file exists, go on from it.")
    ] = None,
    level: Annotated[
        list[float] | None, _make("Level of an interval in percent [default: 80, 95]; may be repeated.")
    ] = None,
    out: Annotated[Path, _make("Where to write the forecast.")] = Path("forecast.csv"),
    plot: Annotated[
        list[Path] | None,
        _make(
            "Where to draw the picture [default: forecast.png, forecast.svg, forecast-dark.svg]; -dark draws dark."
        ),
    ] = None,
    save: Annotated[Path | None, _make("Where to save the model (safetensors).")] = None,
    force: Annotated[bool, _make("Overwrite files that exist.", "--force")] = False,
    title: Annotated[str | None, _make("Title of the picture.")] = None,
    unit: Annotated[str | None, _make("Unit of the values, for table and picture.")] = None,
) -> None:
    """Train on a series, test against simple forecasts, forecast what comes next."""
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in locals().items()}
    try:
        from .forecast.command import Options, run

        given |= {
            "cell": cell.value,
            "column": given["column"] or (),
            "covariate": given["covariate"] or (),
            "missing": given["missing"] or (),
            "season": given["season"] or (),
            "level": given["level"] or (80.0, 95.0),
            "plot": given["plot"] or tuple(map(Path, ("forecast.png", "forecast.svg", "forecast-dark.svg"))),
        }
        run(Options(**given))
    except ModuleNotFoundError as error:
        _refuse(f'the forecast needs the package {error.name}: pip install "rnncore[cli]"', error)
    except (RnncoreError, OSError) as error:
        _refuse(str(error), error)


def _refuse(message: str, error: Any) -> Any:
    """Say it in one line, whatever the message holds, and exit with 2."""
    typer.echo(f"rnncore: {' '.join(message.split())}", err=True)
    raise typer.Exit(2) from error


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


@app.command(add_help_option=False, context_settings=OTHERS)
def inspect(ctx: typer.Context):
    """Show what a model file holds: layers, shapes, parameters, what maps to what."""
    from .formats.__main__ import main

    interrupts.use_exceptions()
    raise typer.Exit(main(["inspect", *ctx.args]))


@app.command(add_help_option=False, context_settings=OTHERS)
def convert(ctx: typer.Context):
    """Convert a model between file formats; the names' endings say which."""
    from .formats.__main__ import main

    interrupts.use_exceptions()
    raise typer.Exit(main(["convert", *ctx.args]))


@app.command(add_help_option=False, context_settings=OTHERS)
def bench(ctx: typer.Context):
    """Measure this machine and the installed systems against each other; see rnncore bench --help."""
    from .bench.__main__ import main

    interrupts.use_exceptions()
    raise typer.Exit(main(ctx.args))
