# SPDX-License-Identifier: MIT
"""What is made of a study's directory: tables, the page, claims, the comparison of two."""

import dataclasses
import html.parser
import json
import re

import pytest
import tables_training as tolerances

pd = pytest.importorskip("pandas")
pytest.importorskip("scipy")
pytest.importorskip("matplotlib")

from studies import Maker  # noqa: E402

from rnncore.bench import page  # noqa: E402
from rnncore.bench.__main__ import main  # noqa: E402
from rnncore.bench.cases import Case  # noqa: E402
from rnncore.bench.study import claims, compare, document, look, pictures, quotes, tables  # noqa: E402

STEP = Case("lstm", 1, 1, 16, 16, mode="step")
WON = [Case(cell, 50, n, h, h) for cell in ("lstm", "gru") for n, h in ((1, 64), (32, 64), (32, 256))]
LOST = Case("gru", 100, 4, 1024, 1024)
TIED = Case("rnn", 100, 4, 512, 512)
SKIPPED = Case("gru", 1500, 4, 1024, 1024)
PAIR = [dataclasses.replace(case, threads=2) for case in WON]


def made(folder, seed=0, **factors):
    """A study: 6 rows won by 2, one lost, one tied, one skipped, a step; `factors` slow rnncore's rows down by set."""
    maker = Maker(seed=seed, noise=0.005, layout=0.002, drift=0.005)
    ours = lambda group: 1e-3 * factors.get(group, 1.0)  # noqa: E731
    for case in WON:
        maker.row("deepcpu", case, {"rnncore": ours("deepcpu"), "torch": 2e-3, "jax": 3e-3}, limit=5e-4)
    refused = {"jax": ("refused", "no <batch> of 4")}
    times = {"rnncore": ours("server"), "torch": 0.5e-3}
    maker.row("server", LOST, times, limit=4e-4, statuses=refused)
    maker.row("server", TIED, {"rnncore": ours("server"), "torch": 1e-3}, limit=4e-4)
    maker.row("small", STEP, {"rnncore": 2e-7, "torch": 7e-5, "rnncore-blas": 2e-6}, limit=1e-7)
    for case in PAIR:
        maker.row("deepcpu", case, {"rnncore": 0.5e-3, "torch": 1.5e-3}, limit=2e-4)
    for case in WON[:2]:
        maker.row("train", dataclasses.replace(case, mode="train"), {"rnncore": 1e-3, "torch": 4e-3})
    maker.skip("server", SKIPPED, "a call takes 9 s")
    return maker.write(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made(tmp_path_factory.mktemp("study") / "abacus")


@pytest.fixture(scope="module")
def study(folder):
    return tables.Study.read(folder)


def close(value):
    """What 30 blocks with a noise of 0.5 % tell."""
    return pytest.approx(value, rel=tolerances.STUDY_RTOL)


# -- Tables -------------------------------------------------------------------------------------------------


def test_ratios_are_those_that_were_put_in(study):
    found = study.ratios.set_index(["row", "system"])["ratio"]
    assert found[WON[0].name, "torch"] == close(2.0)
    assert found[WON[0].name, "jax"] == close(3.0)
    assert found[LOST.name, "torch"] == close(0.5)
    assert found[STEP.name, "rnncore-blas"] == close(10.0)


def test_the_best_other_is_no_variant_of_ours(study):
    best = study.best.set_index("row")
    assert set(best["system"]) == {"torch"}
    assert best["verdict"][[WON[0].name, LOST.name, TIED.name]].to_list() == ["win", "loss", "tie"]


def test_one_build_under_two_names_is_compared_with_itself(tmp_path):
    maker = Maker(noise=0.005, layout=0.002)
    for case in WON:
        maker.row("deepcpu", case, {"rnncore": 1e-3, "rnncore-again": 1e-3})
    found = tables.Study.read(maker.write(tmp_path))
    assert found.others == ["rnncore-again"]
    assert (found.best["verdict"] == "tie").sum() >= len(WON) - 1
    assert not len(found.fractions)


def test_sets_are_summed_up_by_threads(study):
    found = study.sets.set_index(["set", "threads"])
    assert list(found.index) == [("deepcpu", 1), ("deepcpu", 2), ("server", 1), ("small", 1), ("train", 1)]
    assert found.loc[("deepcpu", 1), "ratio"] == close(2.0)
    assert found.loc[("deepcpu", 2), "ratio"] == close(3.0)
    assert found.loc[("server", 1), ["win", "tie", "loss"]].to_list() == [0, 1, 1]
    assert found.loc[("deepcpu", 1), "fraction"] == close(0.5)


def test_threads_are_compared_with_one(study):
    ours = study.scaling[study.scaling["system"] == "rnncore"]
    assert len(ours) == len(PAIR) and (ours["threads"] == 2).all()
    assert list(ours["ratio"]) == close([2.0] * len(PAIR))


def test_disturbed_blocks_and_what_is_missing_are_counted(study):
    assert (study.disturbed["repeated"] * 31 == study.disturbed["attempted"]).all()
    assert study.skipped[["row", "reason"]].values.tolist() == [[SKIPPED.name, "a call takes 9 s"]]
    assert study.unfit[["row", "system", "status"]].values.tolist() == [[LOST.name, "jax", "refused"]]


@pytest.mark.parametrize("text", ["{}", '{"schema": 99}', "[]", "x"])
def test_other_directories_are_refused(tmp_path, text):
    (tmp_path / "env.json").write_text(text)
    with pytest.raises(ValueError, match=r"env\.json: expected a study"):
        tables.Study.read(tmp_path)


def test_a_file_without_a_column_is_refused(tmp_path):
    made(tmp_path)
    lines = (tmp_path / "systems.csv").read_text().splitlines()
    (tmp_path / "systems.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines))
    with pytest.raises(ValueError, match=r"systems\.csv: expected the columns .* 'p999'"):
        tables.Study.read(tmp_path)


# -- The page -----------------------------------------------------------------------------------------------


class Reader(html.parser.HTMLParser):
    """Collects what is open at the end, ids, text, and attributes that load or link."""

    VOID = ("meta", "br", "img", "use", "path", "rect", "circle")

    def __init__(self, text):
        super().__init__()
        self.open, self.wrong, self.ids, self.links, self.words = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "xlink:href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def text(study):
    return document.render(study)


def test_the_page_is_well_formed_and_stands_alone(text):
    found = Reader(text)
    assert found.open == [] and found.wrong == []
    assert len(set(found.ids)) == len(found.ids)
    assert found.links and all(link.startswith("#") and link[1:] in found.ids for link in found.links)
    assert not re.search(r"https?:|url\((?!#)|@import|<script", text)


def test_the_page_names_what_is_lost_tied_skipped_and_refused(text):
    words = " ".join(Reader(text).words)
    for part in (
        "GRU, T = 100, N = 4, I = H = 1024, 1 thread", "RNN, T = 100, N = 4, I = H = 512, 1 thread", "a call takes 9 s",
        "no <batch> of 4", "Abacus", "0123456789ab", "not measurable: no counter here",
    ):  # fmt: skip
        assert part in words
    assert "<batch>" not in text


def test_the_page_has_both_themes(text):
    light, dark = look.style(0), look.style(1)
    assert light in text and dark in text and light != dark
    assert "prefers-color-scheme: dark" in text and "width=device-width" in text
    assert not set(re.findall(r"#[0-9a-f]{6}", text.split("</style>")[1])) & {
        one[0] for one in look.COLOURS.values()
    }


def test_a_study_of_one_thread_says_what_is_unmeasured(tmp_path):
    maker = Maker()
    maker.row("deepcpu", WON[0], {"rnncore": 1e-3, "torch": 2e-3})
    words = document.render(tables.Study.read(maker.write(tmp_path)))
    assert "More than 1 thread: not measured." in words
    assert Reader(words).wrong == []


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_pictures_are_drawn_for_both_grounds(study, name):
    light = pictures.draw(name, study)
    dark = look.dark(light)
    assert look.colour("text") in light and look.colour("text") not in dark
    assert pictures.digest(study.folder) in light
    assert pictures.draw(name, study) == light


def test_every_picture_has_words():
    assert set(pictures.PICTURES) == set(quotes.PICTURES)


def test_colours_mean_one_thing_each():
    for theme in (0, 1):
        assert len({pair[theme] for pair in look.COLOURS.values()}) == len(look.COLOURS)


# -- Claims -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def claimed(study):
    claims.write(study)
    return study.folder


def test_every_claim_has_a_figure_with_an_interval_and_a_command(claimed):
    text = (claimed / "claims.md").read_text()
    assert quotes.digest(claimed) in text
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert [part.partition("\n")[0] for part in sections] == [
        "machine", "headline", "sets", "lost", "train", "each", "threads", "costs"
    ]  # fmt: skip
    assert all("Command: `rnncore bench study" in part for part in sections)
    row = next(line for line in text.splitlines() if "(`deepcpu`) | 1 |" in line)
    figure = re.search(r"\| ([\d.]+) \(([\d.]+) to ([\d.]+)\) \|", row)
    ratio, low, high = map(float, figure.groups())
    assert low <= ratio <= high and ratio == close(2.0)


def test_claims_name_what_is_lost_and_count_the_rest(claimed):
    assert re.search(r"\| LSTM \| 4\.0\d \(", quotes.section(claimed, "train"))
    assert "GRU, T = 100, N = 4, I = H = 1024 | PyTorch | 0.50 (" in quotes.section(claimed, "lost")
    words = quotes.section(claimed, "headline")
    assert re.search(
        r"A step of an LSTM with H = 16 takes \d+ ns from Python\*\* \(PyTorch [\d.]+ us\)", words
    )
    assert re.search(r"Of 17 rows: 15 faster than every other system, ties 1, lost 1", words)


def test_pages_quote_claims_and_pictures(claimed, tmp_path):
    root = claimed.parent
    path = root / "page.md"
    marks = ["claims sets", "claims headline", "picture speedup"]
    path.write_text(
        "".join(f"<!-- measured: {mark} | abacus -->\nold\n<!-- /measured -->\n" for mark in marks)
    )
    assert main(["page", str(path)]) == 0
    written = path.read_text()
    assert quotes.section(claimed, "sets") in written and "old" not in written
    assert written == page.render(path)
    for theme in ("light", "dark"):
        assert f"docs/charts/speedup-{theme}.svg" in written
        assert pictures.digest(claimed) in (root / f"docs/charts/speedup-{theme}.svg").read_text()


@pytest.mark.parametrize(
    "mark", ["claims poem | abacus", "picture poem | abacus", "sets | abacus", "claims sets | abacus/*.csv"]
)
def test_wrong_quotations_are_refused(claimed, mark):
    path = claimed.parent / "wrong.md"
    path.write_text(f"<!-- measured: {mark} -->\n<!-- /measured -->\n")
    with pytest.raises(ValueError, match="expected"):
        page.render(path)


# -- Comparison, commands -----------------------------------------------------------------------------------


def test_two_studies_of_one_build_agree(study, tmp_path, capsys):
    other = made(tmp_path / "other", seed=1)
    assert main(["compare", str(study.folder), str(other), "--fail"]) in (0, 1)
    assert "The studies agree" in capsys.readouterr().out


def test_what_got_slower_is_named_and_can_fail(study, tmp_path, capsys):
    slower = made(tmp_path / "slower", seed=1, deepcpu=1.5)
    assert main(["compare", str(study.folder), str(slower), "--fail"]) == 1
    shown = capsys.readouterr().out
    line = next(line for line in shown.splitlines() if line.startswith(f"{WON[0].name} beside PyTorch"))
    assert line.split()[-1] == "slower"
    found = compare.moved(study, tables.Study.read(slower), ["torch", "jax"])
    assert set(found) == {case.name for case in WON}


def test_the_commands_write_beside_the_study(tmp_path, capsys):
    made(tmp_path)
    assert main(["html", str(tmp_path)]) == 0 and main(["claims", str(tmp_path)]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / name) for name in ("report.html", "claims.md")]
    assert (tmp_path / "claims.md").read_text() == claims.render(tables.Study.read(tmp_path))
    assert main(["html", str(tmp_path), "--out", str(tmp_path / "a.html")]) == 0
    assert (tmp_path / "a.html").read_text() == (tmp_path / "report.html").read_text()


def test_no_study_gives_one_sentence_and_two(tmp_path, capsys):
    (tmp_path / "env.json").write_text(json.dumps({"schema": 3}))
    assert main(["html", str(tmp_path)]) == 2 and main(["claims", str(tmp_path / "none")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize("others", [{}, {"rnncore-blas": 2e-3}, {"numpy": 9e-3}], ids=" ".join)
def test_whatever_was_measured_is_shown(tmp_path, others):
    """Alone, beside a variant of ours, without limits."""
    maker = Maker(blocks=4, preparations=2)
    maker.row("deepcpu", WON[0], {"rnncore": 1e-3, **others})
    made = tables.Study.read(maker.write(tmp_path))
    text = document.render(made)
    assert Reader(text).wrong == [] and "Abacus" in text
    assert "## headline" in claims.render(made)
