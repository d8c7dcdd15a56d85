# SPDX-License-Identifier: MIT
"""The door to files: what a file is, seen from its content, and what is written, seen from its ending.

A new format is a row in FORMATS.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

from .. import spec as checks
from ..errors import ArgumentError, FormatError, UnsupportedError, shown
from . import keras, keras_file, native, onnx, safetensors, torch
from .files import Path, check_path
from .records import Contents

HEAD = 16
"""Bytes that a file's start is known by."""


def _read_safetensors(path: Path) -> Contents:
    tensors, metadata = safetensors.read(path)
    header = native.header_of(path, metadata)
    return torch.from_state_dict(tensors) if header is None else native.contents(path, tensors, header)


@dataclasses.dataclass(frozen=True)
class Format:
    """One row of FORMATS.

    Attributes
    ----------
    endings : tuple of str
        Of its files' names.
    written : tuple of str
        Those that `save` takes.
    known_by : callable of (path, first bytes)
        Whether a file is one.
    read : callable of path, giving Contents
    write : callable of (layer, path)
    layers_only : bool
        Whether it can hold nothing but a recurrent layer.
    """

    endings: tuple[str, ...]
    written: tuple[str, ...]
    known_by: Callable[[Path, bytes], bool]
    read: Callable[[Path], Contents]
    write: Callable[[Any, Path], Any]
    layers_only: bool = True


FORMATS: dict[str, Format] = {
    "safetensors": Format(
        (".safetensors",),
        (".safetensors",),
        safetensors.is_file,
        _read_safetensors,
        native.save,
        layers_only=False,
    ),
    "Keras": Format(
        (".keras", ".h5", ".hdf5"), (".keras", ".h5"), keras_file.is_file, keras.load, keras.save
    ),
    "PyTorch": Format((".pt", ".pth", ".bin"), (".pt", ".pth"), torch.is_file, torch.load, torch.save),
    "ONNX": Format((".onnx",), (".onnx",), onnx.is_model, onnx.load, onnx.export),
}


def _ending(path: Path) -> str:
    return pathlib.Path(check_path(path)).suffix.lower()


def format_of(path: Path) -> Format:
    """The format of a file: by its content, and where that says nothing by its ending.

    Raises
    ------
    FormatError
        Neither is known.
    OSError
    """
    with open(check_path(path), "rb") as file:
        head = file.read(HEAD)
    for row in FORMATS.values():
        if row.known_by(path, head):
            return row
    for row in FORMATS.values():  # damaged: its reader says how
        if _ending(path) in row.endings:
            return row
    raise FormatError(str(path), "a file of " + ", ".join(FORMATS), f"one that starts with {head!r}")


def contents(path: Path) -> Contents:
    """What a file of any known format holds.

    Parameters
    ----------
    path : path-like
        safetensors (rnncore's, PyTorch's names), PyTorch, Keras, ONNX; its content says which.

    Returns
    -------
    Contents

    Raises
    ------
    FormatError
        Damaged, hostile or of another format: nothing in it was run, nothing large allocated.
    UnsupportedError
        The package that the format needs is not installed.
    OSError

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rnncore.LSTM(3, 4, seed=0).save(f"{folder}/layer.safetensors")
    ...     rnncore.formats.load(f"{folder}/layer.safetensors").layer("lstm")
    rnncore.LSTM(3, 4)
    """
    return format_of(path).read(path)


def load(path: Path, implementation: Any = None, *, name: str | None = None) -> Any:
    """Load a layer or a model from a file.

    Parameters
    ----------
    path : path-like
        What `save` wrote, or a file of PyTorch, Keras, ONNX or safetensors; its content says which. It may come from
        an untrusted source.
    implementation : module with RNN, LSTM, GRU, optional
        `rnncore` if left out; `rnncore.reference` gives float64 twins.
    name : str, optional
        One recurrent layer, by its name in the file, of a file that holds more.

    Returns
    -------
    RNN, LSTM, GRU, or a module of `rnncore.nn`
        All that the file holds, or the layer of this name, which is in a `nn.Recurrent` if it does not simply read
        forward.

    Raises
    ------
    FormatError
        The file is damaged, of another kind, or describes another architecture than its arrays have.
    UnsupportedError
        It holds what does not exist here (`rnncore.formats.load` shows what), or its package is not installed.
    ArgumentError
        It holds several layers, or what is no part of the layer: the message says which names there are.
    OSError

    Notes
    -----
    A safetensors file is mapped; each parameter is copied once, into the layer.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rnncore.GRU(3, 4, seed=0).save(f"{folder}/layer.safetensors")
    ...     rnncore.load(f"{folder}/layer.safetensors")
    rnncore.GRU(3, 4)
    """
    row = format_of(path)
    if row.read is _read_safetensors:  # ours is built as it stands, not part by part
        tensors, metadata = safetensors.read(path)
        header = native.header_of(path, metadata)
        if header is not None and name is None:
            return native.build(path, tensors, header, implementation)
    return row.read(path).whole(name, implementation)


def check_ending(path: Path) -> Format:
    """The format that `save` writes to this path; ArgumentError if its ending says none."""
    ending = _ending(path)
    for row in FORMATS.values():
        if ending in row.written:
            return row
    known = ", ".join(ending for row in FORMATS.values() for ending in row.written)
    raise ArgumentError(str(path), "an ending of " + known, shown(ending) if ending else "none")


def save(thing: Any, path: Path, *, compact: bool = False) -> None:
    """Write a layer or a module, in the format that the path's ending says.

    Parameters
    ----------
    thing : RNN, LSTM, GRU, or a module of `rnncore.nn`
    path : path-like
        ``.safetensors`` holds everything and is what `load` gives back whole; ``.pt``, ``.pth``, ``.keras``, ``.h5``,
        ``.weights.h5`` and ``.onnx`` hold recurrent layers. It holds the old file or the whole new one, whenever the
        process dies.
    compact : bool
        Of matrices of layers with a store, write what is packed in place of the float32 parameters, a quarter or half
        of the bytes: what is loaded gives the same results, but its parameters are the rounded ones. ``.safetensors``
        only.

    Raises
    ------
    UnsupportedError
        The format cannot hold it, or its package is not installed; nothing was written.
    ArgumentError, OSError

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rnncore.save(rnncore.Linear(3, 4, seed=0), f"{folder}/head.safetensors")
    ...     rnncore.load(f"{folder}/head.safetensors")
    Linear(in_features=3, out_features=4, bias=True, dtype='float32')
    """
    row = check_ending(path)
    if row.layers_only and not hasattr(thing, "spec"):
        hint = "a .safetensors file holds every module"
        raise UnsupportedError(str(path), "a recurrent layer", type(thing).__name__, hint)
    if not checks.check_bool("compact", compact):
        row.write(thing, path)
    elif row.layers_only:
        raise UnsupportedError("compact", "False for this format", True, "a .safetensors file may be compact")
    else:
        native.save(thing, path, small=True)
