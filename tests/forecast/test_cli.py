# SPDX-License-Identifier: MIT
"""The command line: the default forecast, every kind of bad CSV, kill and resume, missing extras."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tables_training as tables
from compiled import PATIENCE

import rnncore
from rnncore import data
from rnncore.errors import ArgumentError
from rnncore.estimators import Forecaster

for package in ("typer", "rich", "matplotlib", "safetensors"):
    pytest.importorskip(package, reason="the command line is the extra 'cli'")

from typer.testing import CliRunner  # noqa: E402 (an optional package)

from rnncore.cli import app  # noqa: E402 (needs it)

FAST = ["--horizon", "4", "--window", "10", "--hidden-size", "3", "--epochs", "3"]


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def good_csv(in_folder):
    path = in_folder / "good.csv"
    values = np.sin(np.arange(150) * 1.1) + 0.1 * np.random.default_rng(0).normal(size=150)
    path.write_text("year,level\n" + "".join(f"{1870 + i},{v:.4f}\n" for i, v in enumerate(values)))
    return path


def table_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_default_forecast_beats_both_baselines(in_folder):
    result = run("forecast", "--save", "model.safetensors", "--seconds", "600")
    assert result.exit_code == 0, result.output
    for word in ("SUNACTIVITY", "MAE", "RMSE", "seasonal naive (11)", "last value", "interval"):
        assert word in result.output
    series = data.sunspots()
    scores = Forecaster.load("model.safetensors").backtest(series.values, 247).scores
    for name in ("seasonal naive", "last value"):
        assert (np.array(scores["rnncore lstm"]) < tables.BASELINE_MARGIN * np.array(scores[name])).all()
    rows = table_of("forecast.csv")
    assert [row["YEAR"] for row in rows] == [str(year) for year in range(1947, 2020)]
    assert [float(row["truth"]) for row in rows[:62]] == series.values[247:].tolist()
    assert all(row["truth"] == "" for row in rows[62:])
    assert all(0 <= float(r["lower"]) <= float(r["forecast"]) <= float(r["upper"]) for r in rows)
    assert Path("forecast.png").read_bytes().startswith(b"\x89PNG")


def test_files_go_where_they_are_told(good_csv):
    result = run(
        "forecast", good_csv, *FAST, "--cell", "gru", "--out", "o.csv", "--plot", "p.svg", "--column", "level"
    )
    assert result.exit_code == 0, result.output
    assert {p.name for p in good_csv.parent.iterdir()} == {"good.csv", "o.csv", "p.svg"}
    assert table_of("o.csv")[-1]["year"] == "2023"
    assert "<svg" in Path("p.svg").read_text()


@pytest.mark.parametrize("name", tables.BAD_CSV, ids=str)
def test_bad_csv_gets_one_sentence(in_folder, name):
    content, arguments, words = tables.BAD_CSV[name]
    path = in_folder / "bad.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = set(in_folder.iterdir())
    result = run("forecast", path, *arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("rnncore: ")
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr
    assert set(in_folder.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["forecast", "--out", "nowhere/forecast.csv"], "--out"),
        (["forecast", "--plot", "picture.exe"], "--plot"),
        (["forecast", "--save", "."], "--save"),
        (["forecast", "--column", "x"], "--column"),
        (["forecast", "good.csv", "--out", "good.csv"], "another file"),
        (["forecast", "."], "directory"),
    ],
    ids=["folder", "format", "is-folder", "column-alone", "overwrite", "folder-as-csv"],
)
def test_bad_arguments_get_one_sentence(good_csv, arguments, words):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


@pytest.mark.parametrize(
    "arguments", [["--cell", "mlp"], ["--horizon", "0"], ["--seed", "-1"], ["--frobnicate"]], ids=" ".join
)
def test_bad_options_exit_with_two(in_folder, arguments):
    assert run("forecast", *arguments).exit_code == 2


def environment():
    source = str(Path(rnncore.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])}


def test_killed_command_resumes_to_the_same_forecast(good_csv):
    options = [*FAST[:-1], "30", "--seconds", "600"]
    command = [sys.executable, "-m", "rnncore", "forecast", str(good_csv), *options, "--checkpoint", "run"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL) as process:
        for _ in range(100 * PATIENCE):
            if Path("run").exists() or process.poll() is not None:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    assert Path("run").exists()
    assert run("forecast", good_csv, *options, "--checkpoint", "run", "--out", "resumed.csv").exit_code == 0
    assert run("forecast", good_csv, *options, "--out", "whole.csv").exit_code == 0
    assert Path("resumed.csv").read_text() == Path("whole.csv").read_text()
    refused = run("forecast", good_csv, *options, "--checkpoint", "run", "--seed", "1")
    assert refused.exit_code == 2
    assert "another run" in refused.stderr


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_missing_extra_is_named(package):
    code = f"import sys; sys.modules[{package!r}] = None; from rnncore.__main__ import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert 'pip install "rnncore[cli]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_plotting_package_is_named(good_csv, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.backend_bases", None)
    result = run("forecast", good_csv)
    assert result.exit_code == 2
    assert 'pip install "rnncore[cli]"' in result.stderr


def test_info_shows_the_configuration():
    table, text = run("info"), run("info", "--json")
    assert table.exit_code == text.exit_code == 0
    assert "version" in table.output
    assert '"version"' in text.output


# -- reading series -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["a,b\n1,2\n3,4\n", "a;b\n1;2\n3;4\n", "a\tb\r\n1\t2\r\n3\t4\r\n\r\n", "\ufeffa, b\n1, 2\n3, 4"],
    ids=["comma", "semicolon", "tab-crlf", "bom-spaces"],
)
def test_usual_dialects_are_read(tmp_path, text):
    path = tmp_path / "x.csv"
    path.write_bytes(text.encode())
    assert data.read_csv(path, "b").values.tolist() == [2.0, 4.0]


def test_headerless_columns_are_numbered(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("5\n6\n")
    series = data.read_csv(path)
    assert (series.name, series.values.tolist(), series.times) == ("1", [5.0, 6.0], None)


def test_time_column_is_not_a_series(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("Date,close\n20200131,1\n20200229,2\n20200331,3\n")
    series = data.read_csv(path)
    assert (series.name, series.time_name, series.times[0]) == ("close", "Date", "20200131")
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ArgumentError, match="several numeric columns"):
        data.read_csv(path)


@pytest.mark.parametrize(
    ("times", "future"),
    [
        (["1999", "2000"], ["2001", "2002"]),
        (["2020-01-01", "2020-02-01"], ["2020-03-01", "2020-04-01"]),
        (["2020-02-22", "2020-02-29"], ["2020-03-07", "2020-03-14"]),
        (["20201231", "20210107"], ["20210114", "20210121"]),
        (["Q3", "Q4"], ["+1", "+2"]),
        (None, ["+1", "+2"]),
    ],
    ids=["years", "months", "weeks", "compact", "labels", "none"],
)
def test_time_goes_on(times, future):
    assert data.future_times(times, 2) == future


def test_shipped_series_is_whole():
    series = data.sunspots()
    assert (len(series.values), series.times[0], series.times[-1]) == (309, "1700", "2008")
    assert (series.values[0], series.values[-1], series.values.max()) == (5.0, 2.9, 190.2)


def test_models_are_converted_and_inspected(in_folder):
    layer = rnncore.GRU(3, 4, num_layers=2, seed=0)
    layer.save("first.safetensors")
    assert run("convert", "first.safetensors", "second.safetensors").exit_code == 0
    loaded = rnncore.load("second.safetensors")
    for name, value in layer.parameters().items():
        np.testing.assert_array_equal(loaded.parameters()[name], value)
    assert run("inspect", "second.safetensors").exit_code == 0
    assert run("inspect", "missing.safetensors").exit_code == 2


def test_bench_is_mounted():
    assert run("bench", "list").exit_code == 0
    assert run("bench", "no-such-set").exit_code == 2
