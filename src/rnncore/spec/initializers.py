# SPDX-License-Identifier: MIT
"""Initial parameters, and what a seed means.

`numpy.random.SeedSequence(seed).spawn(2)` gives two PCG64 streams: [0] for the parameters, drawn in the
order of `Spec.parameter_shapes`, one draw of the whole array per parameter in float64 and then rounded to
the layer's dtype; [1] for the dropout keys, one per training call.  float32 and float64 layers of one seed
therefore hold the same numbers up to rounding, and so do the twin and the compiled layer.

Every function returns a dict of name to array, as `layer.load_state_dict` takes it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ArgumentError, MemoryExhaustedError, shown

if TYPE_CHECKING:
    from .architecture import Spec
    from .types import Seed


def _is_entropy(seed):
    """Whether it is an integer >= 0, or a flat sequence of some: NumPy would follow one that holds itself for ever."""
    many = isinstance(seed, (list, tuple, range)) or (isinstance(seed, np.ndarray) and seed.ndim == 1)
    each = seed if many else (seed,)
    return all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 0 for n in each)


def entropy_of(seed: Seed) -> tuple[int, ...]:
    """The integers of a seed that is one or some; ArgumentError for any other."""
    if not _is_entropy(seed):
        raise ArgumentError("seed", "an integer >= 0 or some", shown(seed))
    return (seed,) if isinstance(seed, (int, np.integer)) else tuple(seed)


def seed_sequence(seed: Seed) -> np.random.SeedSequence:
    """The sequence that a seed means.

    Parameters
    ----------
    seed : None, int >= 0, sequence of ints, or numpy.random.SeedSequence
        None takes fresh entropy from the operating system.

    Raises
    ------
    ArgumentError
        Anything else.
    """
    if isinstance(seed, np.random.SeedSequence):
        return seed
    if seed is not None and not _is_entropy(seed):
        raise ArgumentError("seed", "None or an integer >= 0", shown(seed))
    return np.random.SeedSequence(seed)


def seed_streams(seed: Seed) -> tuple[np.random.Generator, np.random.Generator]:
    """The two generators of a seed: (parameters, dropout keys); `seed` and errors as of `seed_sequence`."""
    sequence = seed_sequence(seed)
    # Spawning from a copy leaves the caller's sequence as it was: one seed object, one meaning.
    own = np.random.SeedSequence(sequence.entropy, spawn_key=sequence.spawn_key, pool_size=sequence.pool_size)
    first, second = (np.random.Generator(np.random.PCG64(child)) for child in own.spawn(2))
    return first, second


def _fill(spec, draw):
    """Parameters from `draw(row, shape)`; the memory is claimed before any time is spent on drawing."""
    try:
        parameters = {name: np.zeros(shape, spec.dtype) for name, shape in spec.parameter_shapes().items()}
        for name, row, shape in spec.each_parameter():
            parameters[name][...] = draw(row, shape) if row.initial is None else row.initial
    except MemoryError as error:
        size = sum(map(math.prod, spec.parameter_shapes().values())) * spec.dtype.itemsize
        raise MemoryExhaustedError("hidden_size", f"{size} bytes for the parameters", "less") from error
    return parameters


def zeros(spec: Spec) -> dict[str, np.ndarray]:
    """All parameters zero but gains, which are one.

    Raises
    ------
    MemoryExhaustedError
        The machine cannot hold them; as of every function here.
    """
    return _fill(spec, lambda row, shape: 0.0)


def uniform(spec: Spec, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """PyTorch's default: every parameter uniform in (-1/sqrt(H), 1/sqrt(H)), but gains one and bias_c zero.

    Parameters
    ----------
    spec : Spec
    rng : numpy.random.Generator
    """
    bound = 1.0 / math.sqrt(spec.hidden_size)
    return _fill(spec, lambda row, shape: rng.uniform(-bound, bound, shape))


def _blocks(spec, row):
    """How many row blocks a matrix has: one for each gate, or one in all."""
    return spec.gates if row.shape[0] == "GH" else 1


def _xavier(rng, shape, blocks):
    bound = math.sqrt(6.0 / (shape[0] // blocks + shape[1]))
    return rng.uniform(-bound, bound, shape)


def _orthogonal(rng, rows, columns):
    """A matrix with orthonormal rows or columns, uniform over all such (Haar)."""
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)  # without the signs QR favours some rotations
    return q if rows >= columns else q.T


def xavier_uniform(spec: Spec, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Weights uniform in +-sqrt(6 / (fan_in + fan_out)), each gate's block by itself; biases and peepholes zero.

    Source: Glorot and Bengio 2010.
    """

    def draw(row, shape):
        if len(shape) == 1:
            return 0.0
        return _xavier(rng, shape, _blocks(spec, row))

    return _fill(spec, draw)


def orthogonal(spec: Spec, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Recurrent weights orthogonal, each gate's block by itself; other weights Xavier; biases and peepholes zero.

    Source: Saxe, McClelland, Ganguli 2014.
    """

    def draw(row, shape):
        if len(shape) == 1:
            return 0.0
        if row.name == "weight_hh":
            return np.concatenate([_orthogonal(rng, spec.hidden_size, shape[1]) for _ in spec.gate_names])
        return _xavier(rng, shape, _blocks(spec, row))

    return _fill(spec, draw)


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
