# SPDX-License-Identifier: MIT
"""What a study measures: lists that are complete, steps that are shortened, and why rows are left out."""

import collections
import dataclasses

import pytest

from rnncore.bench import shapes
from rnncore.bench.cases import Case
from rnncore.bench.study import plan as plans

FULL, QUICK = (plans.PROFILES[name] for name in ("full", "quick"))


@pytest.mark.parametrize("profile", [FULL, QUICK], ids=lambda profile: profile.name)
def test_every_listed_row_is_there_once(profile):
    rows = plans.Plan(profile, ["numpy"], (1, 2)).rows()
    for group, expected in {"device": 3, "server": 69, "training": 52}.items():
        for threads in (1, 2):
            listed = [row for row in rows if row.group == group and row.case.threads == threads]
            assert len(listed) == expected
            steps = [dataclasses.replace(row.case, T=row.listed_steps, threads=1) for row in listed]
            assert steps == shapes.SETS[group]()
    measured = [row.case.name for row in rows if row.status == "measured"]
    assert len(set(measured)) == len(measured)
    assert all(row.reason or plans.nominal_seconds(row.case) <= profile.cap_seconds for row in rows)


def test_the_quick_profile_measures_so_many_rows_of_each_set():
    rows = plans.Plan(QUICK, ["numpy"]).rows()
    counts = collections.Counter(row.group for row in rows if row.status == "measured")
    assert counts == QUICK.rows
    assert set(QUICK.rows) == set(plans.SETS)


def test_steps_are_shortened_to_two_digits_within_the_cap():
    case = Case("gru", 1500, 4, 1024, 1024)
    short = plans.shortened(case, 0.060)
    assert (
        plans.nominal_seconds(short)
        <= 0.060
        < plans.nominal_seconds(dataclasses.replace(short, T=short.T + 1))
    )
    assert dataclasses.replace(short, T=1500) == case
    assert plans.shortened(dataclasses.replace(case, T=10), 0.060).T == 10
    assert plans.shortened(case, 10.0).T == 1500
    assert plans.shortened(case, 0.3).T % 10 == 0
    assert plans.shortened(case, 0.001) is None


def test_lengths_that_are_cut_to_one_are_measured_once():
    rows = plans.Plan(FULL, ["numpy"], sets=["server"]).rows()
    ours = [row for row in rows if (row.case.H, row.case.N) == (2816, 1)]
    assert [row.listed_steps for row in ours] == [1500, 750, 375, 187]
    assert [row.status for row in ours] == ["measured", "skipped", "skipped", "skipped"]
    assert ours[1].case.T == 750 and ours[1].reason == f"stands as {ours[0].case.name} in the set server"


def test_a_row_of_two_sets_is_measured_in_the_first():
    rows = plans.Plan(FULL, ["numpy"], sets=["device", "server"]).rows()
    name = "lstm-f32-sequence-T150N1I256H256L1D1-t1"
    assert [row.group for row in rows if row.case.name == name and not row.reason] == ["device"]
    assert [row.reason for row in rows if row.case.name == name] == [
        "",
        f"stands as {name} in the set device",
    ]


def test_rows_that_need_too_much_memory_or_time_say_so():
    rows = plans.Plan(FULL, ["numpy"], sets=["training"]).rows()
    slow = [row for row in rows if row.case.H == 4096]
    assert len(slow) == 4 and all("more than the cap of 0.06 s" in row.reason for row in slow)
    rows = plans.Plan(FULL, ["numpy"], sets=["small", "server"]).rows(memory=2**28)
    large = [row for row in rows if row.case.H == 2816 and row.listed_steps == 1500]
    assert all("systems need about" in row.reason for row in large)
    assert not any(row.reason for row in rows if row.group == "small")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"systems": []}, "systems"),
        ({"systems": ["abacus"]}, "abacus"),
        ({"systems": ["numpy", "numpy"]}, "once"),
        ({"profile": dataclasses.replace(FULL, blocks=1)}, "blocks"),
        ({"profile": dataclasses.replace(FULL, preparations=31)}, "preparations"),
        ({"profile": dataclasses.replace(FULL, seconds=0.0)}, "seconds"),
        ({"profile": dataclasses.replace(FULL, cap_seconds=-1.0)}, "cap"),
    ],
)
def test_wrong_plans_are_refused_by_name(change, word):
    with pytest.raises(ValueError, match=word):
        plans.Plan(**{"profile": FULL, "systems": ["numpy"], **change})


def test_an_unknown_set_is_refused():
    with pytest.raises(ValueError, match="set"):
        plans.Plan(FULL, ["numpy"], sets=["fast"]).rows()
