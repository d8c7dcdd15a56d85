# SPDX-License-Identifier: MIT
"""``rnncore forecast``: what it writes, and what it refuses in one sentence before anything is trained."""

from pathlib import Path

import pytest
import tables_training as tables
from command import FAST, run, table_of
from csv_files import days, hours
from series import waves

for package in ("typer", "rich", "matplotlib", "pandas"):
    pytest.importorskip(package, reason="the command line is the extra 'cli'")

from rnncore.forecast._command import study  # noqa: E402 (needs them)


def refused(*arguments, **how):
    """The one sentence that refuses a command."""
    before = set(Path.cwd().iterdir())
    result = run("forecast", *arguments, **how)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("rnncore: ")
    assert result.stderr.count("\n") == 1
    assert set(Path.cwd().iterdir()) == before
    return result.stderr


@pytest.mark.full
def test_the_default_forecast_beats_all_baselines(in_folder):
    """By the margin that is printed; the whole of the training, whatever else the machine does."""
    result = run("forecast", "--budget", "600", "--save", "model.safetensors")
    assert result.exit_code == 0, result.output
    assert "% less than linear autoregression" in result.output
    models, notes = study.load_models("model.safetensors")
    assert (notes["example"], models[0].share_) == ("bikes", 1.0)
    again = run("forecast", "--load", "model.safetensors", "--force")
    assert again.exit_code == 0, again.output
    margin = float(result.output.split("misses by ")[1].split("%")[0]) / 100
    assert margin > tables.DEFAULT_MARGIN
    rows = table_of("forecast.csv")
    assert (rows[-1]["time"], rows[-24]["time"]) == ("2013-01-01 23:00", "2013-01-01 00:00")
    assert all(row["truth"] == "" for row in rows[-24:])


def test_sunspots(in_folder):
    result = run("forecast", "--example", "sunspots", "--steps", "5", "--hidden-size", "3")
    assert result.exit_code == 0, result.output
    for word in ("SUNACTIVITY", "MAE", "RMSE", "seasonal naive (11)", "last value", "linear", "intervals"):
        assert word in result.output
    rows = table_of("forecast.csv")
    assert [row["YEAR"] for row in rows[-11:]] == [str(year) for year in range(2009, 2020)]
    assert (rows[-12]["YEAR"], rows[-12]["truth"]) == ("2008", "2.9")
    assert all(row["truth"] == "" for row in rows[-11:])
    for row in rows:
        names = ("lower_95", "lower_80", "forecast", "upper_80", "upper_95")
        bounds = [float(row[name]) for name in names]
        assert bounds[0] >= 0
        assert bounds == sorted(bounds)
    assert Path("forecast.png").read_bytes().startswith(b"\x89PNG")
    light, dark = (Path(f"forecast{name}.svg").read_text() for name in ("", "-dark"))
    assert "<svg" in light and "#14171c" in dark and "#14171c" not in light


def test_files_go_where_they_are_told(good_csv):
    result = run("forecast", good_csv, *FAST, "--out", "o.csv", "--plot", "p.svg", "--column", "level")
    assert result.exit_code == 0, result.output
    assert {p.name for p in good_csv.parent.iterdir()} == {"good.csv", "o.csv", "p.svg"}
    assert table_of("o.csv")[-1]["day"] == "2020-06-02"
    assert list(table_of("o.csv")[0]) == [
        *("day", "truth", "forecast", "lower_80", "upper_80", "lower_95", "upper_95"),
    ]


def test_levels_are_those_asked_for(good_csv):
    result = run("forecast", good_csv, *FAST, "--level", "99", "--level", "50", "--plot", "p.svg")
    assert result.exit_code == 0, result.output
    assert list(table_of("forecast.csv")[0])[3:] == ["lower_50", "upper_50", "lower_99", "upper_99"]
    assert "in the 50% one" in result.output


def test_without_a_test_nothing_is_scored(good_csv):
    result = run("forecast", good_csv, *FAST, "--test", "0", "--plot", "p.svg")
    assert result.exit_code == 0, result.output
    assert "MAE" not in result.output
    assert [row["truth"] for row in table_of("forecast.csv")] == [""] * 4


def test_outputs_are_overwritten_by_force_only(good_csv):
    options = [good_csv, *FAST, "--plot", "p.svg", "--save", "m.safetensors"]
    assert run("forecast", *options).exit_code == 0
    for name in ("forecast.csv", "p.svg", "m.safetensors"):
        before = Path(name).read_bytes()
        sentence = refused(*options)
        assert "which exists (--force overwrites it)" in sentence
        assert Path(name).read_bytes() == before
        Path(name).rename(f"{name}.kept")
    assert run("forecast", *options).exit_code == 0
    assert run("forecast", *options, "--force").exit_code == 0
    assert Path("forecast.csv").read_bytes() == Path("forecast.csv.kept").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "nowhere/forecast.csv"], "--out: expected a file in an existing folder"),
        (["--plot", "picture.exe"], "--plot: expected a name that ends in one of"),
        (["--save", "."], "--save: expected a file in an existing folder"),
        (["--column", "x"], "--column: expected a file to go with it"),
        (["good.csv", "--out", "good.csv"], "--out: expected a file of its own"),
        (["good.csv", "--out", "x", "--save", "x"], "--save: expected a file of its own"),
        (["."], "expected a readable file, got Is a directory"),
        (["none.csv"], "none.csv: expected a readable file, got No such file or directory"),
        (["--example", "moon"], "--example: expected one of bikes, sunspots, got moon"),
        (["good.csv", "--example", "bikes"], "--example: expected no file beside it"),
        (["good.csv", "--fill", "guess"], "--fill: expected one of interpolate, previous, zero, got guess"),
        (["good.csv", "--decimal", "'"], "--decimal: expected one of ., ,"),
        (
            ["good.csv", "--level", "100"],
            "--level: expected percent from 1 to below 100, such as 80, got 100",
        ),
        (
            ["good.csv", "--level", "0.8"],
            "--level: expected percent from 1 to below 100, such as 80, got 0.8",
        ),
        (["good.csv", "--out", "x", "--checkpoint", "x"], "--checkpoint: expected a file of its own"),
        (["good.csv", "--out", "../{folder}/good.csv"], "--out: expected a file of its own"),
        (["good.csv", "--checkpoint", "good.csv.gz"], "good.csv.gz: expected"),
        (["good.csv", "--column", "level", "--covariate", "level"], "--covariate: expected another column"),
        (["good.csv", "--horizon", "100"], "at least 324 values to train on, for 100 steps ahead"),
        (
            ["good.csv", "--horizon", "9", "--test", "5"],
            "--test: expected 0, or at least the horizon, 9, got 5",
        ),
        (["good.csv", "--group", "shop"], "--group: expected one of day, level, got shop"),
        (["good.csv", "--load", "none.safetensors"], "none.safetensors"),
        (["good.csv", "--load", "good.csv"], "good.csv: expected"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_arguments_get_one_sentence(good_csv, arguments, words):
    Path("good.csv.gz").write_bytes(b"no checkpoint")
    assert words in refused(*(word.format(folder=good_csv.parent.name) for word in arguments))


@pytest.mark.parametrize(
    "arguments",
    [["--cell", "mlp"], ["--horizon", "0"], ["--seed", "-1"], ["--frobnicate"]],
    ids=" ".join,
)
def test_bad_options_exit_with_two(in_folder, arguments):
    assert run("forecast", *arguments).exit_code == 2
    assert list(in_folder.iterdir()) == []


def test_standard_input(good_csv):
    result = run("forecast", "-", *FAST, "--plot", "p.svg", stdin=good_csv.read_bytes())
    assert result.exit_code == 0, result.output
    assert table_of("forecast.csv")[-1]["day"] == "2020-06-02"


# -- several columns, groups, covariates, gaps ----------------------------------------------------------------


def test_several_columns_have_a_model_each(in_folder):
    rows = zip(days("%Y-%m-%d", 150), waves(150), waves(150, 1) + 90, strict=True)
    Path("two.csv").write_text("day,a,b\n" + "".join(f"{day},{a:.4f},{b:.4f}\n" for day, a, b in rows))
    assert "several columns of numbers" in refused("two.csv")
    result = run("forecast", "two.csv", *FAST, "--column", "a", "--column", "b", "--plot", "p.png")
    assert result.exit_code == 0, result.output
    made = table_of("forecast.csv")
    assert {row["column"] for row in made} == {"a", "b"}
    assert all((float(row["forecast"]) > 50) == (row["column"] == "b") for row in made)


def test_groups_are_told_apart(in_folder):
    rows = [
        f"{day},{shop},{value + (shop == 'south') * 90:.4f}\n"
        for shop in ("north", "south")
        for day, value in zip(days("%Y-%m-%d", 150), waves(150), strict=True)
    ]
    Path("shops.csv").write_text("day,shop,sales\n" + "".join(rows))
    assert "--group shop" in refused("shops.csv")
    result = run("forecast", "shops.csv", *FAST, "--group", "shop", "--plot", "p.png")
    assert result.exit_code == 0, result.output
    made = table_of("forecast.csv")
    assert [row["group"] for row in made if row["truth"] == ""] == ["north"] * 4 + ["south"] * 4
    assert all((float(row["forecast"]) > 50) == (row["group"] == "south") for row in made)


def test_covariates_are_known_ahead_where_the_file_goes_on_with_them(in_folder):
    rows = [
        f"{day},{f'{value:.4f}' if k < 150 else ''},{k % 3},{k % 5 if k < 150 else ''}\n"
        for k, (day, value) in enumerate(zip(days("%Y-%m-%d", 154), waves(154), strict=True))
    ]
    Path("sales.csv").write_text("day,sales,promotion,rain\n" + "".join(rows))
    options = ["--column", "sales", "--covariate", "promotion", "--covariate", "rain", "--plot", "p.png"]
    result = run("forecast", "sales.csv", *FAST, *options)
    assert result.exit_code == 0, result.output
    assert "promotion: known ahead" in result.output
    assert "rain: known up to now" in result.output
    assert table_of("forecast.csv")[-1]["day"] == "2020-06-02"


def test_missing_values_need_an_option_and_are_not_scored(in_folder):
    values = [f"{value:.4f}" if k not in (60, 140) else "" for k, value in enumerate(waves(150))]
    rows = zip(days("%Y-%m-%d", 150), values, strict=True)
    Path("gaps.csv").write_text("day,level\n" + "".join(f"{day},{value}\n" for day, value in rows))
    assert "say --fill interpolate, previous or zero" in refused("gaps.csv")
    result = run("forecast", "gaps.csv", *FAST, "--fill", "previous", "--plot", "p.svg")
    assert result.exit_code == 0, result.output
    assert "2 of 150 values missing, the last value repeated, not scored" in result.output
    truth = {row["day"]: row["truth"] for row in table_of("forecast.csv")}
    assert (truth["2020-05-20"], truth["2020-05-21"]) == ("", values[141])


# -- a saved model --------------------------------------------------------------------------------------------


def longer(path, count, form="%Y-%m-%d", times=days):
    """A file that goes on with the series of `good_csv`."""
    rows = zip(times(form, count) if times is days else times(count), waves(count), strict=True)
    Path(path).write_text("day,level\n" + "".join(f"{day},{value:.4f}\n" for day, value in rows))


def test_a_saved_model_forecasts_newer_values_without_training(good_csv):
    assert run("forecast", good_csv, *FAST, "--save", "m.safetensors", "--plot", "p.svg").exit_code == 0
    first = table_of("forecast.csv")
    longer("newer.csv", 170)
    result = run("forecast", "newer.csv", "--load", "m.safetensors", "--out", "o.csv", "--plot", "q.svg")
    assert result.exit_code == 0, result.output
    assert "trained" not in result.output
    assert "intervals: of the test values" in result.output
    made = {row["day"]: row for row in table_of("o.csv")}
    assert table_of("o.csv")[-1]["day"] == "2020-06-22"
    # The values that were held out from the training test the loaded model again.
    assert made["2020-05-29"]["truth"] == first[-5]["truth"] != ""


def test_a_saved_model_refuses_what_it_was_not_trained_for(good_csv):
    assert run("forecast", good_csv, *FAST, "--save", "m.safetensors", "--plot", "p.svg").exit_code == 0
    Path("forecast.csv").unlink()
    Path("p.svg").unlink()
    longer("hourly.csv", 150, times=hours)
    load = ["--load", "m.safetensors"]
    assert "expected values at steps of D, as the model was trained on, got steps of h" in refused(
        "hourly.csv", *load
    )
    assert "--horizon: expected 4, that of the model, got 5" in refused(good_csv, *load, "--horizon", "5")
    assert "--load: expected a file with the newest values beside it" in refused(*load)
    Path("other.csv").write_text(good_csv.read_text().replace("level", "depth"))
    assert "--column: expected one of day, depth, got level" in refused("other.csv", *load)
    assert "what the model was trained on" in refused(good_csv, *load, "--column", "day")
    assert "--hidden-size: expected no option of training beside --load, got 3" in refused(
        good_csv, *load, "--hidden-size", "3"
    )


# -- a file ---------------------------------------------------------------------------------------------------


def test_monthly_parquet(in_folder):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow")
    index = pd.date_range("2010-01-31", periods=120, freq="ME", name="month")
    pd.DataFrame({"sales": waves(120)}, index).to_parquet("sales.parquet")
    result = run("forecast", "sales.parquet", *FAST, "--plot", "p.pdf")
    assert result.exit_code == 0, result.output
    assert [row["month"] for row in table_of("forecast.csv")[-3:]] == [
        "2020-02-29",
        "2020-03-31",
        "2020-04-30",
    ]
