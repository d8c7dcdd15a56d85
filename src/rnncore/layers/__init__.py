# SPDX-License-Identifier: MIT
"""The recurrent layers, their streams and initial parameters."""

from .layers import GRU, LSTM, RNN
from .stream import Stream

__all__ = ["GRU", "LSTM", "RNN", "Stream"]
