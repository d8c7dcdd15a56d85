# SPDX-License-Identifier: MIT
"""Rules of the tests themselves: each asserts something, none holds a tolerance of its own or looks at a clock."""

import ast
import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest
from selection import covering_choice, default_choice

TESTS = Path(__file__).resolve().parents[1]
SOURCES = {path.relative_to(TESTS).as_posix(): path.read_text("utf-8") for path in TESTS.rglob("*.py")}
TREES = {name: ast.parse(text) for name, text in SOURCES.items()}
TABLES = ("support/tables.py", "support/tables_training.py")
CLOCKS = {"perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "process_time", "process_time_ns"}
SMALL = 1e-3  # a number below it that something is compared with is a tolerance


def places(predicate, skip=()):
    """Where in the tests a node of the syntax tree is so."""
    return [
        f"{name}:{node.lineno}"
        for name, tree in TREES.items()
        if name not in skip
        for node in ast.walk(tree)
        if predicate(node)
    ]


def test_tolerances_stand_in_the_tables():
    def is_tolerance(node):
        if isinstance(node, ast.keyword) and node.arg in {"rtol", "atol", "rel", "abs"}:
            return isinstance(node.value, ast.Constant) and node.value.value != 0
        numbers = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
        return isinstance(node, ast.Compare) and any(type(n) is float and 0 < abs(n) < SMALL for n in numbers)

    assert places(is_tolerance, skip=TABLES) == []


def test_no_test_looks_at_a_clock():
    def is_clock(node):
        names = {getattr(node, "id", ""), getattr(node, "attr", "")}
        return isinstance(node, ast.Name | ast.Attribute) and bool(CLOCKS & names)

    assert places(is_clock) == []


def test_all_waiting_has_one_limit():
    assert (
        places(lambda node: isinstance(node, ast.keyword) and node.arg == "timeout" and is_number(node)) == []
    )


def is_number(keyword):
    return isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, int | float)


def test_no_exception_is_swallowed():
    assert (
        places(lambda node: isinstance(node, ast.ExceptHandler) and isinstance(node.body[0], ast.Pass)) == []
    )


def test_every_test_asserts_something():
    """Itself, or by a function that does: of its module, of `support`, or named for it."""
    silent, shared = [], {}
    for name, tree in TREES.items():
        if name.startswith("support/"):
            shared |= functions_of(tree)
    for name, tree in TREES.items():
        functions = shared | functions_of(tree)
        silent += [
            f"{name}: {function}"
            for function in functions
            if function.startswith("test_") and not asserts(function, functions, set())
        ]
    assert silent == []


def functions_of(tree):
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def asserts(function, functions, seen):
    """Whether a function of a module, or one that it calls, has an assertion."""
    for node in ast.walk(functions[function]):
        if isinstance(node, ast.Assert):
            return True
        called = (
            getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
        )
        if called.startswith("assert_") or called in {"raises", "warns"}:
            return True
        if called in functions and called not in seen and asserts(called, functions, seen | {called}):
            return True
    return False


def test_every_test_stands_in_a_folder():
    assert [name for name in SOURCES if name.startswith("test_")] == []


# The choice of a plain run ---------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [1, 2, 3])
def test_few_rows_hold_every_combination(strength):
    rows = list(itertools.product(range(5), range(2), range(3), range(4)))
    few = [rows[k] for k in covering_choice(rows, strength)]
    for columns in itertools.combinations(range(4), strength):
        assert {tuple(row[c] for c in columns) for row in few} == {
            tuple(row[c] for c in columns) for row in rows
        }
    assert len(few) <= {1: 5, 2: 24, 3: 75}[strength]


class Item:
    """What the choice looks at in a test."""

    def __init__(self, name, *marks, **params):
        self.nodeid = f"{name}[{params}]" if params else name
        self.get_closest_marker = {mark.name: mark for mark in marks}.get
        if params:
            self.callspec = SimpleNamespace(params=params)


def test_a_plain_run_takes_pairs_of_grids_and_leaves_long_tests():
    grid = list(itertools.product("abcd", (1, 2), (True, False)))
    pairs = [Item("pairs", a=a, b=b, c=c) for a, b, c in grid]
    crossed = [Item("crossed", a=a, b=b) for a, b in itertools.product("abcd", (1, 2))]
    alone, long = Item("alone"), Item("long", pytest.mark.full)
    taken, left = default_choice([*pairs, *crossed, alone, long])
    assert [one for one in taken if one not in pairs] == [*crossed, alone]
    assert len([one for one in taken if one in pairs]) == 4 * 2
    assert long in left and len(taken) + len(left) == len(grid) + len(crossed) + 2
