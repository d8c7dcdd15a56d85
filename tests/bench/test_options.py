# SPDX-License-Identifier: MIT
"""What options of cells cost: a tiny run, its file and its table."""

import rnncore
from rnncore.bench import options, results
from rnncore.bench.__main__ import main


def test_every_option_is_one_of_its_cell():
    classes = {"lstm": rnncore.LSTM, "gru": rnncore.GRU, "rnn": rnncore.RNN}
    for cell, found in options.OPTIONS.items():
        for arguments in found.values():
            assert repr(classes[cell](2, 3, **arguments)) != repr(classes[cell](2, 3))


def test_a_run_is_written_and_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(options, "COLUMNS", {"a step": (1, 2, 4, "step"), "training": (3, 2, 4, "train")})
    path = tmp_path / "a.csv"
    assert main(["options", "--cell", "rnn", "--blocks", "2", "--seconds", "0.001", "--out", str(path)]) == 0
    shown = capsys.readouterr().out
    rows = results.read(path)["rows"]
    assert [results.case_of(row).mode for row in rows] == ["step", "train"]
    for row in rows:
        assert [system["name"] for system in row["systems"]] == [options.PLAIN, *options.OPTIONS["rnn"]]
        assert row["systems"][0]["ratio"] is None
        assert all(system["ratio"] > 0 for system in row["systems"][1:])
    head, lines = options.lines(rows)
    assert head == ["cell", "option", "a step", "training"]
    assert [line[:2] for line in lines] == [["RNN", name] for name in options.OPTIONS["rnn"]]
    assert float(lines[0][2]) == round(1 / rows[0]["systems"][1]["ratio"], 2)
    assert all(line[1] in shown for line in lines)


def test_unknown_cells_are_refused(capsys):
    assert main(["options", "--cell", "elman"]) == 2
    assert "cell: expected one of" in capsys.readouterr().err
