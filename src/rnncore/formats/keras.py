# SPDX-License-Identifier: MIT
"""Keras 2 and 3: SimpleRNN, LSTM, GRU, Bidirectional with every merge mode, stacked cells, and chains around
them.

From ``.keras`` archives, whole-model ``.h5``, weights-only ``.weights.h5`` (Keras' defaults assumed, with a
note), or a live model or layer. A chain of known layers becomes a model as a whole. Reading needs h5py,
writing needs keras. Keras is always batch-first. A new kind of layer in a chain is a row in CHAIN (keras_chain).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from ..errors import UnsupportedError, shown
from ..layers.layers import Layer
from ..spec import Spec
from . import keras_file
from .files import Path, parsing, reading, replacing
from .keras_chain import CHAIN, Stages, masks
from .keras_functions import FUNCTIONS
from .keras_layers import NAMES, is_recurrent, read_layers
from .keras_model import Entry, live_entries
from .layouts import grouped, refuse_options
from .records import CLASSES, Contents, check_layer, one_direction
from .systems import to_system

__all__ = ["export", "load", "model", "read_layers", "save"]


def _read_entries(entries: Sequence[Entry], chain_error: str | None, version: int) -> Contents:
    """Contents of (name, class, config, weights) entries in the model's order."""
    found = Contents("keras")
    stages: Stages = []
    for name, kind, config, weights in entries:
        if is_recurrent(kind):
            try:
                records = read_layers(name, kind, config, weights, version)
            except UnsupportedError as error:
                found.refused[name] = error
                continue
            for record in records:
                found.records[record.name] = record
                stages.append(record.module)
                if record.merge is None:
                    chain_error = chain_error or f"{name} gives two outputs (merge_mode None)"
            continue
        shown = f"{name}: {kind}"
        try:
            if kind not in CHAIN:
                raise UnsupportedError(name, "one of " + ", ".join(CHAIN), kind)
            stages += CHAIN[kind](name, config, weights, version)
        except UnsupportedError as error:
            chain_error = chain_error or str(error)
            shown += f" (not read: {error})" if kind in CHAIN else " (not read)"
        if kind != "InputLayer":
            found.other.append(shown)
    for name, kind, config, _ in entries:
        if masks(kind, config):
            for record in found.records.values():
                record.notes += (f"{name} masks steps: pass lengths",)
    if chain_error is None and stages:
        found.stages = stages
    else:
        found.chain_error = chain_error or "no layers"
    return found


# Whole sources ---------------------------------------------------------------------------------------------


def load(source: Any) -> Contents:
    """Layers, and if it is a chain the model, of a Keras file, model or layer.

    Parameters
    ----------
    source : path-like, or a live Keras model or layer
        ``.keras``, ``.h5``, ``.hdf5`` or ``.weights.h5``.

    Returns
    -------
    Contents
        Layers by their Keras names.

    Raises
    ------
    FormatError
        A damaged file.
    UnsupportedError
        h5py is not installed.
    """
    if not hasattr(source, "get_config"):
        with reading(source, "a Keras file"):
            return _read_entries(*keras_file.read(source))
    package = sys.modules[type(source).__module__.split(".")[0]]
    with parsing(source.name, "a Keras model or layer"):
        return _read_entries(*live_entries(source), keras_file.major(getattr(package, "__version__", None)))


def export(layer: Layer[Any]) -> list[dict[str, Any]]:
    """The Keras layers that compute what a layer does.

    Parameters
    ----------
    layer : RNN, LSTM or GRU

    Returns
    -------
    list of dict
        Per stacked layer: class_name, config (constructor arguments; of a Bidirectional those of its inner
        layer, with `bidirectional` True) and weights as set_weights takes them.

    Raises
    ------
    UnsupportedError
        A projection, peepholes, coupled gates, a clip, or activations that Keras has not.

    Notes
    -----
    Keras keeps one bias of SimpleRNN, LSTM and reset-before GRU: the two are added, rounded once.
    """
    check_layer(layer)
    spec, parameters, made = layer.spec, layer.parameters(), []
    config = {
        "units": spec.hidden_size,
        "return_sequences": True,
        "use_bias": spec.bias,
        "dtype": spec.dtype.name,
    }
    refuse_options("keras", spec)
    config |= _function_config(spec)
    if spec.cell == "gru":
        config["reset_after"] = spec.reset_after
    suffixes = spec.suffixes()
    for k in range(spec.num_layers):
        weights = []
        for suffix in suffixes[k * spec.directions : (k + 1) * spec.directions]:
            values = one_direction(parameters, suffix)
            weights += to_system("keras", spec.cell, values, reset_after=spec.reset_after)
        made.append(
            {
                "class_name": NAMES[spec.cell],
                "config": config | {"name": f"{CLASSES[spec.cell].lower()}_{k}"},
                "bidirectional": spec.bidirectional,
                "weights": [value for value in weights if value is not None],
            }
        )
    return made


def _function_config(spec: Spec) -> dict[str, str]:
    """The activations of a layer as Keras says them."""
    each = {tuple(grouped(spec, d, "keras")) for d in range(spec.directions)}
    recurrent, *others = each.pop()
    if each or len(set(others)) > 1:
        raise UnsupportedError("activations", "one for c and g, and for both directions", "different ones")
    names = {entry: name for name, entry in FUNCTIONS.items()}
    found = {"activation": recurrent} if spec.cell == "rnn" else {"activation": others[0]}
    found |= {} if spec.cell == "rnn" else {"recurrent_activation": recurrent}
    for entry in found.values():
        if entry not in names:
            raise UnsupportedError("activations", "one of " + ", ".join(names.values()), shown(entry))
    return {key: names[entry] for key, entry in found.items()}


def model(layer: Layer[Any]) -> Any:
    """A live keras.Sequential that computes what a layer does, (N, T, I) to (N, T, D*H); needs keras."""
    made = export(layer)
    try:
        import keras
    except ImportError as error:
        raise UnsupportedError("keras", "the package keras", "none installed") from error
    stages = []
    for entry in made:
        stage = getattr(keras.layers, entry["class_name"])(**entry["config"])
        stages.append(keras.layers.Bidirectional(stage) if entry["bidirectional"] else stage)
    built = keras.Sequential(
        [keras.Input((None, layer.spec.input_size), dtype=layer.spec.dtype.name), *stages]
    )
    for stage, entry in zip(stages, made, strict=True):
        stage.set_weights(entry["weights"])
    return built


def save(layer: Layer[Any], path: Path) -> None:
    """Write a layer as a Keras model: ``.keras``, ``.h5`` or ``.weights.h5``; needs keras.

    Raises
    ------
    UnsupportedError, OSError
    """
    built = model(layer)
    with replacing(path) as draft:
        if str(path).endswith(".weights.h5"):
            built.save_weights(draft)
        else:
            built.save(draft)
