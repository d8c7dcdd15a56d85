# SPDX-License-Identifier: MIT
"""rnncore: recurrent networks (RNN, LSTM, GRU) that run and train on CPUs."""

from . import reference

__all__ = ["reference"]
