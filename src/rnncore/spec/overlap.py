# SPDX-License-Identifier: MIT
"""Whether arrays share memory, decided for any strides."""

from __future__ import annotations

import numpy as np

# Largest number of elementary steps spent on deciding whether two strided arrays truly share an element;
# ordinary slices need a handful.  Above it they count as overlapping.
OVERLAP_WORK = 10_000


def overlaps(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays share an element (or may: see OVERLAP_WORK)."""
    if not np.may_share_memory(a, b):  # compares bounds only
        return False
    try:
        return np.shares_memory(a, b, max_work=OVERLAP_WORK)
    except np.exceptions.TooHardError:
        return True


def folds(array: np.ndarray) -> bool:
    """Whether elements of one array may share memory: strides that do not nest."""
    reach = array.itemsize
    for stride, size in sorted((abs(s), n) for s, n in zip(array.strides, array.shape, strict=True) if n > 1):
        if stride < reach:
            return True
        reach += stride * (size - 1)
    return False
