# SPDX-License-Identifier: MIT
"""The lecture's worked example, to its printed digits, on twins and compiled layers."""

import numpy as np
import pytest
import tables

from rnncore.reference import cells, lstm
from rnncore.reference.parts import Saved
from rnncore.spec import Spec

X = np.array([[0.1, 0.4], [0.7, 0.9]])


@pytest.mark.parametrize("dtype", tables.DTYPES.values(), ids=tables.DTYPES)
def test_basic_rnn(implementation, dtype):
    # W = [0.7 0.3 0.4], b = 0.4:
    #   y1 = tanh(0.07 + 0.12 + 0       + 0.4) = tanh(0.59)   = 0.5299
    #   y2 = tanh(0.49 + 0.27 + 0.21196 + 0.4) = tanh(1.3720) = 0.8791
    layer = implementation.RNN(2, 1, dtype=dtype)
    layer.load_state_dict(
        {
            "weight_ih_l0": np.array([[0.7, 0.3]], dtype),
            "weight_hh_l0": np.array([[0.4]], dtype),
            "bias_ih_l0": np.array([0.4], dtype),
            "bias_hh_l0": np.array([0.0], dtype),
        }
    )
    y, h = layer(X.astype(dtype))
    np.testing.assert_allclose(y, [[0.5299], [0.8791]], rtol=0, atol=tables.FOUR_DIGITS)
    np.testing.assert_array_equal(h, y[-1:])


# Rows i f g o: the lecture's input, forget and input activation gates.  Its output gate is not given: 0.
LSTM_W = np.array([[0.2, 0.3, 0.4], [0.7, 0.3, 0.4], [0.4, 0.2, 0.1], [0.0, 0.0, 0.0]])
LSTM_B = np.array([0.2, 0.4, 0.5, 0.0])

# By hand, from s0 = y0 = 0:
#   f1 = sigmoid(0.07 + 0.12 + 0 + 0.4) = sigmoid(0.59) = 1 / (1 + 0.554327) = 0.643365
#   i1 = sigmoid(0.02 + 0.12 + 0 + 0.2) = sigmoid(0.34) = 1 / (1 + 0.711770) = 0.584191
#   a1 = tanh(0.04 + 0.08 + 0 + 0.5)    = tanh(0.62)    = (3.455613 - 1) / (3.455613 + 1) = 0.551128
#   s1 = i1 * a1 + f1 * s0              = 0.584191 * 0.551128 = 0.321964
F1, I1, A1, S1 = 0.6434, 0.5842, 0.5511, 0.3220


def test_lstm_gates():
    w = Saved(
        weight_ih=LSTM_W[:, :2],
        weight_hh=LSTM_W[:, 2:],
        bias_ih=LSTM_B,
        bias_hh=np.zeros(4),
        weight_hr=None,
        weight_peephole=None,
    )
    start = (np.zeros((1, 1)), np.zeros((1, 1)))
    functions = cells.functions_of(Spec("lstm", 2, 1), direction=0)
    (_, c), saved = lstm.lstm_forward(w, X[:1], start, functions)
    got = [saved.f, saved.i, saved.g, c]
    np.testing.assert_allclose(np.ravel(got), [F1, I1, A1, S1], rtol=0, atol=tables.FOUR_DIGITS)


@pytest.mark.parametrize("dtype", tables.DTYPES.values(), ids=tables.DTYPES)
def test_lstm_state(implementation, dtype):
    layer = implementation.LSTM(2, 1, dtype=dtype)
    layer.load_state_dict(
        {
            "weight_ih_l0": LSTM_W[:, :2].astype(dtype),
            "weight_hh_l0": LSTM_W[:, 2:].astype(dtype),
            "bias_ih_l0": LSTM_B.astype(dtype),
            "bias_hh_l0": np.zeros(4, dtype),
        }
    )
    y, (h, c) = layer(X[:1].astype(dtype))
    np.testing.assert_allclose(c, [[S1]], rtol=0, atol=tables.FOUR_DIGITS)
    # y1 = o1 * tanh(s1) = 0.5 * tanh(0.321964) = 0.5 * 0.311281 = 0.155641
    np.testing.assert_allclose(y, [[0.1556]], rtol=0, atol=tables.FOUR_DIGITS)
    np.testing.assert_array_equal(h, y)
