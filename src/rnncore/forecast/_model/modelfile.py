# SPDX-License-Identifier: MIT
"""Files of named arrays with a JSON header, in safetensors; written atomically, checked when read."""

from __future__ import annotations

import json

import numpy as np

from ...errors import ArgumentError, FormatError, ShapeError
from ...formats import safetensors


def prefixed(prefix, state):
    """Return `state` with `prefix` before every name."""
    return {prefix + name: array for name, array in state.items()}


def strip(tensors, prefix):
    """Return the arrays whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def expect(name, array, shape):
    """Raise ShapeError unless `array` has this shape, ArgumentError unless its numbers are finite."""
    if array.shape != shape:
        raise ShapeError(name, str(shape), str(array.shape))
    if not np.isfinite(array).all():
        raise ArgumentError(name, "finite numbers", "others")


def write_file(path, tensors, meta):
    """Write a file that is either the old one or the new one, whenever the process dies."""
    safetensors.write(path, tensors, {"rnncore": json.dumps(meta)})


def read_file(path, wanted):
    """Return (tensors, meta) of a file of the format `wanted`.

    Raises
    ------
    FormatError
        Another file, or a damaged one. OSError where it cannot be read.
    """
    tensors, metadata = safetensors.read(path)
    try:
        meta = json.loads(metadata.get("rnncore", "{}"))
    except (ValueError, RecursionError) as error:
        raise FormatError(str(path), f"a file of format {wanted}", str(error)) from error
    if not isinstance(meta, dict) or meta.get("format") != wanted:
        raise FormatError(str(path), f"a file of format {wanted}", "another safetensors file")
    return tensors, meta
