# SPDX-License-Identifier: MIT
"""Keras' activations as functions of ours: names, and layers that compute one, with their parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import UnsupportedError, shown
from ..spec.checks import finite

Function = tuple[Any, ...]
"""(name, *parameters), a function of cells or one of EXTRA."""

# Keras' names of functions that cells have.
FUNCTIONS: dict[str, Function] = {
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
OLD_FUNCTIONS: dict[str, Function] = {"hard_sigmoid": ("hard_sigmoid", 0.2, 0.5)}
# Names of functions that modules alone have.
EXTRA: dict[str, Function] = {"softmax": ("softmax",), "silu": ("silu",), "swish": ("silu",)}


def _number(config: dict[str, Any], default: float, *names: str) -> float:
    """The first of these entries that is there."""
    for name in names:
        if config.get(name) is not None:
            number = finite(config[name])
            if number is None:
                raise UnsupportedError(name, "a finite number", shown(config[name]))
            return number
    return default


def _relu(config: dict[str, Any], version: int) -> Function:
    slope, threshold = _number(config, 0.0, "negative_slope"), _number(config, 0.0, "threshold")
    if config.get("max_value") is not None:
        raise UnsupportedError(
            "max_value", "none", shown(config["max_value"]), "no function here is cut off above"
        )
    if slope and threshold:
        raise UnsupportedError("threshold", f"0 beside the slope {slope}", shown(threshold))
    if threshold:
        return "thresholded_relu", threshold
    return ("leaky_relu", slope) if slope else ("relu",)


def _softmax(config: dict[str, Any], version: int) -> Function:
    if config.get("axis", -1) not in (-1, [-1]):
        raise UnsupportedError("axis", "-1 of Softmax, the last one", shown(config["axis"]))
    return ("softmax",)


# Layers that compute a function, of their configs and Keras' version.
LAYERS: dict[str, Callable[[dict[str, Any], int], Function]] = {
    "Activation": lambda config, version: function_of(config.get("activation"), version),
    "ELU": lambda config, version: ("elu", _number(config, 1.0, "alpha")),
    "LeakyReLU": lambda config, version: ("leaky_relu", _number(config, 0.3, "negative_slope", "alpha")),
    "ReLU": _relu,
    "Softmax": _softmax,
    "ThresholdedReLU": lambda config, version: ("thresholded_relu", _number(config, 1.0, "theta")),
}


def function_of(value: Any, version: int) -> Function:
    """The function that an entry of a config says: none, a name, or a serialized function or layer.

    Raises
    ------
    UnsupportedError
        There is no such function here.
    """
    known = FUNCTIONS | EXTRA | (OLD_FUNCTIONS if version < 3 else {})
    name = "linear" if value is None else value
    if isinstance(value, dict):
        kind, config = value.get("class_name"), value.get("config")
        registered = value.get("registered_name")
        if isinstance(registered, str) and ">" in registered:
            raise UnsupportedError("activation", "a function of Keras", registered[:80], "a custom one")
        if kind in LAYERS and isinstance(config, dict):
            return LAYERS[kind](config, version)
        name = config if kind in ("function", None) else kind
    if not isinstance(name, str) or name not in known:
        expected = "one of " + ", ".join([*known, *LAYERS])
        raise UnsupportedError("activation", expected, shown(name))
    return known[name]
