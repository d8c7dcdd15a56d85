# SPDX-License-Identifier: MIT
"""The readers' fuzzer, for a moment: its seeds are read, and what it makes of them is read or refused in a sentence."""

import importlib.util

import pytest

from . import readers
from .readers import CORPUS, FEWER, READERS, Fuzzer

NEEDS = {"torch": "torch", "onnx": "onnx", "hdf5": "h5py"}


def fuzzer(reader, folder):
    if reader in NEEDS and importlib.util.find_spec(NEEDS[reader]) is None:
        pytest.skip(f"needs {NEEDS[reader]}")
    return Fuzzer(reader, folder)


@pytest.mark.parametrize("reader", READERS)
def test_what_a_file_may_hold_is_read_or_refused(tmp_path, reader):
    one = fuzzer(reader, tmp_path)
    assert one.run(400) == []
    least = 2 if reader in FEWER else 5
    assert one.outcomes["read"] >= least and len(one.outcomes) >= least


@pytest.mark.full
@pytest.mark.parametrize("reader", READERS)
def test_what_many_files_may_hold_is_read_or_refused(tmp_path, reader):
    assert fuzzer(reader, tmp_path).run(4000, seed=1) == []


@pytest.mark.parametrize("reader", READERS)
def test_findings_are_kept(tmp_path, monkeypatch, reader, capsys):
    """A reader that fails is noticed, and the input that did it is there to be read again."""
    monkeypatch.setattr(readers, "CORPUS", tmp_path)
    (tmp_path / reader).mkdir()
    (tmp_path / reader / "seed").write_bytes(b"{}")
    one = fuzzer(reader, tmp_path)

    def broken(content):
        raise KeyError("layers")

    monkeypatch.setattr(one, "read", broken)
    (found,) = one.run(0)
    assert found.read_bytes() == b"{}" and "KeyError: 'layers'" in capsys.readouterr().err


def test_the_corpus_is_small():
    sizes = [path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()]
    assert len(sizes) >= 12 and sum(sizes) < 200_000
