# SPDX-License-Identifier: MIT
"""The peers of the benchmark: each that is installed gives the right answers; plug-ins; what a first call costs."""

import dataclasses
import importlib
import textwrap
import time

import numpy as np
import pytest
from reports import TINY

from rnncore.bench import cases, memory, oracle, peers, runner, stations, worker
from rnncore.bench.__main__ import main
from rnncore.bench.cases import Case
from rnncore.bench.peers.base import gate_blocks

CELLS = ("lstm", "gru", "rnn")
QUICK = runner.Plan(["numpy"], seconds=0.002, rounds=2, pause=0.0, in_process=True)
SMALL = [
    case
    for cell in CELLS
    for case in (
        Case(cell, 3, 2, 4, 5),
        Case(cell, 4, 1, 5, 5, L=2),
        Case(cell, 3, 3, 4, 5, L=2, D=2),
        Case(cell, 1, 2, 4, 5, mode="step"),
        Case(cell, 1, 1, 5, 5, L=3, mode="step"),
        Case(cell, 3, 2, 4, 5, mode="train"),
        Case(cell, 3, 2, 4, 4, L=2, mode="train"),
        Case(cell, 3, 2, 4, 5, L=2, D=2, mode="train"),
        Case(cell, 3, 2, 4, 5, L=2, mode="fit"),
        Case(cell, 3, 3, 4, 5, dtype="float64"),
        Case(cell, 5, 4, 4, 5, ragged=True),
        Case(cell, 3, 2, 32, 48, store="int8"),
        Case(cell, 1, 2, 32, 48, L=2, mode="step", store="int8"),
    )
]
EVERY = {"torch-compile": len(SMALL), "jax": 3, "keras": 4, "rnncore-torch": 2}
"""Of how many small cases of a cell one is run, where each costs seconds."""


def available(name):
    missing = peers.missing(name)
    if missing:
        pytest.skip(f"{name} needs {missing}")
    return peers.load(name)


def error(station, case):
    station.call("prepare", case)
    return oracle.largest_error(station.call("check"), oracle.expected(case, cases.make_problem(case)))


@pytest.mark.full
@pytest.mark.parametrize("name", peers.BUILT_IN)
def test_every_small_case_that_is_not_refused_is_right(name):
    kind = available(name)
    taken = []
    for cell in CELLS:
        taken += [case for case in SMALL if case.cell == cell and not kind.refusal(case)][
            :: EVERY.get(name, 1)
        ]
    assert {case.cell for case in taken} == set(CELLS)
    station = stations.Remote(name, 1)
    try:
        wrong = {
            case.name: found for case in taken if not (found := error(station, case)) <= oracle.bound(case)
        }
        first = station.call("first_call")
    finally:
        station.close()
    assert wrong == {}
    assert first["seconds"] > 0
    assert first["memory"] is None or first["memory"] > 0


@pytest.mark.parametrize("name", ["rnncore", "numpy", "onednn"])
def test_small_cases_are_right_in_this_process(name):
    kind = available(name)
    station = stations.Local(name, 1)
    for case in [case for case in SMALL if not kind.refusal(case)]:
        assert error(station, case) <= oracle.bound(case), case.name


@pytest.mark.parametrize("name", peers.BUILT_IN)
def test_peers_say_what_they_refuse(name):
    kind = peers.load(name)
    for case in SMALL:
        for isa in peers.HELD:
            assert isinstance(kind.refusal(case, isa), str)
        if case.store and case.store not in kind.stores:
            assert "int8" in kind.refusal(case)
    assert kind.title


def test_a_stream_goes_on_after_it_was_reset():
    station = stations.Local("numpy", 1)
    case = Case("lstm", 1, 1, 3, 4, mode="step")
    station.call("prepare", case)
    first, again = (station.call("check")["y"] for _ in range(2))
    assert np.array_equal(first, again)


def test_gates_in_a_wrong_order_are_wrong_in_int8_too():
    case = Case("lstm", 3, 2, 32, 48, store="int8")
    problem = cases.make_problem(case)
    swapped = {name: gate_blocks(value, (0, 1, 3, 2), case.H) for name, value in problem.params.items()}
    right = oracle.expected(case, problem)
    got = oracle.expected(case, dataclasses.replace(problem, params=swapped))
    assert oracle.largest_error(got, right) > 2 * oracle.bound(case)


# -- Instruction sets ---------------------------------------------------------------------------------------


def test_variables_of_an_instruction_set_join_those_of_the_threads():
    alone, held = (peers.environment("jax", 1, isa) for isa in ("", "avx2"))
    assert held["XLA_FLAGS"] == f"--xla_cpu_max_isa=AVX2 {alone['XLA_FLAGS']}"
    assert held["RNNCORE_ISA"] == "avx2" and "RNNCORE_ISA" not in alone


def test_what_cannot_be_held_is_refused():
    plan = dataclasses.replace(QUICK, systems=["onnxruntime"], in_process=False, isa="avx2")
    with runner.Runner(plan) as run:
        (found,) = run.row("odd", TINY)["systems"]
    assert (found["status"], found["reason"]) == ("refused", "cannot be held to avx2")
    with pytest.raises(ValueError, match="isa"):
        dataclasses.replace(QUICK, isa="avx2")
    with pytest.raises(ValueError, match="isa"):
        dataclasses.replace(QUICK, in_process=False, isa="sse9")


# -- First call and memory ----------------------------------------------------------------------------------


def test_a_first_call_counts_building_and_the_call(monkeypatch):
    class Slow(peers.load("numpy")):
        def __init__(self, *given):
            super().__init__(*given)
            time.sleep(0.02)

        def forward(self):
            time.sleep(0.03)
            self.kept = np.ones(1 << 22)
            return super().forward()

    monkeypatch.setattr(peers, "load", lambda name: Slow)
    station = worker.Station("slow")
    station.prepare(TINY)
    station.check()
    found = station.first_call()
    assert found["seconds"] >= 0.05
    assert found["memory"] is None or found["memory"] >= 8 << 22


def test_a_peak_is_forgotten():
    if memory.resident() is None:
        pytest.skip("this system has no /proc")
    kept = np.ones(1 << 22)
    before = memory.peak()
    assert before >= memory.resident() >= kept.nbytes
    del kept
    memory.forget_peak()
    assert memory.peak() <= before
    assert 0 < memory.bare() < 1 << 28


# -- Plug-ins -----------------------------------------------------------------------------------------------

PLUG_IN = """
    from rnncore.bench.peers.numpy_peer import Numpy


    class Right(Numpy):
        name = title = "right"


    class Wrong(Right):
        name = title = "wrong"

        def forward(self):
            return 1.01 * super().forward()
"""
ENTRIES = """
    [rnncore.bench.peers]
    right = one_more:Right
    wrong = one_more:Wrong
    broken = one_more:Nothing
    numpy = one_more:Right
"""


@pytest.fixture
def plugged(tmp_path, monkeypatch):
    """A distribution with peers of its own, installed for one test."""
    told = tmp_path / "one_more-1.0.dist-info"
    told.mkdir()
    (tmp_path / "one_more.py").write_text(textwrap.dedent(PLUG_IN))
    (told / "entry_points.txt").write_text(textwrap.dedent(ENTRIES))
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: one-more\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.warns(UserWarning, match="the name is taken"):
        found = peers.find()
    monkeypatch.setattr(peers, "PEERS", found)
    return found


def test_plug_ins_are_found_and_take_no_names(plugged, capsys):
    assert set(plugged) == {*peers.BUILT_IN, "right", "wrong", "broken"}
    assert plugged["numpy"].value.startswith("rnncore.")
    assert {"right", "wrong"} <= set(peers.installed())
    assert "Nothing" in peers.missing("broken")
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert "broken: missing one_more:Nothing" in shown and "\nright: " in shown


@pytest.mark.usefixtures("plugged")
def test_the_gate_catches_a_plug_in_that_is_wrong():
    plan = dataclasses.replace(QUICK, systems=["right", "wrong"], in_process=False)
    with runner.Runner(plan) as run:
        right, wrong = run.row("odd", dataclasses.replace(TINY, mode="sequence"))["systems"]
    assert right["status"] == "ok", right["reason"]
    assert wrong["status"] == "wrong"
    assert "median" not in wrong


def test_what_is_only_for_who_asks_is_not_among_the_usual():
    assert "rnncore-again" not in peers.installed()
    assert peers.load("rnncore-again").ours
