# SPDX-License-Identifier: MIT
"""RNN, LSTM and GRU for PyTorch: the calls, the state dicts and the gradients of torch.nn's, on rnncore's core.

A model gets them in one line, `rnncore.torch.accelerate(model)`, or by writing `rnncore.torch.LSTM` for
`torch.nn.LSTM`. MinGRU and MinLSTM, which PyTorch has not, are there, too.

>>> import torch
>>> import rnncore.torch
>>> model = torch.nn.Sequential(torch.nn.LSTM(4, 8))
>>> print(rnncore.torch.accelerate(model))
taken: 0 (LSTM)
>>> y, (h, c) = model(torch.zeros(5, 2, 4))
>>> y.shape
torch.Size([5, 2, 8])
"""

from .accelerate import Report, accelerate, restore
from .cells import GRUCell, LSTMCell, RNNCell
from .layers import GRU, LSTM, RNN, MinGRU, MinLSTM

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "GRUCell",
    "LSTMCell",
    "MinGRU",
    "MinLSTM",
    "RNNCell",
    "Report",
    "accelerate",
    "restore",
]
