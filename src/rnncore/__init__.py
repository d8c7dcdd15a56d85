# SPDX-License-Identifier: MIT
"""Recurrent neural networks (basic RNN, LSTM, GRU) on CPUs, to the last bit the same everywhere.

>>> import numpy as np, rnncore
>>> layer = rnncore.LSTM(8, 32, seed=0)
>>> y, (h, c) = layer(np.zeros((100, 1, 8), np.float32))
>>> y.shape
(100, 1, 32)
"""

__version__ = "0.1.0"

from . import reference
from .config import get_num_threads, isas, set_num_threads, show_config, use_backend, use_isa
from .errors import RnncoreError
from .estimators import Forecaster
from .layers import GRU, LSTM, RNN
from .stream import Stream
from .training import SGD, Adam, Linear, cross_entropy, mse_loss

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "SGD",
    "Adam",
    "Forecaster",
    "Linear",
    "RnncoreError",
    "Stream",
    "cross_entropy",
    "get_num_threads",
    "isas",
    "mse_loss",
    "reference",
    "set_num_threads",
    "show_config",
    "use_backend",
    "use_isa",
]
