# SPDX-License-Identifier: MIT
"""Random numbers and matrices whose bits depend on the generator's uniform draws alone, on every machine.

NumPy's normal draws take a logarithm of the C library now and then, LAPACK's QR goes by the machine. Here are the
polar method (Marsaglia and Bray 1964) and the Gram-Schmidt process, on the kernels of `sums`.
"""

from __future__ import annotations

import math

import numpy as np

from . import sums

ACCEPTED = math.pi / 4
"""Share of the points of a square that lie in its circle."""


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal numbers, float64, of two uniform draws each and some that are thrown away.

    Examples
    --------
    >>> import numpy as np
    >>> from rnncore.engine import draws
    >>> draws.normal(np.random.default_rng(0), (2, 3)).shape
    (2, 3)
    """
    n = math.prod(shape)
    found, left = [], n
    while left > 0:
        # A little more than is missing on average: one round is nearly always enough for many numbers.
        x, y = 2.0 * rng.random((2, int(left / 2 / ACCEPTED * 1.02) + 8)) - 1.0
        s = x * x + y * y
        inside = (s < 1.0) & (s > 0.0)
        x, y, s = x[inside], y[inside], s[inside]
        factor = np.sqrt(-2.0 * sums.apply("log", s) / s)
        found.append(np.stack([x * factor, y * factor], axis=1).ravel())
        left -= found[-1].size
    return np.concatenate([*found, np.empty(0)])[:n].reshape(shape)


def orthonormal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A float64 matrix with orthonormal rows, or columns if they are fewer, uniform over all such (Haar).

    4 * rows * columns * min(rows, columns) operations in products of matrices.

    Examples
    --------
    >>> import numpy as np
    >>> from rnncore.engine import draws
    >>> q = draws.orthonormal(np.random.default_rng(0), 4, 2)
    >>> bool(np.abs(q.T @ q - np.eye(2)).max() < 1e-14)
    True
    """
    found = normal(rng, (min(rows, columns), max(rows, columns)))
    for _ in range(2):  # of nearly dependent rows the first pass leaves what rounding has made of them
        _gram_schmidt(found)
    return found if rows <= columns else found.T


def _gram_schmidt(rows: np.ndarray) -> None:
    """Make rows orthonormal in place: the first half, the other without what it has of the first, the rest."""
    if len(rows) == 1:
        rows /= math.sqrt(sums.total(rows, rows))
        return
    first, rest = np.split(rows, [len(rows) // 2])
    _gram_schmidt(first)
    rest -= sums.multiply("nn", sums.multiply("nt", rest, first), first)
    _gram_schmidt(rest)
