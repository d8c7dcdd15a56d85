# SPDX-License-Identifier: MIT
"""Reports: the file, the tables, and what moved between two of them."""

import pytest
import tables_training as tables
from reports import FLAT, GIGA, TINY, made_report, system

from rnncore.bench import limits, report, results
from rnncore.bench.__main__ import main


def test_report_survives_the_file(tmp_path):
    made = made_report(system("a", 1e-3), system("b", 1e-3, status="failed"))
    results.save(made, tmp_path / "a.csv")
    found = results.read(tmp_path / "a.csv")
    assert {name: found[name] for name in ("machine", "versions", "settings", "doubts")} == {
        name: made[name] for name in ("machine", "versions", "settings", "doubts")
    }
    (row,), (before,) = found["rows"], made["rows"]
    assert (row["set"], row["name"], row["limit"]) == (before["set"], before["name"], before["limit"])
    for entry, one in zip(row["systems"], before["systems"], strict=True):
        assert entry == {name: one.get(name) for name in entry}
        assert set(one) - set(entry) <= {"ours", "rounds"}
    assert limits.Limits.from_json(found["limits"]).read_rate(2048, 1) == pytest.approx(
        0.75 * GIGA, rel=tables.WRITTEN_RTOL
    )


def test_a_line_of_the_file_is_a_system_of_a_row(tmp_path):
    results.save(made_report(system("a", 1e-3), system("b", 0.123456)), tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert [line.split(":")[0] for line in lines[: len(results.HEAD)]] == [
        f"# {name}" for name in results.HEAD
    ]
    assert lines[len(results.HEAD)] == ",".join(results.COLUMNS)
    assert [line.split(",")[:5] for line in lines[-2:]] == [
        ["latency", TINY.name, "a", "ok", "0.001"],
        ["latency", TINY.name, "b", "ok", "0.1235"],
    ]


def test_a_name_that_would_lie_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.csv"):
        results.save(made_report(), tmp_path / "a.json")


@pytest.mark.parametrize("text", ["", "{}", "# schema: 99\n", "# schema: {\n", "# schema: 2\n", "median\n"])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=r"a\.csv: expected a benchmark report"):
        results.read(tmp_path / "a.csv")


def test_compare_tells_moved_from_noise():
    names = ("slow", "fast", "still", "noisy", "gone", "broken")
    old = made_report(*(system(name, 1.0) for name in names))
    new = made_report(
        system("slow", 1.5),
        system("fast", 0.5),
        system("still", 1.01),
        system("noisy", 1.5, spread=0.5),
        system("broken", 1.0, status="failed"),
        system("fresh", 1.0),
    )
    found = report.compare(old, new)
    names = {kind: [one["system"] for one in entries] for kind, entries in found.items()}
    assert names == {
        "slower": ["slow"],
        "faster": ["fast"],
        "same": ["noisy", "still"],
        "status": ["broken"],
        "only_old": ["gone"],
        "only_new": ["fresh"],
    }
    assert found["faster"][0]["speedup"] == 2.0
    text = report.compare_text(found)
    assert "1 slower, 1 faster, 2 the same, 1 only in the old report, 1 only in the new one" in text


def test_tables_hold_every_timed_system():
    made = made_report(system("aaa", 2e-3), system("bbb", 1e-3), system("ccc", 1.0, status="wrong"))
    text = report.row_table(made["rows"])
    assert text.index("bbb") < text.index("aaa")
    assert "ccc" not in text
    assert report.problems(made["rows"]) == [f"{TINY.name}: ccc wrong: "]
    assert "latency t1 aaa" in report.summary(made["rows"])
    assert "2 threads" in report.limits_text(FLAT)
    assert "not measured" in report.limits_text(None)


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (2.0, "2 s"), (1.5e-3, "1.5 ms"), (2e-6, "2 us"), (3e-9, "3 ns")]
)
def test_durations(seconds, text):
    assert report.duration(seconds) == text


def test_compare_fails_when_ours_got_slower(tmp_path, capsys):
    for name, median in (("old", 1.0), ("new", 2.0)):
        results.save(made_report(system("rnncore", median, ours=True)), tmp_path / f"{name}.csv")
    files = [str(tmp_path / "old.csv"), str(tmp_path / "new.csv")]
    assert main(["compare", "--fail", *files]) == 1
    assert main(["compare", "--fail", *files[::-1]]) == 0
    assert "2.00x" in capsys.readouterr().out
