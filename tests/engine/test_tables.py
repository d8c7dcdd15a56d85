# SPDX-License-Identifier: MIT
"""The table of cells in spec/cells.py is that of the core."""

import itertools

import pytest

from rnncore.engine import _core
from rnncore.spec import CELLS, Spec

# Values of the options that say which parameters there are.
VALUES = {
    "bias": (True, False),
    "proj_size": (0, 2),
    "peepholes": (False, True),
    "coupled": (False, True),
}
CASES = [
    (name, form, dict(zip(chosen, values, strict=True)))
    for name, cell in CELLS.items()
    for form in cell.forms
    for chosen in [[option for option in VALUES if option == "bias" or option in cell.options]]
    for values in itertools.product(*(VALUES[option] for option in chosen))
]


def test_the_core_has_these_cells():
    assert sorted(_core.cells()) == sorted(form for cell in CELLS.values() for form in cell.forms)


@pytest.mark.parametrize("name, form, options", CASES, ids=str)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_parameters_are_those_of_the_core(name, form, options, bidirectional):
    spec = Spec(name, 3, 5, 2, bidirectional=bidirectional, **CELLS[name].forms[form], **options)
    plan = _core.Plan(spec, "scalar")
    for layer in range(2):
        sizes = dict(spec.parameter_shapes())
        rows = [(row.name, sizes[f"{row.name}_l{layer}"]) for row in spec.kinds]
        # The core's biases may be left out, so that they are in its table whatever `bias` says.
        table = [(row, shape) for row, shape, optional in plan.parameters(layer) if spec.bias or not optional]
        assert table == rows
        optional = {row for row, _, optional in plan.parameters(layer) if optional}
        assert optional == {row.name for row in CELLS[name].parameters if row.when == "bias"}
