# SPDX-License-Identifier: MIT
"""Pages say what the committed studies and reports say, and pictures are drawn from them."""

import importlib.util
import pathlib
import re

import pytest
from reports import system

from rnncore.bench import options, page, plot, results
from rnncore.bench.__main__ import main
from rnncore.bench.study import quotes

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
    not (ROOT / "bench/results").is_dir(), reason="results are not in the source package"
)
STUDIES = sorted(path for path in (ROOT / "bench/results").glob("*") if path.is_dir())
OPTIONS = "bench/results/epyc-zen4-2cores-options.csv"


@pytest.fixture
def folder(tmp_path):
    """A repository with the report of what options cost."""
    (tmp_path / "bench/results").mkdir(parents=True)
    rows = [
        {"set": "options", "name": case.name, "limit": None, "systems": [
            {**system("plain", 1e-3)}, {**system("coupled gates", 2e-3), "ratio": 0.5, "best_other": "plain"}]}
        for case in options.cases("lstm")
    ]  # fmt: skip
    made = results.make(
        {"cpu": "Abacus(R) Processor", "family": "1/2/3", "cores": 2, "isa": ["avx2"]}, None, {}, rows
    )
    results.save(made, tmp_path / OPTIONS)
    return tmp_path


def written(folder, part):
    """What a part becomes."""
    path = folder / "page.md"
    path.write_text(f"Before.\n<!-- measured: {part} -->\nold\n<!-- /measured -->\nAfter.\n")
    text = page.render(path)
    assert text.startswith("Before.\n<!-- measured") and text.endswith("<!-- /measured -->\nAfter.\n")
    return text.splitlines()[2:-2]


def test_options_are_times_as_long_as_the_usual_cell(folder):
    lines = written(folder, f"options coupled | {OPTIONS}")
    assert lines[2] == "| LSTM | coupled gates | 2.00 | 2.00 | 2.00 |"
    assert lines[-1] == "Abacus (family 1/2/3), 2 cores, AVX2, one thread."
    assert written(folder, f"options zoneout | {OPTIONS}")[2] == "| LSTM | zoneout of h |  |  |  |"


@pytest.mark.parametrize(
    ("part", "word"),
    [
        (f"poem | {OPTIONS}", "poem"),
        ("options | bench/none.csv", "none.csv"),
        (f"claims sets | {OPTIONS}", "directory"),
        ("options | bench", "directory"),
        ("claims sets | bench", "claims.md"),
    ],
)
def test_wrong_parts_are_refused(folder, part, word):
    with pytest.raises((ValueError, FileNotFoundError), match=word):
        written(folder, part)


def test_a_page_without_parts_is_refused(tmp_path, capsys):
    (tmp_path / "page.md").write_text("Nothing.\n")
    assert main(["page", str(tmp_path / "page.md")]) == 2
    assert "expected a part" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_the_command_writes_and_draws(folder):
    path = folder / "page.md"
    path.write_text(f"<!-- measured: chart options | {OPTIONS} -->\n<!-- /measured -->\n")
    assert main(["page", str(path)]) == 0
    assert path.read_text() == page.render(path)
    light, dark = ((folder / f"docs/charts/options-{theme}.svg").read_text() for theme in ("light", "dark"))
    assert "LSTM, coupled gates" in light and "Abacus" in dark and light != dark
    assert re.findall(r'(?:src|srcset)="([^"]+)"', path.read_text()) == [
        "docs/charts/options-dark.svg", "docs/charts/options-light.svg"
    ]  # fmt: skip


@needs_repository
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_page_says_what_the_reports_say(path):
    assert path.read_text(encoding="utf-8") == page.render(path), f"rnncore bench page {path.name}"


@needs_repository
def test_charts_are_of_these_results():
    pictures = pytest.importorskip("rnncore.bench.study.pictures")
    for path in PAGES:
        for kind, detail, source, root in page.parts(path):
            if kind in ("chart", "picture"):
                made = plot.digest(source) if kind == "chart" else pictures.digest(source)
                for theme in ("light", "dark"):
                    text = (root / page.CHARTS / f"{detail}-{theme}.svg").read_text(encoding="utf-8")
                    assert made in text, f"rnncore bench page {path.name}"


@needs_repository
def test_every_report_can_be_read():
    for path in (ROOT / "bench/results").glob("*.csv"):
        found = results.read(path)
        assert all(results.case_of(row).flops() > 0 for row in found["rows"])
        assert found["machine"]["cpu"]


@needs_repository
@pytest.mark.parametrize("folder", STUDIES, ids=lambda path: path.name)
def test_claims_are_of_the_study_beside_them(folder):
    assert quotes.digest(folder) in (folder / quotes.CLAIMS).read_text(encoding="utf-8")


@needs_repository
@pytest.mark.full
@pytest.mark.parametrize("folder", STUDIES, ids=lambda path: path.name)
def test_claims_say_what_the_study_says(folder):
    pytest.importorskip("scipy")
    claims = pytest.importorskip("rnncore.bench.study.claims")
    tables = pytest.importorskip("rnncore.bench.study.tables")
    assert claims.render(tables.Study.read(folder)) == (folder / quotes.CLAIMS).read_text(encoding="utf-8")
