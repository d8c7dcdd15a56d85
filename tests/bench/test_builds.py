# SPDX-License-Identifier: MIT
"""Two builds timed against each other: the statistics, and both builds the one that runs the tests."""

import dataclasses
import pathlib
import sys

import numpy as np
import pytest

pytest.importorskip("scipy")
pytest.importorskip("pandas")

from rnncore.bench import builds
from rnncore.bench.__main__ import main
from rnncore.bench.cases import Case, make_problem

HERE = pathlib.Path(sys.executable)
TINY = Case("lstm", 3, 2, 4, 5)


def row(ratios, group="latency", same_bits=True):
    """A row whose blocks have these ratios of new to old."""
    times = np.ones((len(ratios), 2))
    times[:, 1] = ratios
    return builds.Row(group, TINY, times, np.arange(len(ratios)) * 3 // len(ratios), same_bits)


def test_a_set_is_the_geometric_mean_of_its_cases_medians():
    found = builds.summarise([row([0.5, 0.5, 9.0] * 3), row([8.0, 1.0, 8.0] * 3)])
    assert found["ratio"] == pytest.approx(2.0)
    assert found["low"] <= 2.0 <= found["high"]
    assert found["cases"] == 2


def test_the_interval_is_as_wide_as_the_blocks_disagree():
    steady = builds.summarise([row([1.1] * 9)])
    shaken = builds.summarise([row([0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6])])
    assert 1.09 < steady["low"] < steady["ratio"] < steady["high"] < 1.11
    assert shaken["low"] < shaken["ratio"] < shaken["high"]


def test_only_a_sure_change_counts():
    sure, small, unsure = row([1.2] * 9), row([1.01] * 9, "stream"), row([0.5] * 4 + [1.2] * 5, "odd")
    assert builds.slower([sure, small, unsure], 0.02) == ["latency"]
    assert builds.slower([row([0.5] * 9)], 0.02) == []
    text = builds.table([sure, small, row([0.5] * 9, "train", same_bits=False)], 0.02)
    assert [line.split()[-1] for line in text.splitlines() if "geometric" in line] == [
        "slower", "1.011", "faster"
    ]  # fmt: skip
    assert "faster, other bits" in text


@pytest.mark.parametrize("blocks,starts,shares", [(15, 3, [5, 5, 5]), (5, 3, [2, 2, 1]), (1, 1, [1])])
def test_starts_share_the_blocks(blocks, starts, shares):
    assert builds.Plan(HERE, HERE, blocks, starts).shares() == shares


@pytest.mark.parametrize(
    "change",
    [{"blocks": 0}, {"starts": 4, "blocks": 3}, {"seconds": 0.0}, {"old": pathlib.Path("/no/python")}],
)
def test_wrong_plans_are_refused(change):
    with pytest.raises(ValueError, match="expected"):
        builds.Plan(**{"old": HERE, "new": HERE, **change})


@pytest.mark.parametrize(
    "case",
    [
        TINY,
        Case("gru", 3, 2, 4, 5, ragged=True, dtype="float64"),
        Case("rnn", 1, 2, 4, 5, L=2, mode="step"),
        Case("lstm", 3, 2, 4, 5, L=2, D=2, mode="train"),
    ],
    ids=lambda case: case.name,
)
def test_a_build_gives_the_bits_it_gives(case):
    ticks = []
    plan = builds.Plan(HERE, HERE, blocks=2, starts=2, seconds=0.001)
    (found,) = builds.measure(plan, [("odd", case)], tick=ticks.append)
    assert ticks == [case.name] * 2
    assert found.same_bits
    assert found.times.shape == (2, 2)
    assert (found.times > 0).all()


def test_other_numbers_are_other_bits():
    with builds.Pair(builds.Plan(HERE, HERE)) as pair:
        case, problem = dataclasses.asdict(TINY), make_problem(TINY)
        numbers = {"params": problem.params, "x": problem.x, "dy": problem.dy, "lengths": None}
        digests = [process.call("prepare", case, numbers) for process in pair.processes]
        assert digests[0] == digests[1]
        numbers["x"] = np.nextafter(problem.x, np.float32(9))
        assert pair.processes[1].call("prepare", case, numbers) != digests[0]


def test_command_line(capsys):
    arguments = [
        "compare",
        "--old",
        str(HERE),
        "--new",
        str(HERE),
        "--sets",
        "stream",
        "--match",
        "rnn-f32-step-T1N1I16",
    ]
    assert (
        main([*arguments, "--blocks", "1", "--starts", "1", "--seconds", "0.001", "--moved", "9", "--fail"])
        == 0
    )
    shown = capsys.readouterr().out
    assert "rnn-f32-step-T1N1I16H16L1D1-t1" in shown
    assert "stream, geometric mean of 1" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["--old", str(HERE)],
        ["--old", str(HERE), "--new", "/no/python"],
        ["--old", "/bin/false", "--new", str(HERE)],
        ["--old", str(HERE), "--new", str(HERE), "report.json"],
        ["--old", str(HERE), "--new", str(HERE), "--match", "no such row"],
    ],
)
def test_wrong_use_gives_one_sentence_and_two(arguments, capsys):
    assert main(["compare", *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
