# SPDX-License-Identifier: MIT
"""The cells' steps: the specification of rnncore.

Each family has a file (rnn.py, lstm.py, gru.py, scan.py, and lstm_norm.py, gru_norm.py with layer normalisation),
each cell in it one block of equations and two short functions side by side.  F lines are the forward pass of one step,
B lines reverse the F line of the same number.  The blocks stand, letter for letter, in csrc/cells/*.c and
docs/explanation/equations.md.
Products with W are matrix products, * is element by element; X[k] is the block of gate k in a stacked matrix; += adds
to a gradient that all steps share, or to the term before.

s_k is the activation of gate k, usually sigmoid for gates, tanh for the input activation and c; s_k' is its slope.
With a clip both see min(max(a, -clip), clip), and beyond it the slope is 0.  Without peepholes p = 0.

In the code rows are batch rows, so W x reads x @ W.T and a sum over the batch is a product or .sum(axis=0).
`w` holds the weights of one layer and direction, `dw` their gradients, `s` the functions of the cell's places, each
of which gives a value and a slope, `saved` what the forward step saved.  All arrays are float64.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..spec import Spec
from . import gru, gru_norm, lstm, lstm_norm, rnn, scan
from .activations import value_and_slope
from .parts import Functions

Step = Callable[..., Any]

STEPS: dict[str, tuple[Step, Step]] = {
    "rnn_tanh": (rnn.rnn_forward, rnn.rnn_backward),
    "rnn_relu": (rnn.rnn_forward, rnn.rnn_backward),
    "lstm": (lstm.lstm_forward, lstm.lstm_backward),
    "lstm_norm": (lstm_norm.lstm_norm_forward, lstm_norm.lstm_norm_backward),
    "gru": (gru.gru_forward, gru.gru_backward),
    "gru_reset_before": (gru.gru_before_forward, gru.gru_before_backward),
    "gru_norm": (gru_norm.gru_norm_forward, gru_norm.gru_norm_backward),
    "min_gru": (scan.min_gru_forward, scan.min_gru_backward),
    "min_lstm": (scan.min_lstm_forward, scan.min_lstm_backward),
}


def functions_of(spec: Spec, direction: int) -> Functions:
    """The functions of a direction's places: place -> function of a pre-activation that gives value and slope.

    The clip bounds the gates' pre-activations only, not c on its way to h.
    """
    return {
        place: functools.partial(value_and_slope, entry, clip=None if place == "c" else spec.clip)
        for place, entry in spec.functions(direction).items()
    }


def steps_of(spec: Spec, direction: int) -> tuple[Step, Step]:
    """The (forward, backward) step functions of a layer's direction."""
    forward, backward = STEPS[spec.form]
    return functools.partial(forward, s=functions_of(spec, direction)), backward
