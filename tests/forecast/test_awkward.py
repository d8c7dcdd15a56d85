# SPDX-License-Identifier: MIT
"""Awkward files: the right dates follow, or one clear sentence refuses them (the table is tests/support/awkward.py)."""

import io
import sys

import awkward
import pytest

pd = pytest.importorskip("pandas", reason="the command line is the extra 'cli'")

from rnncore.errors import ArgumentError  # noqa: E402
from rnncore.forecast._reading.lines import Wanted, read_tracks  # noqa: E402
from rnncore.forecast._reading.source import read_source  # noqa: E402


def read(path, case):
    """The series of a file, with the options of the case."""
    return read_tracks(read_source(path, case.header, case.skip), Wanted(**case.wanted))


@pytest.mark.parametrize("name", awkward.CASES, ids=str)
def test_dates_follow_or_one_sentence_refuses(tmp_path, monkeypatch, name):
    case = awkward.CASES[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.csv").write_bytes(case.content)
    if case.sentence is not None:
        with pytest.raises(ArgumentError) as refused:
            read("table.csv", case)
        assert str(refused.value) == case.sentence
        return
    tracks = read("table.csv", case)
    track = tracks.tracks[0]
    count = len(track.values)
    assert tuple(tracks.text(track.times(3)[count:])) == case.future
    assert case.ends in (None, (track.values[0], track.values[-1]))
    assert set(case.notes) <= set(tracks.notes)


def test_there_are_enough_awkward_files():
    refused = [case for case in awkward.CASES.values() if case.sentence is not None]
    assert len(awkward.CASES) >= 25
    assert len(refused) >= 10


def test_standard_input_is_read(monkeypatch):
    case = awkward.CASES["month ends"]
    stdin = io.TextIOWrapper(io.BytesIO(case.content))
    monkeypatch.setattr(sys, "stdin", stdin)
    tracks = read("-", case)
    count = len(tracks.tracks[0].values)
    assert tuple(tracks.text(tracks.tracks[0].times(3)[count:])) == case.future


@pytest.mark.parametrize("as_index", [False, True], ids=["column", "index"])
def test_parquet_is_read(tmp_path, as_index):
    pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow")
    dates = pd.date_range("2020-01-31", periods=30, freq="ME", name="date")
    frame = pd.DataFrame({"date": dates, "value": range(30)})
    (frame.set_index("date") if as_index else frame).to_parquet(tmp_path / "table.parquet")
    tracks = read_tracks(read_source(tmp_path / "table.parquet"), Wanted())
    count = len(tracks.tracks[0].values)
    assert tracks.text(tracks.tracks[0].times(2)[count:]) == ["2022-07-31", "2022-08-31"]
    assert tracks.tracks[0].values.tolist() == list(range(30))


def test_half_a_parquet_file_is_refused(tmp_path):
    pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow")
    path = tmp_path / "table.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(ArgumentError, match="expected a whole Parquet file"):
        read_source(path)
