# SPDX-License-Identifier: MIT
"""PyTorch weights: state dicts of RNN, LSTM, GRU and their cells, anywhere inside a larger model.

From a mapping of arrays or tensors, a live module, a ``.pt``/``.pth`` file (weights-only: nothing in it is
executed) or a ``.safetensors`` file, which needs no PyTorch. Names and layout are ours, so this file only
finds layers by prefix and tells which cell they are from their shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ArgumentError, FormatError, UnsupportedError
from ..layers.layers import Layer
from . import safetensors
from .files import Path, reading, replacing
from .layouts import refuse_options, to_system
from .records import CLASSES, Contents, make_record, one_direction

_NAME = re.compile(r"(.*?)(weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)(?:_l(\d{1,6})(_reverse)?)?")
_CELL_OF_GATES = {1: "rnn", 4: "lstm", 3: "gru"}
_MODES = {
    "RNN_TANH": ("rnn", "tanh"),
    "RNN_RELU": ("rnn", "relu"),
    "LSTM": ("lstm", "tanh"),
    "GRU": ("gru", "tanh"),
}


def _torch(what):
    try:
        import torch
    except ImportError as error:
        hint = "or save the weights as safetensors, which needs nothing"
        raise UnsupportedError(what, "the package torch", "none installed", hint) from error
    return torch


def to_array(name: str, value: Any) -> np.ndarray:
    """A NumPy array of an array or a tensor; bfloat16 widens to float32.

    Raises
    ------
    UnsupportedError
        A quantized, sparse or device tensor, or one that claims more elements than its storage holds.
    """
    if not hasattr(value, "untyped_storage"):
        return np.asarray(value)
    if value.is_quantized or str(value.layout) != "torch.strided" or value.device.type != "cpu":
        got = f"{value.dtype}, {value.layout}, on {value.device}"
        raise UnsupportedError(name, "a dense tensor on the CPU", got)
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise UnsupportedError(name, "a tensor with all its elements stored", "an expanded one")
    value = value.detach()
    return (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()


def _groups(state):
    """prefix -> {(layer, direction): {canonical name: array}}; and the names that belong to no layer."""
    groups, other = {}, []
    for name, value in state.items():
        match = _NAME.fullmatch(name) if isinstance(name, str) else None
        if match is None:
            other.append(str(name))
            continue
        prefix, key, layer, reverse = match.groups()
        place = (int(layer or 0), 1 if reverse else 0)
        groups.setdefault(prefix, {}).setdefault(place, {})[key] = to_array(name, value)
    return groups, other


def _cell_of(name, arrays):
    """The cell, from how many gates weight_hh stacks."""
    for key in ("weight_ih", "weight_hh"):
        if key not in arrays or arrays[key].ndim != 2:
            raise FormatError(f"{name}{key}", "a matrix", "none", "missing?")
    if "weight_hr" in arrays:
        return "lstm"
    rows, H = arrays["weight_hh"].shape
    gates, rest = divmod(rows, H) if H else (0, 1)
    if rest or gates not in _CELL_OF_GATES:
        expected = "shape (G*H, H) with G = 1, 3 or 4"
        raise FormatError(f"{name}weight_hh", expected, str(arrays["weight_hh"].shape), "transposed?")
    return _CELL_OF_GATES[gates]


def _read_group(prefix, places, nonlinearity):
    """A Record of the arrays behind one prefix."""
    bidirectional = any(direction for _, direction in places)
    layers = max(layer for layer, _ in places) + 1
    expected = layers * (2 if bidirectional else 1)
    if len(places) != expected:
        raise FormatError(
            prefix or "state_dict", f"{expected} layers and directions", str(len(places)), "some missing"
        )
    directions = [places[place] for place in sorted(places)]
    cell = _cell_of(prefix, directions[0])
    options, notes = {"bidirectional": bidirectional}, ()
    if cell == "rnn":
        options["nonlinearity"] = nonlinearity or "tanh"
        if nonlinearity is None:
            notes = ("nonlinearity assumed to be tanh: the arrays do not say",)
    return make_record(
        prefix.rstrip(".") or "layer",
        f"torch {CLASSES[cell]}",
        cell,
        directions,
        options=options,
        notes=notes,
    )


def from_state_dict(
    state: Mapping[str, Any], *, prefix: str | None = None, nonlinearity: str | None = None
) -> Contents:
    """Find the recurrent layers in a state dict.

    Parameters
    ----------
    state : mapping of str to array or tensor
        Of nn.RNN, nn.LSTM, nn.GRU, their Cells, or any model that holds some.
    prefix : str, optional
        Only what stands behind it, e.g. ``"encoder.rnn."``.
    nonlinearity : {"tanh", "relu"}, optional
        Of basic RNNs, which arrays do not tell; tanh if left out, with a note.

    Returns
    -------
    Contents

    Raises
    ------
    ArgumentError
        Nothing stands behind the prefix, or parts of a layer are missing.
    """
    if not hasattr(state, "items"):
        raise ArgumentError("state", "a mapping of names to arrays", type(state).__name__)
    if prefix is not None:
        state = {name.removeprefix(prefix): v for name, v in state.items() if str(name).startswith(prefix)}
        if not state:
            raise ArgumentError("prefix", "one that parameters have", repr(prefix))
    groups, other = _groups(state)
    found = Contents("torch", other=other)
    for name, places in groups.items():
        found.add(name.rstrip(".") or "layer", lambda p=places, n=name: _read_group(n, p, nonlinearity))
    if len(found.records) == 1 and not other and not found.refused:
        found.stages = [record.module for record in found.records.values()]
    return found


def from_module(module: Any) -> Contents:
    """Find the recurrent layers in a live torch.nn.Module, with the options that arrays do not tell.

    Returns
    -------
    Contents
    """
    found = Contents("torch")
    for name, part in module.named_modules():
        kind = type(part).__name__
        if not hasattr(part, "weight_ih" if kind.endswith("Cell") else "weight_ih_l0"):
            if next(part.parameters(recurse=False), None) is not None:
                found.other.append(f"{name or kind}: {kind}")
            continue
        found.add(name or "layer", lambda n=name or "layer", p=part: _read_module(n, p))
    return found


def _read_module(name, module):
    cell, nonlinearity = _MODES.get(
        getattr(module, "mode", ""), (None, getattr(module, "nonlinearity", "tanh"))
    )
    record = from_state_dict(module.state_dict(), nonlinearity=nonlinearity).record()
    if cell is None:
        record.name = name
        return record
    options = {
        "bidirectional": module.bidirectional,
        "batch_first": module.batch_first,
        "dropout": float(module.dropout),
    }
    if cell == "rnn":
        options["nonlinearity"] = nonlinearity
    directions = [one_direction(record.parameters, suffix) for suffix in record.spec.suffixes()]
    return make_record(name, record.source, cell, directions, options=options)


def load(source: Any, *, prefix: str | None = None, nonlinearity: str | None = None) -> Contents:
    """Recurrent layers of a state dict, a module, or a ``.pt``, ``.pth``, ``.bin`` or ``.safetensors`` file.

    Parameters
    ----------
    source : mapping, torch.nn.Module or path-like
    prefix, nonlinearity
        See `from_state_dict`.

    Returns
    -------
    Contents

    Raises
    ------
    FormatError
        A damaged file, or one that holds more than tensors: it is opened weights-only and nothing in it is
        run.
    UnsupportedError
        A ``.pt`` file without PyTorch installed.
    """
    if hasattr(source, "items"):
        return from_state_dict(source, prefix=prefix, nonlinearity=nonlinearity)
    if hasattr(source, "named_modules"):
        return from_module(source)
    if str(source).endswith(".safetensors"):
        return from_state_dict(safetensors.read(source)[0], prefix=prefix, nonlinearity=nonlinearity)
    return from_state_dict(_read_pickle(source), prefix=prefix, nonlinearity=nonlinearity)


def _read_pickle(path):
    torch = _torch(str(path))
    with reading(path, "a file of tensors that PyTorch opens weights-only"):
        state = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]  # a training checkpoint
    if not isinstance(state, dict):
        raise FormatError(str(path), "a dict of tensors", type(state).__name__)
    return {name: value for name, value in state.items() if hasattr(value, "untyped_storage")}


def state_dict(layer: Layer[Any], prefix: str = "") -> dict[str, np.ndarray]:
    """A layer's parameters under PyTorch's names, as copies.

    Parameters
    ----------
    layer : RNN, LSTM or GRU
    prefix : str
        Put before every name.

    Raises
    ------
    UnsupportedError
        A GRU that resets before the product, peepholes, coupled gates, a clip, other activations: PyTorch has none.
    """
    parameters = layer.state_dict()
    refuse_options("torch", layer.spec)
    for suffix in layer.spec.suffixes()[:1]:
        to_system(
            "torch", layer.spec.cell, one_direction(parameters, suffix), reset_after=layer.spec.reset_after
        )
    return {prefix + name: value for name, value in parameters.items()}


def module(layer: Layer[Any]) -> Any:
    """A live torch.nn.RNN, LSTM or GRU with the layer's options and parameters; errors as `state_dict`."""
    state, spec, torch = state_dict(layer), layer.spec, _torch("module")
    options = {
        name: getattr(spec, name)
        for name in ("num_layers", "bias", "batch_first", "dropout", "bidirectional")
    }
    if spec.cell == "rnn":
        options["nonlinearity"] = spec.nonlinearity
    if spec.cell == "lstm":
        options["proj_size"] = spec.proj_size
    make = getattr(torch.nn, CLASSES[spec.cell])
    made = make(spec.input_size, spec.hidden_size, dtype=getattr(torch, spec.dtype.name), **options)
    made.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return made


def save(layer: Layer[Any], path: Path, prefix: str = "") -> None:
    """Write a state dict: ``.safetensors`` (needs no PyTorch) or a PyTorch file under any other suffix."""
    state = state_dict(layer, prefix)
    if str(path).endswith(".safetensors"):
        safetensors.write(path, state)
        return
    torch = _torch(str(path))
    with replacing(path) as draft:
        torch.save({name: torch.from_numpy(value) for name, value in state.items()}, draft)
