# SPDX-License-Identifier: MIT
"""The recurrent layers, their streams and initial parameters."""

from ..engine import Stream
from . import initializers
from .fleet import Fleet
from .fleet_stream import FleetStream
from .layers import GRU, LSTM, RNN, MinGRU, MinLSTM
from .module import Module

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Fleet",
    "FleetStream",
    "MinGRU",
    "MinLSTM",
    "Module",
    "Stream",
    "initializers",
]
