# SPDX-License-Identifier: MIT
"""Every kind of calendar goes through the whole command: seasons, inputs, dates to come, picture."""

from pathlib import Path

import pytest
from command import run, table_of
from series import waves

pd = pytest.importorskip("pandas", reason="the command line is the extra 'cli'")
for package in ("typer", "rich", "matplotlib"):
    pytest.importorskip(package, reason="the command line is the extra 'cli'")

FREQUENCIES = {
    # pandas' name of the frequency: the season that the table names, None for none
    "s": None,
    "5min": 288,
    "h": 24,
    "bh": None,
    "4h": 6,
    "D": 7,
    "B": 5,
    "W-SUN": 52,
    "2W-SUN": None,
    "MS": 12,
    "ME": 12,
    "BME": 12,
    "LWOM-FRI": 12,
    "QE-DEC": 4,
    "2QE-DEC": None,
    "YE-MAR": None,
}


@pytest.mark.parametrize("name", FREQUENCIES)
def test_a_calendar_goes_on(in_folder, name):
    season = FREQUENCIES[name]
    count = 150 if season is None or season < 50 else 4 * season
    offset = pd.tseries.frequencies.to_offset(name)
    dates = pd.date_range("1950-01-01 09:00" if "h" in name else "1950-01-01", periods=count + 2, freq=offset)
    frame = pd.DataFrame({"date": dates[:count].astype(str), "value": waves(count)})
    frame.to_csv("series.csv", index=False)
    options = ["--horizon", "2", "--context", "6", "--hidden-size", "2", "--steps", "1", "--plot", "p.svg"]
    result = run("forecast", "series.csv", *options)
    assert result.exit_code == 0, result.output
    assert [row["date"] for row in table_of("forecast.csv")[-2:]] == dates[count:].astype(str).tolist()
    assert season is None or f"seasonal naive ({season})" in result.output
    assert Path("p.svg").stat().st_size > 0


def test_local_hours_over_a_change_of_the_clocks(in_folder):
    """Written by the clock on the wall; the file begins before the change of autumn and ends after it."""
    dates = (
        pd.date_range("2020-10-22", periods=152, freq="h", tz="Europe/Berlin").tz_localize(None).astype(str)
    )
    pd.DataFrame({"date": dates[:150], "value": waves(150)}).to_csv("series.csv", index=False)
    options = ["--horizon", "2", "--context", "6", "--hidden-size", "2", "--steps", "1", "--plot", "p.svg"]
    refused = run("forecast", "series.csv", *options)
    assert refused.exit_code == 2
    assert "times of a day with two hours the same need --timezone" in refused.stderr
    result = run("forecast", "series.csv", *options, "--timezone", "Europe/Berlin", "--save", "m.safetensors")
    assert result.exit_code == 0, result.output
    assert [row["date"] for row in table_of("forecast.csv")[-2:]] == dates[150:].tolist()
    again = run("forecast", "series.csv", "--load", "m.safetensors", "--force", "--plot", "p.svg")
    assert again.exit_code == 0, again.output
