# SPDX-License-Identifier: MIT
"""Results, states and gradients are to the last bit those of hashes.json; hashes.py says what it holds and makes it.

Where bits change on purpose, the commit that changes them replaces the entries and says why.
"""

import pytest

from .cases import CASES
from .hashes import differences, everywhere, read

TABLE = read()


def test_table_has_every_case_and_no_other():
    assert list(TABLE) == sorted(CASES)


@pytest.mark.parametrize("name", CASES)
def test_bits_are_those_of_the_table(name):
    assert differences(TABLE[name], everywhere(CASES[name])) == {}
