# SPDX-License-Identifier: MIT
"""Keras files of weights alone: which layers they may be, from the shapes of their arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import FormatError
from .keras_model import Entry

KINDS = {1: "SimpleRNN", 3: "GRU", 4: "LSTM"}


def _guess(arrays: Sequence[np.ndarray]) -> tuple[str, dict[str, Any]] | None:
    """Class and config of a recurrent layer from how many gates its kernels stack, or None."""
    if len(arrays) not in (2, 3) or any(array.ndim != 2 for array in arrays[:2]):
        return None
    kernel, recurrent = arrays[:2]
    units = len(recurrent)
    gates, rest = divmod(kernel.shape[1], units) if units else (0, 1)
    if rest or gates not in KINDS or recurrent.shape[1] != kernel.shape[1]:
        return None
    config = {"use_bias": len(arrays) == 3, "return_sequences": True}
    if gates == 3 and len(arrays) == 2:
        config["reset_after"] = True
    return KINDS[gates], config


def _entry(name: str, arrays: list[np.ndarray], both_ways: bool) -> Entry:
    half = len(arrays) // 2
    guess = None if both_ways else _guess(arrays)
    if both_ways and len(arrays) in (4, 6):
        inner = _guess(arrays[:half])
        if inner is not None and _guess(arrays[half:]) == inner:
            layer = {"class_name": inner[0], "config": inner[1]}
            backward = {"class_name": inner[0], "config": inner[1] | {"go_backwards": True}}
            guess = "Bidirectional", {"layer": layer, "backward_layer": backward}
    kind, config = guess or ("unknown", {})
    return name, kind, config | {"assumed": True}, arrays


def read_bare(file: Any, containers: Sequence[str]) -> list[Entry]:
    """Entries of a weights-only file, with classes guessed from shapes and Keras' defaults for the rest.

    Raises
    ------
    FormatError
        It is another HDF5 file.
    """
    found = []
    if file.legacy is not None:
        names = file.groups[file.legacy]["layer_names"]
        found = [(name, file.legacy_weights(name), file.legacy_both_ways(name)) for name in names]
    else:
        for container in containers:
            groups = {name: f"{container}/{name}" for name in file.below(container)}
            found = found or [
                (name, file.weights(group), "backward_layer" in file.below(group))
                for name, group in groups.items()
            ]
    entries = [_entry(*row) for row in found if row[1]]
    if not entries:
        raise FormatError(
            str(file.path), "a Keras model or weights file", "another HDF5 file, or none with arrays"
        )
    return entries
