# SPDX-License-Identifier: MIT
"""rnncore's own files: safetensors with the architecture as JSON in the metadata entry "rnncore".

A layer's file holds its parameters under PyTorch's names, so any reader of safetensors can use them; a
Sequential's file holds those of module k behind the prefix ``k.``. Loading needs nothing but NumPy.
"""

import importlib
import json

from ..errors import ArgumentError, RnncoreError
from ..spec import Spec
from . import safetensors
from .records import CLASSES, Contents, FormatError, Record, build_layer

KEY = "rnncore"
LAYER, SEQUENTIAL = "rnncore.layer", "rnncore.sequential"
VERSION = 1


def save_layer(layer, path):
    """Write a layer's architecture and parameters to a safetensors file; dropout's seed is not kept."""
    header = {"format": LAYER, "version": VERSION, "architecture": layer.spec.to_dict()}
    safetensors.write(path, layer.parameters(), {KEY: json.dumps(header)})


def save_sequential(model, path):
    """Write a `nn.Sequential`; see `save_layer`."""
    header = {"format": SEQUENTIAL, "version": VERSION, "modules": [module.config() for module in model]}
    tensors = {
        f"{k}.{name}": array for k, module in enumerate(model) for name, array in module.parameters().items()
    }
    safetensors.write(path, tensors, {KEY: json.dumps(header)})


def header_of(path, metadata):
    """Our own header in a file's metadata, checked for format and version, or None if there is none."""
    if KEY not in metadata:
        return None
    try:
        header = safetensors.parse_json(metadata[KEY])
    except ValueError as error:
        raise FormatError(str(path), "a JSON entry 'rnncore'", str(error)) from error
    if not isinstance(header, dict) or header.get("format") not in (LAYER, SEQUENTIAL):
        return None
    if header.get("version") != VERSION or isinstance(header["version"], bool):
        raise FormatError(
            str(path), f"format version {VERSION}", str(header.get("version"))[:40], "a newer file?"
        )
    return header


def layer_spec(fields, tensors):
    """The Spec that these fields describe, if `tensors` are its parameters."""
    spec = Spec.from_dict(fields)
    # Counted before it is listed: a header may claim any number of layers.
    if len(tensors) != spec.parameter_count:
        raise ArgumentError("tensors", f"those of {spec}", f"{len(tensors)} arrays")
    return spec


def load(path, implementation=None):
    """Load what `save` wrote.

    Parameters
    ----------
    path : path-like
        A file of `layer.save`, `Sequential.save` or ``rnncore convert``; it may come from an untrusted
        source.
    implementation : module with RNN, LSTM, GRU, optional
        `rnncore` if left out; `rnncore.reference` gives float64 twins.

    Returns
    -------
    RNN, LSTM, GRU or nn.Sequential

    Raises
    ------
    FormatError
        The file is damaged, of another kind, or describes another architecture than its arrays have.
    OSError

    Notes
    -----
    The file is mapped; each parameter is copied once, into the layer.
    """
    tensors, metadata = safetensors.read(path)
    header = header_of(path, metadata)
    if header is None:
        hint = "rnncore.formats.load reads other formats"
        raise FormatError(str(path), "a file written by rnncore", "another safetensors file", hint)
    try:
        if header["format"] == LAYER:
            spec = layer_spec(header.get("architecture"), tensors)
            return build_layer(spec, tensors, implementation)
        modules = importlib.import_module("rnncore.nn.sequential")
        return modules.Sequential.build(header.get("modules"), tensors, implementation)
    except RnncoreError as error:
        raise FormatError(str(path), "an architecture that fits its arrays", str(error)) from error


def contents(path, tensors, header):
    """A file of ours as Contents, for `convert` and `inspect`."""
    found = Contents("rnncore")
    if header["format"] == LAYER:
        try:
            spec = layer_spec(header.get("architecture"), tensors)
        except RnncoreError as error:
            raise FormatError(str(path), "an architecture that fits its arrays", str(error)) from error
        name = CLASSES[spec.cell].lower()
        record = Record(name, spec, dict(tensors), f"rnncore {CLASSES[spec.cell]}")
        found.records[name], found.stages = record, [record.module]
        return found
    model = load(path)
    for k, module in enumerate(model):
        if hasattr(module, "layer"):
            spec, parameters = module.layer.spec, module.parameters()
            options = {name: getattr(module, name) for name in ("order", "merge", "return_sequences")}
            found.records[str(k)] = Record(
                str(k), spec, parameters, f"rnncore {CLASSES[spec.cell]}", **options
            )
        else:
            found.other.append(f"{k}: {module!r}")
    found.stages = [lambda implementation, module=module: module for module in model]
    return found
