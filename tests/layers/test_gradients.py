# SPDX-License-Identifier: MIT
"""Gradients in every combination of any three options: against the twins, and bit for bit against
themselves."""

import itertools

import tables
from compiled import assert_near, assert_same_bits
from covering import covering_rows
from gradient_grid import FACTORS, GRID, ROWS, STRENGTH, grid

import rnncore

FUSED = grid([row for row in ROWS if row.backend == "fused"])


def test_grid_holds_every_combination():
    factors = {"cell": tables.CELLS} | FACTORS
    for names in itertools.combinations(factors, STRENGTH):
        held = {tuple(getattr(row, name) for name in names) for row in ROWS}
        assert held == set(itertools.product(*(factors[name] for name in names))), names


def test_covering_rows_are_few_and_the_same_each_time():
    factors = {name: range(3) for name in "abcdef"}
    rows = covering_rows(factors, 2)
    assert len(rows) < 3 * 3 * 3
    assert rows == covering_rows(factors, 2)


@GRID
def test_agrees_with_twin(row):
    outputs, grads, _ = row.train()
    twin_outputs, twin_grads, _ = row.train(row.build(rnncore.reference))
    assert_near("forward", "float64", outputs, twin_outputs)
    assert_near("gradient", "float64", grads, twin_grads)


@GRID
def test_runs_repeat_to_the_last_bit(row):
    """With one seed, all masks drawn anew."""
    (outputs, grads, _), (again, grads_again, _) = row.train(), row.train()
    assert_same_bits(again, outputs)
    assert_same_bits(grads_again, grads)


# The bit contract leaves out BLAS, which sums in an order that depends on how many rows it is given.


@FUSED
def test_checkpoints_change_no_bit(row):
    (outputs, grads, _), (again, grads_again, _) = row.train(), row.train(checkpoint=None)
    assert_same_bits(again, outputs)
    assert_same_bits(grads_again, grads)


@FUSED
def test_threads_change_no_output(row):
    outputs, grads, _ = row.train(num_threads=1)
    for threads in (2, 3):
        again, grads_again, _ = row.train(num_threads=threads)
        assert_same_bits(again, outputs)
        assert_near("gradient", "float64", grads_again, grads)
