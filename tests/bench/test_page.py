# SPDX-License-Identifier: MIT
"""Pages say what the committed reports say, and charts are drawn from them."""

import dataclasses
import importlib.util
import pathlib
import re

import pytest
from reports import FLAT, made_report, system

from rnncore.bench import page, plot, reports, results
from rnncore.bench.__main__ import main
from rnncore.bench.cases import Case

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / name
    for name in (
        "README.md",
        "docs/explanation/performance.md",
        "docs/explanation/measurements.md",
        "docs/howto/training.md",
    )
]
needs_repository = pytest.mark.skipif(
    not (ROOT / "bench/results").is_dir(), reason="reports are not in the source package"
)
FAST, SLOW = Case("lstm", 3, 2, 4, 5), Case("gru", 3, 2, 4, 4, L=2, D=2, dtype="float64", threads=2)


def row(case, ratio):
    """A row in which rnncore is `ratio` times as fast as PyTorch."""
    ours = {**system("rnncore", 1e-3, ours=True), "ratio": ratio, "best_other": "torch", "fraction": 0.5}
    return {"set": "odd", "name": case.name, "limit": 1e-6, "systems": [ours, system("torch", ratio * 1e-3)]}


@pytest.fixture
def folder(tmp_path):
    """A repository with one report: a row that is won by 4, one that is lost by a half."""
    made = made_report()
    made["rows"] = [row(FAST, 4.0), row(SLOW, 0.5)]
    made["machine"] = {"cpu": "Abacus", "family": "1/2/3", "cores": 2, "isa": ["avx2"]}
    made["versions"] = {"torch": "2.0"}
    (tmp_path / "bench").mkdir()
    results.save(made, tmp_path / "bench/abacus-1.csv")
    return tmp_path


def written(folder, part):
    """What a part becomes."""
    path = folder / "page.md"
    path.write_text(
        f"Before.\n<!-- measured: {part} | bench/abacus-*.csv -->\nold\n<!-- /measured -->\nAfter.\n"
    )
    text = page.render(path)
    assert text.startswith("Before.\n<!-- measured") and text.endswith("<!-- /measured -->\nAfter.\n")
    return text.splitlines()[2:-2]


def test_sets_are_summed_up_by_threads(folder):
    _, _, one, two = written(folder, "sets")
    words = "sizes that no kernel was made for (`odd`)"
    assert one == f"| {words} | 1 | 1 | 4.00 | 4.00 | 4.00 | 0 | 0.50 |"
    assert two == f"| {words} | 2 | 1 | 0.50 | 0.50 | 0.50 | 1 | 0.50 |"


def test_what_is_lost_is_named(folder):
    assert written(folder, "lost")[2:] == [
        "| sizes that no kernel was made for, 2 threads: GRU, T = 3, N = 2, I = H = 4, L = 2, both directions, float64 "
        "| PyTorch | 0.50 |"
    ]


def test_the_headline_counts_all_rows(folder):
    made = results.read(folder / "bench/abacus-1.csv")
    made["rows"] += [row(dataclasses.replace(FAST, T=9), 9.0) | {"set": "train"}]
    results.save(made, folder / "bench/abacus-1.csv")
    (text,) = written(folder, "headline")
    assert "geometric means on one thread: training 9.00; 1 of 3 rows are lost" in text
    assert text.endswith("Abacus (family 1/2/3), 2 cores, AVX2; against PyTorch 2.0.")


def test_cells_of_a_set(folder):
    assert written(folder, "cells odd")[2:] == ["| LSTM | 4.00 | 4.00 |  |  |", "| GRU |  |  | 0.50 | 0.50 |"]


def test_limits_of_a_disturbed_run_give_no_fractions(folder):
    made = results.read(folder / "bench/abacus-1.csv")
    made["limits"] = dataclasses.replace(FLAT, peaks={"flat/float32/2": 2.0**29}).to_json()
    made["rows"] = [row(SLOW, 2.0)]
    results.save(made, folder / "bench/abacus-2.csv")
    found = reports.Study(sorted((folder / "bench").glob("*.csv")))
    assert list(found.doubtful) == ["abacus-2.csv"]
    fractions = [entry["fraction"] for _, case, entry in found.rows() if case == SLOW]
    assert fractions == [0.5, None]
    assert "25%" in "\n".join(written(folder, "machine"))


@pytest.mark.parametrize(
    ("part", "word"), [("poem", "poem"), ("sets | bench/none-*.csv -->\n<!-- /measured -->\n<!-- x", "none")]
)
def test_wrong_parts_are_refused(folder, part, word):
    with pytest.raises(ValueError, match=word):
        written(folder, part)


def test_what_was_measured_and_where_is_one_sentence(folder):
    assert written(folder, "against") == ["Abacus (family 1/2/3), 2 cores, AVX2; against PyTorch 2.0."]


def test_a_page_without_parts_is_refused(tmp_path, capsys):
    (tmp_path / "page.md").write_text("Nothing.\n")
    assert main(["page", str(tmp_path / "page.md")]) == 2
    assert "expected a part" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_the_command_writes_and_draws(folder):
    path = folder / "page.md"
    path.write_text("<!-- measured: chart speedup | bench/abacus-*.csv -->\n<!-- /measured -->\n")
    assert main(["page", str(path)]) == 0
    assert path.read_text() == page.render(path)
    pictures = {
        name: (folder / "docs/charts" / name).read_text()
        for name in ("speedup-light.svg", "speedup-dark.svg")
    }
    assert all("Abacus" in text and "GRU, N = 2, H = 4" in text for text in pictures.values())
    assert pictures["speedup-light.svg"] != pictures["speedup-dark.svg"]
    assert re.findall(r'(?:src|srcset)="([^"]+)"', path.read_text()) == [
        "docs/charts/speedup-dark.svg", "docs/charts/speedup-light.svg"
    ]  # fmt: skip


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_the_chart_of_losses_names_them_alone(folder):
    found = reports.Study([folder / "bench/abacus-1.csv"])
    plot.draw("lost", found, folder)
    text = (folder / "lost-light.svg").read_text()
    assert "GRU, T = 3, N = 2, I = H = 4" in text and "0.50" in text and "PyTorch" in text
    assert "LSTM" not in text


@needs_repository
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_page_says_what_the_reports_say(path):
    assert path.read_text(encoding="utf-8") == page.render(path), f"rnncore bench page {path.name}"


@needs_repository
def test_charts_are_of_these_reports():
    for path in PAGES:
        for kind, detail, found, root in page.parts(path):
            for theme in plot.THEMES if kind == "chart" else ():
                text = (root / page.CHARTS / plot.file_name(detail, theme)).read_text(encoding="utf-8")
                assert plot.digest(found) in text, f"rnncore bench page {path.name}"


@needs_repository
def test_every_report_can_be_read():
    paths = sorted((ROOT / "bench/results").iterdir())
    assert paths
    for path in paths:
        found = results.read(path)
        assert all(results.case_of(row).flops() > 0 for row in found["rows"])
        assert found["machine"]["cpu"]
