# SPDX-License-Identifier: MIT
"""A copy of an optimiser and its modules goes on as the original does, and knows its state."""

import copy
import pickle

import numpy as np
import pytest
from compiled import assert_same_bits

import rnncore

COPIES = {"pickle": lambda both: pickle.loads(pickle.dumps(both)), "deepcopy": copy.deepcopy}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize(
    "make", [rnncore.Adam, lambda module: rnncore.SGD(module, momentum=0.9)], ids=["Adam", "SGD"]
)
def test_a_copy_goes_on(make, copied):
    module = rnncore.Linear(3, 2, seed=0)
    optimiser = make(module)
    grads = {name: np.ones_like(array) for name, array in module.parameters().items()}
    optimiser.step(grads)
    again, twin = copied((optimiser, module))
    for one in (optimiser, again):
        one.step(grads)
    for name, array in optimiser.state_dict().items():
        assert_same_bits(again.state_dict()[name], array)
    for name, array in module.parameters().items():
        assert_same_bits(twin.parameters()[name], array)
