# SPDX-License-Identifier: MIT
"""The three published models: each example reproduces its reference outputs, as its own assertions demand."""

import os
import pathlib

import pytest

from examples.models.__main__ import main

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "models"
DATA = pathlib.Path(os.environ.get("RNNCORE_DATA", EXAMPLES.parents[2] / "shared" / "models"))
ROWS = {
    "g2p": ("g2p_en", "phonemes of 159 words: all equal"),
    "textgen": ("textgenrnn", "probabilities: largest difference"),
    "vad": ("silero_vad_16k", "probability: largest difference"),
}


@pytest.mark.parametrize("name", ROWS)
def test_example_reproduces_the_reference(name, tmp_path, capsys):
    folder, said = ROWS[name]
    if not any((path / folder).is_dir() for path in (DATA, DATA / "models")):
        pytest.skip(f"no {folder} in {DATA} (set RNNCORE_DATA)")
    main([name, "--quick", "--out", str(tmp_path)])
    output = capsys.readouterr().out
    assert said in output
    assert "plain NumPy" in output
    assert (tmp_path / "log.txt").read_text() == output
