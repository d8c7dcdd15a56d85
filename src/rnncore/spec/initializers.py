# SPDX-License-Identifier: MIT
"""Initial parameters, and what a seed means.

`numpy.random.SeedSequence(seed).spawn(2)` gives two PCG64 streams: [0] for the parameters, drawn in the
order of `Spec.parameter_shapes`, one draw of the whole array per parameter in float64 and then rounded to
the layer's dtype; [1] for the dropout keys, one per training call.  float32 and float64 layers of one seed
therefore hold the same numbers up to rounding, and so do the twin and the compiled layer. Other initial parameters are
those of `layers/initializers.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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


def seeds_of(seed: Seed, models: int) -> list[np.random.SeedSequence]:
    """The seeds of a fleet's models: for one that is an integer or some, of model i that and i."""
    own = seed_sequence(seed)
    if own.spawn_key or seed is None or isinstance(seed, np.random.SeedSequence):
        return [np.random.SeedSequence(own.entropy, spawn_key=(*own.spawn_key, i)) for i in range(models)]
    return [np.random.SeedSequence((*entropy_of(seed), i)) for i in range(models)]


def uniform_draws(rng: np.random.Generator, bound: float, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers uniform in (-bound, bound), float64.

    Two roundings on every machine, where a compiler might make one of `rng.uniform`.
    """
    return -bound + 2.0 * bound * rng.random(shape)


def fill(spec: Spec, draw: Callable[..., Any]) -> dict[str, np.ndarray]:
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
    return fill(spec, lambda row, shape: 0.0)


def uniform(spec: Spec, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """PyTorch's default: every parameter uniform in (-1/sqrt(H), 1/sqrt(H)), but gains one and bias_c zero.

    Parameters
    ----------
    spec : Spec
    rng : numpy.random.Generator
    """
    bound = 1.0 / math.sqrt(spec.hidden_size)
    return fill(spec, lambda row, shape: uniform_draws(rng, bound, shape))
