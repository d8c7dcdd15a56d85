# SPDX-License-Identifier: MIT
"""The sets of rows that are lists of others, and rows whose weights are in a small store."""

import collections
import dataclasses

import pytest

from rnncore.bench import limits, shapes
from rnncore.bench.cases import Case


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("device", {"rnn": 2, "lstm": 1}),
        ("server", {"lstm": 15, "gru": 54}),
        ("training", {"rnn": 12, "lstm": 22, "gru": 18}),
    ],
)
def test_deepbench_is_complete(name, cells):
    rows = shapes.SETS[name]()
    assert collections.Counter(case.cell for case in rows) == cells
    assert all(case.I == case.H and case.trains == (name == "training") for case in rows)


def test_deepbench_has_its_ends():
    server = [(case.cell, case.H, case.N, case.T) for case in shapes.SETS["server"]()]
    assert {("lstm", 512, 1, 25), ("gru", 2816, 1, 1500), ("gru", 512, 4, 1), ("gru", 1024, 4, 1500)} <= {
        *server
    }
    training = [(case.cell, case.H, case.N, case.T) for case in shapes.SETS["training"]()]
    assert ("gru", 2816, 32, 1500) not in training  # commented out in the list
    assert {("rnn", 1760, 16, 50), ("lstm", 1536, 8, 50), ("gru", 2048, 32, 1500)} <= {*training}


def test_bytes_of_a_store():
    case = Case("gru", 4, 1, 8, 16)
    small = dataclasses.replace(case, store="int8")
    assert case.weight_bytes() == 4 * small.weight_bytes()
    assert "-int8-" in small.name and Case.named(small.name) == small
    assert limits._read_sizes(small)[0] == small.weight_bytes()


@pytest.mark.parametrize("change", [{"store": "int3"}, {"dtype": "float64"}, {"mode": "train"}])
def test_wrong_stores_are_refused(change):
    with pytest.raises(ValueError, match="store"):
        Case(**{"cell": "gru", "T": 1, "N": 1, "I": 2, "H": 3, "store": "int8", **change})
