# SPDX-License-Identifier: MIT
"""What writes the reference: no public name is left out, of Python, of the C header or of the command line."""

import importlib
import pkgutil
import re
import sys

import pytest
from pages import ROOT

import rnncore

EXTENSIONS = ROOT / "docs/_ext"
if not EXTENSIONS.is_dir():
    pytest.skip("the documentation is not here", allow_module_level=True)
pytest.importorskip("sphinx", reason="the documentation's extensions use it")


@pytest.fixture(autouse=True)
def found(monkeypatch):
    monkeypatch.syspath_prepend(str(EXTENSIONS))


def extension(name):
    """A module of docs/_ext, with the site's pages as they would be written."""
    return importlib.import_module(name)


def test_every_module_has_a_page_or_a_reason_for_none():
    reference = extension("python_reference")
    modules = {info.name for info in pkgutil.iter_modules(rnncore.__path__) if not info.name.startswith("_")}
    public = {name.partition(".")[2] for name in reference.MODULES} - {""}
    missing = modules - public - reference.INTERNAL.keys()
    assert {name for name in missing if not name.startswith("lib")} == set()
    assert not public & reference.INTERNAL.keys()


def test_every_public_name_is_described_once_and_named_by_its_module():
    pytest.importorskip("torch", reason="else modules would be mocked")
    reference = extension("python_reference")
    pages = reference.pages()
    assert {*rnncore.__all__} == pages["rnncore"].keys()
    assert pages["rnncore"]["Linear"] == pages["rnncore.nn"]["Linear"] == "rnncore.nn.Linear"
    for full in {full for names in pages.values() for full in names.values()} - reference.MODULES.keys():
        module, _, name = full.rpartition(".")
        assert pages[module][name] == full
    for module, names in pages.items():
        page = reference.module_page(module, names)
        assert [name for name in names if not re.search(rf"\b{name}\b", page)] == []


def test_every_function_and_type_of_the_header_has_an_anchor():
    manual = extension("c_manual")
    header = manual.HEADER.read_text("utf-8")
    anchors = re.findall(r"^\((\w+)\)=$", manual.render(header), re.MULTILINE)
    declared = re.findall(r"^RNNCORE_API[^;(]*?(\w+)\(|^\} (\w+);", header, re.MULTILINE)
    assert len(anchors) == len(set(anchors))
    assert {"".join(name) for name in declared} <= set(anchors)


def test_no_sentence_of_the_header_is_lost():
    manual = extension("c_manual")
    header = manual.HEADER.read_text("utf-8")
    body = header[: header.rindex("#ifdef __cplusplus")]
    sections = body[body.index("/* -- Status") :]
    shown = re.findall(r"\w+", manual.render(header))
    assert [word for word in dict.fromkeys(re.findall(r"\w+", sections)) if word not in set(shown)] == []


def test_every_command_and_option_is_there():
    pytest.importorskip("typer", reason="the command line's package")
    page = extension("command_line").render()
    assert sys.modules["command_line"].HEAD in page
    from rnncore.cli import app

    for command in extension("command_line").typer.main.get_command(app).commands.values():
        assert f"## rnncore {command.name}\n" in page
        assert [option for p in command.params for option in p.opts if option.strip("-") not in page] == []
