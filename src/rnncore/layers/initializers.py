# SPDX-License-Identifier: MIT
"""Initial parameters other than a layer's own: each function gives a dict that `layer.load_state_dict` takes.

The same bits on every machine. `spec/initializers.py` says what a seed means and holds what layers begin with.
"""

from __future__ import annotations

import math

import numpy as np

from ..engine import draws
from ..errors import ArgumentError
from ..spec import Spec
from ..spec.initializers import fill, uniform, uniform_draws, zeros

__all__ = ["orthogonal", "set_forget_bias", "uniform", "xavier_uniform", "zeros"]


def _blocks(spec, row):
    """How many row blocks a matrix has: one for each gate, or one in all."""
    return spec.gates if row.shape[0] == "GH" else 1


def _xavier(rng, shape, blocks):
    return uniform_draws(rng, math.sqrt(6.0 / (shape[0] // blocks + shape[1])), shape)


def xavier_uniform(spec: Spec, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Weights uniform in +-sqrt(6 / (fan_in + fan_out)), each gate's block by itself; biases and peepholes zero.

    Source: Glorot and Bengio 2010.
    """

    def draw(row, shape):
        if len(shape) == 1:
            return 0.0
        return _xavier(rng, shape, _blocks(spec, row))

    return fill(spec, draw)


def orthogonal(spec: Spec, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Recurrent weights orthogonal, each gate's block by itself; other weights Xavier; biases and peepholes zero.

    Source: Saxe, McClelland, Ganguli 2014.
    """

    def draw(row, shape):
        if len(shape) == 1:
            return 0.0
        if row.name == "weight_hh":
            blocks = [draws.orthonormal(rng, spec.hidden_size, shape[1]) for _ in spec.gate_names]
            return np.concatenate(blocks)
        return _xavier(rng, shape, _blocks(spec, row))

    return fill(spec, draw)


def set_forget_bias(
    spec: Spec, parameters: dict[str, np.ndarray], value: float = 1.0
) -> dict[str, np.ndarray]:
    """Set the forget gate's bias of an LSTM or a minLSTM in place: bias_ih gets `value`, bias_hh zero.

    A positive bias lets the state and its gradient pass at the start of training (Jozefowicz 2015).

    Raises
    ------
    ArgumentError
        No such cell, or one without biases or with coupled gates.
    """
    if "f" not in spec.gate_names or not spec.bias:
        got = f"{spec.cell} with bias={spec.bias}, coupled={spec.coupled}"
        raise ArgumentError("spec", "an LSTM or minLSTM with biases and a gate f", got)
    k = spec.gate_names.index("f")
    block = slice(k * spec.hidden_size, (k + 1) * spec.hidden_size)
    for suffix in spec.suffixes():
        parameters["bias_ih" + suffix][block] = value
        if "bias_hh" + suffix in parameters:
            parameters["bias_hh" + suffix][block] = 0.0
    return parameters
