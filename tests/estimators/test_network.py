# SPDX-License-Identifier: MIT
"""The estimators' network: its gradients, and that nothing depends on padding, batches or threads."""

from types import SimpleNamespace

import numpy as np
import pytest
from compiled import assert_same_bits
from differences import assert_gradient, differences

pytest.importorskip("sklearn")
from rnncore.estimators.losses import logistic_loss, softmax_loss, squared_loss
from rnncore.estimators.network import POOLS, Network, has_next
from rnncore.estimators.sequences import Sequences
from rnncore.spec import CELLS

LENGTHS = np.array([3, 1, 5])
BASE = {"hidden_size": 2, "num_layers": 2, "dropout": 0.0, "dtype": "float64", "bidirectional": False}


def network(pooling, **settings):
    return Network(2, 3, pooling, 0, SimpleNamespace(**BASE | {"cell": "gru"} | settings))


def sequences(F=2, lengths=LENGTHS, dtype="float64"):
    values = np.random.default_rng(0).standard_normal((lengths.sum(), F)).astype(dtype)
    return Sequences(values, lengths)


@pytest.mark.parametrize("pooling", POOLS)
@pytest.mark.parametrize("cell", list(CELLS))
@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_are_the_differences(pooling, cell, bidirectional):
    net = network(pooling, cell=cell, bidirectional=bidirectional)
    x, lengths = sequences().batch(np.arange(3))
    outputs, tapes = net.forward(x, lengths, None)
    slopes = np.random.default_rng(1).standard_normal(outputs.shape)
    grads = net.backward(tapes, slopes)
    for module, given in zip((net.layer, net.head), grads, strict=True):
        for name, values in module.state_dict().items():

            def loss(module=module, name=name, values=values):
                module.update_parameters({name: values})
                return float((net.forward(x, lengths, None)[0] * slopes).sum())

            # The head has a second bias and a matrix for a state that it never has; both stay zero.
            wanted = (
                np.zeros_like(values) if module is net.head and "hh" in name else differences(loss, values)
            )
            module.update_parameters({name: values})
            assert_gradient(given.params[name], wanted)


@pytest.mark.parametrize("loss", [softmax_loss, logistic_loss, squared_loss])
def test_slopes_of_losses_are_the_differences(loss):
    rng = np.random.default_rng(0)
    outputs, weight = rng.standard_normal((4, 3)), rng.random(4)
    targets = np.array([0, 2, 1, 1]) if loss is softmax_loss else rng.integers(0, 2, (4, 3)).astype(float)
    slopes = loss(outputs, targets, weight)[1]
    assert_gradient(slopes, differences(lambda: loss(outputs, targets, weight)[0], outputs))


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_row_alone_is_the_row_in_a_batch(pooling, bidirectional):
    net = network(pooling, bidirectional=bidirectional, dtype="float32", hidden_size=5)
    data = sequences(lengths=np.arange(1, 30), dtype="float32")
    together = net.outputs(data, 1)
    for k in (0, 7, 28):
        assert_same_bits(net.outputs(data.some(np.array([k])), 2), together[k : k + 1])


@pytest.mark.parametrize("pooling", POOLS)
def test_padding_is_never_read(pooling):
    net = network(pooling)
    x, lengths = sequences().batch(np.arange(3))
    spoilt = x.copy()
    spoilt[np.arange(len(x))[:, np.newaxis] >= lengths] = np.nan
    for given, wanted in zip(
        [
            net.run(spoilt, lengths, 1),
            *net.backward(net.forward(spoilt, lengths, 1)[1], np.ones_like(net.run(x, lengths, 1))),
        ],
        [
            net.run(x, lengths, 1),
            *net.backward(net.forward(x, lengths, 1)[1], np.ones_like(net.run(x, lengths, 1))),
        ],
        strict=True,
    ):
        for one, other in zip(arrays(given), arrays(wanted), strict=True):
            assert_same_bits(one, other)


def arrays(found):
    return [found] if isinstance(found, np.ndarray) else list(found.params.values())


def test_steps_with_a_next_one():
    wanted = [
        [True, False, True],
        [True, False, True],
        [False, False, True],
        [False, False, True],
        [False] * 3,
    ]
    assert has_next(5, LENGTHS).tolist() == wanted
