# SPDX-License-Identifier: MIT
"""Pairs of a torch.nn layer and rnncore's with the same weights, and their comparison."""

import numpy as np
import torch
from tables import TOLERANCES, relative_error

import rnncore.torch

MODES = {
    "rnn": ("RNN", {}),
    "relu": ("RNN", {"nonlinearity": "relu"}),
    "lstm": ("LSTM", {}),
    "projected": ("LSTM", {"proj_size": 3}),
    "gru": ("GRU", {}),
}


def twins(mode, dtype=torch.float32, **options):
    """torch.nn's layer (5 inputs, 7 units) and rnncore's with its state dict."""
    torch.manual_seed(0)
    name, fixed = MODES[mode]
    theirs = getattr(torch.nn, name)(5, 7, dtype=dtype, **fixed, **options)
    ours = getattr(rnncore.torch, name)(5, 7, dtype=dtype, **fixed, **options)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def flat(result):
    """All tensors of nested tuples and packed sequences."""
    if isinstance(result, torch.nn.utils.rnn.PackedSequence):
        return [result.data]
    if isinstance(result, torch.Tensor):
        return [result]
    return [tensor for part in result for tensor in flat(part)]


def loss(result):
    """Something whose gradient differs at every element."""
    return sum((tensor * tensor + tensor).sum() for tensor in flat(result))


def assert_close(got, expected, kind="forward"):
    got, expected = flat(got), flat(expected)
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        one, other = one.detach().numpy(), other.detach().numpy()
        assert relative_error(one, other) <= TOLERANCES[kind, np.dtype(other.dtype)]


def assert_equal(got, expected):
    """The same to the last bit."""
    got, expected = flat(got), flat(expected)
    assert len(got) == len(expected)
    assert all(torch.equal(one, other) for one, other in zip(got, expected, strict=True))


def gradients(layer, result, *inputs):
    return torch.autograd.grad(loss(result), [*inputs, *layer.parameters()])


def initial(layer, N, dtype):
    """A state of N rows; N = None: unbatched."""
    rows = () if N is None else (N,)
    D = layer.num_layers * (2 if layer.bidirectional else 1)
    h = torch.randn(D, *rows, layer.proj_size or layer.hidden_size, dtype=dtype, requires_grad=True)
    if layer.mode != "LSTM":
        return h
    return h, torch.randn(D, *rows, layer.hidden_size, dtype=dtype, requires_grad=True)
