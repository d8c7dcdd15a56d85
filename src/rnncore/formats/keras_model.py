# SPDX-License-Identifier: MIT
"""Models of Keras by their configs: which layers they have, through all levels, in which order, with which arrays.

A config is data, from a file or a live model. Of a functional model it is followed from the output to the input:
only where each layer reads the one output of one other are the layers a chain.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from ..errors import FormatError, UnsupportedError

MODELS = ("Sequential", "Functional", "Model")

Entry = tuple[str, str, dict[str, Any], list[np.ndarray]]
"""Name, class, config and arrays of a layer."""
Reference = tuple[str, int, int]
"""A tensor: the layer that gives it, which of the layer's calls, and which of its outputs."""


class Place(Protocol):
    """Where the arrays of a model or a layer are."""

    def children(self, layers: Sequence[tuple[str, str]]) -> list[Any]:
        """The places of a model's layers, of their (names, classes) in the config's order."""

    def weights(self, config: dict[str, Any]) -> list[np.ndarray]:
        """A layer's arrays in the order of get_weights()."""


class Live:
    """A live model or layer."""

    def __init__(self, layer: Any) -> None:
        self.layer: Any = layer

    def children(self, layers: Sequence[tuple[str, str]]) -> list[Live]:
        """See `Place`."""
        return [Live(None if kind == "InputLayer" else self.layer.get_layer(name)) for name, kind in layers]

    def weights(self, config: dict[str, Any]) -> list[np.ndarray]:
        """See `Place`."""
        return [] if self.layer is None else [np.asarray(array) for array in self.layer.get_weights()]


def live_entries(source: Any) -> tuple[list[Entry], str | None]:
    """The layers of a live model, or a live layer; see `walk`."""
    if hasattr(source, "layers") and hasattr(source, "get_layer"):
        model = json.loads(source.to_json())
        return walk(model["class_name"], model["config"], Live(source))
    return [(source.name, type(source).__name__, source.get_config(), Live(source).weights({}))], None


def walk(kind: Any, config: Any, place: Place, prefix: str = "") -> tuple[list[Entry], str | None]:
    """A model's layers, those of models within it behind their names, and why they are no chain (None if they are).

    Raises
    ------
    FormatError
        The config describes no model.
    """
    layers = config.get("layers") if isinstance(config, dict) else config
    if not isinstance(layers, list) or not all(isinstance(e, dict) and "class_name" in e for e in layers):
        raise FormatError("config", "a Sequential or Functional model", str(kind)[:40])
    listed = [(_name(entry), str(entry["class_name"]), dict(entry.get("config") or {})) for entry in layers]
    places = place.children([(name, kind) for name, kind, _ in listed])
    order, chain_error = range(len(listed)), None
    if kind != "Sequential":
        order, chain_error = _order(config, layers)
    entries: list[Entry] = []
    for k in order:
        name, inner_kind, inner = listed[k]
        if inner_kind not in MODELS:
            entries.append((prefix + name, inner_kind, inner, places[k].weights(inner)))
            continue
        found, error = walk(inner_kind, inner, places[k], f"{prefix}{name}/")
        entries += found
        chain_error = chain_error or error
    return entries, chain_error


def _name(entry: dict[str, Any]) -> str:
    return str(entry.get("name") or (entry.get("config") or {}).get("name") or entry["class_name"])


def _references(value: Any) -> Iterator[Reference]:
    """The tensors in what a layer was called with, or in a model's outputs."""
    if isinstance(value, dict):
        history = value.get("keras_history")
        yield from _references(list(history) if history is not None else list(value.values()))
    elif isinstance(value, (list, tuple)):
        if len(value) >= 3 and isinstance(value[0], str) and all(type(k) is int for k in value[1:3]):
            yield value[0], value[1], value[2]
            value = value[3:]  # up to Keras 2 the arguments by name, which may be tensors, too
        for part in value:
            yield from _references(part)


def _order(config: Any, layers: list[dict[str, Any]]) -> tuple[Sequence[int], str | None]:
    """A functional model's layers from input to output, or in the config's order and why they are no chain."""
    index = {_name(entry): k for k, entry in enumerate(layers)}
    outputs = list(_references(config.get("output_layers"))) if isinstance(config, dict) else []
    path: list[int] = []
    error = None if len(outputs) == 1 else f"the model gives {len(outputs)} outputs"
    while outputs and error is None:
        (name, call, output), *others = outputs
        k = index.get(name, -1)
        nodes = layers[k].get("inbound_nodes") if k >= 0 else None
        if others:
            above = _name(layers[path[-1]])
            error = f"{above} is fed by {', '.join(source for source, _, _ in (outputs))}"
        elif k < 0 or k in path:
            error = f"{name} is no layer before the others"
        elif output:
            error = f"output {output} of {name} is used, not its first"
        elif call or (isinstance(nodes, list) and len(nodes) > 1):
            error = f"{name} is called more than once"
        else:
            path.append(k)
            outputs = list(_references(nodes))
    if error is None and len(path) < len(layers):
        rest = [_name(entry) for k, entry in enumerate(layers) if k not in path]
        error = f"{', '.join(rest)} are not on the way to the output"
    return (range(len(layers)), error) if error else (path[::-1], None)


class Legacy:
    """Arrays up to Keras 2: those of a layer by their names, those of a model within a model by the names' parts."""

    def __init__(self, file: Any, top: str | None = None, keys: Sequence[str] = ()) -> None:
        self.file: Any = file
        self.top: str | None = top
        self.keys: list[str] = list(keys)

    def children(self, layers: Sequence[tuple[str, str]]) -> list[Legacy]:
        """See `Place`.

        Raises
        ------
        UnsupportedError
            The names do not tell which arrays are whose.
        """
        if self.top is None:
            return [Legacy(self.file, name, self.file.legacy_names(name)) for name, _ in layers]
        found = [
            Legacy(self.file, self.top, [key for key in self.keys if name in key.split("/")])
            for name, _ in layers
        ]
        if sorted(key for child in found for key in child.keys) != sorted(self.keys):
            names = ", ".join(name for name, _ in layers)
            raise UnsupportedError(self.top, f"arrays named for {names}", ", ".join(self.keys)[:200])
        return found

    def weights(self, config: dict[str, Any]) -> list[np.ndarray]:
        """See `Place`."""
        return [self.file.legacy_array(self.top, key) for key in self.keys]


class Group:
    """Arrays of Keras 3: in groups named for classes and counted."""

    def __init__(self, file: Any, group: str | None = "") -> None:
        self.file: Any = file
        self.group: str | None = group

    def children(self, layers: Sequence[tuple[str, str]]) -> list[Group]:
        """See `Place`."""
        counts: dict[str, int] = {}
        found = []
        for _, kind in layers:
            count = counts.get(kind, 0)
            counts[kind] = count + 1
            found.append(
                Group(self.file, None if self.group is None else self.file.by_class(kind, count, self.group))
            )
        return found

    def weights(self, config: dict[str, Any]) -> list[np.ndarray]:
        """See `Place`."""
        cells = ((config.get("cell") or {}).get("config") or {}).get("cells", [])
        return self.file.weights(
            self.group, [str(cell["class_name"]) for cell in cells if "class_name" in cell]
        )
