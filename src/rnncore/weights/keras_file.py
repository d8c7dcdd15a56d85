# SPDX-License-Identifier: MIT
"""The file side of Keras: archives, HDF5 layouts of Keras 2 and 3, and which arrays belong to which layer.

Files are untrusted: no link leads out of a file, no array is larger than its file could plausibly hold, and
configs are data, never code. `read` gives (name, class, config, weights) per layer in the model's order.
"""

import io
import os
import re
import zipfile

import numpy as np

from ..errors import UnsupportedError
from .records import FormatError, reading
from .safetensors import parse_json

# Compressed members and arrays may be this many times larger than the file; what claims more is a bomb.
MAX_EXPANSION = 16
MAX_CONFIG = 8 * 2**20
CONTAINERS = ("layers", "_layer_checkpoint_dependencies")


def _h5py(path):
    try:
        import h5py
    except ImportError as error:
        raise UnsupportedError(str(path), "the package h5py", "none installed") from error
    return h5py


def read(path):
    """The layers of a file.

    Returns
    -------
    entries : list of (name, class name, config, list of arrays)
    chain_error : str or None
        Why the layers are no chain.

    Raises
    ------
    FormatError, UnsupportedError, OSError
    """
    h5py = _h5py(path)
    with reading(path, "a Keras file"):
        size = os.path.getsize(path)
        if zipfile.is_zipfile(path):
            config, weights = _unzip(path, size)
            with h5py.File(io.BytesIO(weights), "r") as file:
                return _read_config(path, config, File(path, file, size))
        with h5py.File(path, "r") as file:
            own = File(path, file, size)
            if "model_config" in file.attrs:
                text = file.attrs["model_config"]
                text = text.decode() if isinstance(text, bytes) else str(text)
                return _read_config(path, _config(path, text), own)
            return _read_bare(own), "a file of weights alone holds no model"


def _unzip(path, size):
    """config.json, parsed, and the bytes of model.weights.h5."""
    with zipfile.ZipFile(path) as archive:
        for name, limit in (("config.json", MAX_CONFIG), ("model.weights.h5", MAX_EXPANSION * size)):
            if archive.getinfo(name).file_size > limit:
                raise FormatError(
                    str(path), f"{name} of at most {limit} bytes", archive.getinfo(name).file_size
                )
        return _config(path, archive.read("config.json").decode()), archive.read("model.weights.h5")


def _config(path, text):
    if len(text) > MAX_CONFIG:
        raise FormatError(str(path), f"a config of at most {MAX_CONFIG} characters", len(text))
    config = parse_json(text)
    if not isinstance(config, dict):
        raise FormatError(str(path), "a model's config", type(config).__name__)
    return config


class File:
    """An open HDF5 file whose objects are checked before they are read.

    Parameters
    ----------
    path : path-like
    file : h5py.File
    size : int
        Of the file on disk, in bytes.
    """

    def __init__(self, path, file, size):
        self.path, self.file, self.size = path, file, size
        root = self.get(file, "model_weights") or file
        self.legacy = root if "layer_names" in root.attrs else None

    def get(self, group, name):
        """The object `name` in a group, reached by plain links only; None if there is none."""
        h5py = _h5py(self.path)
        for part in filter(None, name.split("/")):
            link = group.get(part, getlink=True) if isinstance(group, h5py.Group) else None
            if link is None:
                return None
            if not isinstance(link, h5py.HardLink):
                raise FormatError(str(self.path), "plain links", f"{type(link).__name__} at {part!r}")
            group = group[part]
        return group

    def array(self, dataset):
        """The values of a dataset that the file itself holds."""
        if not hasattr(dataset, "is_virtual") or dataset.is_virtual or dataset.external:
            raise FormatError(str(self.path), "arrays stored in the file", f"{dataset.name} elsewhere")
        if dataset.dtype.kind not in "fiub" or dataset.nbytes > MAX_EXPANSION * self.size:
            got = f"{dataset.name} of {dataset.nbytes} bytes, {dataset.dtype}"
            raise FormatError(str(self.path), f"numbers in a file of {self.size} bytes", got)
        return np.asarray(dataset[()])

    def variables(self, group):
        """The arrays 0, 1, 2 ... of a group's ``vars``."""
        found = self.get(group, "vars") if group is not None else None
        return [] if found is None else [self.array(self.get(found, str(k))) for k in range(len(found))]

    def by_class(self, kind, count):
        """Keras 3: the group of the layer number `count` of its class."""
        name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", kind)
        name = re.sub("([a-z])([A-Z])", r"\1_\2", name).lower() + (f"_{count}" if count else "")
        for container in CONTAINERS:
            if (group := self.get(self.file, f"{container}/{name}")) is not None:
                return group
        return None

    def weights(self, group):
        """Keras 3: a layer's arrays in the order of get_weights()."""
        if group is None:
            return []
        found = self.variables(group)
        for name in ("cell", "layer", "forward_layer", "backward_layer"):
            inner = self.get(group, name)
            if inner is not None:
                found += self.weights(inner)
        cells = self.get(group, "cells")
        for name in sorted(cells or (), key=_number):
            found += self.weights(self.get(cells, name))
        return found

    def legacy_weights(self, name):
        """Keras 2: a layer's arrays in the order of get_weights()."""
        group = self.get(self.legacy, name)
        if group is None:
            return []
        return [self.array(self.get(group, _text(key))) for key in group.attrs.get("weight_names", ())]

    def legacy_both_ways(self, name):
        """Keras 2: whether a layer's arrays belong to a forward and a backward layer."""
        keys = [_text(key) for key in self.get(self.legacy, name).attrs.get("weight_names", ())]
        return sum("/backward_" in key for key in keys) * 2 == len(keys) > 0


def _text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def _number(name):
    """Sorts lstm_cell, lstm_cell_1, lstm_cell_2 ... as Keras counts them."""
    digits = re.search(r"_(\d{1,9})$", name)
    return int(digits.group(1)) if digits else 0


def _read_config(path, config, file):
    layers, chain_error = listed_layers(config.get("class_name"), config.get("config"))
    entries, counts = [], {}
    for name, kind, inner in layers:
        if file.legacy is not None:
            weights = file.legacy_weights(name)
        else:
            weights = file.weights(file.by_class(kind, counts.get(kind, 0)))
            counts[kind] = counts.get(kind, 0) + 1
        entries.append((name, kind, inner, weights))
    return entries, chain_error


def listed_layers(kind, config):
    """(name, class, config) of a model's layers, and why they are no chain (None if they are).

    Raises
    ------
    FormatError
        The config describes no model.
    """
    entries = config.get("layers") if isinstance(config, dict) else config
    if not isinstance(entries, list) or not all(isinstance(e, dict) and "class_name" in e for e in entries):
        raise FormatError("config", "a Sequential or Functional model", str(kind)[:40])
    layers, chain_error, before = [], None, None
    names = {_layer_name(entry) for entry in entries}
    for entry in entries:
        name = _layer_name(entry)
        layers.append((name, str(entry["class_name"]), dict(entry.get("config") or {})))
        if kind == "Sequential":
            continue
        feeds = [found for found in _texts(entry.get("inbound_nodes", [])) if found in names]
        if feeds != ([] if before is None else [before]):
            chain_error = chain_error or f"{name} is fed by {', '.join(feeds) or 'an input of its own'}"
        before = name
    return layers, chain_error


def _layer_name(entry):
    return str(entry.get("name") or (entry.get("config") or {}).get("name") or entry["class_name"])


def _texts(value):
    """All texts in the histories of a layer's inputs, in order."""
    if isinstance(value, dict):
        inner = value.get("keras_history", None)
        if inner is not None:
            yield str(inner[0])
            return
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, str):
        yield value


# Files without a config ------------------------------------------------------------------------------------


def _guess(arrays):
    """Class and config of a recurrent layer from how many gates its kernels stack, or None."""
    if len(arrays) not in (2, 3) or any(array.ndim != 2 for array in arrays[:2]):
        return None
    kernel, recurrent = arrays[:2]
    units = len(recurrent)
    gates, rest = divmod(kernel.shape[1], units) if units else (0, 1)
    kinds = {1: "SimpleRNN", 3: "GRU", 4: "LSTM"}
    if rest or gates not in kinds or recurrent.shape[1] != kernel.shape[1]:
        return None
    config = {"use_bias": len(arrays) == 3, "return_sequences": True}
    if gates == 3 and len(arrays) == 2:
        config["reset_after"] = True
    return kinds[gates], config


def _bare_entry(name, arrays, both_ways):
    half = len(arrays) // 2
    guess = None if both_ways else _guess(arrays)
    if both_ways and len(arrays) in (4, 6):
        inner = _guess(arrays[:half])
        if inner is not None and _guess(arrays[half:]) == inner:
            layer = {"class_name": inner[0], "config": inner[1]}
            backward = {"class_name": inner[0], "config": inner[1] | {"go_backwards": True}}
            guess = "Bidirectional", {"layer": layer, "backward_layer": backward}
    kind, config = guess or ("unknown", {})
    return name, kind, config | {"assumed": True}, arrays


def _read_bare(file):
    """Entries of a weights-only file, with classes guessed from shapes and Keras' defaults for the rest."""
    if file.legacy is not None:
        names = [_text(name) for name in file.legacy.attrs["layer_names"]]
        found = [(name, file.legacy_weights(name), file.legacy_both_ways(name)) for name in names]
        return [_bare_entry(*entry) for entry in found if entry[1]]
    for container in CONTAINERS:
        group = file.get(file.file, container)
        if group is not None:
            inner = {name: file.get(group, name) for name in group}
            found = [(name, file.weights(g), "backward_layer" in g) for name, g in inner.items()]
            return [_bare_entry(*entry) for entry in found if entry[1]]
    raise FormatError(str(file.path), "a Keras model or weights file", "another HDF5 file")
