# SPDX-License-Identifier: MIT
"""Reads an untrusted HDF5 file in a process of its own: ``python -m rnncore.formats.hdf5_reader IN OUT SIZE``.

OUT becomes a safetensors file with the numeric arrays by their paths and the attributes that Keras needs, as
JSON in the array "@attributes". Only what the file itself holds is read: soft and external links are not
followed. Exit code 1 and one line on standard error where the file is at fault.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from . import safetensors

ATTRIBUTES = "@attributes"
NAMES = ("layer_names", "weight_names")

# What a file holds may be this many times larger than the file, for compression, and so much more, for small files;
# what claims more is a bomb.
MAX_EXPANSION, SPARE = 2, 16 * 2**20


def _text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def collect(file: Any, size: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays by path, and the attributes, of an open h5py.File, which came as `size` bytes.

    Raises
    ------
    ValueError
        An array is stored elsewhere, or all together are too large for the file.
    """
    arrays, groups = {}, {}
    total = 0

    def visit(name, item):
        nonlocal total
        if name.startswith("optimizer"):  # training state, not weights
            return
        if not hasattr(item, "is_virtual"):
            groups[name] = {key: list(map(_text, item.attrs[key])) for key in NAMES if key in item.attrs}
        elif item.dtype.kind in "fiub":
            if item.is_virtual or item.external:
                raise ValueError(f"{name} is stored in another file")
            total += item.nbytes
            if total > MAX_EXPANSION * size + SPARE:
                raise ValueError(f"{name} claims {item.nbytes} bytes in a file of {size}")
            arrays[name] = np.asarray(item[()])

    visit("", file)
    file.visititems(visit)
    attributes = {"groups": groups}
    for key in ("model_config", "keras_version"):
        if key in file.attrs:
            attributes[key] = _text(file.attrs[key])
    return arrays, attributes


def main(source: str, target: str, size: str) -> int:
    """Read `source`, which came in a file of `size` bytes, write `target`; the exit code."""
    import h5py

    try:
        with h5py.File(source, "r") as file:
            arrays, attributes = collect(file, int(size))
        arrays[ATTRIBUTES] = np.frombuffer(json.dumps(attributes).encode(), np.uint8)
        safetensors.write(target, arrays)
    except Exception as error:  # whatever it is: the parent says it, with this line
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
