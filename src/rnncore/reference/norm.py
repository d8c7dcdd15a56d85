# SPDX-License-Identifier: MIT
"""Layer normalisation (Ba, Kiros and Hinton 2016) of the cells that have it.

u(v) = (v - mean(v)) / sqrt(var(v) + EPS) over the last axis, n(v) = gain * u(v).
"""

from __future__ import annotations

import dataclasses

import numpy as np

EPS = 1e-5
"""As in PyTorch and in csrc/simd/norm.h."""


@dataclasses.dataclass
class Norm:
    """n(v) of rows v (N, units), with what its reverse needs."""

    value: np.ndarray
    u: np.ndarray
    gain: np.ndarray
    scale: np.ndarray

    def backward(self, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The gradients of v and of the gain from that of the value."""
        e = self.gain * d
        means = e.mean(axis=-1, keepdims=True), (e * self.u).mean(axis=-1, keepdims=True)
        return (e - means[0] - self.u * means[1]) * self.scale, (d * self.u).sum(axis=0)


def norm(gain: np.ndarray, v: np.ndarray) -> Norm:
    """n(v)."""
    centred = v - v.mean(axis=-1, keepdims=True)
    scale = 1 / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPS)
    return Norm(gain * centred * scale, centred * scale, gain, scale)
