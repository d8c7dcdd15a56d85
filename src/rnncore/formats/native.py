# SPDX-License-Identifier: MIT
"""rnncore's own files: safetensors with what it is as JSON in the metadata entry "rnncore".

A layer's file holds its parameters under PyTorch's names, so any reader of safetensors can use them; a
Sequential's file holds those of module k behind the prefix ``k.``. Loading needs nothing but NumPy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from ..errors import ArgumentError, FormatError, RnncoreError, shown
from ..layers import Fleet
from ..layers.build import build_fleet, build_layer, spec_of
from ..nn import Module, Recurrent, Sequential, build_module
from ..spec.checks import check_bool
from ..spec.stores import OPERANDS
from . import compact, safetensors
from .records import CLASSES, Contents, Record

KEY = "rnncore"
LAYER, SEQUENTIAL, MODULE, FLEET = "rnncore.layer", "rnncore.sequential", "rnncore.module", "rnncore.fleet"
VERSION = 1


def _description(thing: Any) -> dict[str, Any]:
    """The part of a header that says what a file holds."""
    if hasattr(thing, "spec"):
        return {"format": LAYER, "architecture": thing.spec.to_dict()}
    if isinstance(thing, Fleet):
        return {"format": FLEET, "models": thing.models, "architecture": thing.layer_spec.to_dict()}
    if isinstance(thing, Sequential):
        return {"format": SEQUENTIAL, "modules": thing.config()["modules"]}
    if isinstance(thing, Module):
        return {"format": MODULE, "module": thing.config()}
    raise ArgumentError("object", "a layer or a module", type(thing).__name__)


def save(thing: Any, path: str | PathLike[str], small: bool = False) -> None:
    """Write a layer, a `nn.Sequential` or another module; seeds of dropout are not kept.

    `small`: of the matrices of layers with a store, what is packed (compact.py), not the parameters.

    Raises
    ------
    ArgumentError, OSError
    """
    arrays, metadata, halves = _packed(thing, small)
    safetensors.write(path, arrays, metadata, bfloat16=halves)


def _packed(thing: Any, small: bool) -> tuple[dict[str, np.ndarray], dict[str, str], set[str]]:
    """Arrays, metadata and names of bfloat16 arrays of a file."""
    header, arrays, halves = _description(thing) | {"version": VERSION}, thing.parameters(), set()
    if small and compact.stored_names(thing):
        header["compact"] = True
        arrays, halves = compact.packed(thing)
    return arrays, {KEY: json.dumps(header)}, halves


def to_bytes(thing: Any, *, compact: bool = False) -> bytes:
    """The bytes of the ``.safetensors`` file that `rnncore.save` would write: for databases, messages and tables.

    Parameters
    ----------
    thing : RNN, LSTM, GRU, or a module of `rnncore.nn`
    compact : bool
        As of `rnncore.save`.

    Returns
    -------
    bytes

    Raises
    ------
    ArgumentError
        It is no layer and no module.

    Examples
    --------
    >>> data = rnncore.formats.to_bytes(rnncore.Linear(3, 4, seed=0))
    >>> rnncore.formats.from_bytes(data)
    Linear(in_features=3, out_features=4, bias=True, dtype='float32')
    """
    return b"".join(safetensors.packed(*_packed(thing, check_bool("compact", compact))))


def from_bytes(data: Any, implementation: Any = None) -> Any:
    """The layer or module of the bytes that `to_bytes` gave, or `rnncore.save` wrote to a ``.safetensors`` file.

    Parameters
    ----------
    data : bytes or bytearray
        May come from an untrusted source.
    implementation : module with RNN, LSTM, GRU, optional
        As of `rnncore.load`.

    Returns
    -------
    RNN, LSTM, GRU, or a module of `rnncore.nn`

    Raises
    ------
    FormatError
        They are damaged, or something else.
    ArgumentError
        No bytes.

    Examples
    --------
    >>> layer = rnncore.GRU(3, 4, seed=0)
    >>> rnncore.formats.from_bytes(rnncore.formats.to_bytes(layer))
    rnncore.GRU(3, 4)
    """
    if not isinstance(data, (bytes, bytearray)):
        raise ArgumentError("data", "bytes of a model", shown(data))
    tensors, metadata = safetensors.parse("data", data)
    header = header_of("data", metadata)
    if header is None:
        raise FormatError("data", "bytes of rnncore's own file", "another safetensors file")
    return build("data", tensors, header, implementation)


def header_of(path: str | PathLike[str], metadata: Mapping[str, str]) -> dict[str, Any] | None:
    """Our own header in a file's metadata, checked for format and version, or None if there is none.

    Raises
    ------
    FormatError
    """
    if KEY not in metadata:
        return None
    try:
        header = safetensors.parse_json(metadata[KEY])
    except ValueError as error:
        raise FormatError(str(path), "a JSON entry 'rnncore'", str(error)) from error
    if not isinstance(header, dict) or header.get("format") not in (LAYER, SEQUENTIAL, MODULE, FLEET):
        got = str(header.get("format") if isinstance(header, dict) else header)[:40]
        raise FormatError(str(path), "a file of a layer or a module", got, "what wrote it reads it")
    if header.get("version") != VERSION or isinstance(header["version"], bool):
        raise FormatError(
            str(path), f"format version {VERSION}", str(header.get("version"))[:40], "a newer file?"
        )
    if not isinstance(header.get("compact", False), bool):
        raise FormatError(str(path), "compact: true or false", str(header["compact"])[:40])
    return header


def build(
    path: str | PathLike[str],
    tensors: Mapping[str, np.ndarray],
    header: dict[str, Any],
    implementation: Any = None,
) -> Any:
    """What a file holds, of its arrays and its header.

    Raises
    ------
    FormatError
        The header describes another architecture than the arrays have.
    """
    codes: set[str] = set()
    if header.get("compact"):
        tensors, codes = compact.widened(path, tensors)
    found = _build(path, tensors, header, implementation)
    expected = {name for name, store in compact.stored_names(found).items() if store in OPERANDS}
    if codes and codes != expected:
        name = min(codes ^ expected)
        raise FormatError(str(path), f"{name} as its store has it", "another dtype", "damaged?")
    return found


def _build(
    path: str | PathLike[str], tensors: Mapping[str, np.ndarray], header: dict[str, Any], implementation: Any
) -> Any:
    try:
        if header["format"] == LAYER:
            return build_layer(spec_of(header.get("architecture"), tensors), tensors, implementation)
        if header["format"] == FLEET:
            return build_fleet(header.get("architecture"), header.get("models"), tensors)
        if header["format"] == SEQUENTIAL:
            config = {"kind": "Sequential", "modules": header.get("modules")}
        else:
            config = header.get("module")
        return build_module(config, tensors, implementation)
    except RnncoreError as error:
        raise FormatError(str(path), "an architecture that fits its arrays", str(error)) from error


def contents(
    path: str | PathLike[str], tensors: Mapping[str, np.ndarray], header: dict[str, Any]
) -> Contents:
    """A file of ours as Contents, for `convert` and `inspect`; errors as `build`."""
    found, whole = Contents("rnncore"), build(path, tensors, header)
    if header["format"] == LAYER:
        name = CLASSES[whole.spec.cell].lower()
        record = Record(name, whole.spec, whole.parameters(), f"rnncore {CLASSES[whole.spec.cell]}")
        found.records[name], found.stages = record, [record.module]
        return found
    if header["format"] == FLEET:
        found.other.append(repr(whole))
        found.stages = [lambda implementation: whole]
        return found
    for name, module in _named(whole, "" if isinstance(whole, Sequential) else "module"):
        if isinstance(module, Recurrent) and not isinstance(module.layer, Fleet):
            spec, parameters = module.layer.spec, module.parameters()
            options = {key: getattr(module, key) for key in ("order", "merge", "return_sequences")}
            found.records[name] = Record(name, spec, parameters, f"rnncore {CLASSES[spec.cell]}", **options)
        else:
            found.other.append(f"{name}: {module!r}")
    modules = whole if isinstance(whole, Sequential) else [whole]
    found.stages = [lambda implementation, module=module: module for module in modules]
    return found


def _named(module: Any, name: str) -> list[tuple[str, Any]]:
    """A module, or the modules of a chain through all levels, by their places."""
    if not isinstance(module, Sequential):
        return [(name, module)]
    prefix = f"{name}." if name else ""
    return [pair for k, inner in enumerate(module) for pair in _named(inner, f"{prefix}{k}")]
