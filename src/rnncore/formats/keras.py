# SPDX-License-Identifier: MIT
"""Keras 2 and 3: SimpleRNN, LSTM, GRU, Bidirectional with every merge mode, stacked cells, and chains around
them.

From ``.keras`` archives, whole-model ``.h5``, weights-only ``.weights.h5`` (Keras' defaults assumed, with a
note), or a live model or layer. A chain of known layers becomes a model as a whole. Reading needs h5py,
writing needs keras. Keras is always batch-first. A new kind of layer in a chain is a row in CHAIN.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, UnsupportedError
from ..layers.layers import Layer
from ..nn import build_module
from . import keras_file
from .files import Path, replacing
from .keras_file import major as _major
from .layouts import grouped, refuse_options, spread
from .records import CLASSES, Contents, Record, make_record, narrow, one_direction
from .systems import from_system, to_system

LAYERS = {"SimpleRNN": "rnn", "LSTM": "lstm", "GRU": "gru"}
NAMES = {cell: name for name, cell in LAYERS.items()}
# What a layer of each cell does unless its config says otherwise: activation, recurrent_activation.
DEFAULTS: dict[str, tuple[str, str | None]] = {
    "rnn": ("tanh", None),
    "lstm": ("tanh", "sigmoid"),
    "gru": ("tanh", "sigmoid"),
}
# Keras' names of our functions.
FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "linear": ("affine", 1.0, 0.0),
    "relu": ("relu",),
    "tanh": ("tanh",),
    "sigmoid": ("sigmoid",),
    "hard_sigmoid": ("hard_sigmoid", 1 / 6, 0.5),
    "leaky_relu": ("leaky_relu", 0.2),
    "elu": ("elu", 1.0),
    "softsign": ("softsign",),
    "softplus": ("softplus",),
}
# Up to Keras 2 the hard sigmoid was steeper.
OLD_FUNCTIONS = {"hard_sigmoid": ("hard_sigmoid", 0.2, 0.5)}


def _activation_name(value):
    """The name in a config entry, which may be text or a serialized function."""
    while isinstance(value, dict):
        value = value.get("config", value.get("class_name"))
        if isinstance(value, dict):
            value = value.get("name")
    return "linear" if value is None else str(value)


def _cell_options(cell, config, version):
    """Layer options for a config's activations; UnsupportedError if the cells compute no such thing."""
    activation, recurrent = DEFAULTS[cell]
    activation = _activation_name(config.get("activation", activation))
    recurrent = _activation_name(config.get("recurrent_activation", recurrent))
    names = {
        "rnn": (activation,),
        "lstm": (recurrent, activation, activation),
        "gru": (recurrent, activation),
    }
    known = FUNCTIONS | (OLD_FUNCTIONS if version < 3 else {})
    for name in names[cell]:
        if name not in known:
            raise UnsupportedError("activations", "one of " + ", ".join(known), repr(name))
    return {"activations": spread(cell, [known[name] for name in names[cell]])}


def _direction(name, cell, config, weights):
    """Canonical parameters of one Keras layer or cell, and whether a GRU resets after the product."""
    expected = 3 if config.get("use_bias", True) else 2
    if len(weights) != expected:
        raise ArgumentError(name, f"{expected} arrays", str(len(weights)))
    bias = weights[2] if expected == 3 else None
    # Old files do not say: then the bias does, and without one it was the only form there was.
    reset_after = (
        config.get("reset_after", bias is not None and np.ndim(bias) == 2) if cell == "gru" else True
    )
    return from_system("keras", cell, weights[0], weights[1], bias, reset_after=bool(reset_after)), bool(
        reset_after
    )


def _notes(config):
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


def _read_plain(name, kind, config, weights, version, **extra):
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


def _read_bidirectional(name, config, weights, version):
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
    directions = [one_direction(record.parameters, "_l0") for record in records]
    return make_record(
        name,
        f"keras Bidirectional({kind})",
        spec.cell,
        directions,
        options=options,
        merge=config.get("merge_mode", "concat"),
        return_sequences=records[0].return_sequences,
        notes=records[0].notes + _notes(config),
    )


def _read_stacked(name, config, weights, version):
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
    first = records[0].spec
    backwards, sequences = bool(config.get("go_backwards")), bool(config.get("return_sequences", False))
    if any(dataclasses.replace(r.spec, input_size=first.input_size) != first for r in records):
        # The first one turns the sequence round, the others take what comes.
        for k, record in enumerate(records):
            record.name, record.order = f"{name}/{k}", "backwards" if backwards and k == 0 else "forward"
            record.return_sequences = sequences or k < len(records) - 1
            record.notes = _notes(config) if k == 0 else ()
        return records
    directions = [one_direction(record.parameters, "_l0") for record in records]
    record = make_record(
        name,
        f"keras RNN({', '.join(NAMES[r.spec.cell] + 'Cell' for r in records)})",
        first.cell,
        directions,
        options={
            "batch_first": first.batch_first,
            "reset_after": first.reset_after,
            "activations": first.functions(0),
        },
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
    """
    weights = [np.asarray(array) for array in weights]
    if kind == "RNN":
        return _read_stacked(name, config, weights, version)
    if kind == "Bidirectional":
        return [_read_bidirectional(name, config, weights, version)]
    return [_read_plain(name, kind, config, weights, version)]


def is_recurrent(kind: str) -> bool:
    """Whether this class is read as a recurrent layer, or refused as one."""
    return kind in (*LAYERS, "Bidirectional", "RNN")


# Chains ----------------------------------------------------------------------------------------------------


def _make(kind, parameters, **fields):
    config = {"kind": kind} | fields
    return [functools.partial(build_module, config, parameters)]


def _activation(name):
    if name == "linear":
        return []
    if name == "softmax":
        return _make("Softmax", {})
    known = {"swish": ("silu",), "silu": ("silu",)} | FUNCTIONS
    if name not in known:
        raise UnsupportedError("activation", "softmax or one of " + ", ".join(known), name)
    return _make("Activation", {}, **dict(zip(("name", "alpha", "beta"), known[name], strict=False)))


def _dense(name, config, weights):
    weight = narrow(weights[0].T, name)
    bias = len(weights) > 1
    parameters = {"weight": weight} | ({"bias": narrow(weights[1], name)} if bias else {})
    linear = _make(
        "Linear",
        parameters,
        in_features=weight.shape[1],
        out_features=weight.shape[0],
        bias=bias,
        dtype=weight.dtype.name,
    )
    return linear + _activation(_activation_name(config.get("activation")))


def _embedding(name, config, weights):
    if config.get("mask_zero"):
        raise UnsupportedError(name, "mask_zero False", True, "pass lengths instead of masks")
    weight = narrow(weights[0], name)
    rows, features = weight.shape
    return _make(
        "Embedding", {"weight": weight}, num_embeddings=rows, embedding_dim=features, dtype=weight.dtype.name
    )


def _layer_norm(name, config, weights):
    axis = config.get("axis", -1)
    if axis not in (-1, [-1], 2, [2]) or config.get("rms_scaling"):
        raise UnsupportedError(name, "normalization over the last axis", f"axis {axis}")
    own, dtype = list(weights), narrow(weights[0], name).dtype if weights else np.dtype("f4")
    features = len(own[0]) if own else 0
    weight = own.pop(0) if config.get("scale", True) and own else np.ones(features, dtype)
    bias = own.pop(0) if config.get("center", True) and own else np.zeros(features, dtype)
    parameters = {"weight": narrow(weight, name), "bias": narrow(bias, name)}
    eps = float(config.get("epsilon", 1e-3))
    return _make("LayerNorm", parameters, features=features, eps=eps, dtype=dtype.name)


def _time_distributed(name, config, weights):
    inner = config["layer"]
    if inner["class_name"] not in ("Dense", "Activation", "LayerNormalization", "Dropout"):
        raise UnsupportedError(name, "TimeDistributed around Dense", inner["class_name"])
    return CHAIN[inner["class_name"]](name, inner["config"], weights)


def _plain_relu(name, config, weights):
    for key, neutral in (("max_value", None), ("negative_slope", 0.0), ("threshold", 0.0)):
        if config.get(key, neutral) != neutral and config.get(key) is not None:
            raise UnsupportedError(name, f"{key} {neutral}", config[key])
    return _activation("relu")


def _nothing(name, config, weights):
    return []


CHAIN: dict[str, Callable[..., Any]] = {
    "InputLayer": _nothing,
    "Dropout": _nothing,
    "SpatialDropout1D": _nothing,
    "GaussianNoise": _nothing,
    "Dense": _dense,
    "Embedding": _embedding,
    "LayerNormalization": _layer_norm,
    "TimeDistributed": _time_distributed,
    "Activation": lambda name, config, weights: _activation(_activation_name(config["activation"])),
    "ReLU": _plain_relu,
    "Softmax": lambda name, config, weights: _activation("softmax"),
}


def _read_entries(entries, chain_error, version):
    """Contents of (name, class, config, weights) entries in the model's order."""
    found, stages = Contents("keras"), []
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
            stages += CHAIN[kind](name, config, [np.asarray(array) for array in weights])
        except UnsupportedError as error:
            chain_error = chain_error or str(error)
            shown += f" (not read: {error})" if kind in CHAIN else " (not read)"
        if kind != "InputLayer":
            found.other.append(shown)
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
        return _read_entries(*keras_file.read(source))
    version = _major(getattr(sys.modules[type(source).__module__.split(".")[0]], "__version__", None))
    if hasattr(source, "layers") and hasattr(source, "get_layer"):
        listed, chain_error = keras_file.listed_layers(type(source).__name__, source.get_config())
        entries = [
            (name, kind, config, [] if kind == "InputLayer" else source.get_layer(name).get_weights())
            for name, kind, config in listed
        ]
        return _read_entries(entries, chain_error, version)
    entry = (source.name, type(source).__name__, source.get_config(), source.get_weights())
    return _read_entries([entry], None, version)


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


def _function_config(spec):
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
            raise UnsupportedError("activations", "one of " + ", ".join(names.values()), repr(entry))
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
