# SPDX-License-Identifier: MIT
"""What layers and the modules around them share."""

import copy
import pickle

import numpy as np
import pytest

import rnncore
from rnncore import errors, nn

MODULES = {
    "layer": lambda: rnncore.LSTM(3, 4, proj_size=2, seed=0),
    "linear": lambda: nn.Linear(3, 4, seed=0),
    "embedding": lambda: nn.Embedding(3, 4, seed=0),
    "norm": lambda: nn.LayerNorm(3),
    "softmax": lambda: nn.Softmax(),
    "activation": lambda: nn.Activation("elu", 0.5),
    "attention": lambda: nn.Attention(),
    "dropout": lambda: nn.Dropout(0.5),
    "recurrent": lambda: nn.Recurrent(rnncore.GRU(3, 4, seed=0)),
    "sequential": lambda: nn.Sequential(rnncore.GRU(3, 4, seed=0), nn.Sequential(nn.Linear(4, 2, seed=0))),
}
MODULE = pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)


@MODULE
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_alike_and_apart(make, again):
    module = make()
    other = again(module)
    assert repr(other) == repr(module) and list(other.parameters()) == list(module.parameters())
    other.update_parameters({name: array + 1 for name, array in other.parameters().items()})
    for name, array in make().parameters().items():
        np.testing.assert_array_equal(module.parameters()[name], array)
        np.testing.assert_array_equal(other.parameters()[name], array + 1)
        with pytest.raises(ValueError, match="WRITEABLE"):
            other.parameters()[name].flags.writeable = True


@MODULE
def test_changes_count_a_version(make):
    module = make()
    before = module.version
    with module.writing() as values:
        assert list(values) == list(module.parameters())
    module.load_state_dict(module.state_dict())
    owners = len(module.leaves()) if isinstance(module, nn.Container) else 1  # each of them counts
    assert module.version == before + 2 * owners


@MODULE
def test_refused_values_change_nothing(make):
    module = make()
    kept = module.state_dict()
    bad = {name: np.zeros((*array.shape, 1), array.dtype) for name, array in kept.items()}
    for values in (bad, kept | {"unknown": np.zeros(1)}, [1.0]):
        if values:
            with pytest.raises(errors.RnncoreError):
                module.update_parameters(values)
    for name, array in kept.items():
        np.testing.assert_array_equal(module.parameters()[name], array)


@MODULE
def test_calling_is_inference_whatever_the_mode(make):
    module = make()
    assert module.eval() is module and module.train(False) is module
    with pytest.raises(errors.UnsupportedError, match="forward") as caught:
        module.train()
    assert caught.value.field == "mode"
