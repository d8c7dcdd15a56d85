# SPDX-License-Identifier: MIT
"""The mask streams of dropout: SplitMix64 as a counter-based generator.

    mix(z):  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
             z = (z ^ (z >> 27)) * 0x94D049BB133111EB
             z ^ (z >> 31)                                                             (modulo 2**64)
    key(l) = mix(call_key + (l + 1) * GOLDEN)                     for the output of layer l = 0 .. L-2
    i      = (t * N + n) * F + f                                  F = D*P or D*H; time-major always
    key(2**32 + k), i = n * F + f                                 recurrent dropout, F = P or H
    key(2**33 + k), i = the element of weight_hh                  weight dropout; k = layer * D + direction
    key(2**34 + k), i = (t * N + n) * F + f                       zoneout of h, F = P or H
    key(2**35 + k), i = (t * N + n) * H + f                       zoneout of c
    keep i   iff   mix(key(l) + (i + 1) * GOLDEN) >> 11  >=  ceil(p * 2**53)

Kept values are multiplied by 1 / (1 - p), computed in double and rounded once to the layer's dtype; dropped
ones by 0, so NaN stays NaN. Where zoneout does not keep i, the unit keeps its value of the step before.
A mask depends on coordinates alone, never on threads, layout or lengths. With keys of rows, row n's masks are those of
a call of this row alone, N = 1, with its key as call_key.  Source: Steele, Lea, Flood 2014.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .types import DTypeLike

RECURRENT, WEIGHT, ZONEOUT, ZONEOUT_C = 2**32, 2**33, 2**34, 2**35
"""Numbers of the mask streams of recurrent and weight dropout and of zoneout, in place of a layer's."""
GOLDEN = 0x9E3779B97F4A7C15
_WORD = 2**64


def mix(z: np.ndarray) -> np.ndarray:
    """SplitMix64's output function on an array of uint64; returns a new array."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def draw_call_key(rng: np.random.Generator) -> int:
    """The key of one training call: a uniform 64-bit int from `rng`, which locks itself."""
    return int(rng.integers(_WORD, dtype=np.uint64))


def draw_call_keys(rngs: Sequence[Any]) -> tuple[np.ndarray, np.ndarray | None]:
    """The keys of one training call of a fleet, uint64 (M,), and those of its rows (M, N) in a training run."""
    keys = np.array([draw_call_key(rng) for rng in rngs], np.uint64)
    return keys, np.stack([rng.row_keys for rng in rngs]) if hasattr(rngs[0], "row_keys") else None


def layer_key(call_key: int, layer: int) -> int:
    """The key of the mask on the output of layer `layer` in the call with `call_key`."""
    z = (call_key + (layer + 1) * GOLDEN) % _WORD
    return int(mix(np.array([z], dtype=np.uint64))[0])


def keep_threshold(p: float) -> int:
    """Smallest 53-bit draw that keeps an element; p = 0 keeps all."""
    return math.ceil(p * 2**53)


def scale(p: float, dtype: DTypeLike) -> np.floating[Any]:
    """What kept values are multiplied by, as a scalar of `dtype`."""
    return np.dtype(dtype).type(1.0 / (1.0 - p))


def keep_mask(call_key: int, layer: int, shape: tuple[int, ...], p: float) -> np.ndarray:
    """Which elements of a layer's output are kept.

    Parameters
    ----------
    call_key : int
        From `draw_call_key`.
    layer : int
        The layer whose output is masked.
    shape : tuple of int
        (T, N, F), time-major.
    p : float
        Probability of dropping, 0 <= p < 1.

    Returns
    -------
    numpy.ndarray of bool, `shape`
    """
    index = np.arange(1, math.prod(shape) + 1, dtype=np.uint64)
    draws = mix(np.uint64(layer_key(call_key, layer)) + index * np.uint64(GOLDEN)) >> np.uint64(11)
    return (draws >= np.uint64(keep_threshold(p))).reshape(shape)
