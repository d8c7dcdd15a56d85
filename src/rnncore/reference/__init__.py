# SPDX-License-Identifier: MIT
"""The NumPy twins of the layers, in float64: the specification of rnncore. See `layers` and `cells`."""

from .layers import GRU, LSTM, RNN, MinGRU, MinLSTM

__all__ = ["GRU", "LSTM", "RNN", "MinGRU", "MinLSTM"]
