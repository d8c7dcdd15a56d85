# SPDX-License-Identifier: MIT
"""The equation blocks stand letter for letter in the twin, in the docs and in the C cells."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINE = re.compile(r"^(?:[FB]\d  \S|    d\w+(?:\[[rzn,]+\])?  *\+?= )")
CELLS = ("rnn", "lstm", "lstm_norm", "gru", "gru_norm", "scan")


def equations(path, comment):
    """The equation lines of a file, in order, without the marks of its comments."""
    found = []
    for line in path.read_text().splitlines():
        if line.startswith(comment):
            text = line[len(comment) :].rstrip()
            if LINE.match(text):
                found.append(text)
    return found


TWIN = {name: equations(ROOT / f"src/rnncore/reference/{name}.py", "#   ") for name in CELLS}


def test_twin_has_all_lines():
    rnn = ["F1", "F2", "B2", "B1"]
    lstm = [f"F{k}" for k in range(1, 9)] + [f"B{k}" for k in range(8, 0, -1)]
    gru = [f"F{k}" for k in range(1, 6)] + [f"B{k}" for k in range(5, 0, -1)]
    scan = [f"F{k}" for k in range(1, 4)] + [f"B{k}" for k in range(3, 0, -1)]  # minGRU, then minLSTM
    scan += [f"F{k}" for k in range(1, 6)] + [f"B{k}" for k in range(5, 0, -1)]
    labels = {name: [line[:2] for line in lines if line[0] in "FB"] for name, lines in TWIN.items()}
    expected = {"rnn": rnn, "lstm": lstm, "lstm_norm": lstm, "gru": gru + gru, "gru_norm": gru, "scan": scan}
    assert labels == expected


def test_docs_agree_with_twin():
    assert equations(ROOT / "docs/explanation/equations.md", "") == [
        line for name in CELLS for line in TWIN[name]
    ]


@pytest.mark.skipif(not (ROOT / "csrc/cells").is_dir(), reason="no C core in this tree")
@pytest.mark.parametrize("name", CELLS)
def test_c_agrees_with_twin(name):
    assert equations(ROOT / f"csrc/cells/{name}.c", " *   ") == TWIN[name]
