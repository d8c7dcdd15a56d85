# SPDX-License-Identifier: MIT
"""The mask stream: SplitMix64's published numbers, the definition in plain ints, and its statistics."""

import numpy as np
import pytest
import tables

from rnncore.spec import masks

WORD = 2**64


def plain_mix(z):
    """SplitMix64's output function on a Python int."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
    return z ^ (z >> 31)


def test_published_numbers():
    # The first outputs of SplitMix64 from state 1234567, as in Rosetta Code and other implementations' tests.
    states = np.array([(1234567 + k * masks.GOLDEN) % WORD for k in range(1, 6)], np.uint64)
    assert masks.mix(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_mask_follows_its_definition():
    T, N, F, p, layer, call_key = 3, 2, 4, 0.37, 1, 0xFEDCBA9876543210
    mask = masks.keep_mask(call_key, layer, (T, N, F), p)
    key = plain_mix((call_key + (layer + 1) * masks.GOLDEN) % WORD)
    for t, n, f in np.ndindex(T, N, F):
        i = (t * N + n) * F + f
        draw = plain_mix((key + (i + 1) * masks.GOLDEN) % WORD) >> 11
        assert mask[t, n, f] == (draw / 2**53 >= p)


def test_layers_and_calls_differ():
    found = [masks.keep_mask(key, layer, (8, 8, 8), 0.5) for key in (1, 2) for layer in (0, 1)]
    assert all(not np.array_equal(a, b) for k, a in enumerate(found) for b in found[:k])


def test_steps_are_a_prefix():
    whole = masks.keep_mask(7, 0, (9, 2, 3), 0.5)
    np.testing.assert_array_equal(masks.keep_mask(7, 0, (4, 2, 3), 0.5), whole[:4])


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_fraction_dropped(p):
    kept = masks.keep_mask(11, 0, (tables.MASK_DRAWS, 1, 1), p).mean()
    assert abs(kept - (1 - p)) <= (tables.MASK_FRACTION_TOLERANCE if p else 0)


@pytest.mark.parametrize("dtype", tables.DTYPES.values(), ids=tables.DTYPES)
def test_scale_is_rounded_once(dtype):
    assert masks.scale(0.3, dtype) == dtype.type(1 / (1 - 0.3))
    assert np.isfinite(masks.scale(1 - 2**-53, dtype))
    assert masks.scale(0.3, dtype).dtype == dtype
