# SPDX-License-Identifier: MIT
"""The table of modules, and modules of their descriptions. A new module is a class and a row of KINDS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import spec
from ..errors import ArgumentError, shown
from ..layers.build import build_fleet, build_layer, spec_of
from ..layers.module import Module
from ..spec.initializers import entropy_of
from .activation import Activation, Softmax
from .attention import Attention
from .dropout import Dropout
from .embedding import Embedding
from .fleets import FleetLinear
from .layer_norm import LayerNorm
from .linear import Linear
from .recurrent import Recurrent
from .sequential import MAX_DEPTH, Sequential

KINDS: dict[str, type[Module]] = {
    kind.__name__: kind
    for kind in (
        Activation,
        Attention,
        Dropout,
        Embedding,
        FleetLinear,
        LayerNorm,
        Linear,
        Recurrent,
        Sequential,
        Softmax,
    )
}
"""Modules that a file may describe, by the name of their class."""


def build_module(
    config: Any, parameters: Mapping[str, np.ndarray], implementation: Any = None, *, seed: Any = 0
) -> Module:
    """A module of its description and parameters, which may come from an untrusted file.

    Parameters
    ----------
    config : dict
        As `Module.config` gives it.
    parameters : dict of str to array
    implementation : module with RNN, LSTM, GRU, optional
    seed : int or sequence of ints
        Of its dropout; modules of a chain get streams of their own.

    Raises
    ------
    RnncoreError
        Before anything of the described size is made.

    Examples
    --------
    >>> head = rnncore.Linear(3, 2, seed=0)
    >>> rnncore.nn.build_module(head.config(), head.parameters())
    Linear(in_features=3, out_features=2, bias=True, dtype='float32')
    """
    spec.check_type("parameters", parameters, Mapping, "a mapping of names to arrays")
    for name in parameters:
        spec.check_type("parameters", name, str, "names of arrays")
    return _build(config, parameters, implementation, entropy_of(seed), 1)


def _build(config: Any, parameters: Any, implementation: Any, seed: tuple[int, ...], depth: int) -> Module:
    kind = config.get("kind") if isinstance(config, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise ArgumentError("kind", "one of " + ", ".join(KINDS), str(kind)[:40])
    fields = {name: value for name, value in config.items() if name != "kind"}
    if KINDS[kind] is Sequential:
        return _build_sequential(fields, parameters, implementation, seed, depth)
    if KINDS[kind] is Recurrent:
        return _build_recurrent(fields, parameters, implementation, seed)
    return _build_plain(KINDS[kind], fields, parameters, seed)


def _check_fields(
    kind: str, fields: dict[str, Any], names: tuple[str, ...], optional: tuple[str, ...] = ()
) -> None:
    for name, value in fields.items():
        if not isinstance(value, (str, int, float, list, dict, type(None))):
            raise ArgumentError(str(name), "a value that JSON has", shown(value))
    if not set(names) - set(optional) <= set(fields) <= set(names):
        expected = "fields " + (", ".join(names) or "none")
        raise ArgumentError(kind, expected, ", ".join(map(str, fields))[:200] or "none")


def _build_plain(cls: Any, fields: dict[str, Any], parameters: Any, seed: tuple[int, ...]) -> Module:
    _check_fields(cls.__name__, fields, cls.arguments, getattr(cls, "optional", ()))
    shapes = cls.shapes(fields)
    if set(shapes) != set(parameters):
        expected = "parameters " + (", ".join(shapes) or "none")
        raise ArgumentError(cls.__name__, expected, ", ".join(parameters)[:200] or "none")
    dtype = (spec.check_dtype("dtype", fields["dtype"]),) if shapes else ()
    for name, shape in shapes.items():
        spec.check_shape(name, spec.as_array(name, parameters[name], dtype), shape)
    module = cls(**fields, **({"seed": seed} if cls is Dropout else {}))
    module.load_state_dict(parameters)
    return module


def _build_recurrent(
    fields: dict[str, Any], parameters: Any, implementation: Any, seed: tuple[int, ...]
) -> Module:
    names = ("architecture", "models", "order", "merge", "return_sequences")
    _check_fields("Recurrent", fields, names, ("models",))
    architecture, models = fields.pop("architecture"), fields.pop("models", None)
    if models is not None:
        return Recurrent(build_fleet(architecture, models, parameters), **fields)
    layer = build_layer(spec_of(architecture, parameters), parameters, implementation, seed=seed)
    return Recurrent(layer, **fields)


def _build_sequential(
    fields: dict[str, Any], parameters: Any, implementation: Any, seed: tuple[int, ...], depth: int
) -> Module:
    _check_fields("Sequential", fields, ("modules",))
    configs = fields["modules"]
    if not isinstance(configs, list) or len(configs) > spec.MAX_LAYERS:
        raise ArgumentError("modules", "a list of descriptions", type(configs).__name__)
    if depth > MAX_DEPTH:  # before the stack is: a constructor sees only what is built
        raise ArgumentError("modules", f"chains within at most {MAX_DEPTH} chains", "more")
    groups: dict[str, dict[str, Any]] = {}
    for name, array in parameters.items():
        k, _, rest = name.partition(".")
        groups.setdefault(k, {})[rest] = array
    if unknown := set(groups) - set(map(str, range(len(configs)))):
        raise ArgumentError("tensors", f"names 0. to {len(configs) - 1}.", shown(min(unknown)))
    return Sequential(
        *(
            _build(config, groups.get(str(k), {}), implementation, (*seed, k), depth + 1)
            for k, config in enumerate(configs)
        )
    )
