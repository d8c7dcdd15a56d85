# SPDX-License-Identifier: MIT
"""Files of named arrays with a JSON header, in safetensors; written atomically, checked when read.

The package ``safetensors`` is imported when a file is read or written.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ArgumentError


def prefixed(prefix: str, state: dict[str, Any]) -> dict[str, Any]:
    """Return `state` with `prefix` before every name."""
    return {prefix + name: array for name, array in state.items()}


def strip(tensors: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Return the arrays whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def expect(name: str, array: np.ndarray[Any, Any], shape: tuple[int, ...]) -> None:
    """Raise ArgumentError unless `array` has this shape and holds finite numbers."""
    if array.shape != shape or not np.isfinite(array).all():
        raise ArgumentError(name, f"finite numbers of shape {shape}", f"shape {array.shape}")


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            'saving and loading models needs the package safetensors: pip install "rnncore[cli]"'
        ) from error
    return safetensors


def write_file(path: str | os.PathLike[str], tensors: dict[str, Any], meta: dict[str, Any]) -> None:
    """Write a safetensors file that is either the old one or the new one, whenever the process dies."""
    data = _safetensors().numpy.save(
        {name: np.asarray(a, order="C") for name, a in tensors.items()}, {"rnncore": json.dumps(meta)}
    )
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(draft, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def read_file(path: str | os.PathLike[str], wanted: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (tensors, meta) of a safetensors file of the format `wanted`; ArgumentError otherwise."""
    package = _safetensors()
    try:
        with package.safe_open(path, framework="numpy") as file:
            meta = json.loads((file.metadata() or {}).get("rnncore", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
    except (package.SafetensorError, ValueError) as error:
        raise ArgumentError(str(path), f"a file of format {wanted}", str(error)) from error
    if not isinstance(meta, dict) or meta.get("format") != wanted:
        raise ArgumentError(str(path), f"a file of format {wanted}", "another safetensors file")
    return tensors, meta
