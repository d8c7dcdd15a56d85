# SPDX-License-Identifier: MIT
"""Keras' recurrent layers as records: SimpleRNN, LSTM, GRU, Bidirectional with every merge mode, stacked cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, UnsupportedError, shown
from ..spec import CELLS, check_int, check_type, read_array
from ..spec import activations as functions
from .keras_functions import function_of
from .layouts import spread
from .records import Record, make_record, one_direction
from .systems import from_system

LAYERS: dict[str, str] = {"SimpleRNN": "rnn", "LSTM": "lstm", "GRU": "gru"}
NAMES: dict[str, str] = {cell: name for name, cell in LAYERS.items()}
# Entries of a config for the groups of a cell's functions (see layouts.GROUPS), and what they are if left out.
GROUPS: dict[str, tuple[str, ...]] = {
    "rnn": ("activation",),
    "lstm": ("recurrent_activation", "activation", "activation"),
    "gru": ("recurrent_activation", "activation"),
}
DEFAULTS: dict[str, str] = {"activation": "tanh", "recurrent_activation": "sigmoid"}


def _cell_options(cell: str, config: Mapping[str, Any], version: int) -> dict[str, Any]:
    """Layer options for a config's activations; UnsupportedError if the cells compute no such thing."""
    found = [function_of(config.get(key, DEFAULTS[key]), version) for key in GROUPS[cell]]
    for name, *_ in found:
        if name not in functions.FUNCTIONS:
            raise UnsupportedError(
                "activations", "functions of cells, " + ", ".join(functions.FUNCTIONS), name
            )
    return {"activations": spread(cell, found)}


def _direction(
    name: str, cell: str, config: Mapping[str, Any], weights: Sequence[np.ndarray]
) -> tuple[dict[str, np.ndarray], bool]:
    """Canonical parameters of one Keras layer or cell, and whether a GRU resets after the product."""
    expected = 3 if config.get("use_bias", True) else 2
    if len(weights) != expected:
        raise ArgumentError(name, f"{expected} arrays", str(len(weights)))
    units = config.get("units", len(weights[1]) if weights[1].ndim else 0)
    if weights[1].shape != (units, len(CELLS[cell].gates) * units if isinstance(units, int) else 0):
        raise ArgumentError(name, f"a recurrent kernel of {units} units", f"shape {weights[1].shape}")
    bias = weights[2] if expected == 3 else None
    # Old files do not say: then the bias does, and without one it was the only form there was.
    guessed = bias is not None and bias.ndim == 2
    reset_after = bool(config.get("reset_after", guessed)) if cell == "gru" else True
    return from_system("keras", cell, weights[0], weights[1], bias, reset_after=reset_after), reset_after


def _notes(config: Mapping[str, Any]) -> tuple[str, ...]:
    found = []
    for key, text in (
        ("stateful", "stateful: use stream() to carry the state on"),
        ("return_state", "return_state: the layer always returns its state"),
        ("recurrent_dropout", "recurrent_dropout acts in training only and was left out"),
        ("assumed", "activations assumed to be Keras' defaults: the file holds no config"),
        ("dropout", "dropout on the input acts in training only and was left out"),
    ):
        if config.get(key):
            found.append(text)
    return tuple(found)


def _read_plain(
    name: str, kind: str, config: Mapping[str, Any], weights: Sequence[np.ndarray], version: int, **extra: Any
) -> Record:
    """A Record of a SimpleRNN, LSTM or GRU."""
    cell = LAYERS[kind]
    parameters, reset_after = _direction(name, cell, config, weights)
    options = _cell_options(cell, config, version) | {"batch_first": not config.get("time_major", False)}
    if cell == "gru":
        options["reset_after"] = reset_after
    extra.setdefault("order", "backwards" if config.get("go_backwards") else "forward")
    extra.setdefault("return_sequences", bool(config.get("return_sequences", False)))
    notes = _notes(config) + extra.pop("notes", ())
    return make_record(name, f"keras {kind}", cell, [parameters], options=options, notes=notes, **extra)


def _read_bidirectional(
    name: str, config: Mapping[str, Any], weights: Sequence[np.ndarray], version: int
) -> Record:
    """A Record of a Bidirectional wrapper around two alike layers."""
    forward = config["layer"]
    kind, inner = forward["class_name"], forward["config"]
    backward = (config.get("backward_layer") or {"config": inner | {"go_backwards": True}})["config"]
    if kind not in LAYERS:
        raise UnsupportedError(name, "Bidirectional around " + ", ".join(LAYERS), kind)
    if inner.get("go_backwards") or not backward.get("go_backwards"):
        raise UnsupportedError(name, "a forward layer that reads forward", "one that goes backwards")
    half = len(weights) // 2
    records = [
        _read_plain(name, kind, part, piece, version, order="forward")
        for part, piece in ((inner, weights[:half]), (backward, weights[half:]))
    ]
    spec, other = records[0].spec, records[1].spec
    alike = dataclasses.replace(other, nonlinearity=spec.nonlinearity, activations=spec.activations) == spec
    if not alike or inner.get("return_sequences") != backward.get("return_sequences"):
        raise UnsupportedError(name, "two alike layers", "different ones", "one layer has one size and cell")
    options = {"bidirectional": True, "batch_first": spec.batch_first, "reset_after": spec.reset_after}
    options["activations"] = (spec.functions(0), other.functions(0))
    return make_record(
        name,
        f"keras Bidirectional({kind})",
        spec.cell,
        [one_direction(record.parameters, "_l0") for record in records],
        options=options,
        merge=config.get("merge_mode", "concat"),
        return_sequences=records[0].return_sequences,
        notes=records[0].notes + _notes(config),
    )


def _read_stacked(
    name: str, config: Mapping[str, Any], weights: Sequence[np.ndarray], version: int
) -> list[Record]:
    """Records of an RNN layer around a cell or StackedRNNCells: one if they are alike, else one per cell."""
    cell = config.get("cell") or {}
    cells = cell["config"]["cells"] if cell.get("class_name") == "StackedRNNCells" else [cell]
    records, taken = [], 0
    for entry in cells:
        kind, inner = str(entry.get("class_name")).removesuffix("Cell"), entry.get("config", {})
        if kind not in LAYERS:
            raise UnsupportedError(name, "cells " + ", ".join(f"{k}Cell" for k in LAYERS), kind)
        count = 3 if inner.get("use_bias", True) else 2
        records.append(_read_plain(name, kind, inner, weights[taken : taken + count], version))
        taken += count
    if taken != len(weights):
        raise ArgumentError(name, f"{taken} arrays of its cells", str(len(weights)))
    first = records[0].spec
    backwards, sequences = bool(config.get("go_backwards")), bool(config.get("return_sequences", False))
    if any(dataclasses.replace(r.spec, input_size=first.input_size) != first for r in records):
        # The first one turns the sequence round, the others take what comes.
        for k, record in enumerate(records):
            record.name, record.order = f"{name}/{k}", "backwards" if backwards and k == 0 else "forward"
            record.return_sequences = sequences or k < len(records) - 1
            record.notes = _notes(config) if k == 0 else ()
        return records
    names = ("batch_first", "reset_after")
    record = make_record(
        name,
        f"keras RNN({', '.join(NAMES[r.spec.cell] + 'Cell' for r in records)})",
        first.cell,
        [one_direction(record.parameters, "_l0") for record in records],
        options={key: getattr(first, key) for key in names} | {"activations": first.functions(0)},
        order="backwards" if backwards else "forward",
        return_sequences=sequences,
        notes=_notes(config),
    )
    return [record]


def read_layers(
    name: str, kind: str, config: Mapping[str, Any], weights: Sequence[Any], version: int = 3
) -> list[Record]:
    """The Records of one Keras layer, to be run one after the other: several for stacked cells that differ.

    Parameters
    ----------
    name : str
    kind : str
        Its class, e.g. ``"Bidirectional"``.
    config : dict
        As its get_config() gives it.
    weights : list of arrays
        As its get_weights() gives them.
    version : int
        Of Keras; the hard sigmoid changed with 3.

    Raises
    ------
    RnncoreError
        UnsupportedError where the cells cannot compute what it does.

    Examples
    --------
    >>> import numpy as np
    >>> arrays = [np.zeros((3, 16), np.float32), np.zeros((4, 16), np.float32)]
    >>> (record,) = rnncore.formats.keras.read_layers("lstm", "LSTM", {"use_bias": False}, arrays)
    >>> record.layer()
    rnncore.LSTM(3, 4, bias=False, batch_first=True)
    """
    check_type("config", config, Mapping, "a mapping")
    check_type("weights", weights, (list, tuple), "a list of arrays")
    version = check_int("version", version, 1)
    if not isinstance(kind, str) or not is_recurrent(kind):
        raise ArgumentError("kind", "one of " + ", ".join([*LAYERS, "Bidirectional", "RNN"]), shown(kind))
    weights = [read_array(f"{name}[{k}]", array) for k, array in enumerate(weights)]
    if kind == "RNN":
        return _read_stacked(name, config, weights, version)
    if kind == "Bidirectional":
        return [_read_bidirectional(name, config, weights, version)]
    return [_read_plain(name, kind, config, weights, version)]


def is_recurrent(kind: str) -> bool:
    """Whether this class is read as a recurrent layer, or refused as one."""
    return kind in (*LAYERS, "Bidirectional", "RNN")
