# SPDX-License-Identifier: MIT
"""A study as a whole: blocks that are whole, disturbed or lost, and a directory that survives what interrupts it."""

import collections
import csv
import dataclasses
import importlib
import json
import lzma
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from command import start, wait_for
from compiled import PATIENCE
from reports import FLAT

from rnncore.bench import limits, oracle, peers
from rnncore.bench.__main__ import main
from rnncore.bench.cases import Case
from rnncore.bench.stations import Stations
from rnncore.bench.study import blocks, conditions, measure
from rnncore.bench.study import plan as plans
from rnncore.bench.study.conditions import Conditions

CASE = Case("rnn", 3, 2, 4, 5)
PROFILE = plans.Profile("test", 12, 2, 0.0005, 1.0, 5.0)
ARGUMENTS = [
    "--threads",
    "1",
    "--sets",
    "small",
    "--blocks",
    "4",
    "--preparations",
    "2",
    "--seconds",
    "0.001",
]
ONE_ROW = "rnn-f32-step-T1N1I4H4"
SYSTEMS = "rnncore,numpy"


def read(path):
    """Lines of a table, compressed or not."""
    content = path.read_bytes()
    text = (lzma.decompress(content) if path.suffix == ".xz" else content).decode()
    return list(csv.DictReader(text.splitlines()))


# -- Conditions ---------------------------------------------------------------------------------------------

QUIET = Conditions(1.0, 1.0, 1.0, 0.0, 3e9, 0.1, tick=0.001)


@pytest.mark.parametrize(
    ("change", "bad"),
    [
        ({}, False),
        ({"register": 1.09}, False),
        ({"register": 1.11}, True),
        ({"register": 0.5}, False),
        ({"l2": 1.24}, False),
        ({"l2": 1.26}, True),
        ({"steal": 0.04}, False),
        ({"steal": 0.06}, True),
        ({"steal": 0.06, "tick": 0.04}, False),
        ({"others": 0.34}, False),
        ({"others": 0.36}, True),
        ({"register": None, "l2": None, "steal": None, "others": None}, False),
        ({"limit": 9.0, "clock": 1e9}, False),
    ],
)
def test_what_disturbs_a_block(change, bad):
    one = dataclasses.replace(QUIET, **change)
    assert conditions.disturbed(one, [QUIET] * 6 + [one]) == bad
    assert not conditions.disturbed(one, [QUIET] * 3 + [one])  # too few to tell


def test_conditions_of_this_machine():
    probe = conditions.Probe(None)
    found = probe.start(CASE, []).stop()
    assert found.limit is None and found.register is None
    if sys.platform == "linux":
        assert 0 <= found.steal <= 1 and found.others >= 0 and found.tick > 0


@pytest.mark.skipif(limits.extension() is None, reason="the machine's limits cannot be measured")
def test_the_loops_beside_a_block():
    isa = limits.extension().isas()[0]
    probe = conditions.Probe(dataclasses.replace(FLAT, isa=isa))
    found = probe.start(CASE, []).stop()
    assert found.limit > 0 and found.register > 0 and found.l2 > 0
    assert probe.start(dataclasses.replace(CASE, store="int8"), []).stop().limit is None


def test_energy_is_told_or_why_it_is_not(tmp_path):
    assert "not measurable" in conditions.energy(tmp_path / "nothing")
    (tmp_path / "package").mkdir()
    (tmp_path / "package/energy_uj").write_text("5\n")
    assert str(tmp_path / "package/energy_uj") in conditions.energy(tmp_path)


# -- Blocks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calls", "expected"), [([3], 3), ([1, 2], 1.5), ([9, 1, 2], 2), ([0, 1, 2, 90], 1.5)]
)
def test_the_middle_of_calls(calls, expected):
    assert blocks.middle(np.array(calls, float)) == expected


class Told:
    """A probe that says what it was told, attempt by attempt, and then that all is quiet."""

    def __init__(self, *told):
        self.told = list(told)

    def start(self, case, pids):
        assert all(isinstance(pid, int) for pid in pids)
        return self

    def stop(self):
        return self.told.pop(0) if self.told else QUIET


def measured(probe, systems=("numpy",), **changes):
    """A row of `CASE` in this process, and the texts of its ticks."""
    ticks = []
    plan = plans.Plan(dataclasses.replace(PROFILE, **changes), systems)
    with Stations(in_process=True) as stations:
        found = blocks.Blocks(plan, stations, probe, ticks.append).row(plans.Row("odd", CASE, 3))
    return found, ticks


NOISY = dataclasses.replace(QUIET, register=2.0)


def test_disturbed_blocks_are_measured_again():
    found, ticks = measured(Told(QUIET, NOISY, QUIET, QUIET, NOISY, QUIET, NOISY))
    tried = [(one["block"], one["attempt"], one["accepted"]) for one in found["attempts"]]
    assert tried[:9] == [
        (0, 0, True), (1, 0, False), (2, 0, True), (3, 0, True), (4, 0, False), (5, 0, True),
        (1, 1, False), (4, 1, True), (1, 2, True),
    ]  # fmt: skip
    assert sorted(block for block, _, accepted in tried if accepted) == list(range(12))
    assert found["kept"] == 0
    assert len(ticks) == 12


def test_a_machine_that_is_never_quiet_ends_a_study_too():
    found, _ = measured(
        Told(*[QUIET] * 6, *[dataclasses.replace(QUIET, register=2.0 + n) for n in range(99)])
    )
    accepted = [one["block"] for one in found["attempts"] if one["accepted"]]
    assert sorted(accepted) == list(range(12))
    assert 0 < len(found["attempts"]) - 12 <= PROFILE.blocks / 2
    assert found["kept"] > 0


def test_a_row_has_all_that_its_tables_need():
    found, _ = measured(Told(), ("numpy", "rnncore"))
    assert [one["system"] for one in found["systems"]] == ["numpy", "rnncore"]
    for one in found["systems"]:
        assert one["status"] == "ok", one["reason"]
        assert (
            one["error"] <= oracle.bound(CASE)
            and one["first_call"] > 0
            and one["p50"] > 0
            and one["calls"] >= 12
        )
    for attempt in found["attempts"]:
        assert sorted(turn["place"] for turn in attempt["turns"].values()) == [0, 1]
        assert all(turn["seconds"] > 0 and turn["calls"] >= 1 for turn in attempt["turns"].values())
    assert [one["preparation"] for one in found["attempts"]] == [0] * 6 + [1] * 6
    orders = {tuple(attempt["turns"]) for attempt in found["attempts"]}
    assert len(orders) == 2  # both orders of two systems turn up in 12 draws
    assert json.loads(json.dumps(found)) == found


def test_refusals_and_slow_systems_say_so():
    case = dataclasses.replace(CASE, mode="train")
    plan = plans.Plan(dataclasses.replace(PROFILE, slow_seconds=0.0), ["numpy", "rnncore"])
    with Stations(in_process=True) as stations:
        found = blocks.Blocks(plan, stations, Told()).row(plans.Row("train", case, 3))
    refused, slow = found["systems"]
    assert (refused["status"], refused["reason"]) == ("refused", "inference only")
    assert slow["status"] == "refused" and "a call takes" in slow["reason"]
    assert all(not attempt["turns"] for attempt in found["attempts"])


PLUG_IN = """
    import os
    import time

    from rnncore.bench.peers.numpy_peer import Numpy


    class Wrong(Numpy):
        name = title = "wrong"

        def forward(self):
            return 1.01 * super().forward()


    class Dies(Numpy):
        name = title = "dies"
        calls = 0

        def forward(self):
            self.calls += 1
            if self.calls > 20:
                os._exit(3)
            return super().forward()


    class Hangs(Numpy):
        name = title = "hangs"

        def forward(self):
            time.sleep(60)
"""
ENTRIES = "[rnncore.bench.peers]\n" + "".join(
    f"{name.lower()} = ill:{name}\n" for name in ("Wrong", "Dies", "Hangs")
)


@pytest.fixture
def ill_peers(tmp_path, monkeypatch):
    """A distribution with systems that are wrong, die and hang."""
    told = tmp_path / "ill-1.0.dist-info"
    told.mkdir()
    (tmp_path / "ill.py").write_text(textwrap.dedent(PLUG_IN))
    (told / "entry_points.txt").write_text(ENTRIES)
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: ill\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    monkeypatch.setattr(peers, "PEERS", peers.find())


@pytest.mark.full
@pytest.mark.usefixtures("ill_peers")
def test_what_dies_or_hangs_costs_its_own_cells(monkeypatch):
    monkeypatch.setattr(blocks, "PREPARE_SECONDS", 2.0)
    systems = ["rnncore", "wrong", "dies", "hangs", "numpy"]
    plan = plans.Plan(PROFILE, systems)
    with Stations() as stations:
        run = blocks.Blocks(plan, stations, Told())
        found = run.row(plans.Row("odd", CASE, 3))
        assert run.strikes == {"hangs": 1, "dies": 0}
        run.strikes["hangs"] = blocks.STRIKES
        again = run.row(plans.Row("odd", dataclasses.replace(CASE, H=6), 3))
    told = {one["system"]: (one["status"], one["reason"]) for one in found["systems"]}
    assert told["rnncore"] == told["numpy"] == ("ok", "")
    assert told["wrong"][0] == "wrong"
    assert told["dies"][0] == "failed" and "status 3" in told["dies"][1]
    assert told["hangs"] == ("failed", "no answer in 2 s")
    for attempt in found["attempts"]:
        assert set(attempt["turns"]) == {"rnncore", "numpy"}
    assert {one["system"]: one["status"] for one in again["systems"]}["hangs"] == "refused"


# -- Directories --------------------------------------------------------------------------------------------


@pytest.fixture
def swift(monkeypatch):
    """Limits that take no time to measure."""
    monkeypatch.setattr(limits, "measure", lambda threads: FLAT)
    monkeypatch.setattr(limits, "with_drift", lambda bounds: dataclasses.replace(bounds, drift={"1": 1.0}))


@pytest.mark.usefixtures("swift")
def test_a_study_is_whole_and_knows_it(tmp_path, capsys):
    out = tmp_path / "study"
    line = ["study", "--out", str(out), *ARGUMENTS, "--match", ONE_ROW, "--systems", "rnncore,numpy"]
    assert main(line) == 0
    assert "1 rows measured, 0 skipped" in capsys.readouterr().out
    env = json.loads((out / "env.json").read_text())
    assert env["finished"] and env["limits"]["drift"] == {"1": 1.0}
    assert env["settings"]["systems"] == ["rnncore", "numpy"] and set(env["versions"]) == {"rnncore", "numpy"}
    assert sorted(path.name for path in out.iterdir()) == [
        "blocks.csv.xz", "conditions.csv.xz", "env.json", "rows.csv", "systems.csv",
    ]  # fmt: skip
    (row,) = read(out / "rows.csv")
    assert (row["set"], row["status"], row["listed_steps"], row["threads"]) == ("small", "measured", "1", "1")
    counts = collections.Counter((line["row"], line["block"]) for line in read(out / "blocks.csv.xz"))
    assert list(counts.values()) == [2] * 4
    accepted = [line for line in read(out / "conditions.csv.xz") if line["accepted"] == "1"]
    assert [line["block"] for line in accepted] == ["0", "1", "2", "3"]
    assert main(line) == 0
    assert "is whole" in capsys.readouterr().out


@pytest.mark.usefixtures("swift")
def test_another_study_is_refused(tmp_path, capsys, monkeypatch):
    out = tmp_path / "study"
    line = ["study", "--out", str(out), *ARGUMENTS, "--match", ONE_ROW, "--systems", "numpy"]
    assert main(line) == 0
    capsys.readouterr()
    for change, word in ((["--seed", "1"], "settings seed 0"), (["--blocks", "5"], "settings blocks 4")):
        assert main([*line, *change]) == 2
        shown = capsys.readouterr().err
        assert word in shown and len(shown.splitlines()) == 1
    described = measure.machine.describe()
    monkeypatch.setattr(measure.machine, "describe", lambda: {**described, "cpu": "Abacus", "load": 7.0})
    assert main(line) == 2
    assert "machine cpu" in capsys.readouterr().err
    monkeypatch.setattr(measure.machine, "describe", lambda: {**described, "commit": "0", "load": 7.0})
    assert main(line) == 2
    assert "commit" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("text")
    assert main([*line[:1], "--out", str(tmp_path / "other"), *line[3:]]) == 2
    assert "other files" in capsys.readouterr().err


@pytest.mark.usefixtures("swift")
def test_an_interrupted_study_goes_on(tmp_path, capsys, monkeypatch):
    out = tmp_path / "study"
    line = ["study", "--out", str(out), *ARGUMENTS, "--match", "rnn-f32-step", "--systems", "numpy"]
    usual, asked = blocks.Blocks.row, []

    def interrupted(self, row):
        asked.append(row.case.H)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return usual(self, row)

    monkeypatch.setattr(blocks.Blocks, "row", interrupted)
    assert main(line) == measure.INTERRUPTED
    assert "interrupted after 2 of 5 rows" in capsys.readouterr().err
    before = read(out / "blocks.csv.xz")
    assert {line["row"] for line in before} == {row["row"] for row in read(out / "rows.csv")[:2]}
    assert main(line) == 0
    assert asked == [4, 8, 16, 16, 32, 64]
    assert [line for line in read(out / "blocks.csv.xz") if line in before] == before
    assert json.loads((out / "env.json").read_text())["finished"]


@pytest.mark.full
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_study_goes_on(tmp_path):
    out = tmp_path / "study"
    line = ["bench", "study", "--out", str(out), *ARGUMENTS]
    line += ["--sets", "device", "--systems", SYSTEMS]
    with start(*line) as killed:
        assert wait_for(lambda: list(out.glob("parts/*.json")), killed)
        os.kill(killed.pid, signal.SIGKILL)
    known = {path.name: path.read_bytes() for path in out.glob("parts/*.json")}
    again = [sys.executable, "-m", "rnncore", *line]
    done = subprocess.run(again, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert f"{3 - len(known)}/{3 - len(known)}" in done.stdout
    rows = [row["row"] for row in read(out / "rows.csv") if row["status"] == "measured"]
    assert len(rows) == 3
    systems = read(out / "systems.csv")
    assert [(one["row"], one["system"]) for one in systems] == [
        (r, s) for r in rows for s in SYSTEMS.split(",")
    ]
    assert all(one["status"] == "ok" for one in systems)
    lines = read(out / "blocks.csv.xz")
    assert collections.Counter(line["row"] for line in lines) == dict.fromkeys(rows, 8)
    for name, part in known.items():
        turn = next(one for one in json.loads(part)["attempts"] if one["accepted"])["turns"]["numpy"]
        assert any(
            one["row"] == name.removesuffix(".json") and one["seconds"] == f"{turn['seconds']:.4g}"
            for one in lines
        )
    assert not list(out.glob("**/*.new")) and not (out / "parts").exists()
