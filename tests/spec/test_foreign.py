# SPDX-License-Identifier: MIT
"""What users of PyTorch reach for: attributes, and a sentence that says what to do for what is no array."""

import numpy as np
import pytest

import rnncore
from rnncore import errors, reference

OPTIONS = {"bias": False, "batch_first": True, "dropout": 0.5, "bidirectional": True, "dtype": "float64"}
OWN = {
    "RNN": {"nonlinearity": "relu"},
    "LSTM": {"proj_size": 2, "peepholes": True, "coupled": True, "zoneout_c": 0.25},
    "GRU": {"reset_after": False, "zoneout": 0.25, "clip": 2.0},
}


@pytest.mark.parametrize("implementation", [rnncore, reference], ids=["layer", "twin"])
@pytest.mark.parametrize("name", OWN)
def test_attributes_are_the_arguments(implementation, name):
    given = {"input_size": 3, "hidden_size": 5, "num_layers": 2} | OPTIONS | OWN[name]
    layer = getattr(implementation, name)(**given)
    for argument, value in given.items():
        assert getattr(layer, argument) == value
        with pytest.raises(AttributeError):
            setattr(layer, argument, value)


X = np.zeros((5, 2, 3), np.float32)
SENTENCES = {
    "float64": (X.astype(float), errors.DTypeError, r"got float64 \(use astype\('float32'\)\)"),
    "list": (X.tolist(), errors.DTypeError, r"got a list of float64 \(np.array\(..., 'float32'\)\)"),
    "ragged-list": ([X[:2, 0], X[:, 0]], errors.ShapeError, "pad the rows and give lengths="),
    "step": (X[0, 0], errors.ShapeError, r"one step\? x\[np.newaxis\], or step of a stream"),
    "batch-last": (np.zeros((5, 3, 2), np.float32), errors.ShapeError, r"transposed\?"),
    "rank": (X[None], errors.ShapeError, r"got \(1, 5, 2, 3\)"),
    "masked": (np.ma.masked_array(X), errors.UnsupportedError, "use lengths"),
}


@pytest.mark.parametrize("x, error, text", SENTENCES.values(), ids=SENTENCES)
def test_a_wrong_input_gets_a_sentence_that_says_what_to_do(implementation, x, error, text):
    layer = implementation.GRU(3, 4)
    for call in (layer, layer.forward):
        with pytest.raises(error, match=text) as caught:
            call(x)
        assert caught.value.field == "x"


def test_one_feature_needs_its_axis():
    with pytest.raises(errors.ShapeError, match=r"one feature\? x\[..., np.newaxis\]"):
        rnncore.GRU(1, 4)(np.zeros(7, np.float32))


def torch_inputs(torch):
    x = torch.zeros(5, 2, 3)
    return {
        "packed": (torch.nn.utils.rnn.pack_padded_sequence(x, [5, 2]), "pad_packed_sequence gives"),
        "requires grad": (x.clone().requires_grad_(), r"rnncore\.torch has layers .*\.detach\(\)\.numpy\(\)"),
        "bfloat16": (x.bfloat16(), "what NumPy can read, got a Tensor"),
    }


def test_tensors_that_are_more_than_arrays_are_refused():
    torch = pytest.importorskip("torch")
    layer = rnncore.LSTM(3, 4)
    for x, text in torch_inputs(torch).values():
        with pytest.raises(errors.UnsupportedError, match=text) as caught:
            layer(x)
        assert caught.value.field == "x"
    with pytest.raises(errors.UnsupportedError, match="requires grad"):
        layer.load_state_dict(dict(torch.nn.LSTM(3, 4).named_parameters()))


def test_plain_tensors_are_arrays():
    torch = pytest.importorskip("torch")
    source = torch.nn.LSTM(3, 4)
    layer = rnncore.LSTM(3, 4)
    layer.load_state_dict(source.state_dict())
    np.testing.assert_array_equal(layer(torch.from_numpy(X))[0], layer(X)[0])
    np.testing.assert_array_equal(layer.parameters()["weight_hh_l0"], source.weight_hh_l0.detach().numpy())
