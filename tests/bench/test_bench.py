# SPDX-License-Identifier: MIT
"""The benchmark harness: cases, statistics, and tiny runs of it as a whole."""

import dataclasses
import importlib.util
import json
import sys

import numpy as np
import pytest
from reports import FLAT, TINY, system

from rnncore.bench import (
    cases,
    machine,
    oracle,
    peers,
    process,
    progress,
    results,
    runner,
    shapes,
    stations,
    stats,
)
from rnncore.bench.__main__ import main
from rnncore.bench.cases import Case
from rnncore.bench.peers import numpy_peer


def has_oracle():
    return any(importlib.util.find_spec(name) for name in ("rnncore.reference", "torch"))


needs_oracle = pytest.mark.skipif(not has_oracle(), reason="neither rnncore.reference nor torch is there")


# -- Cases --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", shapes.SETS)
def test_sets_are_well_formed(name):
    rows = shapes.SETS[name]()
    assert rows
    assert len({case.name for case in rows}) == len(rows)
    for case in rows:
        assert case.source
        assert case.threads == 1
        assert case.flops() > 0


def test_the_odd_set_covers_what_it_is_for():
    rows = shapes.SETS["odd"]()
    assert {96, 200, 320, 650} <= {case.H for case in rows}
    assert {3, 5, 7, 24, 100} <= {case.N for case in rows}
    assert any(case.I != case.H for case in rows)
    assert {(1, 1), (2, 1), (1, 2), (2, 2)} <= {(case.L, case.D) for case in rows}


def test_select_orders_by_threads_and_leaves_streams_at_one():
    chosen = shapes.select(["stream", "latency"], (2, 1), cells=["lstm"])
    threads = [case.threads for _, case in chosen]
    assert threads == sorted(threads)
    assert all(case.threads == 1 for _, case in chosen if case.mode == "step")
    assert {case.cell for _, case in chosen} == {"lstm"}
    assert len({case for _, case in chosen}) == len(chosen)


@pytest.mark.parametrize("name", shapes.SETS)
def test_a_name_holds_its_case(name):
    for case in shapes.SETS[name]():
        case = dataclasses.replace(case, threads=2)
        assert Case.named(case.name) == case
    with pytest.raises(ValueError, match="row"):
        Case.named("lstm-f16-sequence-T100N1I64H64L1D1-t2")


def test_select_filters_by_name():
    assert [case.H for _, case in shapes.select(["latency"], match="gru-f32-sequence-T100N1I64H64")] == [64]


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: shapes.select(["fast"]), "set"),
        (lambda: shapes.select(["odd"], cells=["lst"]), "cell"),
        (lambda: Case("lstm", 0, 1, 1, 1), "T"),
        (lambda: Case("lstm", 1, 1, 1, 1, D=3), "D"),
        (lambda: Case("lstm", 2, 1, 1, 1, mode="step"), "step"),
        (lambda: Case("elman", 1, 1, 1, 1), "cell"),
        (lambda: Case("rnn", 1, 1, 1, 1, dtype="float16"), "dtype"),
        (lambda: Case("rnn", 1, 1, 1, 1, mode="fast"), "mode"),
    ],
)
def test_wrong_cases_are_refused_by_name(call, word):
    with pytest.raises(ValueError, match=word):
        call()


def test_flops_count_every_layer_and_direction():
    case = Case("gru", 2, 3, 5, 7, L=2, D=2)
    below = 2 * 2 * 3 * 3 * 7 * (5 + 7)
    above = 2 * 2 * 3 * 3 * 7 * (14 + 7)
    assert case.flops() == 2 * (below + above)
    assert dataclasses.replace(case, mode="train").flops() == 3 * case.flops()


def test_ragged_rows_count_their_valid_tokens_only():
    whole = Case("lstm", 10, 4, 3, 5)
    case = dataclasses.replace(whole, ragged=True)
    lengths = case.lengths()
    assert sorted(lengths) == [1, 4, 7, 10]
    assert case.tokens() == 22 and case.active().sum() == 22
    assert [case.active()[t] for t in (0, 1, 4, 9)] == [4, 3, 2, 1]
    assert case.flops() * 40 == whole.flops() * 22
    assert "ragged" in case.name
    with pytest.raises(ValueError, match="ragged"):
        dataclasses.replace(case, mode="train")


@needs_oracle
@pytest.mark.parametrize("name", ["rnncore", "torch"])
def test_ragged_rows_run_where_lengths_are_taken(name):
    if peers.load(name).missing():
        pytest.skip(f"{name} is not installed")
    case = dataclasses.replace(TINY, mode="sequence", N=4, ragged=True)
    with runner.Runner(dataclasses.replace(QUICK, systems=(name, "numpy"))) as run:
        ran, refused = run.row("ragged", case)["systems"]
    assert ran["status"] == "ok", ran["reason"]
    assert refused["reason"] == "takes no lengths"


def test_parameters_have_pytorchs_names_and_shapes():
    shapes = Case("lstm", 1, 1, 3, 5, L=2, D=2).parameter_shapes()
    assert list(shapes)[:5] == [
        "weight_ih_l0",
        "weight_hh_l0",
        "bias_ih_l0",
        "bias_hh_l0",
        "weight_ih_l0_reverse",
    ]
    assert shapes["weight_ih_l1_reverse"] == (20, 10)
    assert shapes["weight_hh_l1"] == (20, 5)


def test_problems_repeat_and_ignore_threads():
    one, two = (cases.make_problem(dataclasses.replace(TINY, threads=count)) for count in (1, 2))
    assert np.array_equal(one.x, two.x)
    assert all(np.array_equal(one.params[name], two.params[name]) for name in one.params)
    assert one.x.dtype == np.float32
    assert (one.x != 0).all()


# -- Statistics ---------------------------------------------------------------------------------------------


def test_summary_of_known_numbers():
    found = stats.summarise([np.arange(1.0, 51.0), np.arange(51.0, 102.0)])
    assert (found["median"], found["q1"], found["q3"]) == (51.0, 26.0, 76.0)
    assert found["p99"] == 100.0
    assert found["p999"] is None
    assert found["samples"] == 101
    assert found["rounds"] == [25.5, 76.0]


def test_summary_needs_calls():
    with pytest.raises(ValueError, match="rounds"):
        stats.summarise([np.ones(3), np.ones(0)])


def test_ratios_cancel_a_drift_of_the_machine():
    assert stats.paired_ratio([2.0, 4.0, 8.0], [1.0, 2.0, 4.0]) == 2.0


def test_ours_is_compared_with_the_best_peer_that_is_correct():
    systems = [
        system("a", 1.0, ours=True),
        system("b", 0.9, ours=True),
        system("c", 4.0),
        system("d", 2.0),
        system("e", 0.1, status="wrong"),
    ]
    stats.add_ratios(systems)
    assert [(one["best_other"], one["ratio"]) for one in systems] == [
        ("d", 2.0),
        ("d", 2.0 / 0.9),
        ("d", 0.5),
        ("c", 2.0),
        (None, None),
    ]


def test_geometric_mean():
    assert round(stats.geometric_mean([1.0, 4.0]), 12) == 2.0
    with pytest.raises(ValueError, match="values"):
        stats.geometric_mean([])


def test_machine_is_described_in_plain_data():
    described = machine.describe()
    assert json.loads(json.dumps(described)) == described
    assert described["cores"] >= 1


def test_progress_estimates_the_time_left():
    with progress.Progress(4) as bar:
        assert bar.seconds_left() is None
        for _ in range(4):
            bar.advance("x")
        assert bar.seconds_left() == 0


# -- Runs ---------------------------------------------------------------------------------------------------

QUICK = runner.Plan(["numpy"], seconds=0.002, rounds=2, pause=0.0, in_process=True)
TINY_CASES = [
    Case("rnn", 3, 2, 4, 5, L=2, D=2),
    Case("gru", 3, 2, 4, 5, dtype="float64"),
    Case("lstm", 1, 2, 4, 5, L=2, mode="step"),
]


@needs_oracle
@pytest.mark.parametrize("case", TINY_CASES, ids=lambda case: case.problem_name)
def test_tiny_run(case):
    ticks = []
    with runner.Runner(QUICK, ticks.append) as run:
        row = run.row("odd", case)
        assert len(ticks) == run.ticks(1)
    (found,) = row["systems"]
    assert found["status"] == "ok"
    assert found["median"] > 0
    assert found["samples"] >= QUICK.rounds
    assert len(found["rounds"]) == QUICK.rounds
    assert json.loads(json.dumps(row)) == row


@needs_oracle
@pytest.mark.parametrize("name", ["rnncore", "torch"])
@pytest.mark.parametrize(
    "case",
    [
        Case("lstm", 3, 2, 4, 5, mode="train"),
        Case("gru", 3, 2, 4, 5, mode="fit"),
        Case("rnn", 3, 2, 4, 5, L=2, D=2, dtype="float64", mode="fit"),
    ],
    ids=lambda case: case.problem_name,
)
def test_tiny_training(name, case):
    if peers.load(name).missing():
        pytest.skip(f"{name} is not installed")
    with runner.Runner(dataclasses.replace(QUICK, systems=[name])) as run:
        (found,) = run.row("train", case)["systems"]
    assert found["status"] == "ok", found["reason"]
    assert found["median"] > 0


@needs_oracle
def test_wrong_results_are_not_timed(monkeypatch):
    right = numpy_peer.cell_step
    monkeypatch.setattr(numpy_peer, "cell_step", lambda *a: tuple(1.01 * s for s in right(*a)))
    with runner.Runner(QUICK) as run:
        (found,) = run.row("odd", TINY)["systems"]
    assert found["status"] == "wrong"
    assert "median" not in found


def test_refusals_cost_nothing():
    with runner.Runner(QUICK) as run:
        (found,) = run.row("train", dataclasses.replace(TINY, mode="train"))["systems"]
        assert not run.stations.open
    assert (found["status"], found["reason"]) == ("refused", "inference only")


@needs_oracle
def test_run_in_processes_of_their_own():
    plan = dataclasses.replace(QUICK, in_process=False)
    with runner.Runner(plan) as run:
        (found,) = run.row("latency", TINY, FLAT)["systems"]
    assert found["status"] == "ok"
    assert found["fraction"] > 0


def test_a_failing_process_is_reported():
    remote = stations.Remote("numpy", 1)
    try:
        with pytest.raises(process.PeerError, match="AttributeError"):
            remote.call("no_such_method")
        assert remote.call("version") == np.__version__
        remote.process.kill()
        with pytest.raises(process.PeerError, match="process ended"):
            remote.call("version")
    finally:
        remote.close()


def test_peers_are_named_as_listed_and_import_nothing_early():
    heavy = {"jax", "tensorflow", "openvino"}
    before = heavy & set(sys.modules)
    for name in peers.PEERS:
        assert peers.load(name).name == name
    assert heavy & set(sys.modules) == before


def test_large_cases_are_checked_in_part():
    small, large = Case("lstm", 3, 2, 4, 5), Case("gru", 1500, 4, 1024, 1024)
    assert oracle.checked_part(small) == (3, 2)
    steps, rows = oracle.checked_part(large)
    assert 1 <= steps < 1500
    assert 1 <= rows <= 4
    assert oracle.checked_part(dataclasses.replace(large, D=2)) == (1500, 4)


def test_errors_are_relative_and_nan_is_infinite():
    right = {"y": np.array([1.0, -4.0])}
    assert oracle.largest_error({"y": np.array([1.0, -3.0])}, right) == 0.25
    assert oracle.largest_error({"y": np.array([1.0, np.nan])}, right) == float("inf")
    assert oracle.largest_error({"y": np.array([1.0])}, right) == float("inf")
    assert oracle.largest_error({"y": np.array([0.0, 0.5])}, {"y": np.zeros(2)}) == 0.5


@pytest.mark.parametrize(
    "change", [{"systems": ["abacus"]}, {"systems": []}, {"rounds": 0}, {"seconds": 0.0}, {"pause": -1.0}]
)
def test_wrong_plans_are_refused(change):
    with pytest.raises(ValueError, match="expected"):
        dataclasses.replace(QUICK, **change)


# -- Command line -------------------------------------------------------------------------------------------


@needs_oracle
def test_command_line_measures_writes_and_compares(tmp_path, capsys):
    out = str(tmp_path / "a.csv")
    arguments = ["latency", "--cell", "rnn", "--match", "H64", "--threads", "1", "--peers", "numpy"]
    quick = ["--seconds", "0.01", "--rounds", "2", "--in-process", "--no-limits", "--out", out]
    assert main([*arguments, *quick]) == 0
    assert "rnn-f32-sequence-T100N1I64H64L1D1-t1" in capsys.readouterr().out
    assert len(results.read(tmp_path / "a.csv")["rows"]) == 1
    assert main(["compare", "--fail", out, out]) == 0
    assert "0 slower, 0 faster, 1 the same" in capsys.readouterr().out


def test_list_shows_all_sets_and_peers(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*shapes.SETS, *peers.PEERS))


@pytest.mark.parametrize(
    "arguments",
    [
        ["fast"],
        ["latency", "--peers", "abacus"],
        ["latency", "--match", "no such row"],
        ["latency", "--peers", "numpy", "--out", "a.json"],
        ["compare", "/no/such/file", "/no/such/file"],
    ],
)
def test_wrong_use_gives_one_sentence_and_two(arguments, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("rnncore bench: ")
    assert len(captured.err.splitlines()) == 1
