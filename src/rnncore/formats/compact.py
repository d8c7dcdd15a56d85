# SPDX-License-Identifier: MIT
"""Compact files: of the matrices of a layer with a store they hold what is packed, codes and scales or halves.

A matrix of integers is an int8 array of its own name and a float32 array of the scales of its rows, ``NAME.scale``; one
of bfloat16 or float16 is of that dtype; all else is as in other files. What is read is what the store holds of the
parameters, so results have the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import FormatError
from ..nn.container import leaves_of
from ..spec.stores import MOST_CODE, OPERANDS, is_coded, rounded, weight_codes
from .files import Path

SCALE = ".scale"


def stored_names(thing: Any) -> dict[str, str]:
    """The store of each parameter that a compact file holds as packed, by name."""
    found = {}
    for prefix, leaf in leaves_of(thing).items():
        spec = getattr(leaf, "spec", None)
        if spec is None or spec.store is None:
            continue
        own = leaf.parameters()
        for suffix in spec.suffixes():
            for row in spec.kinds:
                value = own[row.name + suffix]
                coded = spec.store not in OPERANDS or is_coded(spec.store, row.name, value.shape[-1])
                if value.ndim == 2 and coded:
                    found[prefix + row.name + suffix] = spec.store
    return found


def packed(thing: Any) -> tuple[dict[str, np.ndarray], set[str]]:
    """The arrays of a compact file, and which of them are the upper halves of floats, bfloat16."""
    stores, found, halves = stored_names(thing), {}, set()
    for name, value in thing.parameters().items():
        store = stores.get(name)
        if store is None:
            found[name] = value
        elif store in OPERANDS:
            codes, scale = weight_codes(value)
            found[name], found[name + SCALE] = codes.astype(np.int8), scale[:, 0]
        elif store == "bfloat16":
            found[name] = (rounded(store, name, value).view(np.uint32) >> 16).astype(np.uint16)
            halves.add(name)
        else:
            found[name] = value.astype(np.float16)
    return found, halves


def _of_codes(path: Path, name: str, codes: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
    """The matrix of codes and scales that are its own."""
    if scale is None or scale.dtype != np.float32 or codes.ndim != 2 or scale.shape != codes.shape[:1]:
        raise FormatError(str(path), f"a scale for each row of {name}", "none" if scale is None else "others")
    value = codes * scale[:, np.newaxis]
    if value.size and abs(codes.astype(np.int16)).max() <= MOST_CODE:
        again, own = weight_codes(value)
        if np.array_equal(again, codes) and np.array_equal(own[:, 0], scale, equal_nan=True):
            return value
    elif not value.size:
        return value
    raise FormatError(str(path), f"codes and scales of {name} that belong together", "others", "damaged?")


def widened(path: Path, arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], set[str]]:
    """The parameters that the arrays of a compact file hold, float32, and which of them were codes.

    Raises
    ------
    FormatError
        Codes and scales do not belong together.
    """
    codes = {name for name, array in arrays.items() if array.dtype == np.int8}
    found = {}
    for name, array in arrays.items():
        if name in codes:
            found[name] = _of_codes(path, name, array, arrays.get(name + SCALE))
        elif name.removesuffix(SCALE) not in codes:
            found[name] = array.astype(np.float32) if array.dtype == np.float16 else array
    return found, codes
