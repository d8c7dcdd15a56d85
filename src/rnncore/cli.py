# SPDX-License-Identifier: MIT
"""The command line: ``rnncore forecast``, ``info``, ``inspect``, ``convert`` and ``bench``.

Bad input gives one sentence on standard error and exit code 2. Everything that can be checked (files,
formats, packages) is checked before the training starts.
"""

from __future__ import annotations

import csv
import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from .data import SUNSPOT_PERIOD, future_times, read_csv, sunspots
from .errors import ArgumentError, RnncoreError
from .estimators import Forecaster

app: typer.Typer = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Recurrent networks on CPUs: forecast a series, look into and convert models, measure.",
)

TEST_SHARE = 0.2
PLOTTED_TESTS = 2
"""The picture shows this many times the test part as history before it, at least MIN_PLOTTED values."""
MIN_PLOTTED = 150
INTERVAL = 0.9


class Cell(StrEnum):
    """Cells the command can train."""

    lstm = "lstm"
    gru = "gru"
    rnn = "rnn"


@app.callback()
def _top() -> Any:
    """Recurrent networks on CPUs: forecast a series, look into and convert models, measure."""


@app.command()
def forecast(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CSV]",
            help="The series; default: yearly sunspot numbers 1700-2008, shipped with the package.",
        ),
    ] = None,
    column: Annotated[str | None, typer.Option(help="Column to forecast.")] = None,
    cell: Annotated[Cell, typer.Option(help="Recurrent cell.")] = Cell.lstm,
    horizon: Annotated[
        int | None, typer.Option(min=1, help="Steps to forecast; default: one season.")
    ] = None,
    period: Annotated[int | None, typer.Option(min=1, help="Length of a season; default: detected.")] = None,
    window: Annotated[
        int | None, typer.Option(min=2, help="Past steps a forecast sees; default: three seasons.")
    ] = None,
    hidden_size: Annotated[int, typer.Option(min=1, help="Hidden units of each network.")] = 12,
    epochs: Annotated[int, typer.Option(min=1, help="Longest training of each network.")] = 150,
    seconds: Annotated[float, typer.Option(min=0.01, help="Training budget in seconds.")] = 15.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the layers.")] = None,
    out: Annotated[Path, typer.Option(help="Where to write the forecast.")] = Path("forecast.csv"),
    plot: Annotated[Path, typer.Option(help="Where to draw the picture (png, svg, pdf).")] = Path(
        "forecast.png"
    ),
    save: Annotated[Path | None, typer.Option(help="Where to save the model (safetensors).")] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Keep the state of the training here; if the file exists, go on from it."),
    ] = None,
) -> None:
    """Train on a series, test against naive forecasts, forecast what comes next."""
    console = Console()
    try:
        _check_outputs(file, {"--out": out, "--plot": plot, "--save": save, "--checkpoint": checkpoint})
        if file is None and column is None:
            series, period = sunspots(), period or SUNSPOT_PERIOD
        elif file is None:
            raise ArgumentError("--column", "a CSV file to go with it", "none")
        else:
            series = read_csv(file, column)
        model = Forecaster(
            cell.value,
            horizon=horizon,
            period=period,
            window=window,
            hidden_size=hidden_size,
            epochs=epochs,
            seconds=seconds,
            seed=seed,
            num_threads=threads,
        )
        _run(console, model, series, out, plot, save, checkpoint)
    except ModuleNotFoundError as error:
        _refuse(f'the command line needs the package {error.name}: pip install "rnncore[cli]"', error)
    except (RnncoreError, OSError) as error:
        _refuse(str(error), error)


def _refuse(message: str, error: Any) -> Any:
    """Say it in one line, whatever the message holds, and exit with 2."""
    typer.echo(f"rnncore: {' '.join(message.split())}", err=True)
    raise typer.Exit(2) from error


def _run(console: Any, model: Any, series: Any, out: Any, plot: Any, save: Any, checkpoint: Any) -> Any:
    values = series.values
    test = max(round(TEST_SHARE * len(values)), model.horizon or 1)
    start = max(len(values) - test, 0)
    console.print(Text(f"{series.name}: {len(values)} values, the last {test} held out for the test"))
    try:
        _fit(console, model, values[:start], checkpoint)
    except ArgumentError as error:
        if error.field != "series":
            raise
        raise ArgumentError(
            series.name, error.expected, error.got, f"{len(values)} values less {test} for the test"
        ) from error
    result = model.backtest(values, start, level=INTERVAL)
    console.print(
        Text(f"test error over {len(result.origins)} origins, {model.horizon} steps ahead from each:")
    )
    console.print(_score_table(model, result))
    console.print(Text(f"{result.coverage:.0%} of the test values lie in the {result.level:.0%} interval"))
    rows = _forecast_rows(model, series, start)
    _write_csv(out, series.time_name, rows)
    _draw(plot, series, start, rows, model)
    console.print(Text(f"forecast: {out}   picture: {plot}"))
    if save is not None:
        model.save(save)
        console.print(Text(f"model: {save}"))


def _check_outputs(source: Any, targets: Any) -> Any:
    """Raise before the training what would fail after it."""
    from matplotlib.backend_bases import FigureCanvasBase

    for option, path in targets.items():
        if path is None:
            continue
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise ArgumentError(option, "a file in an existing folder", str(path))
        if source is not None and path.absolute() == source.absolute():
            raise ArgumentError(option, "another file than the series", str(path))
    kinds = FigureCanvasBase.get_supported_filetypes()
    if targets["--plot"].suffix.removeprefix(".").lower() not in kinds:
        raise ArgumentError(
            "--plot", f"a name that ends in one of {', '.join(sorted(kinds))}", str(targets["--plot"])
        )
    if targets["--save"] is not None or targets["--checkpoint"] is not None:
        import safetensors  # noqa: F401 (a missing package shall show now)


def _fit(console: Any, model: Any, values: np.ndarray[Any, Any], checkpoint: Any) -> Any:
    columns = (TextColumn("training"), BarColumn(20), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    with Bars(*columns, console=console) as bars:
        task = bars.add_task("fit", total=None, note="")

        def show(p: Any) -> Any:
            note = f"loss {p.loss:.3f}  {p.windows_per_second:,.0f} windows/s  {p.remaining:.0f} s left"
            bars.update(task, total=p.members, completed=p.member - 1, note=note)

        model.fit(values, progress=show, checkpoint=checkpoint)
        if not model.interrupted:
            bars.update(task, completed=bars.tasks[0].total, note=bars.tasks[0].fields["note"].split("  ")[0])
    if model.interrupted:
        console.print("interrupted: going on with the best weights so far")


def _score_table(model: Any, result: Any) -> Any:
    table = Table()
    for name in ("forecast", "MAE", "RMSE"):
        table.add_column(name, justify="left" if name == "forecast" else "right")
    for name, (mae, rmse) in result.scores.items():
        if name == "seasonal naive":
            name = f"seasonal naive ({model.period})"
        table.add_row(Text(name), f"{mae:.4g}", f"{rmse:.4g}")
    return table


def _forecast_rows(model: Any, series: Any, start: Any) -> Any:
    """Return (time, truth or None, mean, lower, upper): the test part by horizons, then the future."""
    n = len(series.values)
    past = series.times or [str(i) for i in range(n)]
    ahead = future_times(series.times or past, model.horizon)
    rows = []
    for origin in [*range(start, n, model.horizon), n]:
        count = model.horizon if origin == n else min(model.horizon, n - origin)
        part = model.predict(count, series=series.values[:origin], level=INTERVAL)
        for step in range(count):
            at = origin + step
            truth = series.values[at] if at < n else None
            label = past[at] if at < n else ahead[step]
            rows.append((label, truth, part.mean[step], part.lower[step], part.upper[step]))
    return rows


def _write_csv(path: str | os.PathLike[str], time_name: str, rows: Any) -> Any:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((time_name, "truth", "forecast", "lower", "upper"))
        for label, truth, *numbers in rows:
            writer.writerow(
                (label, "" if truth is None else repr(float(truth)), *(f"{v:.7g}" for v in numbers))
            )


def _draw(path: str | os.PathLike[str], series: Any, start: Any, rows: Any, model: Any) -> Any:
    """Draw history, truth, forecasts of the test part one horizon at a time, and what comes next."""
    from matplotlib.figure import Figure

    n = len(series.values)
    first = max(0, start - max(PLOTTED_TESTS * (n - start), MIN_PLOTTED))
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(np.arange(first, n), series.values[first:], color="0.25", lw=1.1, label="history and truth")
    mean, lower, upper = (np.array([row[i] for row in rows]) for i in (2, 3, 4))
    at = np.arange(start, start + len(rows))
    pieces = [*range(0, n - start, model.horizon), n - start]
    for piece, begin in enumerate(pieces):
        part = slice(begin, pieces[piece + 1] if piece + 1 < len(pieces) else len(rows))
        future = begin == n - start
        color = "tab:red" if future else "tab:blue"
        name = "forecast" if future else "forecasts of the test part"
        wanted = future or begin == 0
        axes.plot(at[part], mean[part], color=color, lw=1.5, marker=".", ms=3, label=name if wanted else None)
        axes.fill_between(
            at[part],
            lower[part],
            upper[part],
            color=color,
            alpha=0.18,
            lw=0,
            label=f"{INTERVAL:.0%} interval" if future else None,
        )
    axes.axvline(start - 0.5, color="0.6", lw=0.8, ls=":")
    axes.axvline(n - 0.5, color="0.6", lw=0.8, ls=":")
    if series.times:
        labels = [*series.times, *(row[0] for row in rows[n - start :])]
        ticks = [t for t in axes.get_xticks() if first <= t < len(labels)]
        axes.set_xticks(ticks, [labels[int(t)] for t in ticks])
    axes.set_xlabel(series.time_name)
    axes.set_ylabel(series.name)
    axes.set_title(f"{series.name}: {model.cell.upper()}, {model.horizon} steps ahead")
    axes.legend(loc="upper left", fontsize="small", ncols=4)
    figure.savefig(path, dpi=130)


@app.command()
def info(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show CPU, instruction sets, BLAS, threads and versions."""
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


@app.command(
    add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def inspect(ctx: typer.Context) -> None:
    """Show what a model file holds: layers, shapes, parameters, what maps to what."""
    from .formats.__main__ import main

    raise typer.Exit(main(["inspect", *ctx.args]))


@app.command(
    add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def convert(ctx: typer.Context) -> None:
    """Convert a model between file formats; the names' endings say which."""
    from .formats.__main__ import main

    raise typer.Exit(main(["convert", *ctx.args]))


@app.command(
    add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def bench(ctx: typer.Context) -> None:
    """Measure this machine and the installed systems against each other; see rnncore bench --help."""
    from .bench.__main__ import main

    raise typer.Exit(main(ctx.args))
