# SPDX-License-Identifier: MIT
"""The three published models: each example reproduces its reference outputs, as its own assertions demand."""

import importlib
import os
import pathlib
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "models"
DATA = pathlib.Path(os.environ.get("RNNCORE_DATA", EXAMPLES.parents[2] / "shared" / "models"))
ROWS = {
    "g2p": ("g2p_en", "phonemes of 159 words: all equal"),
    "textgen": ("textgenrnn", "probabilities: largest difference"),
    "vad": ("silero_vad_16k", "probability: largest difference"),
}


@pytest.mark.parametrize("name", ROWS)
def test_example_reproduces_the_reference(name, monkeypatch, capsys):
    folder, said = ROWS[name]
    if not any((path / folder).is_dir() for path in (DATA, DATA / "models")):
        pytest.skip(f"no {folder} in {DATA} (set RNNCORE_DATA)")
    monkeypatch.syspath_prepend(EXAMPLES)
    for module in ("common", name):
        sys.modules.pop(module, None)
    importlib.import_module(name).main([])
    output = capsys.readouterr().out
    assert said in output
    assert "plain NumPy" in output
