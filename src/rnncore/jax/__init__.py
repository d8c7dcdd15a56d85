# SPDX-License-Identifier: MIT
"""Recurrent cells for JAX: functions of parameters and arrays on rnncore's core, for jit, grad and vmap.

Parameters are a dict with PyTorch's names and shapes; bits are those of `rnncore.LSTM` and its kind.

>>> import jax, rnncore.jax
>>> params = rnncore.jax.init(jax.random.key(0), "lstm", 3, 4)
>>> y, (h, c) = jax.jit(rnncore.jax.lstm)(params, jax.numpy.ones((5, 2, 3)))
>>> y.shape, h.shape
((5, 2, 4), (1, 2, 4))
"""

from .functions import gru, lstm, min_gru, min_lstm, rnn
from .parameters import init

__all__ = ["gru", "init", "lstm", "min_gru", "min_lstm", "rnn"]
