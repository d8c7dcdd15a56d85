# SPDX-License-Identifier: MIT
"""Which tests of a grid a plain run takes: few, in which every pair of values of any two factors stands.

`pytest --full` takes them all, and so does a command that names a test (`file.py::test`).
"""

import itertools
import zlib

import numpy as np


def covering_choice(rows, strength=2, seed=0):
    """Positions of few rows that hold every combination of any `strength` columns that some row holds.

    Parameters
    ----------
    rows : sequence of sequence of int
        In each column a number for each value of a factor.
    strength : int
        With no more columns than that, and none that says what another one says, all rows are needed.
    seed : int
        Which of equally good rows are taken.

    Returns
    -------
    list of int
        Ascending.
    """
    table = np.unique(np.array(rows).reshape(len(rows), -1), axis=1)
    groups = list(itertools.combinations(range(table.shape[1]), min(strength, table.shape[1])))
    # Combinations are numbered through, group by group.
    numbers, start = np.empty((len(rows), len(groups)), int), 0
    for column, group in enumerate(groups):
        found, inverse = np.unique(table[:, group], axis=0, return_inverse=True)
        numbers[:, column] = start + inverse.ravel()
        start += len(found)
    order = np.random.default_rng(seed).permutation(len(rows))
    numbers, missing, chosen = numbers[order], np.ones(start, bool), []
    while missing.any():
        best = np.argmax(missing[numbers].sum(axis=1))
        missing[numbers[best]] = False
        chosen.append(int(order[best]))
    return sorted(chosen)


def default_choice(items):
    """(taken, left): the tests of a plain run, and those that wait for `--full`, both in the order given."""
    functions = {}
    for item in items:
        if not item.get_closest_marker("full"):
            functions.setdefault(item.nodeid.split("[")[0], []).append(item)
    taken = set()
    for name, cases in functions.items():
        chosen = covering_choice([factors(case) for case in cases], seed=zlib.crc32(name.encode()))
        taken.update(cases[k] for k in chosen)
    return [item for item in items if item in taken], [item for item in items if item not in taken]


def factors(item):
    """One number for each of the test's parameters; crossed marks share the objects that are their values."""
    return tuple(id(value) for value in item.callspec.params.values()) if hasattr(item, "callspec") else ()
