# SPDX-License-Identifier: MIT
"""PyTorch weights: state dicts of RNN, LSTM, GRU and their cells, anywhere inside a larger model.

From a mapping of arrays or tensors, a live module, a ``.pt``/``.pth`` file (weights-only: nothing in it is
executed) or a ``.safetensors`` file, which needs no PyTorch. Names and layout are ours, so this file only
finds layers by prefix and tells which cell they are from their shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ArgumentError, FormatError, UnsupportedError, shown
from ..spec import check_type
from . import safetensors, torch_archive
from .files import Path, check_path, reading, replacing, zipped
from .layouts import refuse_options
from .records import CLASSES, Contents, Record, check_layer, make_record, one_direction
from .systems import to_system
from .torch_state import NAME, find_state, plain, to_array

__all__ = ["from_module", "from_state_dict", "is_file", "load", "module", "save", "state_dict", "to_array"]

_CELL_OF_GATES = {1: "rnn", 4: "lstm", 3: "gru"}
_MODES = {
    "RNN_TANH": ("rnn", "tanh"),
    "RNN_RELU": ("rnn", "relu"),
    "LSTM": ("lstm", "tanh"),
    "GRU": ("gru", "tanh"),
}
# (layer, direction) -> arrays by name without suffix
Places = dict[tuple[int, int], dict[str, np.ndarray]]


def _torch(what: str) -> Any:
    try:
        import torch
    except ImportError as error:
        hint = "or save the weights as safetensors, which needs nothing"
        raise UnsupportedError(what, "the package torch", "none installed", hint) from error
    return torch


def _groups(state: Mapping[Any, Any]) -> tuple[dict[str, Places], list[str]]:
    """The arrays behind each prefix; and the names that belong to no layer."""
    groups: dict[str, Places] = {}
    other = []
    for name, value in state.items():
        match = NAME.fullmatch(name) if isinstance(name, str) else None
        if match is None:
            other.append(str(name))
            continue
        prefix, key, layer, reverse = match.groups()
        place = (int(layer or 0), 1 if reverse else 0)
        groups.setdefault(prefix, {}).setdefault(place, {})[key] = to_array(name, value)
    return groups, other


def _cell_of(name: str, arrays: Mapping[str, np.ndarray]) -> str:
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


def _read_group(prefix: str, places: Places, nonlinearity: str | None) -> Record:
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
    name = prefix.rstrip(".") or "layer"
    return make_record(name, f"torch {CLASSES[cell]}", cell, directions, options=options, notes=notes)


def from_state_dict(
    state: Mapping[str, Any], *, prefix: str | None = None, nonlinearity: str | None = None
) -> Contents:
    """Find the recurrent layers in a state dict.

    Parameters
    ----------
    state : mapping of str to array or tensor
        Of nn.RNN, nn.LSTM, nn.GRU, their Cells, or any model that holds some; weight normalization is computed.
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

    Examples
    --------
    >>> state = {f"encoder.{name}": a for name, a in rnncore.LSTM(3, 4, seed=0).state_dict().items()}
    >>> rnncore.formats.torch.from_state_dict(state).layer("encoder")
    rnncore.LSTM(3, 4)
    """
    if not hasattr(state, "items"):
        raise ArgumentError("state", "a mapping of names to arrays", type(state).__name__)
    if prefix is not None:
        check_type("prefix", prefix, str, "text")
        state = {name.removeprefix(prefix): v for name, v in state.items() if str(name).startswith(prefix)}
        if not state:
            raise ArgumentError("prefix", "one that parameters have", shown(prefix))
    groups, other = _groups(plain(state))
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
    if not hasattr(module, "named_modules"):
        raise ArgumentError("module", "a torch.nn.Module", shown(module))
    found = Contents("torch")
    for name, part in module.named_modules():
        kind = type(part).__name__
        if not hasattr(part, "weight_ih" if kind.endswith("Cell") else "weight_ih_l0"):
            if "parametrizations" not in name and next(part.parameters(recurse=False), None) is not None:
                found.other.append(f"{name or kind}: {kind}")
            continue
        found.add(name or "layer", lambda n=name or "layer", p=part: _read_module(n, p))
    return found


def _read_module(name: str, module: Any) -> Record:
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


def is_file(path: Path, head: bytes) -> bool:
    """Whether a file that starts like this may be one: an archive, or up to version 1.5 a pickle of a number."""
    return head.startswith(b"\x80\x02\x8a") or any(name.endswith("data.pkl") for name in zipped(path, head))


def load(source: Any, *, prefix: str | None = None, nonlinearity: str | None = None) -> Contents:
    """Recurrent layers of a state dict, a module, or a file of PyTorch's or of safetensors.

    Parameters
    ----------
    source : mapping, torch.nn.Module or path-like
        Of a checkpoint, the state dict that holds recurrent layers.
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
        A file of PyTorch's without PyTorch installed.
    """
    if hasattr(source, "named_modules"):
        return from_module(source)
    if not hasattr(source, "items"):
        with open(check_path(source, "source"), "rb") as file:
            head = file.read(16)
        source = safetensors.read(source)[0] if safetensors.is_file(source, head) else _read_pickle(source)
    return from_state_dict(source, prefix=prefix, nonlinearity=nonlinearity)


def _read_pickle(path: Path) -> dict[str, Any]:
    torch = _torch(str(path))
    torch_archive.check(path)
    # As a stream: PyTorch would go by the name's ending, too.
    with reading(path, "a file of tensors that PyTorch opens weights-only"), open(path, "rb") as file:
        return find_state(path, torch.load(file, map_location="cpu", weights_only=True))


def state_dict(layer: Any, prefix: str = "") -> dict[str, np.ndarray]:
    """A layer's parameters under PyTorch's names, as copies.

    Parameters
    ----------
    layer : RNN, LSTM or GRU
    prefix : str
        Put before every name.

    Raises
    ------
    UnsupportedError
        PyTorch has no such cell: a GRU that resets before the product, or any option but a projection.

    Examples
    --------
    >>> list(rnncore.formats.torch.state_dict(rnncore.RNN(3, 4, bias=False), "rnn."))
    ['rnn.weight_ih_l0', 'rnn.weight_hh_l0']
    """
    check_layer(layer)
    check_type("prefix", prefix, str, "text")
    parameters = layer.state_dict()
    refuse_options("torch", layer.spec)
    first = one_direction(parameters, layer.spec.suffixes()[0])
    to_system("torch", layer.spec.cell, first, reset_after=layer.spec.reset_after)
    return {prefix + name: value for name, value in parameters.items()}


def module(layer: Any) -> Any:
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


def save(layer: Any, path: Path, prefix: str = "") -> None:
    """Write a state dict: ``.safetensors`` (needs no PyTorch) or a PyTorch file under any other ending."""
    state = state_dict(layer, prefix)
    if str(path).endswith(".safetensors"):
        safetensors.write(path, state)
        return
    torch = _torch(str(path))
    # To a stream: PyTorch would refuse some names.
    with replacing(path) as draft, open(draft, "wb") as file:
        torch.save({name: torch.from_numpy(value) for name, value in state.items()}, file)
