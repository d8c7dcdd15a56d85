# SPDX-License-Identifier: MIT
"""All examples are laid out alike, and what their runs left behind stays small."""

import importlib
import pathlib

import pytest

from examples import common, data

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = sorted(path.parent for path in (ROOT / "examples").glob("*/__main__.py"))
MOST_BYTES = 250_000
"""Of an example's results: a log and a few charts."""

folders = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def test_every_folder_is_an_example():
    inside = {path for path in (ROOT / "examples").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert inside == set(FOLDERS)


@folders
def test_an_example_has_a_page_and_results(folder):
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert f"python -m examples.{folder.name}" in page
    assert "--quick" in page
    assert (folder / "__init__.py").is_file()
    assert list((folder / "results").rglob("log.txt"))
    gallery = (ROOT / "docs/gallery.md").read_text(encoding="utf-8")
    assert f"](../examples/{folder.name}/README.md): `python -m examples.{folder.name}" in gallery


@folders
def test_results_are_small_and_shown(folder):
    files = [path for path in (folder / "results").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    shown = (folder / "README.md").read_text("utf-8") + (ROOT / "docs/gallery.md").read_text("utf-8")
    for path in files:
        name = path.relative_to(folder).as_posix()
        assert name in shown or path.name == "results.json", f"no page shows {name}"


@folders
def test_the_command_tells_of_its_arguments(folder, capsys):
    for package in ("sklearn", "matplotlib", "rich", "nltk"):
        pytest.importorskip(package, reason='the examples need pip install ".[examples]"')
    if folder.name.endswith("_door"):
        pytest.importorskip(folder.name.removesuffix("_door"))
    program = importlib.import_module(f"examples.{folder.name}.__main__")
    with pytest.raises(SystemExit) as end:
        program.main(["--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: python -m examples.{folder.name} ")
    assert "--quick" in said and "--out" in said


def test_scripts_of_doors_are_short():
    doors = [folder / "__main__.py" for folder in FOLDERS if folder.name.endswith("_door")]
    lines = {path.parent.name: len(path.read_text("utf-8").splitlines()) for path in doors}
    assert len(lines) >= 3 and max(lines.values()) <= 60, lines


def test_missing_data_is_one_sentence(capsys):
    def main():
        raise data.DataNotFoundError("nothing is here")

    with pytest.raises(SystemExit) as end:
        common.start(main)
    assert end.value.code == "nothing is here"


def test_a_log_is_printed_and_written(tmp_path, capsys):
    (tmp_path / "log.txt").write_text("of the run before\n")
    log = common.Log(tmp_path)
    log("a")
    log("b")
    assert (tmp_path / "log.txt").read_text() == capsys.readouterr().out == "a\nb\n"


def test_pictures_have_few_colours(tmp_path):
    figure_module = pytest.importorskip("matplotlib.figure")
    image = pytest.importorskip("PIL.Image")
    figure = figure_module.Figure(figsize=(2, 1))
    figure.add_subplot().plot([0, 1, 0.5])
    common.write_picture(figure, tmp_path / "a.png", dpi=100)
    with image.open(tmp_path / "a.png") as picture:
        assert (picture.mode, picture.size) == ("P", (200, 100))
