# SPDX-License-Identifier: MIT
"""The quick run of the scikit-learn example: what it says, and that it knows the speakers."""

import re

import pytest
import tables_training as tables

pytest.importorskip("sklearn", reason='the examples need pip install ".[examples]"')
from examples.sklearn_door.__main__ import main


@pytest.mark.full
def test_a_quick_search(tmp_path, capsys):
    main(["--quick", "--out", str(tmp_path)])
    said = capsys.readouterr().out
    assert (tmp_path / "log.txt").read_text("utf-8") == said
    assert "17 fits of 270 utterances" in said and said.count("right in cross-validation") == 8
    (right,) = re.findall(r"the best: ([\d.]+)% of 370 other utterances right", said)
    assert float(right) / 100 >= tables.EXAMPLE_BARS["speakers"]
